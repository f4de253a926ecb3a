"""Parameters of presets: what they mean, and how they are read from Python, YAML or a command line. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from orchestrator.strategies.errors import PresetError
from orchestrator.strategies.model import AUTO, Kind, Side


@dataclass(frozen=True, slots=True)
class Parameters:
    """Every parameter that a preset can have; each preset names those that it uses."""

    side: Side = Side.BUY
    kind: Kind = Kind.CALL
    width: int = 1
    body: int = 1
    wing: int = 1
    strikes: tuple[float, ...] | None = None
    quantity: float = 1.0
    expiry: float | None = None
    rollups: tuple[str, ...] = (AUTO,)


MEANINGS: dict[str, str] = {
    "side": "buy or sell the structure as a whole",
    "kind": "call or put",
    "width": "distance between neighbouring strikes, in listed strikes",
    "body": "distance of the inner strikes from the spot, in listed strikes",
    "wing": "distance from the inner to the outer strikes, in listed strikes",
    "strikes": "explicit strikes in USD, ascending, instead of distances",
    "quantity": "units of the underlying per leg, a multiple of 0.0001",
    "expiry": "one of the market's expiries, from the devnet's start, such as 7d; the last when left out",
    "rollups": "names that the legs take in turn; auto spreads them over all EVM rollups",
}
"""What each parameter means."""


_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def read_parameters(
    preset: str, allowed: tuple[str, ...], defaults: Parameters, given: Mapping[str, object]
) -> Parameters:
    """Parameters from loose values: strings of a command line, scalars of a YAML file, or Python objects.

    Args:
        preset: name for messages.
        allowed: parameters that the preset uses.
        defaults: of the preset.
        given: by name.

    Raises:
        PresetError: an unknown parameter, or a value of the wrong kind.
    """
    read: dict[str, Any] = {}
    for name, value in given.items():
        if name not in allowed:
            raise PresetError(f"preset {preset} has no parameter {name!r}", f"it has {', '.join(allowed)}")
        try:
            read[name] = _READERS[name](value)
        except (ValueError, TypeError) as exc:
            raise PresetError(f"{preset}: {name} can't be {value!r}", f"{name} is: {MEANINGS[name]}") from exc
    return replace(defaults, **read)


def seconds(value: object) -> float:
    """A duration: text with a unit (``ms``, ``s``, ``m``, ``h``, ``d``), or a number of seconds.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.fullmatch(str(value))
    if match is None:
        raise ValueError(f"{value!r} is no duration with a unit, such as 7d or 30m")
    return float(match[1]) * _SECONDS[match[2]]


def describe(name: str, defaults: Parameters) -> tuple[str, str]:
    """A parameter's default and meaning, for humans."""
    default = getattr(defaults, name)
    shown = ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return "" if default is None else shown, MEANINGS[name]


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _distance(value: object) -> int:
    number = _number(value)
    if number != int(number) or number < 1:
        raise ValueError
    return int(number)


def _members(value: object) -> tuple[object, ...]:
    members: tuple[object, ...] = ()
    if isinstance(value, str):
        members = tuple(part.strip() for part in value.split(","))
    elif isinstance(value, list | tuple):
        members = tuple(value)
    if not members or "" in members:
        raise ValueError
    return members


def _optional(read: Callable[[object], Any]) -> Callable[[object], Any]:
    return lambda value: None if value is None else read(value)


_READERS: dict[str, Callable[[object], Any]] = {
    "side": lambda value: Side(str(value)),
    "kind": lambda value: Kind(str(value)),
    "width": _distance,
    "body": _distance,
    "wing": _distance,
    "quantity": _number,
    "expiry": _optional(seconds),
    "strikes": _optional(lambda value: tuple(_number(member) for member in _members(value))),
    "rollups": lambda value: tuple(str(member) for member in _members(value)),
}

assert {entry.name for entry in fields(Parameters)} == _READERS.keys() == MEANINGS.keys()
