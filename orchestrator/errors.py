"""What can go wrong, by the reaction it asks for.

::

    RollnetError                   anything that rollnet reports in words, not as a traceback
    └── InvalidTopology            the user mends a file (topology/errors.py)

Packages hang their own errors below :class:`RollnetError`; the command line prints ``message`` and ``hint`` and leaves
with ``exit_code``.
"""

from typing import ClassVar


class RollnetError(Exception):
    """A failure with a sentence for the user: who, what, and what to do next.

    Attributes:
        message: who failed, and how.
        hint: what to do next; empty if there is nothing to advise.
    """

    exit_code: ClassVar[int] = 1
    """Process exit status: 2 where the user mends the input, 1 otherwise."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message
