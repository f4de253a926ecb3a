"""The contract ABI, strictly: one value has one encoding, and nothing else decodes.

Solidity's own decoder takes any offsets that lead somewhere, and calldata that goes on behind its last argument. Here a
transaction's bytes are what is signed, hashed and proven on L1, so only the canonical encoding counts: tails in order and without
gaps, padding of zeros, numbers in their type's range, no byte left over. Our own decoder also because it is on the hot path: an order
of nine words takes 3 µs, the packaged decoder twenty times that.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from struct import Struct as PackedWords
from struct import error as StructError  # noqa: N812 - a class
from typing import Any, Final, TypeAlias

from bridge.wire.errors import Malformed
from rollup_node.engines.options.values import Overflow

WORD: Final = 32
MAX_MEMBERS: Final = 1_024
"""Of one array; more is refused before anything is allocated for it."""

_ARRAY = re.compile(r"^(?P<inner>.*)\[(?P<size>\d*)\]$")


@dataclass(frozen=True, slots=True)
class Word:
    """A value of one word: numbers, truth values, addresses and short byte strings."""

    name: str
    low: int
    high: int
    """First number past the range."""
    size: int = 0
    """Bytes of an address (right-aligned) or a byte string (left-aligned); 0: a number."""
    dynamic: bool = False
    """Whether a value stands in the tail, with an offset in its place."""
    head: int = WORD
    """Bytes in its place."""


@dataclass(frozen=True, slots=True)
class Array:
    """So many of one type; bytes without a length are the array of nothing."""

    inner: "Type | None"
    size: int | None
    """None: as many as it says."""
    dynamic: bool = field(init=False)
    head: int = field(init=False)

    def __post_init__(self) -> None:
        dynamic = self.inner is None or self.size is None or self.inner.dynamic
        object.__setattr__(self, "dynamic", dynamic)
        size = WORD if self.inner is None or self.size is None or dynamic else self.size * self.inner.head
        object.__setattr__(self, "head", size)


@dataclass(frozen=True, slots=True)
class Struct:
    """Members in order."""

    members: tuple["Type", ...]
    dynamic: bool = field(init=False)
    head: int = field(init=False)
    span: int = field(init=False)
    """Bytes of all members' heads."""
    flat: bool = field(init=False)
    """Whether members are words, one and all."""
    plan: "_Plan | None" = field(init=False, compare=False)
    packer: "_Packer | None" = field(init=False, compare=False)

    def __post_init__(self) -> None:
        dynamic = any(member.dynamic for member in self.members)
        span = sum(member.head for member in self.members)
        object.__setattr__(self, "dynamic", dynamic)
        object.__setattr__(self, "span", span)
        object.__setattr__(self, "head", WORD if dynamic else span)
        object.__setattr__(self, "flat", all(isinstance(member, Word) for member in self.members))
        object.__setattr__(self, "plan", _plan(self.members))
        object.__setattr__(self, "packer", _packer(self.members))


Type: TypeAlias = Word | Array | Struct


@lru_cache(maxsize=1_024)
def parse(text: str) -> Type:  # noqa: PLR0911 - one for each kind
    """A type by its canonical name, such as ``(uint32,bytes)[]``.

    Raises:
        ValueError: no type that the options rollup uses.
    """
    array = _ARRAY.match(text)
    if array is not None:
        return Array(parse(array["inner"]), int(array["size"]) if array["size"] else None)
    if text == "bytes":
        return Array(None, None)
    if text.startswith("("):
        return Struct(tuple(parse(member) for member in split(text)))
    if text == "bool":
        return Word(text, 0, 2)
    if text == "address":
        return Word(text, 0, 1 << 160, 20)
    kind, bits = re.fullmatch(r"(uint|int|bytes)(\d+)", text).groups()  # type: ignore[union-attr]
    if kind == "bytes":
        return Word(text, 0, 1 << 256, int(bits))
    width = int(bits)
    return Word(text, 0, 1 << width) if kind == "uint" else Word(text, -(1 << width - 1), 1 << width - 1)


def split(text: str) -> list[str]:
    """Members of a struct's or argument list's name."""
    members, depth, start = [], 0, 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if (letter == "," and depth == 1) or (letter == ")" and depth == 0):
            members.append(text[start:place])
            start = place + 1
    return [member for member in members if member]


