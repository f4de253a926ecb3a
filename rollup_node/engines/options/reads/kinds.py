"""Kinds of parameters: what is accepted of each, strictly, and how it is described (JSON schema)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.wire.errors import INVALID_PARAMS, Malformed, RpcError
from bridge.wire.keccak import from_hex


@dataclass(frozen=True, slots=True)
class Kind:
    """Of a parameter."""

    read: Callable[[Any], Any]
    """Checks a value and gives it a Python type; raises ``RpcError``."""
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Param:
    """Of a method or a feed, by position."""

    name: str
    kind: Kind
    required: bool = True


def read_params(who: str, params: Sequence[Param], said: Sequence[Any]) -> list[Any]:
    """Values by position, None for what is left out; ``who`` takes them.

    Raises:
        RpcError: too many, too few, or not of their kinds.
    """
    if len(said) > len(params):
        raise RpcError(INVALID_PARAMS, f"{who} takes {len(params)} parameters, not {len(said)}")
    return [
        read_param(place, param, said[place] if place < len(said) else None)
        for place, param in enumerate(params)
    ]


def read_param(place: int, param: Param, said: Any) -> Any:
    """One of them; see :func:`read_params`."""
    if said is not None:
        return param.kind.read(said)
    if param.required:
        raise RpcError(INVALID_PARAMS, f"missing value for required argument {place}: {param.name}")
    return None


def wrong(said: Any, expected: str) -> RpcError:
    """What a parameter is answered with that isn't of its kind."""
    return RpcError(INVALID_PARAMS, f"expected {expected}, got {str(said)[:80]!r}")


def data(said: Any, size: int | None = None) -> bytes:
    """Bytes, of a size if one is given."""
    try:
        return from_hex(said, size)
    except Malformed as exc:
        raise RpcError(INVALID_PARAMS, str(exc)) from exc


def quantity(said: Any) -> int:
    """A number in hexadecimal, as Ethereum has it; plain numbers are taken too."""
    try:
        if isinstance(said, bool | float):  # a fraction, or an integer that JSON's reader has rounded
            raise TypeError("not an integer")
        found = int(said, 16) if isinstance(said, str) and said.startswith("0x") else int(said)
    except (TypeError, ValueError):
        raise wrong(said, "a number") from None
    if not 0 <= found < 1 << 256:
        raise wrong(said, "a number from 0 up to 256 bits")
    return found


def number(said: Any) -> int:
    """A number of 32 bits, such as of an account or a series; also as text."""
    found = quantity(said)
    if found >> 32:
        raise wrong(said, "a number of 32 bits")
    return found


def flag(said: Any) -> bool:
    """True or false."""
    if not isinstance(said, bool):
        raise wrong(said, "true or false")
    return said


def table(said: Any) -> Mapping[str, Any]:
    """An object."""
    if not isinstance(said, dict):
        raise wrong(said, "an object")
    return said


def storage_key(said: Any) -> bytes:
    """A word; short ones are filled up on the left."""
    if isinstance(said, str) and said.startswith("0x") and len(said) < 66:
        said = "0x" + said[2:].rjust(64, "0")
    return data(said, 32)


def storage_keys(said: Any) -> list[bytes]:
    """Some of those."""
    if not isinstance(said, list) or len(said) > 256:
        raise wrong(said, "at most 256 storage keys")
    return list(map(storage_key, said))


def numbers(said: Any) -> list[int]:
    """A list of numbers of 32 bits."""
    if not isinstance(said, list) or len(said) > 1_024:
        raise wrong(said, "at most 1024 numbers")
    return list(map(number, said))


def anything(said: Any) -> Any:
    """Whatever; its method looks at it."""
    return said


def plain_list(said: Any) -> list[Any]:
    """A list; what is in it, its method looks at."""
    if not isinstance(said, list):
        raise wrong(said, "a list")
    return said


def text(said: Any) -> str:
    """Up to 32 ASCII letters."""
    if not isinstance(said, str) or not said.isascii() or len(said) > 32:
        raise wrong(said, "up to 32 ASCII letters")
    return said


_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-fA-F]*$"}
ADDRESS: Final = Kind(lambda said: data(said, 20), _HEX | {"pattern": "^0x[0-9a-fA-F]{40}$"})
HASH: Final = Kind(lambda said: data(said, 32), _HEX | {"pattern": "^0x[0-9a-fA-F]{64}$"})
DATA: Final = Kind(data, _HEX)
QUANTITY: Final = Kind(quantity, {"type": "string", "pattern": "^0x[0-9a-fA-F]+$"})
NUMBER: Final = Kind(number, {"type": "integer", "minimum": 0, "maximum": 2**32 - 1})
NUMBERS: Final = Kind(numbers, {"type": "array", "items": NUMBER.schema})
FLAG: Final = Kind(flag, {"type": "boolean"})
TEXT: Final = Kind(text, {"type": "string", "maxLength": 32})
KEY: Final = Kind(storage_key, _HEX)
KEYS: Final = Kind(storage_keys, {"type": "array", "items": _HEX})
TABLE: Final = Kind(table, {"type": "object"})
LIST: Final = Kind(plain_list, {"type": "array"})
ANY: Final = Kind(anything, {})
BLOCK: Final = Kind(
    anything, {"description": "number, tag, or hash of a block", "type": ["string", "object"]}
)
"""Resolved against the chain; the method gets a scene instead."""
