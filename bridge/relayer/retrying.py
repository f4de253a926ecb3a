"""When to try again what failed, and when to stop. Pure."""

from dataclasses import dataclass

FIRST_S = 1.0
"""Longest wait after a first failure, seconds."""
LONGEST_S = 60.0
"""No wait is longer, seconds."""
MAX_FAILURES = 8
"""After so many failures in a row a message is a dead letter, until somebody asks for it again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """A message's record of failures."""

    failures: int = 0
    """In a row."""
    not_before: float = 0.0
    """Unix seconds."""
    dead: bool = False
    """Nothing is tried any more."""
    reason: str = ""
    """Of the last failure, or of waiting."""

    def failed(self, reason: str, now: float, luck: float, limit: int = MAX_FAILURES) -> "Retry":
        """After one more failure.

        Args:
            reason: what failed.
            now: unix seconds.
            luck: from 0 to 1; spreads those that failed together.
            limit: failures in a row that make a dead letter.
        """
        failures = self.failures + 1
        return Retry(failures, now + pause(failures, luck), failures >= limit, reason)


def pause(failures: int, luck: float) -> float:
    """Seconds to wait after so many failures: doubles up to a bound, and is between a half and all of that."""
    whole = min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 32))
    return whole * (0.5 + luck / 2)
