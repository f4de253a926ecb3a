"""Amounts of memory as people write them: one number, one binary unit (``512MiB``, ``1.5GiB``).

``512M`` is refused: to Docker it is 512 MiB, to a disk's label 512,000,000 bytes, and a node that is killed for the difference is hard to
understand.
"""

import re
from decimal import Decimal

UNITS = {"MiB": 2**20, "GiB": 2**30}
"""Bytes in each unit."""

SIZE_PATTERN = r"^[0-9]{1,7}(\.[0-9]{1,3})?(MiB|GiB)$"

_SIZE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)(MiB|GiB)", re.ASCII)
_LOOSE = re.compile(r"\s*([0-9]{1,7}(?:\.[0-9]{1,3})?)\s*([a-zA-Z]{1,9})\s*", re.ASCII)
_LONG_NAMES = {
    "MiB": ("m", "mb", "mi", "mib", "megabyte", "megabytes"),
    "GiB": ("g", "gb", "gi", "gib", "gigabyte", "gigabytes"),
}


def parse_size(text: str) -> int:
    """Bytes, fractions cut off.

    Raises:
        ValueError: the text is no size; :func:`suggest_size` may know what was meant.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f"no size: {text[:40]!r}")
    return int(Decimal(found[1]) * UNITS[found[2]])


def suggest_size(value: object) -> str:
    """What the user probably meant by a value that is no size, or the empty string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return format_size(value) if 0 < value < 10**15 and value % UNITS["MiB"] == 0 else ""
    loose = _LOOSE.fullmatch(str(value)[:40])
    if not loose:
        return ""
    meant = [unit for unit, names in _LONG_NAMES.items() if loose[2].lower() in names]
    return f"{loose[1]}{meant[0]}" if meant else ""


def format_size(size: int) -> str:
    """The shortest exact writing of whole mebibytes, such as ``512MiB`` or ``2GiB``; others rounded to a thousandth."""
    if size and size % UNITS["GiB"] == 0:
        return f"{size // UNITS['GiB']}GiB"
    mebibytes = (Decimal(size) / UNITS["MiB"]).quantize(Decimal("0.001")).normalize()
    return f"{mebibytes:f}MiB"
