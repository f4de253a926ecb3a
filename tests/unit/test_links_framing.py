"""Messages in a stream of bytes: whatever the cuts, each begins and ends where it does, and no byte is lost."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.links.framing import Framer, Head, body_of, requests, responses

BODIES = st.binary(max_size=300)
HEADERS = st.lists(
    st.sampled_from(
        [b"Host: x", b"X-Length: content-length: 7", b"Content-type: application/json", b"Accept: */*"]
    ),
    max_size=3,
    unique=True,
)


def chunked(body: bytes, size: int, *, trailer: bool) -> bytes:
    """A body in chunks, some with an extension."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    lines = [b"%x%s\r\n%s\r\n" % (len(part), b";a=b" if len(part) % 2 else b"", part) for part in parts]
    return b"".join([*lines, b"0\r\n", b"X-Sum: 1\r\n" if trailer else b"", b"\r\n"])


def framed(start: bytes, headers: list[bytes], body: bytes, way: str, size: int) -> bytes:
    """A message whose body ends in one of the ways of RFC 9112."""
    if way == "length":
        tail, content = b"Content-Length: %d" % len(body), body
    elif way == "chunked":
        tail, content = b"Transfer-Encoding: chunked", chunked(body, size, trailer=size % 2 == 0)
    else:
        tail, content = b"X-None: 1", b""
    return b"\r\n".join([start, *headers, tail, b"", b""]) + content


WAYS = st.sampled_from(["length", "chunked", "none"])
REQUESTS = st.lists(
    st.tuples(st.sampled_from([b"POST", b"GET", b"HEAD"]), HEADERS, BODIES, WAYS, st.integers(1, 64)),
    min_size=1,
    max_size=5,
)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces."""
    at = [0, *sorted(place % (len(stream) + 1) for place in cuts), len(stream)]
    return [stream[start:end] for start, end in pairwise(at)]


def messages(framer: Framer, pieces: Iterable[bytes]) -> list[tuple[Head, bytes]]:
    """The complete messages that a framer finds; fails on bytes that belong to none."""
    found: list[tuple[Head, bytes]] = []
    head: Head | None = None
    data = b""
    for fed in pieces:
        for piece in framer.feed(fed):
            assert not piece.raw
            head = piece.head or head
            data += piece.data
            if piece.ends:
                assert head is not None
                found.append((head, data))
                head, data = None, b""
    assert b"" == data
    assert framer.between
    return found


@given(REQUESTS, st.lists(st.integers(0, 5_000), max_size=12))
def test_requests_are_found_whatever_the_cuts(
    parts: list[tuple[bytes, list[bytes], bytes, str, int]], cuts: list[int]
) -> None:
    """Kept-alive and pipelined requests come out as they went in, with their contents."""
    sent = [framed(b"%s / HTTP/1.1" % parts[0], *parts[1:]) for parts in parts]
    found = messages(requests(), cut(b"".join(sent), cuts))
    assert sent == [data for _, data in found]
    assert [part[0] for part in parts] == [head.method for head, _ in found]
    contents = [b"" if way == "none" else body for _, _, body, way, _ in parts]
    assert contents == [body_of(data, head) for head, data in found]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"POST", b"HEAD"]),
            st.sampled_from([100, 200, 204, 304, 500]),
            HEADERS,
            BODIES,
            st.sampled_from(["length", "chunked"]),
            st.integers(1, 64),
        ),
        min_size=1,
        max_size=5,
    ),
    st.lists(st.integers(0, 5_000), max_size=12),
)
def test_answers_end_as_their_requests_ask(
    parts: list[tuple[bytes, int, list[bytes], bytes, str, int]], cuts: list[int]
) -> None:
    """Answers to HEAD, and those whose status forbids a body, end with their head, whatever length they name."""
    sent: list[bytes] = []
    methods: list[bytes] = []
    for method, status, headers, body, way, size in parts:
        whole = framed(b"HTTP/1.1 %d X" % status, headers, body, way, size)
        bare = method == b"HEAD" or status in {100, 204, 304}
        sent.append(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if bare else whole)
        methods.append(method)
    framer = responses(lambda: methods[0])
    stream, done, data = b"".join(sent), [], b""
    for fed in cut(stream, cuts):
        for piece in framer.feed(fed):
            data += piece.data
            if piece.ends:
                done.append(data)
                data = b""
                methods.pop(0)
    assert sent == done


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60) | st.sampled_from([b"\r\n", b"\r\n\r\n", b"POST / HTTP/1.1\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 X\r\n", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n",
    b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n", b"zz\r\n"]), max_size=14), st.booleans())  # fmt: skip
def test_no_byte_is_lost_or_moved(parts: list[bytes], answers: bool) -> None:
    """Whatever comes, HTTP or not, goes out unchanged, the kept bytes of an unfinished head last."""
    framer = responses(lambda: b"POST") if answers else requests()
    out = b"".join(piece.data for part in parts for piece in framer.feed(part))
    assert b"".join(parts) == out + framer.give_up()


def test_after_switching_protocols_all_is_raw() -> None:
    """The answer 101 is a message, what comes after it is none, though it looks like one."""
    framer = responses(lambda: b"GET")
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    pieces = list(framer.feed(head + b"HTTP/1.1 200 OK\r\n\r\n"))
    assert [(head, False), (b"HTTP/1.1 200 OK\r\n\r\n", True)] == [(p.data, p.raw) for p in pieces]
    assert framer.raw


def test_an_answer_without_a_length_never_ends() -> None:
    """It is all bytes until the connection closes."""
    framer = responses(lambda: b"POST")
    pieces = [*framer.feed(b"HTTP/1.0 200 OK\r\n\r\nab"), *framer.feed(b"HTTP/1.1 200 OK\r\n\r\n")]
    assert [False] * len(pieces) == [piece.ends for piece in pieces]
    assert b"abHTTP/1.1 200 OK\r\n\r\n" == b"".join(piece.data for piece in pieces[1:])


def test_two_lengths_are_no_http() -> None:
    """A message that could end in two places is not cut at all."""
    text = b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
    (piece,) = requests().feed(text)
    assert (text, True) == (piece.data, piece.raw)
