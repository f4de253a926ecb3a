"""The write-ahead log: what it acknowledged is there after any crash, and what a crash cannot explain stops it."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared_sequencer import wal as module
from shared_sequencer.errors import WalDamaged, WalFailed, WalLocked
from shared_sequencer.node import recovered
from shared_sequencer.wal import WriteAheadLog

RECORDS: list[Any] = [
    {"kind": "term", "term": 1},
    {"n": 2, "text": 'curly {"n": 3} and é'},
    {"n": 3},
    {"x": "y" * 300},
]


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[WriteAheadLog]:
    """A log with its committer, recovered and closed."""
    wal = WriteAheadLog(path)
    list(wal.records())
    committer = asyncio.create_task(wal.run())
    try:
        yield wal
    finally:
        committer.cancel()
        await asyncio.gather(committer, return_exceptions=True)
        wal.close()


def _read(path: Path) -> list[Any]:
    with contextlib.closing(WriteAheadLog(path)) as wal:
        return list(wal.records())


async def _written(path: Path, records: list[Any]) -> list[int]:
    """Write the records one by one; the file's size after each, from 0."""
    sizes = [0]
    async with running(path) as wal:
        for record in records:
            await wal.append([record])
            sizes.append(path.stat().st_size)
    return sizes


async def test_records_come_back_in_order_and_appending_goes_on(tmp_path: Path) -> None:
    """What was appended is read back, over several lives of the log; a new log is empty."""
    path = tmp_path / "deep" / "wal.log"
    assert [] == _read(path)
    await _written(path, RECORDS[:2])
    async with running(path) as wal:
        await wal.append(RECORDS[2:])
    assert RECORDS == _read(path)


async def test_an_append_returns_only_after_its_sync_and_a_group_costs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the first sync is under way nobody returns; everything that gathers meanwhile shares the second."""
    loop, path = asyncio.get_running_loop(), tmp_path / "wal.log"
    entered, sizes = asyncio.Event(), []
    real, let_go = os.fdatasync, threading.Semaphore(0)

    def slow_sync(descriptor: int) -> None:
        sizes.append(path.stat().st_size)
        loop.call_soon_threadsafe(entered.set)
        let_go.acquire()
        real(descriptor)

    async with running(path) as wal:
        monkeypatch.setattr(os, "fdatasync", slow_sync)
        first = asyncio.create_task(wal.append([{"n": 0}]))
        await entered.wait()
        rest = [asyncio.create_task(wal.append([{"n": n}])) for n in range(1, 50)]
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in [first, *rest])
        entered.clear()
        let_go.release()
        await first
        await entered.wait()
        assert not any(task.done() for task in rest), "acknowledged while the sync was under way"
        let_go.release()
        await asyncio.gather(*rest)
    assert [path.stat().st_size] == sizes[1:], "the second group was not one write and one sync"
    assert [{"n": n} for n in range(50)] == _read(path)


async def test_order_is_kept_under_concurrency(tmp_path: Path) -> None:
    """Records stand in the order in which append was called, whatever groups they fall into; several records stay together."""
    path = tmp_path / "wal.log"
    async with running(path) as wal, asyncio.TaskGroup() as tasks:
        for n in range(0, 300, 3):
            tasks.create_task(wal.append([{"n": n}, {"n": n + 1}, {"n": n + 2}]))
            if n % 5 == 0:
                await asyncio.sleep(0)
    assert [{"n": n} for n in range(300)] == _read(path)


async def test_callers_wake_in_the_order_of_the_log(tmp_path: Path) -> None:
    """Whoever stands earlier in the log is told earlier, so memory and log agree on the order of admission."""
    woken: list[int] = []

    async def append(wal: WriteAheadLog, n: int) -> None:
        await wal.append([{"n": n}])
        woken.append(n)

    async with running(tmp_path / "wal.log") as wal, asyncio.TaskGroup() as tasks:
        for n in range(100):
            tasks.create_task(append(wal, n))
    assert list(range(100)) == woken


async def test_a_torn_tail_at_every_byte_leaves_exactly_the_whole_records(tmp_path: Path) -> None:
    """Cut the file anywhere: the records before the cut are there, the torn one is gone for good, and appending goes on."""
    path = tmp_path / "wal.log"
    sizes = await _written(path, RECORDS)
    content = path.read_bytes()
    for cut in range(len(content) + 1):
        path.write_bytes(content[:cut])
        whole = sum(1 for size in sizes[1:] if size <= cut)
        assert RECORDS[:whole] == _read(path), f"cut at byte {cut}"
        assert sizes[whole] == path.stat().st_size
    path.write_bytes(content[: sizes[3] - 1])
    async with running(path) as wal:
        await wal.append([{"after": "the crash"}])
    assert [*RECORDS[:2], {"after": "the crash"}] == _read(path)


async def test_a_tail_of_zeros_or_garbage_is_torn_too(tmp_path: Path) -> None:
    """File systems may keep a file's new size and lose its data: zeros (or anything that is no record) at the end are cut."""
    path = tmp_path / "wal.log"
    await _written(path, RECORDS)
    content = path.read_bytes()
    for tail in (bytes(8), bytes(5_000), b"\xff" * 40, b"{" * 40, b'{"n": 3}' * 100):
        path.write_bytes(content + tail)
        assert RECORDS == _read(path)
        assert content == path.read_bytes()


