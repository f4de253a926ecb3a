"""What only the process runtime promises: process groups, logs on disk, real anvil, and death with its parent."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from orchestrator.leftovers import left_behind
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.errors import NodeExitedError
from orchestrator.runtimes.orphans import ProcessId, is_frozen, marked_processes
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.runtimes.startup import bring_up

pytestmark = pytest.mark.process

Fake = Callable[..., NodeSpec]
Call = Callable[..., Awaitable[object]]
Crasher = Callable[..., tuple[subprocess.Popen[str], dict[str, Any]]]

CRASHER = textwrap.dedent("""
    import asyncio, json, os, sys
    from pathlib import Path
    from orchestrator.rundir import RunDirectory
    from orchestrator.runtimes.base import NodeSpec
    from orchestrator.runtimes.process import ProcessRuntime
    from orchestrator.runtimes.startup import bring_up

    async def main():
        home, run, tied, names, program = Path(sys.argv[1]), RunDirectory(Path(sys.argv[2])), *sys.argv[3:6]
        runtime = ProcessRuntime(run, home, tied=tied == "tied")
        specs = []
        for word in names.split(","):
            name, _, behaviour = word.partition(":")
            command = (sys.executable, "-I", "-S", program, name, "${run}/journal", "${host}:${port:http}", behaviour or "x=")
            specs.append(NodeSpec(name, "rollup", command, ports={"http": "http"}))
        await runtime.prepare(specs)
        await bring_up(runtime, specs)
        while not all((run.journals / f"{spec.name}.up").exists() for spec in specs):
            await asyncio.sleep(0.01)
        guard = runtime._guard.pid if runtime._guard else 0
        print(json.dumps({"guard": guard, "pids": [s.pid for s in runtime.status()]}), flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
""")


@pytest.fixture
def crasher(home: Path, run: RunDirectory) -> Iterator[Crasher]:
    """Starts a Python process that runs a runtime with the given nodes, to be killed."""
    started: list[subprocess.Popen[str]] = []

    def start(nodes: str, tied: str = "tied") -> tuple[subprocess.Popen[str], dict[str, Any]]:
        program = str(Path(__file__).with_name("fake_node_program.py"))
        argv = [sys.executable, "-c", CRASHER, str(home), str(run.path), tied, nodes, program]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        return process, json.loads(process.stdout.readline())

    yield start
    for process in started:
        process.kill()
        process.communicate()


def gone_within(seconds: float, look: Callable[[], object]) -> bool:
    """Whether ``look`` finds nothing any more within some time."""
    deadline = time.monotonic() + seconds
    while look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


async def test_kill_reaches_all_children(run: RunDirectory, home: Path, fake: Fake) -> None:
    """A killed node's child in its group is gone when ``kill`` returns."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha", "child")])
        await runtime.start("alpha")
        child = int((run.journals / "alpha.child").read_text())
        assert ProcessId.of(child) is not None
        await runtime.kill("alpha")
        assert ProcessId.of(child) is None


async def test_children_go_with_a_crashed_node(run: RunDirectory, home: Path, fake: Fake) -> None:
    """When a node dies by itself its child does not stay behind, and a restart finds its ports free."""
    ends: list[NodeStatus] = []
    async with ProcessRuntime(run, home, on_exit=ends.append) as runtime:
        await runtime.prepare([fake("alpha", "child")])
        await runtime.start("alpha")
        child = int((run.journals / "alpha.child").read_text())
        pid = runtime.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSEGV)
        async with asyncio.timeout(10):
            while not ends:  # noqa: ASYNC110 - the listener is what is tested
                await asyncio.sleep(0.005)
        await runtime.restart("alpha")
        assert ProcessId.of(child) is None
        assert (NodeState.EXITED, "SIGSEGV", False) == (ends[0].state, ends[0].signal, ends[0].expected)


async def test_each_end_is_told_once(run: RunDirectory, home: Path, fake: Fake) -> None:
    """The listener hears of each end exactly once, with the right state."""
    ends: list[NodeStatus] = []
    async with ProcessRuntime(run, home, on_exit=ends.append) as runtime:
        await runtime.prepare([fake("alpha")])
        await runtime.start("alpha")
        await runtime.kill("alpha")
        await runtime.restart("alpha")
        await runtime.restart("alpha")
    expected = [NodeState.KILLED, NodeState.STOPPED, NodeState.STOPPED]
    assert expected == [end.state for end in ends]
    assert [True] * 3 == [end.expected for end in ends]


