"""The undo log that everything in the state writes to: how to take one change back.

The problem: a transaction may fail after it has changed much, bundles are staged and taken back, and blocks are rewound. The choice: one
list for the whole state; whatever changes something appends how that is undone, and going back is undoing the newest changes first. A mark
is a length. Rejected: copies (too slow by orders of magnitude) and persistent maps (every read would pay).
"""

from typing import Protocol, TypeAlias


class Change(Protocol):
    """One change of the state."""

    def undo(self) -> None:
        """Take it back; called when it is the newest."""


Journal: TypeAlias = list[Change]
"""Oldest change first. A plain list, because the book appends to it a million times a second."""


def undo(journal: Journal, mark: int) -> None:
    """Take back every change after ``mark``, a length of the journal, newest first."""
    while len(journal) > mark:
        journal.pop().undo()