def decode(kind: Struct, data: bytes) -> tuple[Any, ...]:
    """The members of the one canonical encoding of a struct (or an argument list).

    Raises:
        Malformed: it is another, or none.
    """
    if kind.plan is not None:
        return kind.plan.read(data)
    values, end = _struct(kind, data, 0)
    if end != len(data):
        raise Malformed(f"{len(data) - end} bytes after the last argument")
    return values


def encode(kind: Type, value: Any) -> bytes:
    """The canonical encoding; of an argument list, that of the struct of its arguments.

    Raises:
        Overflow: the value isn't of the type: whoever logs it fails, as with every number that is past its range.
    """
    if isinstance(kind, Word):
        return _encode_word(kind, value)
    if isinstance(kind, Struct):
        return _encode_struct(kind, value)
    if kind.inner is None:
        return len(value).to_bytes(WORD, "big") + bytes(value) + bytes(-len(value) % WORD)
    head = b"" if kind.size is not None else len(value).to_bytes(WORD, "big")
    return head + _encode_struct(_repeated(kind.inner, len(value)), value)


_WIDTHS: Final = {1 << 8: (1, "B"), 1 << 16: (2, "H"), 1 << 32: (4, "I"), 1 << 64: (8, "Q")}
"""By the first number past a type's range, bytes and letter of the ``struct`` type that has the same."""


def _width(word: Word) -> tuple[int, str]:
    """Of the smallest that holds a number of up to 64 bits without a sign."""
    return next(width for high, width in _WIDTHS.items() if word.high <= high)


class _Plan:
    """Reads arguments that are nothing but unsigned numbers of up to 64 bits, flat or in one struct: most of what is sent."""

    def __init__(self, words: Sequence[Word], *, inner: bool) -> None:
        self._words, self._inner = words, inner
        widths = [_width(word) for word in words]
        self._form = PackedWords(">" + "".join(f"{WORD - size}s{letter}" for size, letter in widths))
        self._padding = tuple(bytes(WORD - size) for size, _ in widths)
        self._bounds = [(place, word.high) for place, word in enumerate(words) if word.high not in _WIDTHS]
        self._truths = [place for place, word in enumerate(words) if word.high == 2]

    def read(self, data: bytes) -> tuple[Any, ...]:
        """See :func:`decode`."""
        if len(data) != self._form.size:
            raise Malformed(f"{len(data)} bytes, but the arguments take {self._form.size}")
        found = self._form.unpack(data)
        values = list(found[1::2])
        if found[::2] != self._padding:
            raise Malformed("a number past its type's range")
        for place, high in self._bounds:
            if values[place] >= high:
                raise Malformed("a number past its type's range")
        for place in self._truths:
            values[place] = bool(values[place])
        return (tuple(values),) if self._inner else tuple(values)


def _plan(members: Sequence["Type"]) -> _Plan | None:
    inner = len(members) == 1 and isinstance(members[0], Struct)
    if inner and isinstance(members[0], Struct):
        members = members[0].members
    words = [one for one in members if isinstance(one, Word) and not one.size and not one.low]
    if not words or len(words) != len(members) or any(one.high > 1 << 64 for one in words):
        return None
    return _Plan(words, inner=inner)


class _Packer:
    """All words of a struct written at once: those of every order's and every trade's events.

    Args:
        words: numbers of at most 64 bits; of the signed ones those of 64.
    """

    def __init__(self, words: Sequence[Word]) -> None:
        self._count = len(words)
        self._pack = PackedWords(">" + "".join(map(_written, words))).pack
        self._signed = [place for place, word in enumerate(words) if word.low][::-1]
        self._bounds = [
            (place, word.high)
            for place, word in enumerate(words)
            if not word.low and word.high not in _WIDTHS
        ]

    def write(self, values: Sequence[Any]) -> bytes:
        """See :func:`encode`."""
        if len(values) != self._count:
            raise Overflow(f"{self._count} values are expected, not {len(values)}")
        for place, high in self._bounds:
            if values[place] >= high:
                raise Overflow(f"{values[place]} is past {high - 1}")
        if self._signed:
            values = list(values)
            for place in self._signed:
                values.insert(place, _ONES if values[place] < 0 else _ZEROS)
        try:
            return self._pack(*values)
        except StructError as exc:
            raise Overflow(f"one of {values} is past its type's range") from exc


