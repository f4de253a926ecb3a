"""Without faults a link is a wire: the same bytes, connections, ends and failures as without it, and at once."""

import asyncio
import random
import re
import socket
import struct
from collections.abc import AsyncIterator
from itertools import pairwise

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import PeerUnreachable
from orchestrator.links.errors import LinkFaultTaken, NoSuchLink, NoSuchLinkFault
from orchestrator.links.faults import LinkFault, LinkFaultKind
from orchestrator.links.testing import ALPHA_TO_BETA, fault, linked, linked_rpc, linked_tcp
from orchestrator.runtimes.ports import LOOPBACK, PortReservations

LARGE = 24 * 1024 * 1024
REQUESTS = st.lists(
    st.tuples(st.sampled_from(["POST", "GET", "HEAD"]), st.integers(0, 200), st.booleans()),
    min_size=1,
    max_size=6,
)


async def echoing(runner: list[web.AppRunner]) -> int:
    """A server that answers with what it gets, in chunks for some paths; returns its port."""

    async def echo(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answer = web.StreamResponse(headers={"x-method": request.method})
        if request.path == "/chunked":
            answer.enable_chunked_encoding()
        else:
            answer.content_length = len(body)
        await answer.prepare(request)
        step = max(50, len(body) // 16)
        for at in range(0, len(body), step):
            await answer.write(body[at : at + step])
        await answer.write_eof()
        return answer

    app = web.Application(client_max_size=2 * LARGE)
    app.router.add_route("*", "/{path:.*}", echo)
    runner.append(web.AppRunner(app, access_log=None, shutdown_timeout=0.1))
    await runner[0].setup()
    await web.TCPSite(runner[0], LOOPBACK, 0).start()
    port: int = runner[0].addresses[0][1]
    return port


@pytest.fixture
async def echo_port() -> AsyncIterator[int]:
    """Port of an echoing server."""
    runner: list[web.AppRunner] = []
    yield await echoing(runner)
    await runner[0].cleanup()


async def conversation(port: int, parts: list[bytes], *, ends: bool = False) -> bytes:
    """What a server says until it closes to a caller that sends these parts, one after the other, and then perhaps its end."""
    reader, writer = await asyncio.open_connection(LOOPBACK, port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0)
    if ends:
        writer.write_eof()
    said = await reader.read()
    writer.close()
    return re.sub(rb"Date: [^\r]*\r\n", b"", said)


def as_bytes(method: str, size: int, *, in_chunks: bool, closes: bool) -> bytes:
    """A request with a body."""
    body = b"b" * (0 if method == "HEAD" else size)
    path, framing = "plain", f"Content-Length: {len(body)}"
    if in_chunks:
        body = b"".join([b"%x\r\n%s\r\n" % (len(body), body)] * bool(body)) + b"0\r\n\r\n"
        path, framing = "chunked", "Transfer-Encoding: chunked"
    life = "close" if closes else "keep-alive"
    return f"{method} /{path} HTTP/1.1\r\nHost: x\r\nConnection: {life}\r\n{framing}\r\n\r\n".encode() + body


@settings(max_examples=25)
@given(REQUESTS, st.lists(st.integers(0, 3_000), max_size=8), st.booleans())
def test_a_server_says_the_same_over_a_link(
    parts: list[tuple[str, int, bool]], cuts: list[int], while_faulty: bool
) -> None:
    """Byte for byte, to requests that are pipelined, in chunks and cut anywhere; also if a fault has them read as a whole."""
    last = len(parts) - 1
    stream = b"".join(
        as_bytes(method, size, in_chunks=chunks, closes=index == last)
        for index, (method, size, chunks) in enumerate(parts)
    )
    at = sorted({0, len(stream), *(cut % len(stream) for cut in cuts)})
    pieces = [stream[start:end] for start, end in pairwise(at)]

    async def both() -> tuple[bytes, bytes]:
        runner: list[web.AppRunner] = []
        port = await echoing(runner)
        try:
            async with linked(port) as link:
                if while_faulty:
                    link.apply("drop", match="nothing")
                return await conversation(port, [stream]), await conversation(link.port, pieces)
        finally:
            await runner[0].cleanup()

    expected, actual = asyncio.run(both())
    assert expected == actual
    assert len(parts) == actual.count(b"HTTP/1.1 200 OK")


async def test_connections_are_kept_alive_to_the_target() -> None:
    """A hundred calls of one caller are one connection for the target."""
    callers: set[tuple[str, int]] = set()

    async def note(request: web.Request) -> web.Response:
        assert request.transport is not None
        callers.add(request.transport.get_extra_info("peername"))
        return web.Response()

    runner = web.ServerRunner(web.Server(note))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    try:
        async with linked(runner.addresses[0][1]) as link, aiohttp.ClientSession() as session:
            for _ in range(100):
                async with session.get(f"http://{LOOPBACK}:{link.port}") as answer:
                    await answer.read()
            assert {ALPHA_TO_BETA: 1} == link.proxy.status()["links"]
    finally:
        await runner.cleanup()
    assert 1 == len(callers)


async def test_many_callers_get_their_own_answers() -> None:
    """Sixteen at once, with bodies of up to a megabyte."""
    draw = random.Random(5)
    async with linked_rpc() as link:

        async def one(number: int) -> None:
            for _ in range(8):
                body = str(number) * draw.choice([1, 1_000, 60_000, 500_000])
                assert ["echo", body] == await link.client.call("echo", body)

        async with asyncio.TaskGroup() as group:
            for number in range(16):
                group.create_task(one(number))


async def test_large_bodies_stream_both_ways(echo_port: int) -> None:
    """Tens of megabytes, and the first bytes are there long before the last are sent."""
    first_arrived = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + b"a" * 1_000)
        await first_arrived.wait()  # would never be, if the proxy waited for the whole answer
        writer.write(b"z" * (LARGE - 1_000))
        await writer.drain()
        await reader.read()

    async with linked_tcp(slowly) as link, aiohttp.ClientSession() as session:
        async with session.get(f"http://{LOOPBACK}:{link.port}") as answer:
            assert b"a" * 1_000 == await answer.content.readexactly(1_000)
            first_arrived.set()
            rest = await answer.read()
        assert (LARGE - 1_000, b"z") == (len(rest), rest[-1:])
    sent = random.Random(6).randbytes(LARGE)

    async def parts() -> AsyncIterator[bytes]:
        for at in range(0, LARGE, 1 << 20):
            yield sent[at : at + (1 << 20)]

    async with linked(echo_port) as link, aiohttp.ClientSession() as session:
        for path in ("plain", "chunked"):
            async with session.post(f"http://{LOOPBACK}:{link.port}/{path}", data=parts()) as answer:
                assert sent == await answer.read()


async def test_a_reader_that_stops_stops_the_sender() -> None:
    """The proxy keeps about as much as sockets do, not the whole of what nobody reads."""
    written = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        while True:
            writer.write(b"x" * 65_536)
            await writer.drain()
            written += 65_536

    async with linked_tcp(pour) as link:
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port, limit=1_000)
        before = -1
        while written != before:  # until nothing moves any more
            before = written
            await asyncio.sleep(0.2)
        assert 0 < written < 32 * 1024 * 1024
        assert b"x" == await reader.read(1)
        writer.close()


