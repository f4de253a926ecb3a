"""Devnets in the background, from ``up --detach`` to ``down`` and ``gc``, with a real supervising process."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from orchestrator.leftovers import left_behind
from orchestrator.registry import DevnetEntry, Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.control import ControlClient
from orchestrator.runtimes.errors import SupervisorError
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.supervisor import Reporter, Supervisor, start_supervisor
from orchestrator.runtimes.takedown import exit_of, take_down

pytestmark = pytest.mark.process

PROGRAM = str(Path(__file__).with_name("devnet_program.py"))
Up = Callable[..., Coroutine[None, None, tuple[Supervisor, list[Any], RunDirectory]]]


@pytest.fixture
async def up(home: Path, tmp_path: Path) -> AsyncIterator[Up]:
    """Starts a background devnet; whatever is left of it is killed after the test."""
    pids: list[int] = []

    async def start(
        nodes: str = "alpha,beta", behaviour: str = "obey", name: str = "test"
    ) -> tuple[Supervisor, list[Any], RunDirectory]:
        run = RunDirectory.create(home, name, seed=0)
        seen: list[Any] = []
        argv = [sys.executable, PROGRAM, str(home), str(run.path), name, nodes, behaviour]
        supervisor = await start_supervisor(argv, run.logs / "supervisor.log", seen.append)
        pids.append(supervisor.pid)
        return supervisor, seen, run

    yield start
    for pid in pids:
        if (process := ProcessId.of(pid)) is not None:
            os.kill(pid, signal.SIGKILL)
            await exit_of(process, 5)
    await asyncio.to_thread(Registry(home).sweep)


def entry(home: Path, name: str = "test") -> DevnetEntry:
    """A registered devnet."""
    found = Registry(home).find(name)
    assert found is not None
    return found


async def test_a_background_devnet_lives_and_goes(up: Up, home: Path) -> None:
    """It reports progress, then ready; it can be operated; ``down`` leaves nothing, and a second ``down`` is fine."""
    supervisor, seen, run = await up()
    assert {("alpha", "starting"), ("alpha", "ready"), ("beta", "starting"), ("beta", "ready")} == set(
        map(tuple, seen)
    )
    assert {"name": "test"} == supervisor.payload
    found = entry(home)
    assert (supervisor.pid, True) == (found.supervisor.pid, found.alive())
    status = await ControlClient("test", found.control.port, found.control.token).status()
    assert ["alpha", "beta"] == [node.name for node in status.nodes]
    first = await take_down(Registry(home), "test")
    assert (True, False, False, ()) == (first.was_registered, first.forced, bool(first.swept), first.left)
    assert not (await take_down(Registry(home), "test")).was_registered
    assert (None, []) == (ProcessId.of(supervisor.pid), left_behind(run.run_id, found.ports))


async def test_several_downs_at_once(up: Up, home: Path) -> None:
    """All of them succeed, and nothing is left when the first returns."""
    _, _, run = await up()
    async with asyncio.TaskGroup() as group:
        downs = [group.create_task(take_down(Registry(home), "test")) for _ in range(6)]
    results = [down.result() for down in downs]
    assert [(False, ())] * 6 == [(result.forced, result.left) for result in results]
    assert [] == left_behind(run.run_id)


async def test_a_devnet_that_does_not_obey_is_forced(up: Up, home: Path) -> None:
    """When the supervisor ignores ``down`` it is killed, its nodes go with it, and the entry is swept."""
    await up("alpha:child", "ignore")
    result = await take_down(Registry(home), "test", timeout_s=0.5)
    assert (True, ("test",), ()) == (result.forced, result.swept.devnets, result.left)
    assert Registry(home).find("test") is None


async def test_a_frozen_devnet_is_forced(up: Up, home: Path) -> None:
    """A stopped supervisor can't answer; it is killed all the same."""
    supervisor, _, _ = await up()
    os.kill(supervisor.pid, signal.SIGSTOP)
    result = await take_down(Registry(home), "test", timeout_s=0.5)
    assert (True, ()) == (result.forced, result.left)


