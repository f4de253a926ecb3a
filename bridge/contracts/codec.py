"""Encodes calls and decodes results, errors and events by a contract's ABI. Pure.

A thin layer over ``eth_abi``: web3 does the same, but importing it costs a node about a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError, EncodingError

from bridge.contracts.errors import AbiMismatch
from bridge.wire.keccak import keccak256

_REVERT_WITH_REASON = "Error"
_PANIC = "Panic"
_BUILT_IN_ERRORS: tuple[dict[str, Any], ...] = (
    {"type": "error", "name": _REVERT_WITH_REASON, "inputs": [{"name": "reason", "type": "string"}]},
    {"type": "error", "name": _PANIC, "inputs": [{"name": "code", "type": "uint256"}]},
)
"""What ``require(…, "text")`` and the compiler's own checks revert with."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """An error or an event with its named arguments."""

    name: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name}({', '.join(f'{key}={_shown(value)}' for key, value in self.arguments.items())})"


class Interface:
    """One contract's functions, errors and events.

    Args:
        abi: the contract's ABI as the compiler writes it.
    """

    def __init__(self, abi: Sequence[Mapping[str, Any]]) -> None:
        self._abi = tuple(abi)

    def encode_call(self, function: str, *arguments: Any) -> bytes:
        """Call data: selector and arguments; a struct is a tuple in the order of its fields.

        Raises:
            AbiMismatch: no such function, or the arguments don't fit it.
        """
        entry = self._function(function)
        return keccak256(signature(entry).encode())[:4] + _encode(entry, arguments)

    def encode_constructor(self, *arguments: Any) -> bytes:
        """Encoded constructor arguments.

        Raises:
            AbiMismatch: the arguments don't fit the constructor.
        """
        constructors = [entry for entry in self._abi if entry["type"] == "constructor"]
        entry = constructors[0] if constructors else {"name": "constructor", "inputs": []}
        return _encode(entry, arguments)

    def decode_result(self, function: str, data: bytes) -> tuple[Any, ...]:
        """What a call returned, one item per return value.

        Raises:
            AbiMismatch: no such function, or the data isn't its result (an account without code returns nothing).
        """
        entry = self._function(function)
        return _decode(f"result of {function}", entry["outputs"], data)

    def decode_arguments(self, function: str, data: bytes) -> tuple[Any, ...]:
        """The arguments in call data.

        Raises:
            AbiMismatch: the data isn't a call of this function.
        """
        entry = self._function(function)
        if data[:4] != keccak256(signature(entry).encode())[:4]:
            raise AbiMismatch(f"0x{data[:4].hex()} isn't the selector of {function}")
        return _decode(f"call of {function}", entry["inputs"], data[4:])

    def decode_error(self, data: bytes) -> Decoded | None:
        """The error in revert data; ``None`` when it isn't one of the contract's or the compiler's own."""
        entry = self._errors.get(data[:4])
        if entry is None:
            return None
        try:
            return Decoded(
                entry["name"], _named(entry["inputs"], _decode(entry["name"], entry["inputs"], data[4:]))
            )
        except AbiMismatch:
            return None

    def decode_event(self, topics: Sequence[bytes], data: bytes) -> Decoded | None:
        """The event in a log; ``None`` when it isn't one of the contract's.

        Raises:
            AbiMismatch: the log has the event's topic but not its shape.
        """
        entry = self._events.get(topics[0]) if topics else None
        if entry is None:
            return None
        indexed = [field for field in entry["inputs"] if field["indexed"]]
        plain = [field for field in entry["inputs"] if not field["indexed"]]
        values = {
            field["name"]: _decode(entry["name"], [field], topic)[0]
            for field, topic in zip(indexed, topics[1:], strict=True)
        }
        values |= _named(plain, _decode(entry["name"], plain, data))
        return Decoded(entry["name"], {field["name"]: values[field["name"]] for field in entry["inputs"]})

    def topic(self, event: str) -> bytes:
        """The first topic of an event's logs, for filters.

        Raises:
            AbiMismatch: no such event.
        """
        for topic, entry in self._events.items():
            if entry["name"] == event:
                return topic
        raise AbiMismatch(f"the contract has no event {event}")

    @cached_property
    def _functions(self) -> dict[str, Mapping[str, Any]]:
        return {entry["name"]: entry for entry in self._abi if entry["type"] == "function"}

    @cached_property
    def _errors(self) -> dict[bytes, Mapping[str, Any]]:
        entries = [*_BUILT_IN_ERRORS, *(entry for entry in self._abi if entry["type"] == "error")]
        return {keccak256(signature(entry).encode())[:4]: entry for entry in entries}

    @cached_property
    def _events(self) -> dict[bytes, Mapping[str, Any]]:
        return {
            keccak256(signature(entry).encode()): entry for entry in self._abi if entry["type"] == "event"
        }

    def _function(self, name: str) -> Mapping[str, Any]:
        try:
            return self._functions[name]
        except KeyError as exc:
            raise AbiMismatch(
                f"the contract has no function {name}; it has {sorted(self._functions)}"
            ) from exc


def signature(entry: Mapping[str, Any]) -> str:
    """Canonical signature of a function, error or event, such as ``open(bytes32)``."""
    return f"{entry['name']}({','.join(_type(field) for field in entry['inputs'])})"


def _type(field: Mapping[str, Any]) -> str:
    declared: str = field["type"]
    if not declared.startswith("tuple"):
        return declared
    inner = ",".join(_type(component) for component in field["components"])
    return f"({inner}){declared.removeprefix('tuple')}"


def _encode(entry: Mapping[str, Any], arguments: Sequence[Any]) -> bytes:
    try:
        return encode([_type(field) for field in entry["inputs"]], arguments)
    except (EncodingError, ValueError, TypeError) as exc:
        raise AbiMismatch(f"arguments {arguments!r} don't fit {signature(entry)}: {exc}") from exc


def _decode(what: str, fields: Sequence[Mapping[str, Any]], data: bytes) -> tuple[Any, ...]:
    try:
        return tuple(decode([_type(field) for field in fields], data))
    except (DecodingError, OverflowError, UnicodeDecodeError) as exc:
        raise AbiMismatch(f"{len(data)} bytes aren't a {what}: {exc}") from exc


def _named(fields: Sequence[Mapping[str, Any]], values: Sequence[Any]) -> dict[str, Any]:
    return {field["name"]: value for field, value in zip(fields, values, strict=True)}


def _shown(value: Any) -> str:
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
