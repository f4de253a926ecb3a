"""Durations as people write them: one number, one unit (``200ms``, ``1.5s``, ``7d``).

A bare number is refused: a reader can't tell seconds from milliseconds, and a wrong guess is a devnet a thousand times
too slow.
"""

import re
from decimal import Decimal

UNITS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
"""Seconds in each unit."""

DURATION_PATTERN = r"^[0-9]{1,9}(\.[0-9]{1,6})?(ms|s|m|h|d)$"

_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", re.ASCII)
_LOOSE = re.compile(r"\s*([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-zA-Z]*)\s*", re.ASCII)
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9])", re.ASCII)
_LONG_NAMES = {
    "ms": ("msec", "msecs", "millisecond", "milliseconds", "millis"),
    "s": ("", "sec", "secs", "second", "seconds"),
    "m": ("min", "mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
}


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        ValueError: the text is no duration; :func:`suggest_duration` may know what was meant.
    """
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError(f"no duration: {text[:40]!r}")
    return float(Decimal(found[1]) * UNITS[found[2]])


def suggest_duration(value: object) -> str:
    """What the user probably meant by a value that is no duration, or the empty string."""
    text = "" if isinstance(value, bool) else str(value)[:40]
    if clock := _CLOCK.fullmatch(text):
        return f"{int(clock[1]) * 60 + int(clock[2])}s"
    if loose := _LOOSE.fullmatch(text):
        unit = loose[2].lower()
        meant = [short for short, names in _LONG_NAMES.items() if unit in (short, *names)]
        return f"{loose[1]}{meant[0]}" if meant else ""
    return ""


def format_duration(seconds: float) -> str:
    """The shortest writing, such as ``200ms``, ``1.5s`` or ``7d``."""
    exact = Decimal(repr(seconds))
    for unit in ("d", "h", "m", "s"):
        if exact and exact % UNITS[unit] == 0:
            return f"{int(exact / UNITS[unit])}{unit}"
    if exact >= 1:
        return f"{exact.normalize():f}s"
    return f"{(exact / UNITS['ms']).normalize():f}ms"