async def test_sweep_after_a_crash_without_any_net(up: Up, home: Path) -> None:
    """With parent-death signal and guard switched off a crash leaves nodes and children; the sweep ends them all."""
    supervisor, _, run = await up("alpha:child,beta:stray,gamma", "untied")
    supervising = entry(home).supervisor
    os.kill(supervisor.pid, signal.SIGKILL)
    assert await exit_of(supervising, 5)
    assert 5 == len(left_behind(run.run_id))
    report = await asyncio.to_thread(Registry(home).sweep)
    assert (("test",), 5, []) == (report.devnets, len(report.processes), left_behind(run.run_id))


async def test_down_after_a_crash_sweeps(up: Up, home: Path) -> None:
    """``down`` of a crashed devnet cleans up after it."""
    supervisor, _, run = await up("alpha,beta", "untied")
    supervising = entry(home).supervisor
    os.kill(supervisor.pid, signal.SIGKILL)
    assert await exit_of(supervising, 5)
    result = await take_down(Registry(home), "test")
    assert (("test",), 2, ()) == (result.swept.devnets, len(result.swept.processes), result.left)
    assert [] == left_behind(run.run_id)


async def test_two_devnets_at_once(up: Up, home: Path) -> None:
    """Devnets of different names don't touch each other; taking one down leaves the other running."""
    await up(name="one")
    await up(name="other")
    await take_down(Registry(home), "one")
    found = entry(home, "other")
    status = await ControlClient("other", found.control.port, found.control.token).status()
    assert ["ready", "ready"] == [node.state for node in status.nodes]
    await take_down(Registry(home), "other")


async def test_the_same_name_twice_is_refused(up: Up, home: Path) -> None:
    """The second devnet of a name does not come up, says how to go on, and the first one is unharmed."""
    await up()
    with pytest.raises(SupervisorError) as caught:
        await up()
    assert (True, True) == ("runs already" in caught.value.message, "rollnet down test" in caught.value.hint)
    assert entry(home).alive()
    await take_down(Registry(home), "test")


async def test_a_failed_start_is_told_in_full(up: Up, home: Path) -> None:
    """The error of the node that failed reaches the caller, with its last lines; nothing is left."""
    with pytest.raises(SupervisorError, match="beta: ended with exit code 9") as caught:
        await up("alpha,beta:exit=9")
    assert "boom" in caught.value.message
    assert () == Registry(home).entries()


async def test_a_supervisor_that_dies_silently_shows_its_log(tmp_path: Path) -> None:
    """Without a last word the error shows exit status and the end of the log."""
    with pytest.raises(SupervisorError, match="exit status 5") as caught:
        await start_supervisor(
            [sys.executable, "-c", "print('last gasp'); raise SystemExit(5)"],
            tmp_path / "log",
            lambda _: None,
        )
    assert "last gasp" in caught.value.message
    with pytest.raises(SupervisorError, match="nowhere"):
        await start_supervisor(["/nowhere"], tmp_path / "log", lambda _: None)


async def test_interrupting_up_ends_the_background_process(up: Up, home: Path) -> None:
    """Cancelled while nodes come up, even twice, ``start_supervisor`` returns when all of it is gone."""
    starting = asyncio.create_task(up("alpha,beta:gate=never"))
    async with asyncio.timeout(20):
        while Registry(home).find("test") is None:  # noqa: ASYNC110 - written by another process
            await asyncio.sleep(0.01)
    found = entry(home)
    await asyncio.sleep(0.1)
    starting.cancel()
    await asyncio.sleep(0.01)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert (False, []) == (found.alive(), left_behind(found.run_id, found.ports))
    assert () == Registry(home).entries()


async def test_a_reporter_without_listener_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the foreground, or with the command line gone, reporting does nothing and raises nothing."""
    monkeypatch.delenv("ROLLNET_REPORT_FD", raising=False)
    silent = Reporter.from_environment()
    silent.progress("x")
    silent.ready("x")
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setenv("ROLLNET_REPORT_FD", str(writer))
    orphaned = Reporter.from_environment()
    orphaned.progress("x")
    orphaned.failure(ValueError("x"))
    assert "ROLLNET_REPORT_FD" not in os.environ
