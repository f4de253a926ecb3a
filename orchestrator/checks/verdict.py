"""What a checker says: valid, invalid with the smallest counter-example that it found, or unknown because it saw too little."""

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

SHOWN_LINES = 12
"""Lines of a counter-example; what is longer is cut, for nobody reads it."""

Facts = TypeVar("Facts")


class Verdict(StrEnum):
    """The three values, from good to bad by :data:`EXIT_CODES` but for unknown."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"


EXIT_CODES = {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}
"""Exit status of a command that ends with a verdict; 3 is for what could not start."""


@dataclass(frozen=True, slots=True)
class CounterExample:
    """One thing that must not be and is."""

    lines: tuple[str, ...]
    """For humans: first what is wrong, then what it rests on."""
    events: tuple[str, ...] = ()
    """Journal events that it rests on, by id; ``history/<op>`` stands for an operation."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one checker found."""

    name: str
    verdict: Verdict
    seen: int
    """How much it looked at; nothing seen is ``unknown``."""
    of_what: str
    """What was counted, such as ``bundles``."""
    counterexample: CounterExample | None = None
    """The smallest one; there is one if and only if it is invalid."""
    violations: int = 0
    """How many there are."""
    notes: tuple[str, ...] = ()
    """What a reader should know: what it could not see, what it counted besides."""


def judged(
    name: str,
    seen: int,
    of_what: str,
    violations: Sequence[CounterExample] = (),
    *,
    notes: Iterable[str] = (),
    unknown: Iterable[str] = (),
) -> CheckResult:
    """The result of a checker that came to its end.

    Args:
        name: of the checker.
        seen: how much it looked at.
        of_what: what was counted.
        violations: all that must not be and is.
        notes: what else to tell.
        unknown: reasons why nothing can be said although nothing wrong was found.
    """
    doubts = tuple(unknown)
    if not violations and not seen and not doubts:
        doubts = (f"no {of_what} were seen",)
    verdict = Verdict.INVALID if violations else Verdict.UNKNOWN if doubts else Verdict.VALID
    return CheckResult(
        name=name,
        verdict=verdict,
        seen=seen,
        of_what=of_what,
        counterexample=_cut(min(violations, key=_size)) if violations else None,
        violations=len(violations),
        notes=(*doubts, *notes),
    )


def guarded(name: str, of_what: str, check: Callable[[Facts], CheckResult], facts: Facts) -> CheckResult:
    """Run a checker; one that raises knows nothing, and says why."""
    try:
        return check(facts)
    except Exception as exc:
        place = traceback.extract_tb(exc.__traceback__)[-1]
        where = f"{place.filename.rpartition('/')[2]}:{place.lineno}"
        note = f"the checker failed: {type(exc).__name__}: {exc} ({where})"
        return CheckResult(name, Verdict.UNKNOWN, 0, of_what, notes=(note,))


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for many: invalid before unknown before valid; of none, unknown."""
    found = set(verdicts) or {Verdict.UNKNOWN}
    return max(found, key=_BADNESS.__getitem__)


_BADNESS = {Verdict.VALID: 0, Verdict.UNKNOWN: 1, Verdict.INVALID: 2}


def _size(found: CounterExample) -> tuple[int, int]:
    return len(found.lines), sum(map(len, found.lines))


def _cut(found: CounterExample) -> CounterExample:
    if len(found.lines) <= SHOWN_LINES:
        return found
    left = len(found.lines) - SHOWN_LINES + 1
    return CounterExample((*found.lines[: SHOWN_LINES - 1], f"and {left} lines more"), found.events)
