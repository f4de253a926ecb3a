"""Where messages begin and end in the bytes of an HTTP/1.1 connection (RFC 9112, section 6). Pure.

The proxy passes on the very bytes that it gets, so nothing is parsed that does not say where a message ends. What is no
HTTP, or no longer (after ``101 Switching Protocols``), is *raw*: bytes without messages.

::

    bytes as they come ─► Framer.feed ─► pieces: (bytes, head of the message that begins, does it end)

Rejected: aiohttp's own server and client (they write heads anew, and answer for a target that is down), h11 (a second parser to depend on for
the few headers that matter here).
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

LONGEST_HEAD = 64 * 1024
"""Bytes; what has no end of a head until here is not HTTP."""

_END = b"\r\n\r\n"
_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) \S+ HTTP/1\.[01]\r\n")
_RESPONSE = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([^\r]*?)[ \t]*(?=\r)")
_CODING = re.compile(rb"\r\ntransfer-encoding:[ \t]*([^\r]*?)[ \t]*(?=\r)")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LONGEST_CHUNK_LINE = 4 * 1024


class _Body(Enum):
    NONE = auto()
    LENGTH = auto()
    CHUNKED = auto()
    UNTIL_CLOSE = auto()
    RAW = auto()


class _Chunk(Enum):
    """What of a chunked body comes next."""

    SIZE = auto()
    DATA = auto()
    TRAILER = auto()


@dataclass(frozen=True, slots=True)
class Head:
    """What matters of a message's head."""

    size: int
    """Bytes of the head."""
    method: bytes
    """Of a request."""
    status: int
    """Of an answer; 0 in a request."""
    chunked: bool
    awaits_continue: bool
    """The body comes once the other side has said so."""

    @property
    def informational(self) -> bool:
        """An answer that is not the last one."""
        return 100 <= self.status < 200 and self.status != 101


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes of one message, or raw bytes."""

    data: bytes
    head: Head | None
    """Of the message that begins with these bytes."""
    ends: bool
    """The message ends with these bytes."""
    raw: bool = False


def requests() -> "Framer":
    """For the bytes that a caller sends."""
    return Framer(None)


def responses(asked_by: Callable[[], bytes]) -> "Framer":
    """For the bytes that are sent back.

    Args:
        asked_by: method of the request that the next answer is for; empty if there is none.
    """
    return Framer(asked_by)


class Framer:
    """One direction of one connection; made by :func:`requests` and :func:`responses`."""

    def __init__(self, asked_by: Callable[[], bytes] | None) -> None:
        self._asked_by = asked_by
        self._begun = b""
        """A head, chunk line or trailer that is not complete."""
        self._body: _Body | None = None
        """None between messages."""
        self._left = 0
        """Bytes of a body, or of a chunk with its line end, that are to come."""
        self._chunk = _Chunk.SIZE

    @property
    def raw(self) -> bool:
        """Nothing is taken for a message any more."""
        return self._body is _Body.RAW

    @property
    def between(self) -> bool:
        """No message has begun that has not ended."""
        return self._body is None and not self._begun

    def give_up(self) -> bytes:
        """Take everything from now on for raw bytes; returns those that were kept back."""
        kept = self._begun if self._body is None else b""  # of a body nothing is
        self._body, self._begun = _Body.RAW, b""
        return kept

    def feed(self, data: bytes) -> Iterator[Piece]:
        """The pieces that more bytes complete. Bytes of a head are kept back until it is complete, all others go on at once."""
        if self._begun and self._body is None:
            data, self._begun = self._begun + data, b""
        while data:
            match self._body:
                case None:
                    piece, data = self._start(data)
                case _Body.LENGTH:
                    piece, data = self._counted(data)
                case _Body.CHUNKED:
                    piece, data = self._chunked(data)
                case body:
                    piece, data = Piece(data, None, ends=False, raw=body is _Body.RAW), b""
            if piece is not None:
                yield piece

    def _start(self, data: bytes) -> tuple[Piece | None, bytes]:
        """The head, and as much of the body as is there."""
        blank = len(data) - len(data.lstrip(b"\r\n"))  # tolerated before a message
        end = data.find(_END, blank)
        if end < 0 and len(data) <= LONGEST_HEAD:
            self._begun = data
            return None, b""
        size = end + len(_END)
        head = self._read(data[blank:size], size) if end >= 0 else None
        if head is None:
            return self._not_http(data), b""
        if self._body is _Body.LENGTH and len(data) - size >= self._left:
            size += self._left
            self._body = _Body.NONE
        ends = self._body in {_Body.NONE, _Body.RAW}  # 101: the head is the last message
        if self._body is _Body.NONE:
            self._body = None
        return Piece(data[:size], head, ends=ends), data[size:]

    def _not_http(self, data: bytes) -> Piece:
        self._body = _Body.RAW
        return Piece(data, None, ends=False, raw=True)

    def _read(self, text: bytes, size: int) -> Head | None:
        """Understand a head and decide how its body ends; None if it is none."""
        start = (_REQUEST if self._asked_by is None else _RESPONSE).match(text)
        if start is None or start[1] == b"CONNECT":  # which asks for a tunnel
            return None
        lower = text.lower()
        lengths = {found for line in _LENGTH.findall(lower) for found in line.replace(b" ", b"").split(b",")}
        if len(lengths) > 1 or not all(length.isdigit() for length in lengths):
            return None
        codings = [coding.strip() for line in _CODING.findall(lower) for coding in line.split(b",")]
        method, status = (start[1], 0) if self._asked_by is None else (b"", int(start[1]))
        body = _Body.NONE
        if status and self._has_no_body(status):
            body = _Body.RAW if status == 101 else _Body.NONE
        elif codings:
            if codings[-1] == b"chunked":
                body, self._chunk = _Body.CHUNKED, _Chunk.SIZE
            elif status:
                body = _Body.UNTIL_CLOSE
            else:
                return None
        elif lengths:
            self._left = int(lengths.pop())
            body = _Body.LENGTH if self._left else _Body.NONE
        elif status:
            body = _Body.UNTIL_CLOSE
        self._body = body
        waits = b"\r\nexpect:" in lower
        return Head(size, method, status, chunked=body is _Body.CHUNKED, awaits_continue=waits)

    def _has_no_body(self, status: int) -> bool:
        assert self._asked_by is not None, "only answers have a status"
        return status < 200 or status in {204, 304} or self._asked_by() == b"HEAD"

    def _counted(self, data: bytes) -> tuple[Piece, bytes]:
        here = data[: self._left]
        self._left -= len(here)
        if not self._left:
            self._body = None
        return Piece(here, None, ends=not self._left), data[len(here) :]

    def _chunked(self, data: bytes) -> tuple[Piece, bytes]:
        """As many chunks as are there; lines are read where they are complete, and passed on even where they are not."""
        at = 0
        while at < len(data):
            if self._chunk is _Chunk.DATA:
                step = min(self._left, len(data) - at)
                at += step
                self._left -= step
                if not self._left:
                    self._chunk = _Chunk.SIZE
                continue
            end = data.find(b"\n", at)
            stop = len(data) if end < 0 else end + 1
            self._begun += data[at:stop]
            at = stop
            if len(self._begun) > _LONGEST_CHUNK_LINE:
                return self._not_chunked(data), b""
            if end < 0:
                break
            line, self._begun = self._begun, b""
            if self._chunk is _Chunk.TRAILER:
                if line == b"\r\n":
                    self._body = None
                    return Piece(data[:at], None, ends=True), data[at:]
                continue
            size = _CHUNK.fullmatch(line)
            if size is None:
                return self._not_chunked(data), b""
            self._left = int(size[1], 16) + 2
            self._chunk = _Chunk.DATA if self._left > 2 else _Chunk.TRAILER
        return Piece(data, None, ends=False), b""

    def _not_chunked(self, data: bytes) -> Piece:
        self._begun = b""  # its bytes were passed on already
        return self._not_http(data)


def body_of(message: bytes, head: Head) -> bytes:
    """The content of a complete message."""
    body = message[head.size :]
    if not head.chunked:
        return body
    parts: list[bytes] = []
    at = 0
    while (size := _CHUNK.match(body, at)) is not None and (length := int(size[1], 16)):
        parts.append(body[size.end() : size.end() + length])
        at = size.end() + length + 2
    return b"".join(parts)
