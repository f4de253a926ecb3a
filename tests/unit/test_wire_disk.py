"""Disks that take less than they are given, or nothing: what is written is whole or not there, and what follows it is not lost with it."""

import asyncio
import errno
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.disk import Disk
from bridge.wire.journal import Journal, read_journal
from bridge.wire.slot import Block, Payload
from rollup_node.outputs import Outputs
from rollup_node.store import Store
from rollup_node.testing import ToyEngine
from shared_sequencer.errors import WalFailed
from shared_sequencer.wal import WriteAheadLog

HASH = "0x" + "ab" * 32


class ShortDisk(Disk):
    """Takes some bytes of each write, and from its last byte on none.

    Args:
        seed: how much is taken each time.
        room: bytes that it holds; endless by default.
    """

    def __init__(self, seed: int, room: int = 10**9) -> None:
        self._dice, self.room = random.Random(seed), room

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """A part of it, at least one byte while there is room."""
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        size = min(self._dice.randint(1, len(data)), self.room)
        taken = super().write(descriptor, data[:size])
        self.room -= taken
        return taken


def block(number: int) -> Block:
    """Some block."""
    return Block(901, number, HASH, HASH, Payload(number, ("0x02ff",), ()))


@given(st.integers(0, 10**6), st.integers(0, 3_000))
@settings(max_examples=60, deadline=None)
def test_the_block_log_is_whole_lines_whatever_the_disk_takes(seed: int, room: int) -> None:
    """What was acknowledged is read again, in order; what was refused is not there, and takes nothing that follows with it."""
    with TemporaryDirectory() as name:
        disk, kept = ShortDisk(seed, room), []
        store = Store(Path(name), disk)
        for number in range(1, 12):
            try:
                store.append(block(number))
            except OSError:
                disk.room = 10**9  # somebody tidied up
                store.append(block(number))
            kept.append(block(number))
        store.note_judged(5)
        store.raise_term(7)
        store.close()
        again = Store(Path(name))
        assert kept == again.blocks()
        assert (5, 7) == (again.judged, again.term)
        again.close()


@given(st.integers(0, 10**6), st.integers(0, 3_000))
@settings(max_examples=30, deadline=None)
def test_the_write_ahead_log_has_what_it_acknowledged(seed: int, room: int) -> None:
    """Every append that returned is read again; one that was refused poisons the log, and at most a torn end is cut off."""

    async def main(path: Path) -> None:
        log, done = WriteAheadLog(path, ShortDisk(seed, room)), 0
        running = asyncio.ensure_future(log.run())
        try:
            for number in range(20):
                await log.append([{"number": number, "padding": "x" * 150}])
                done = number + 1
        except WalFailed:
            with pytest.raises(WalFailed):
                await running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            log.close()
        again = WriteAheadLog(path)
        found = [record["number"] for record in again.records()]
        again.close()
        assert list(range(done)) == found[:done]
        assert len(found) <= done + 1
        assert room > 4_000 or done < 20

    with TemporaryDirectory() as name:
        asyncio.run(main(Path(name) / "wal.log"))


@given(st.integers(0, 10**6), st.integers(0, 3_000))
@settings(max_examples=60, deadline=None)
def test_a_journal_has_every_event_that_was_told(seed: int, room: int) -> None:
    """Lines are whole; one that the disk refused halfway is left out, and the one after it is none the worse."""
    with TemporaryDirectory() as name:
        path, told = Path(name) / "node.jsonl", []
        disk = ShortDisk(seed, room)
        with Journal(path, "alpha", "rollup", disk) as journal:
            for number in range(12):
                try:
                    told.append(journal.emit("node.ready", number=number))
                except OSError:
                    disk.room = 10**9
        with Journal(path, "alpha", "rollup", ShortDisk(seed)) as journal:
            told.append(journal.emit("node.ready", number=12))
        found = [event.id for event in read_journal(path)]
        assert told == [event for event in found if event in told]
        assert len(found) <= len(told) + 1, "nothing that was not told but one line without its end"


@given(st.integers(0, 10**6), st.integers(0, 900))
@settings(max_examples=20, deadline=None)
def test_notes_of_outputs_are_whole(seed: int, room: int) -> None:
    """What was noted is there in the next life; a note that was refused is made again."""

    async def main(path: Path) -> None:
        engine, disk = ToyEngine(), ShortDisk(seed, room)
        header = await engine.start()
        noted = Outputs(engine, path, 1, disk)
        try:
            await noted.note(header)
        except OSError:
            assert noted.at(header.number) is None
            disk.room = 10**9
            await noted.note(header)
        assert noted.at(header.number) == Outputs(engine, path, 1).at(header.number)
        lines = path.read_bytes().splitlines()
        assert [header.number] == [orjson.loads(line)["number"] for line in lines]

    with TemporaryDirectory() as name:
        asyncio.run(main(Path(name) / "outputs.log"))


def test_a_disk_that_takes_nothing_and_says_nothing_is_refused(tmp_path: Path) -> None:
    """No endless loop, and no acknowledgement."""

    class Silent(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            return 0

    disk = Silent()
    descriptor = disk.open(tmp_path / "file")
    with pytest.raises(OSError, match="takes nothing"):
        disk.append(descriptor, b"something")
    disk.close(descriptor)