async def test_damage_before_the_end_stops_at_every_byte(tmp_path: Path) -> None:
    """Flip any bit of any record but the last, its length included: the log refuses, and leaves the file as it is."""
    path = tmp_path / "wal.log"
    sizes = await _written(path, RECORDS[:3])
    content = path.read_bytes()
    for place in range(sizes[2]):
        for bit in (0, 3, 7):
            damaged = bytearray(content)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            with pytest.raises(WalDamaged, match="damaged"):
                _read(path)
            assert bytes(damaged) == path.read_bytes()


@given(
    st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=30), max_size=3), max_size=6), st.data()
)
@settings(max_examples=40, deadline=None)
def test_random_records_survive_a_random_cut(records: list[Any], data: st.DataObject) -> None:
    """For any records and any cut: a prefix comes back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wal.log"
        sizes = asyncio.run(_written(path, records))
        cut = data.draw(st.integers(0, sizes[-1]))
        os.truncate(path, cut)
        assert records[: sum(1 for size in sizes[1:] if size <= cut)] == _read(path)


def test_one_log_has_one_owner(tmp_path: Path) -> None:
    """A second sequencer on the same log is refused while the first lives, and only then."""
    path = tmp_path / "wal.log"
    first = WriteAheadLog(path)
    with pytest.raises(WalLocked):
        WriteAheadLog(path)
    first.close()
    WriteAheadLog(path).close()


@pytest.mark.parametrize("refusing", ["fdatasync", "write"])
async def test_a_refusing_disk_poisons_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusing: str
) -> None:
    """Whoever waits is told, the committer ends, and nothing is acknowledged any more, even if the disk recovers."""
    wal = WriteAheadLog(tmp_path / "wal.log")
    committer = asyncio.create_task(wal.run())
    await wal.append([{"n": 0}])

    def refuse(*_: Any) -> int:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, refusing, refuse)
        waiting = [asyncio.create_task(wal.append([{"n": n}])) for n in (1, 2)]
        told = await asyncio.gather(*waiting, return_exceptions=True)
        assert [WalFailed, WalFailed] == [type(error) for error in told]
        with pytest.raises(WalFailed):
            await committer
    with pytest.raises(WalFailed, match="Input/output"):
        await wal.append([{"n": 3}])
    wal.close()
    assert {"n": 0} == _read(tmp_path / "wal.log")[0]


async def test_a_cancelled_append_is_written_all_the_same(tmp_path: Path) -> None:
    """A caller that goes away takes nothing with it: order and the others' records stay."""
    path = tmp_path / "wal.log"
    async with running(path) as wal:
        impatient = asyncio.create_task(wal.append([{"n": 0}]))
        patient = asyncio.create_task(wal.append([{"n": 1}]))
        await asyncio.sleep(0)
        impatient.cancel()
        await patient
        assert impatient.cancelled()
    assert [{"n": 0}, {"n": 1}] == _read(path)


