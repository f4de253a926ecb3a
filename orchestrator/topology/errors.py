"""What can be wrong with a topology or a plan.

::

    RollnetError
    ├── InvalidTopology            the user mends the file; exit code 2
    └── UnreadablePlan             a plan.json that this version can't read; exit code 1

A file has one class because it asks for one reaction. It carries every :class:`Problem` at once, so that a user mends
the file in one go instead of one run per mistake.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from orchestrator.errors import RollnetError

KeyPath = tuple[str | int, ...]
"""A place in the document: keys and list indexes from the top; empty for the document itself."""

MAX_PROBLEMS = 100
"""More than these are counted, not listed: a hostile file must not fill a terminal."""

MAX_SHOWN = 60
"""Longest piece of a user's text that a message repeats, characters."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake at a place in the document, before anybody knows the line."""

    path: KeyPath
    message: str
    hint: str = ""
    at_key: bool = False
    """The key is wrong, not its value."""
    needs: tuple[KeyPath, ...] = ()
    """Other places that the finding compared with; it says nothing if one of them is wrong itself."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake, with the place to mend it."""

    file: str
    line: int
    """From 1; 0 where the mistake has no line (unreadable file, spec built in Python)."""
    column: int
    """From 1, in characters; 0 where there is no line."""
    path: str
    """Such as ``rollups.alpha.engine`` or ``market.strikes[2]``; empty for the document itself."""
    message: str
    hint: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        path = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {path}{self.message}{hint}"


class InvalidTopology(RollnetError):  # noqa: N818  (named for what the user holds in hand)
    """The topology can't be used; ``problems`` says everything that is wrong with it, in the order of the file."""

    exit_code: ClassVar[int] = 2

    def __init__(self, problems: Iterable[Problem]) -> None:
        ordered = sorted(problems, key=lambda problem: (problem.line, problem.column, problem.path))
        self.problems: tuple[Problem, ...] = tuple(ordered)
        listed = [str(problem) for problem in ordered[:MAX_PROBLEMS]]
        if len(ordered) > MAX_PROBLEMS:
            listed.append(f"… and {len(ordered) - MAX_PROBLEMS} more problems")
        super().__init__("\n".join(listed))


class UnreadablePlan(RollnetError):  # noqa: N818  (as above)
    """A stored plan does not fit this version's :class:`~orchestrator.topology.plan.Plan`."""


def render_path(path: KeyPath) -> str:
    """``("market", "strikes", 2)`` as ``market.strikes[2]``; keys that are no plain words are quoted."""
    parts: list[str] = []
    for step in path:
        if isinstance(step, int):
            parts.append(f"[{step}]")
            continue
        plain = step.isascii() and step.replace("_", "").replace("-", "").isalnum() and len(step) <= MAX_SHOWN
        parts.append(f"{'.' if parts else ''}{step if plain else shown(step)}")
    return "".join(parts)


def shown(text: str) -> str:
    """A user's text made fit for a message: quoted, on one line, without control characters, and short."""
    return f"'{visible(text, MAX_SHOWN)}'"


def visible(text: str, longest: int) -> str:
    """The text without control characters, cut to a length."""
    clipped = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in clipped
    )
