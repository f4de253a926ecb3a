"""The courier, its program run as it is in a container: journals arrive whole, in this machine's time, whatever happens on the way."""

import asyncio
import os
import random
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from orchestrator.runtimes.docker import courier_program
from orchestrator.runtimes.docker.clocks import ClockDifference
from orchestrator.runtimes.docker.courier import Courier, _append
from orchestrator.runtimes.docker.courier_program import news
from orchestrator.runtimes.docker.errors import EngineUnfitError
from orchestrator.runtimes.ports import LOOPBACK, PortReservations
from orchestrator.waiting import eventually

TOKEN = "a-token"
AHEAD_NS = 10**15


@asynccontextmanager
async def serving(folder: Path, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """The program, on a port of this machine."""
    program = Path(courier_program.__file__)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(program), str(folder), str(port)),
        env={**os.environ, courier_program.TOKEN_VARIABLE: TOKEN},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def arrived(path: Path, content: bytes) -> None:
    """Wait until a file has a content."""

    async def there() -> bool:
        return path.exists() and path.read_bytes() == content

    await eventually(there, 5.0, f"{content!r} in {path}", every_s=0.01)


def line(number: int, size: int = 10) -> bytes:
    """One event."""
    return b'{"event":"e","mono_ns":%d,"attrs":{"x":"%s"}}\n' % (number, b"x" * size)


async def test_what_is_written_arrives(tmp_path: Path) -> None:
    """Lines written in pieces of any size, to several journals, arrive once, in order and whole; a torn end comes last; nothing else does."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    (there / "notes.txt").write_text("not a journal")
    lot = random.Random(7)
    written = {f"{name}.jsonl": b"".join(line(n, lot.randrange(2000)) for n in range(200)) for name in "abc"}
    written["c.jsonl"] += b'{"event":"torn","mono'
    with PortReservations() as ports:
        port = ports.reserve()
        async with serving(there, port):
            courier = Courier(here, TOKEN)
            try:
                assert LOOPBACK == await courier.reach([LOOPBACK], port)
                assert 0 == courier.clock.ns
                courier.follow()
                left = dict(written)
                while any(left.values()):
                    name = lot.choice([name for name, rest in left.items() if rest])
                    size = lot.randrange(1, 5000)
                    with (there / name).open("ab") as file:
                        file.write(left[name][:size])
                    left[name] = left[name][size:]
                    await asyncio.sleep(0)
            finally:
                await courier.close()
    assert written == {path.name: path.read_bytes() for path in here.iterdir()}


async def test_the_courier_may_die(tmp_path: Path) -> None:
    """Killed and started again by its engine, it goes on where it was: nothing is lost, nothing comes twice."""
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    with PortReservations() as ports:
        port = ports.reserve()
        courier = Courier(here, TOKEN)
        try:
            async with serving(there, port) as process:
                await courier.reach([LOOPBACK], port)
                courier.clock = ClockDifference(AHEAD_NS, 0)
                courier.follow()
                (there / "a.jsonl").write_bytes(line(1))
                await arrived(here / "a.jsonl", line(1 + AHEAD_NS))
                process.kill()
                await process.wait()
                with (there / "a.jsonl").open("ab") as file:
                    file.write(line(2))
            async with serving(there, port):
                await arrived(here / "a.jsonl", line(1 + AHEAD_NS) + line(2 + AHEAD_NS))
        finally:
            await courier.close()


async def test_strangers_learn_nothing(tmp_path: Path) -> None:
    """Without the token neither journals nor the time are told, nor is anything else of the folder with it."""
    (tmp_path / "a.jsonl").write_bytes(line(1))
    with PortReservations() as ports:
        port = ports.reserve()
        async with serving(tmp_path, port):
            courier = Courier(tmp_path, TOKEN)
            await courier.reach([LOOPBACK], port)
            await courier.close()
            async with aiohttp.ClientSession() as session:
                for path, token, status in (("/time", "wrong", 401), ("/a.jsonl", TOKEN, 404)):
                    headers = {"authorization": f"Bearer {token}"}
                    async with session.get(f"http://{LOOPBACK}:{port}{path}", headers=headers) as response:
                        assert status == response.status


async def test_ports_out_of_reach_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing answers, the error names what was tried and what to do."""
    monkeypatch.setattr("orchestrator.runtimes.docker.courier.REACH_S", 0.2)
    with PortReservations() as ports:
        port = ports.reserve()
        courier = Courier(tmp_path, TOKEN)
        with pytest.raises(EngineUnfitError, match=f"http://{LOOPBACK}:{port}: Connection refused") as caught:
            await courier.reach([LOOPBACK], port)
        await courier.close()
    assert "firewall" in caught.value.hint


@pytest.mark.parametrize(
    ("token", "length", "body", "status"),
    [
        ("wrong", "10000000000", b"", 401),
        (TOKEN, "10000000000", b"", 413),
        (TOKEN, str(courier_program.MOST_ASKED + 1), b"", 413),
        (TOKEN, "-1", b"", 411),
        (TOKEN, "many", b"", 411),
        (TOKEN, "5", b"[1,2]", 400),
        (TOKEN, "4", b"nope", 400),
        (TOKEN, "12", b'{"known":{}}', 400),
        (TOKEN, "44", b'{"known": {"a": "b"}, "wait_s":0,"torn": 0} ', 400),
    ],
)
async def test_questions_are_looked_at_before_they_are_read(
    tmp_path: Path, token: str, length: str, body: bytes, status: int
) -> None:
    """Whoever has no token, asks at too great length or asks for nothing is refused at once, with not a byte more read than is allowed."""
    with PortReservations() as ports:
        port = ports.reserve()
        async with serving(tmp_path, port):
            courier = Courier(tmp_path, TOKEN)
            await courier.reach([LOOPBACK], port)
            await courier.close()
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            head = f"POST /news HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {length}\r\n\r\n"
            writer.write(head.encode() + body)
            async with asyncio.timeout(5):
                answer = (
                    await reader.read()
                )  # the connection is closed: what else would come can't be told from another question
            writer.close()
    assert str(status) == answer.split()[1].decode(), answer


def test_half_of_what_came_is_taken_back(tmp_path: Path) -> None:
    """A disk that is full in the middle of an answer keeps none of it, so that it can come again; nothing that was there is lost."""
    journal = tmp_path / "a.jsonl"
    journal.write_bytes(b"one\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4 + 7, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            _append(journal, b"0123456789\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert b"one\n" == journal.read_bytes()
    _append(journal, b"0123456789\n")
    assert b"one\n0123456789\n" == journal.read_bytes()


@pytest.mark.parametrize("name", ["../a.jsonl", "/etc/a.jsonl", "a.txt", ".."])
async def test_what_is_no_journal_is_not_written(tmp_path: Path, name: str) -> None:
    """Whoever answers in the courier's place writes nothing but journals, and nothing outside of their folder."""
    courier = Courier(tmp_path / "journals", TOKEN)
    with pytest.raises(ValueError, match="no journal"):
        courier._land(name, 0, b"x")


def test_only_whole_lines_are_news(tmp_path: Path) -> None:
    """A line that is being written waits for its end, unless its writer is known to be dead."""
    (tmp_path / "a.jsonl").write_bytes(b"one\ntw")
    assert [("a.jsonl", 0, b"one\n")] == news(str(tmp_path), {}, torn=False)
    assert [] == news(str(tmp_path), {"a.jsonl": 4}, torn=False)
    assert [("a.jsonl", 4, b"tw")] == news(str(tmp_path), {"a.jsonl": 4}, torn=True)