async def test_a_target_that_is_down_is_unreachable() -> None:
    """As without the link: no answer, told at once, and the next call after the target has come up is answered."""
    with PortReservations() as ports:
        target = ports.reserve()
        async with linked(target) as link:
            with pytest.raises(PeerUnreachable) as over_link:
                await link.client.call("x")
            with pytest.raises(PeerUnreachable) as direct:
                await link.direct.call("x")
            causes = {type(found.value.__cause__) for found in (over_link, direct)}
            assert all(issubclass(cause, aiohttp.ClientOSError) for cause in causes)


@pytest.mark.parametrize("how", ["reset", "closed"])
async def test_a_target_that_dies_in_the_middle_gives_no_answer(how: str) -> None:
    """Half an answer is never taken for a whole one, and the caller learns it at once."""

    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"jsonrpc": "2.0", "id": 1')
        await writer.drain()
        if how == "reset":
            writer.transport.abort()

    async with linked_tcp(die) as link, asyncio.timeout(3):
        for client in (link.client, link.direct):
            with pytest.raises(PeerUnreachable):
                await client.call("x")


async def test_a_caller_that_hangs_up_takes_the_connection_with_it() -> None:
    """The target sees the end, in order or by a reset, as it happened."""
    ends: asyncio.Queue[str] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        try:
            while await reader.read(100):
                pass
            ends.put_nowait("closed")
        except ConnectionResetError:
            ends.put_nowait("reset")

    async with linked_tcp(listen) as link, asyncio.timeout(3):
        for how in ("closed", "reset"):
            _, writer = await asyncio.open_connection(LOOPBACK, link.port)
            writer.write(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
            await writer.drain()
            await asyncio.sleep(0.05)  # the target has it
            if how == "reset":
                _linger(writer)
                writer.transport.abort()
            else:
                writer.close()
            assert how == await ends.get()


async def test_one_direction_may_end_before_the_other() -> None:
    """A caller that has said everything still hears all of the answer; plain TCP passes as well."""

    async def after_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.read()
        writer.write(b"heard " + said[::-1])
        writer.write_eof()

    async with linked_tcp(after_all) as link, asyncio.timeout(3):
        assert b"heard cba" == await conversation(link.port, [b"a", b"b", b"c"], ends=True)


async def test_websockets_pass() -> None:
    """Frames go both ways as they come, text, binary and large ones."""

    async def echo(request: web.BaseRequest) -> web.StreamResponse:
        answer = web.WebSocketResponse(max_msg_size=0)
        await answer.prepare(request)
        async for message in answer:
            await answer.send_bytes(message.data[::-1])
        return answer

    runner = web.ServerRunner(web.Server(echo))
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, 0).start()
    try:
        async with (
            linked(runner.addresses[0][1]) as link,
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{LOOPBACK}:{link.port}", max_msg_size=0) as asker,
        ):
            for size in (1, 70_000, 2_000_000):
                await asker.send_bytes(b"ab" * size)
                assert b"ba" * size == (await asker.receive(timeout=3)).data
            link.apply("blackhole")
            await asker.send_bytes(b"late")
            with pytest.raises(TimeoutError):
                await asker.receive(timeout=0.1)
            assert 1 == link.proxy.heal("blackhole")
            assert b"etal" == (await asker.receive(timeout=3)).data
            link.apply("drop")
            link.apply("delay", latency_s=0.02)
            await asker.send_bytes(b"raw")
            assert b"war" == (await asker.receive(timeout=3)).data
            assert {"delay": 1, "drop": 0} == link.proxy.heal_all()
            link.apply("reset")
            assert (await asker.receive(timeout=3)).type in {
                aiohttp.WSMsgType.CLOSED,
                aiohttp.WSMsgType.ERROR,
            }
    finally:
        await runner.cleanup()


async def test_wrong_names_are_told_with_those_that_there_are() -> None:
    """A fault that can't bite is an error, not a silence."""
    async with linked_rpc() as link:
        with pytest.raises(NoSuchLink, match=ALPHA_TO_BETA):
            link.proxy.apply(LinkFault("x", "beta", "alpha", LinkFaultKind.DROP))
        link.apply("reorder", "slow")
        with pytest.raises(LinkFaultTaken):
            link.apply("drop", "slow")
        with pytest.raises(NoSuchLinkFault, match="slow"):
            link.proxy.heal("fast")
        assert [0, 0] == [link.proxy.heal("slow"), link.proxy.heal("slow")]
        link.proxy.apply(fault("drop", "slow"))


def _linger(writer: asyncio.StreamWriter) -> None:
    handle = writer.get_extra_info("socket")
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