async def test_a_death_before_the_kill_stays_unexpected(run: RunDirectory, home: Path, fake: Fake) -> None:
    """A kill that comes after the node died by itself does not claim that death."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha")])
        await runtime.start("alpha")
        pid = runtime.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        # the whole process, not only its first thread, which /proc calls a zombie a little earlier
        assert gone_within(5, lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None)
        await runtime.kill("alpha")
        assert (NodeState.EXITED, False) == (runtime.status()[0].state, runtime.status()[0].expected)


async def test_pause_freezes_children_too(run: RunDirectory, home: Path, fake: Fake) -> None:
    """On return from ``pause`` the kernel says that neither the node nor its child runs."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha", "child")])
        await runtime.start("alpha")
        pids = [runtime.status()[0].pid or 0, int((run.journals / "alpha.child").read_text())]
        await runtime.pause("alpha")
        assert [True, True] == [is_frozen(pid) for pid in pids]
        await runtime.resume("alpha")
        assert [False, False] == [is_frozen(pid) for pid in pids]


async def test_close_ends_strays(run: RunDirectory, home: Path, fake: Fake) -> None:
    """A child that left for a session of its own is ended when the runtime closes."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha", "stray")])
        await runtime.start("alpha")
        stray = int((run.journals / "alpha.child").read_text())
        await runtime.kill("alpha")
        assert ProcessId.of(stray) is not None
    assert ProcessId.of(stray) is None


async def test_log_has_a_cap_and_keeps_the_newest(run: RunDirectory, home: Path, fake: Fake) -> None:
    """A node that prints far more than its cap is not held up, and the newest lines are on disk, within the cap."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha", "chatter=20000000", log_cap_bytes=100_000)])
        await runtime.start("alpha")
        sizes = [path.stat().st_size for path in run.logs.glob("alpha.log*")]
        assert ("alpha is up", 2, True) == (
            runtime.logs("alpha", 1)[0],
            len(sizes),
            50_000 < sum(sizes) <= 100_000,
        )
        assert [f"{number:09}" for number in range(199_900, 200_000)] == [
            line[:9] for line in runtime.logs("alpha", 101)[:-1]
        ]


async def test_a_late_reader_loses_nothing(run: RunDirectory, home: Path, fake: Fake) -> None:
    """While the event loop is stuck, a node that prints more than a pipe holds waits, lives on, and loses no line."""
    async with ProcessRuntime(run, home) as runtime:
        await runtime.prepare([fake("alpha", "chatter=4000000")])
        start = asyncio.create_task(runtime.start("alpha"))
        await asyncio.sleep(0)
        time.sleep(1.0)  # noqa: ASYNC251 - the loop shall be stuck
        assert not (run.journals / "alpha.up").exists()
        await start
        text = "".join(path.read_text() for path in sorted(run.logs.glob("alpha.log*")))
        assert 40_000 == text.count(" " + "x" * 89 + "\n")


async def test_last_words_are_kept(run: RunDirectory, home: Path, fake: Fake) -> None:
    """What a node wrote just before its end is in its log when the end is told, however much it is."""
    seen: list[int] = []

    def on_exit(status: NodeStatus) -> None:
        del status
        seen.append(sum(path.read_text().count("\nboom") for path in run.logs.glob("alpha.log*")))

    async with ProcessRuntime(run, home, on_exit=on_exit) as runtime:
        await runtime.prepare([fake("alpha", "chatter=900000", "exit=1")])
        start = asyncio.create_task(runtime.start("alpha"))
        await asyncio.sleep(0)
        time.sleep(1.0)  # noqa: ASYNC251 - so that the loop learns of the output and the end at once
        with pytest.raises(NodeExitedError):
            await start
        assert [1] == seen