def _written(word: Word) -> str:
    """How ``struct`` writes a word; it refuses what is past the range of a type of its own."""
    if word.low:
        return "24sq"
    size, letter = _width(word)
    return f"{WORD - size}x{letter}"


_ONES: Final = b"\xff" * 24
_ZEROS: Final = bytes(24)


def _packer(members: Sequence["Type"]) -> _Packer | None:
    words = [one for one in members if isinstance(one, Word) and not one.size]
    if not words or len(words) != len(members):
        return None
    if any(one.high > 1 << 64 if not one.low else one.high != 1 << 63 for one in words):
        return None
    return _Packer(words)


def _encode_word(kind: Word, value: Any) -> bytes:
    if kind.size:
        if len(value) != kind.size:
            raise Overflow(f"{kind.name} has {kind.size} bytes, not {len(value)}")
        return bytes(value.rjust(WORD, b"\0") if kind.name == "address" else value.ljust(WORD, b"\0"))
    number = int(value)
    if not kind.low <= number < kind.high:
        raise Overflow(f"{number} is no {kind.name}")
    return number.to_bytes(WORD, "big", signed=kind.low < 0)


def _encode_struct(kind: Struct, values: Sequence[Any]) -> bytes:
    if kind.packer is not None:
        return kind.packer.write(values)
    if len(kind.members) != len(values):
        raise Overflow(f"{len(kind.members)} values are expected, not {len(values)}")
    if kind.flat:
        return b"".join(map(_encode_word, kind.members, values))  # type: ignore[arg-type]
    head, tail = b"", b""
    for member, value in zip(kind.members, values, strict=True):
        encoded = encode(member, value)
        if member.dynamic:
            head += (kind.span + len(tail)).to_bytes(WORD, "big")
            tail += encoded
        else:
            head += encoded
    return head + tail


def _struct(kind: Struct, data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
    """Values of a struct's members from ``start`` on, and where the last one's bytes end."""
    values: list[Any] = []
    place = start
    tail = start + kind.span
    if tail > len(data):
        raise Malformed(f"{len(data) - start} bytes, but the arguments take {tail - start}")
    for member in kind.members:
        if isinstance(member, Word):
            values.append(_word(member, data, place))
        elif member.dynamic:
            offset = int.from_bytes(data[place : place + WORD], "big")
            if start + offset != tail:
                raise Malformed(f"offset {offset} does not lead to the end of what is before it")
            value, tail = _tail(member, data, tail)
            values.append(value)
        else:
            values.append(_tail(member, data, place)[0])
        place += member.head
    return tuple(values), tail


def _tail(kind: Struct | Array, data: bytes, place: int) -> tuple[Any, int]:
    if isinstance(kind, Struct):
        return _struct(kind, data, place)
    if kind.inner is not None and kind.size is not None:
        return _struct(_repeated(kind.inner, kind.size), data, place)
    if place + WORD > len(data):
        raise Malformed("the length of an array is missing")
    count = int.from_bytes(data[place : place + WORD], "big")
    place += WORD
    if kind.inner is not None:
        if count > MAX_MEMBERS:
            raise Malformed(f"an array of {count} members, more than {MAX_MEMBERS}")
        return _struct(_repeated(kind.inner, count), data, place)
    end = place + count + -count % WORD
    if end > len(data) or any(data[place + count : end]):
        raise Malformed(f"a byte string of {count} bytes is cut off, or not padded with zeros")
    return data[place : place + count], end


@lru_cache(maxsize=4_096)
def _repeated(inner: Type, count: int) -> Struct:
    return Struct((inner,) * count)


def _word(kind: Word, data: bytes, place: int) -> Any:
    word = data[place : place + WORD]
    if kind.size and kind.name != "address":
        if any(word[kind.size :]):
            raise Malformed(f"a {kind.name} with something behind it")
        return word[: kind.size]
    value = int.from_bytes(word, "big", signed=kind.low < 0)
    if not kind.low <= value < kind.high:
        raise Malformed(f"no {kind.name}: {word.hex()}")
    if kind.size:
        return word[12:]
    return bool(value) if kind.high == 2 else value
