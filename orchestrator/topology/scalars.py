"""Plain YAML scalars by the YAML 1.2 core schema.

PyYAML reads YAML 1.1, where ``no`` is false, ``0123`` is 83 and ``1:30`` is 90. A topology is full of names, durations
and addresses, so those surprises would bite. Here only what YAML 1.2 calls a number, a boolean or null is one;
everything else stays text. Where the two versions disagree about a *number* (``0123``) no reading is safe, and the
scalar is a :class:`Trap` with the two ways to write it.

Source: YAML 1.2.2, section 10.3.2, "Tag Resolution".
"""

import math
import re
from dataclasses import dataclass

from orchestrator.topology.errors import shown

MAX_DIGITS = 80
"""A 256-bit integer takes 78 decimal digits; longer ones are no number that any field could mean."""

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_ENDLESS = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Trap:
    """A scalar with no safe reading."""

    message: str
    hint: str


def read_scalar(text: str) -> str | int | float | bool | Trap | None:
    """What a plain (unquoted) scalar means."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text) or _BASED.fullmatch(text):
        return _read_integer(text)
    if _FLOAT.fullmatch(text):
        return _read_float(text)
    if _ENDLESS.fullmatch(text):
        return Trap(f"{shown(text)} is no usable number", "write a finite number")
    return text


def _read_integer(text: str) -> int | Trap:
    digits = text.lstrip("+-")
    if len(digits) > MAX_DIGITS:
        return Trap(f"a number of {len(digits)} digits is too long", f"at most {MAX_DIGITS} digits")
    if _BASED.fullmatch(text):
        return int(text, 0)
    if len(digits) > 1 and digits.startswith("0"):
        plain = digits.lstrip("0") or "0"
        return Trap(
            f"{text} is ambiguous: YAML 1.1 reads a leading zero as octal, YAML 1.2 as decimal",
            f'write {plain} for the number or "{text}" for the text',
        )
    return int(text)


def _read_float(text: str) -> float | Trap:
    if len(text) > MAX_DIGITS:
        return Trap(f"a number of {len(text)} characters is too long", f"at most {MAX_DIGITS} characters")
    number = float(text)
    return number if math.isfinite(number) else Trap(f"{text} is too large a number", "write a finite number")
