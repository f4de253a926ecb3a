"""Fixed binary forms: how a leaf's fields become bytes and back, each value in one way and no two values in the same.

A form is a list of fields, each of a codec; numbers are big-endian and as wide as declared, lists say their count and come in the order of their
keys. Nothing is skipped and nothing is optional, so a contract reads a field at its place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from struct import Struct
from struct import error as StructError  # noqa: N812 - a class
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from bridge.wire.errors import Malformed
from rollup_node.engines.options.values import Overflow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


_FORMATS: Final = {(1, False): "B", (4, False): "I", (8, False): "Q", (8, True): "q"}
"""Of :mod:`struct`, by size and sign."""


class Codec(Protocol):
    """One value to bytes and back."""

    def write(self, value: Any) -> bytes:
        """Its bytes.

        Raises:
            Overflow: it is past its range.
        """

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """A value and where it ends.

        Raises:
            Malformed: there is none at this place.
        """


@dataclass(frozen=True, slots=True)
class Number:
    """A number of a fixed width."""

    size: int
    signed: bool = False

    def write(self, value: int) -> bytes:
        """See :class:`Codec`."""
        try:
            return value.to_bytes(self.size, "big", signed=self.signed)
        except OverflowError as exc:
            raise Overflow(f"{value} doesn't fit the {self.size} bytes that state has for it") from exc

    def read(self, data: bytes, at: int) -> tuple[int, int]:
        """See :class:`Codec`."""
        return int.from_bytes(_part(data, at, self.size), "big", signed=self.signed), at + self.size


@dataclass(frozen=True, slots=True)
class Choice:
    """A number that stands for a value: of an enumeration, or a truth."""

    kind: Callable[[int], Any]
    count: int

    def write(self, value: int) -> bytes:
        """See :class:`Codec`."""
        if not 0 <= value < self.count:
            raise Overflow(f"{value} is none of {self.count} choices")
        return bytes([value])

    def read(self, data: bytes, at: int) -> tuple[Any, int]:
        """See :class:`Codec`."""
        value = _part(data, at, 1)[0]
        if value >= self.count:
            raise Malformed(f"{value} is none of {self.count} choices")
        return self.kind(value), at + 1


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a fixed count."""

    size: int

    def write(self, value: bytes) -> bytes:
        """See :class:`Codec`."""
        if len(value) != self.size:
            raise Overflow(f"{len(value)} bytes where state has {self.size}")
        return value

    def read(self, data: bytes, at: int) -> tuple[bytes, int]:
        """See :class:`Codec`."""
        return _part(data, at, self.size), at + self.size


class Group:
    """A tuple of known members.

    Args:
        members: a codec for each.
    """

    __match_args__ = ("members",)

    def __init__(self, members: tuple[Codec, ...]) -> None:
        self.members = members
        formats = [
            _FORMATS.get((codec.size, codec.signed)) if isinstance(codec, Number) else None
            for codec in members
        ]
        # numbers that the machine has are packed at once: positions are most of what is encoded
        self._pack = None if None in formats else Struct(f">{''.join(map(str, formats))}").pack

    def write(self, value: Sequence[Any]) -> bytes:
        """See :class:`Codec`."""
        if self._pack is not None:
            try:
                return self._pack(*value)
            except StructError as exc:
                raise Overflow(f"{value} doesn't fit the numbers that state has for it") from exc
        return b"".join(codec.write(member) for codec, member in zip(self.members, value, strict=True))

    def read(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        """See :class:`Codec`."""
        values = []
        for codec in self.members:
            value, at = codec.read(data, at)
            values.append(value)
        return tuple(values), at


@dataclass(frozen=True, slots=True)
class Many:
    """A tuple of any number of equal members, up to a bound."""

    member: Codec
    most: int = 2**16 - 1
    key: int = 0
    """Leading bytes by which members ascend, each once; 0: they come in any order."""

    def write(self, value: Sequence[Any]) -> bytes:
        """See :class:`Codec`."""
        if len(value) > self.most:
            raise Overflow(f"{len(value)} members where state has room for {self.most}")
        parts = [self.member.write(member) for member in value]
        if not self._ascend(parts):
            raise Overflow("members that state keeps in ascending order aren't")
        return len(parts).to_bytes(2, "big") + b"".join(parts)

    def read(self, data: bytes, at: int) -> tuple[tuple[Any, ...], int]:
        """See :class:`Codec`."""
        count = int.from_bytes(_part(data, at, 2), "big")
        if count > self.most:
            raise Malformed(f"{count} members where state has room for {self.most}")
        at += 2
        values, parts = [], []
        for _ in range(count):
            value, end = self.member.read(data, at)
            values.append(value)
            parts.append(data[at:end])
            at = end
        if not self._ascend(parts):
            raise Malformed("members that state keeps in ascending order aren't")
        return tuple(values), at

    def _ascend(self, parts: Sequence[bytes]) -> bool:
        keys = [part[: self.key] for part in parts] if self.key else []
        return all(one < other for one, other in pairwise(keys))


class Record(Generic[T]):
    """A dataclass; every field has its codec.

    Args:
        kind: the dataclass.
        codecs: by field.
    """

    def __init__(self, kind: type[T], **codecs: Codec) -> None:
        declared = [field.name for field in fields(kind)]
        assert list(codecs) == declared, f"{kind.__name__} needs a form for each of {declared}, in order"
        self.kind = kind
        self._codecs = tuple(codecs.items())

    def write(self, value: T) -> bytes:
        """See :class:`Codec`."""
        return b"".join(codec.write(getattr(value, name)) for name, codec in self._codecs)

    def read(self, data: bytes, at: int) -> tuple[T, int]:
        """See :class:`Codec`."""
        values = []
        for _, codec in self._codecs:
            value, at = codec.read(data, at)
            values.append(value)
        return self.kind(*values), at


U8: Final = Number(1)
U32: Final = Number(4)
U64: Final = Number(8)
U256: Final = Number(32)
I64: Final = Number(8, signed=True)
I128: Final = Number(16, signed=True)
I256: Final = Number(32, signed=True)
TRUTH: Final = Choice(bool, 2)
ADDRESS: Final = Bytes(20)
WORD: Final = Bytes(32)


def _part(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise Malformed(f"a leaf ends after {len(data)} bytes, where {at + size} are due")
    return data[at : at + size]