async def test_two_devnets_side_by_side(home: Path, fake: Fake, call: Call) -> None:
    """Two devnets with the same node names have other ports and logs; closing one leaves the other alone."""
    runs = [RunDirectory.create(home, "test", seed=0) for _ in range(2)]
    for run in runs:
        shutil.copy(Path(__file__).with_name("fake_node_program.py"), run.path)
    async with ProcessRuntime(runs[0], home) as one:
        async with ProcessRuntime(runs[1], home) as other:
            specs = [fake("alpha"), fake("beta")]
            for runtime in (one, other):
                await runtime.prepare(specs)
            async with asyncio.TaskGroup() as group:
                group.create_task(bring_up(one, specs))
                group.create_task(bring_up(other, specs))
            urls = {runtime.endpoint(name, "http") for runtime in (one, other) for name in ("alpha", "beta")}
            assert 4 == len(urls)
        assert [] == left_behind(runs[1].run_id)
        assert "alpha" == await call(one.endpoint("alpha", "http"))


def anvil_spec(name: str, anvil: str) -> NodeSpec:
    """A real chain."""
    return NodeSpec(
        name,
        "l1",
        (anvil, "--port", "${port:http}", "--host", "${host}", "--chain-id", "900"),
        ports={"http": "http"},
        readiness=JsonRpcRequest("http", "eth_chainId", accept=lambda result: result == "0x384"),
    )


async def test_anvil_is_a_good_node(run: RunDirectory, home: Path, anvil: str, call: Call) -> None:
    """Real anvils start side by side, survive kill, pause and restart on the same endpoint, and stop politely."""
    async with ProcessRuntime(run, home) as runtime:
        specs = [anvil_spec(f"chain-{index}", anvil) for index in range(4)]
        await runtime.prepare(specs)
        await bring_up(runtime, specs)
        url = runtime.endpoint("chain-0", "http")
        await runtime.kill("chain-0")
        await runtime.start("chain-0")
        await runtime.pause("chain-0")
        await runtime.resume("chain-0")
        await runtime.restart("chain-0")
        assert (url, 3) == (runtime.endpoint("chain-0", "http"), runtime.status()[0].boot)
        await runtime.stop("chain-0")
        assert NodeState.STOPPED == runtime.status()[0].state


def test_uvloop_runs_it_too(run: RunDirectory, home: Path, anvil: str) -> None:
    """The runtime needs nothing that only the standard event loop has."""

    async def main() -> list[NodeState]:
        async with ProcessRuntime(run, home) as runtime:
            await runtime.prepare([anvil_spec("l1", anvil)])
            await runtime.start("l1")
            await runtime.pause("l1")
            await runtime.kill("l1")
            await runtime.restart("l1")
            states = [status.state for status in runtime.status()]
        return [*states, *(status.state for status in runtime.status())]

    assert [NodeState.READY, NodeState.STOPPED] == uvloop.run(main())


def test_nothing_outlives_a_killed_parent(crasher: Crasher, run: RunDirectory) -> None:
    """After SIGKILL of the supervising process its nodes, their children and even strays are gone; so is the guard."""
    process, told = crasher("alpha:child,beta:stray,gamma:stubborn")
    assert len(left_behind(run.run_id)) == 5
    process.kill()
    process.wait()
    assert gone_within(10, lambda: left_behind(run.run_id))
    assert gone_within(5, lambda: ProcessId.of(told["guard"]))


def test_parent_death_signal_needs_no_guard(crasher: Crasher, run: RunDirectory) -> None:
    """With the guard dead as well, the kernel still ends the nodes themselves."""
    process, told = crasher("alpha,beta:stubborn")
    os.kill(told["guard"], signal.SIGKILL)
    process.kill()
    process.wait()
    assert gone_within(5, lambda: left_behind(run.run_id))


def test_close_does_without_its_guard(run: RunDirectory, home: Path, fake: Fake) -> None:
    """Somebody killing the guard spoils nothing."""

    async def main() -> None:
        async with ProcessRuntime(run, home) as runtime:
            await runtime.prepare([fake("alpha")])
            await runtime.start("alpha")
            assert runtime._guard is not None
            runtime._guard.kill()
            runtime._guard.wait()

    asyncio.run(main())
    assert [] == [process for process in marked_processes() if process.run_id == run.run_id]