async def test_a_record_that_could_not_be_read_again_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recovery takes an overlong record for damage, so none may be acknowledged."""
    monkeypatch.setattr(module, "MAX_RECORD_BYTES", 100)
    async with running(tmp_path / "wal.log") as wal:
        with pytest.raises(WalFailed, match="longer"):
            await wal.append([{"x": "y" * 100}])
        await wal.append([{"x": "y" * 90}])
    assert 1 == len(_read(tmp_path / "wal.log"))


async def test_closing_waits_for_a_write_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The descriptor is never closed under a writing thread: it might already belong to another file."""
    wal = WriteAheadLog(tmp_path / "wal.log")
    loop, entered = asyncio.get_running_loop(), asyncio.Event()
    synced: list[bool] = []
    real = os.fdatasync
    release = threading.Event()

    def slow_sync(descriptor: int) -> None:
        loop.call_soon_threadsafe(entered.set)
        release.wait()
        real(descriptor)
        synced.append(True)

    monkeypatch.setattr(os, "fdatasync", slow_sync)
    committer = asyncio.create_task(wal.run())
    appending = asyncio.create_task(wal.append([{"n": 0}]))
    await entered.wait()
    committer.cancel()
    await asyncio.gather(committer, return_exceptions=True)
    closing = asyncio.create_task(asyncio.to_thread(wal.close))
    release.set()
    await closing
    assert [True] == synced
    appending.cancel()


PROGRAM = """
import asyncio, sys
from pathlib import Path
from shared_sequencer.wal import WriteAheadLog

async def append(wal, n):
    await wal.append([{"n": n}])
    sys.stdout.write(f"{n}\\n")
    sys.stdout.flush()

async def main():
    wal = WriteAheadLog(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(wal.run())
        n = 0
        while True:
            await asyncio.gather(*(append(wal, n + i) for i in range(7)))
            n += 7

asyncio.run(main())
"""


async def test_whatever_a_killed_process_acknowledged_is_there(tmp_path: Path) -> None:
    """SIGKILL in the middle of appending: every record whose append had returned is read back, in order."""
    path = tmp_path / "wal.log"
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, str(path), stdout=asyncio.subprocess.PIPE, limit=1 << 24
    )
    assert child.stdout is not None
    try:
        for _ in range(200):
            assert await child.stdout.readline()
    finally:
        child.send_signal(signal.SIGKILL)
    lines = (await child.stdout.read()).split(b"\n")
    await child.wait()
    acknowledged = 200 + len([line for line in lines if line])
    found = _read(path)
    assert [{"n": n} for n in range(len(found))] == found
    assert len(found) >= acknowledged


async def test_reading_again_waits_for_a_write_that_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new life reads the log while half a record of the old one is on disk: it is not taken for a torn end."""
    path, real, halfway = tmp_path / "wal.log", os.write, threading.Event()
    async with running(path) as wal:
        await wal.append(RECORDS[:2])

        def in_halves(descriptor: int, data: Any) -> int:
            if halfway.is_set():
                return real(descriptor, data)
            written = real(descriptor, data[: len(data) // 2])
            halfway.set()
            reading.wait(0.2)  # the reader comes now, and cannot say when it waits
            return written

        reading = threading.Event()
        monkeypatch.setattr(os, "write", in_halves)
        appending = asyncio.create_task(wal.append(RECORDS[2:]))
        await asyncio.to_thread(halfway.wait)
        assert RECORDS == list(wal.records())
        await appending
    assert RECORDS == _read(path)


async def test_a_log_that_makes_no_sense_stops_the_sequencer_and_lets_go(tmp_path: Path) -> None:
    """Records that are whole but contradict each other are refused, and the log can be closed: the sequencer ends instead of hanging.

    Found by simulation: reading holds the log's lock, and who had stopped reading half-way waited for it for ever.
    """
    path = tmp_path / "wal.log"
    await _written(
        path, [{"kind": "term", "term": 1}, {"kind": "of the future"}, {"kind": "term", "term": 2}]
    )
    wal = WriteAheadLog(path)
    with pytest.raises(WalDamaged, match="of the future") as told:
        recovered(wal)
    await asyncio.wait_for(asyncio.to_thread(wal.close), 5)
    assert told.traceback  # the frames that were reading are still there
