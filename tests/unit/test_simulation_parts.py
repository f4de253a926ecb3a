"""Parts of the simulation that everything rests on: shrinking, the disk that forgets, the loop that kills."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.simulation.disk import SimulatedDisk
from orchestrator.simulation.loop import Process, SimulatedLoop
from orchestrator.simulation.shrink import shrink
from shared_sequencer.errors import WalLocked
from shared_sequencer.wal import WriteAheadLog


@given(st.lists(st.integers(0, 30), max_size=40), st.sets(st.integers(0, 30), min_size=1, max_size=4))
def test_shrinking_leaves_exactly_what_is_needed(schedule: list[int], needed: set[int]) -> None:
    """When a failure needs some entries, one of each stays and nothing else, in the order they had."""

    def fails(part: Sequence[int]) -> bool:
        return needed <= set(part)

    if not fails(schedule):
        with pytest.raises(ValueError, match="does not fail"):
            shrink(schedule, fails)
        return
    found = shrink(schedule, fails)
    assert sorted(needed) == sorted(found)
    rest = iter(schedule)
    assert all(entry in rest for entry in found), "not in their order"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=25), st.integers(1, 40))
def test_nothing_more_can_be_left_out(schedule: list[int], total: int) -> None:
    """Whatever the failure depends on, leaving out any one thing more makes the rest pass, and the same input ends the same."""

    def fails(part: Sequence[int]) -> bool:
        return sum(part) >= total

    if not fails(schedule):
        return
    found = shrink(schedule, fails)
    assert fails(found)
    assert not any(fails(found[:place] + found[place + 1 :]) for place in range(len(found)))
    assert found == shrink(schedule, fails)


def test_a_disk_keeps_what_was_synced_and_a_share_of_the_rest() -> None:
    """After the death of the machine synced bytes are there, and of the others as many as the schedule says."""
    disk = SimulatedDisk(SimulatedLoop())
    descriptor = disk.open(Path("log"))
    disk.write(descriptor, b"synced")
    disk.sync(descriptor)
    disk.write(descriptor, b"lost")
    disk.lose(0.5)
    assert b"syncedlo" == disk.reader(Path("log")).read()
    disk.lose(0.0)
    assert b"synced" == disk.reader(Path("log")).read()


def test_a_log_on_a_simulated_disk_has_one_owner_until_it_dies() -> None:
    """The lock is the process's, and goes with it."""
    disk = SimulatedDisk(SimulatedLoop())
    WriteAheadLog(Path("wal.log"), disk)
    with pytest.raises(WalLocked):
        WriteAheadLog(Path("wal.log"), disk)
    disk.revoke()
    WriteAheadLog(Path("wal.log"), disk)


def test_a_killed_process_takes_no_further_step() -> None:
    """Not even its clean-up runs, until everything is buried; others go on."""
    loop = SimulatedLoop()
    victim, other = Process("victim"), Process("other")
    told: list[str] = []

    async def live(name: str) -> None:
        try:
            while True:
                await asyncio.sleep(1.0)
                told.append(name)
        finally:
            told.append(f"{name} cleans up")

    loop.spawn(victim, live("victim"))
    loop.spawn(other, live("other"))
    loop.later(2.5, loop.kill, victim)
    loop.run(lambda: False, 4.2)
    assert ["victim", "other"] * 2 + ["other"] * 2 == told
    assert 4.0 == loop.time()
    loop.bury()


def test_a_paused_process_catches_up() -> None:
    """What would have run meanwhile runs when it goes on."""
    loop = SimulatedLoop()
    sleeper = Process("sleeper")
    told: list[float] = []

    async def live() -> None:
        for _ in range(3):
            await asyncio.sleep(1.0)
            told.append(loop.time())

    loop.spawn(sleeper, live())
    loop.later(0.5, loop.pause, sleeper)
    loop.later(2.5, loop.resume, sleeper)
    loop.run(lambda: False, 10.0)
    assert [2.5, 3.5, 4.5] == told
    loop.bury()


def test_what_is_meant_for_a_thread_runs_in_virtual_time() -> None:
    """``to_thread`` gives its result a moment later, in the same process."""
    loop = SimulatedLoop()
    found: list[int] = []

    async def live() -> None:
        with contextlib.suppress(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        found.append(await asyncio.to_thread(lambda: 42))

    loop.spawn(Process("node"), live())
    loop.run(lambda: False, 1.0)
    assert [42] == found
    loop.bury()
