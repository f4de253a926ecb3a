"""What every runtime must do, told through the seam alone."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import (
    Capability,
    HttpRequest,
    JsonRpcRequest,
    NodeSpec,
    NodeState,
    NodeStatus,
    Runtime,
    require,
)
from orchestrator.runtimes.errors import (
    NodeExitedError,
    NodeNotReadyError,
    NodeStartError,
    NodeStateError,
    PlanError,
    UnknownNodeError,
    UnsupportedError,
)
from orchestrator.runtimes.startup import bring_up

pytestmark = pytest.mark.process

Fake = Callable[..., NodeSpec]
Call = Callable[..., Awaitable[object]]


def status_of(runtime: Runtime, name: str) -> NodeStatus:
    """One node's status."""
    return next(status for status in runtime.status() if status.name == name)


async def up(runtime: Runtime, *specs: NodeSpec) -> list[tuple[str, NodeState]]:
    """Prepare and bring up; returns the progress."""
    seen: list[tuple[str, NodeState]] = []
    await runtime.prepare(specs)
    await bring_up(runtime, specs, lambda node, state, _: seen.append((node, state)))
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event announces to an outsider."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - files and states of other processes
            await asyncio.sleep(0.01)


async def refused(url: str, call: Call) -> bool:
    """Whether connections to ``url`` are refused."""
    try:
        await call(url, 2.0)
    except aiohttp.ClientConnectorError:
        return True
    return False


async def test_nodes_start_after_what_they_depend_on(runtime: Runtime, fake: Fake) -> None:
    """A node begins to start only when all its dependencies are ready, whatever the order of the specs."""
    specs = [
        fake("maker", depends_on=("sequencer",)),
        fake("sequencer", depends_on=("alpha", "beta")),
        fake("alpha", depends_on=("l1",)),
        fake("beta", depends_on=("l1",)),
        fake("l1"),
    ]
    seen = await up(runtime, *specs)
    for spec in specs:
        for needed in spec.depends_on:
            assert seen.index((needed, NodeState.READY)) < seen.index((spec.name, NodeState.STARTING))
    assert {"maker", "sequencer", "alpha", "beta", "l1"} == {
        name for name, state in seen if state is NodeState.READY
    }


async def test_independent_nodes_start_side_by_side(runtime: Runtime, fake: Fake) -> None:
    """Two nodes that are each ready only when the other runs both become ready: neither waits for the other's start."""
    await up(runtime, fake("alpha", "peer=beta"), fake("beta", "peer=alpha"))
    assert [NodeState.READY] * 2 == [status.state for status in runtime.status()]


async def test_nodes_know_one_another_in_circles(runtime: Runtime, fake: Fake, call: Call) -> None:
    """Placeholders give each node the other's address before either of them runs, and each reaches the other there."""
    await up(
        runtime,
        fake("alpha", env={"PEER": "${url:beta:http}"}),
        fake("beta", env={"PEER": "${url:alpha:http}"}),
    )
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        assert other == await call(runtime.endpoint(name, "http"), method="peer")


async def test_accepting_connections_is_not_ready(runtime: Runtime, fake: Fake) -> None:
    """A node that accepts and never answers is not ready; the error names it, its state, its answer and its log."""
    await runtime.prepare([fake("alpha", "mute", ready_timeout_s=3.0)])
    with pytest.raises(NodeNotReadyError) as caught:
        await runtime.start("alpha")
    for expected in ("alpha", "starting", "no answer within 2 s", "alpha is up", "log"):
        assert expected in str(caught.value)
    assert NodeState.STARTING == status_of(runtime, "alpha").state


@pytest.mark.parametrize(
    "readiness", [JsonRpcRequest("http", "ready"), HttpRequest("http", "/health")], ids=["json-rpc", "get"]
)
async def test_ready_when_the_answer_is_right(
    runtime: Runtime, fake: Fake, run: RunDirectory, readiness: JsonRpcRequest | HttpRequest
) -> None:
    """Errors don't count as answers; the first good answer does, without another start."""
    await runtime.prepare([fake("alpha", "gate=open", readiness=readiness)])
    start = asyncio.create_task(runtime.start("alpha"))
    await until((run.journals / "alpha.up").exists)
    assert NodeState.STARTING == status_of(runtime, "alpha").state
    assert not start.done()
    (run.journals / "open").touch()
    await start
    assert (NodeState.READY, 1) == (status_of(runtime, "alpha").state, status_of(runtime, "alpha").boot)


async def test_late_readiness_is_noticed(runtime: Runtime, fake: Fake, run: RunDirectory) -> None:
    """A node left running after its time was over still becomes ready when it answers."""
    await runtime.prepare([fake("alpha", "gate=open", ready_timeout_s=0.3)])
    with pytest.raises(NodeNotReadyError):
        await runtime.start("alpha")
    (run.journals / "open").touch()
    await until(lambda: status_of(runtime, "alpha").state is NodeState.READY)


async def test_without_a_request_a_node_just_runs(runtime: Runtime, fake: Fake) -> None:
    """No readiness request, no claim of readiness."""
    seen = await up(runtime, fake("alpha", readiness=None))
    assert [("alpha", NodeState.STARTING), ("alpha", NodeState.RUNNING)] == seen
    assert NodeState.RUNNING == status_of(runtime, "alpha").state


async def test_killed_node_returns_on_its_endpoint(runtime: Runtime, fake: Fake, call: Call) -> None:
    """After a kill nothing answers, and nobody is taken aback; after a start the same node answers again."""
    require(runtime, Capability.KILL)
    await up(runtime, fake("alpha"))
    before = runtime.endpoint("alpha", "http")
    await runtime.kill("alpha")
    killed = status_of(runtime, "alpha")
    assert (NodeState.KILLED, "SIGKILL", True, None) == (
        killed.state,
        killed.signal,
        killed.expected,
        killed.pid,
    )
    assert await refused(before, call)
    await runtime.start("alpha")
    if Capability.STABLE_ENDPOINTS in runtime.capabilities:
        assert before == runtime.endpoint("alpha", "http")
    assert "alpha" == await call(runtime.endpoint("alpha", "http"))
    assert (NodeState.READY, 2) == (status_of(runtime, "alpha").state, status_of(runtime, "alpha").boot)


async def test_restart_keeps_data_and_counts_boots(runtime: Runtime, fake: Fake, call: Call) -> None:
    """A restart, also of a node that is down, gives a ready node with one more boot and one log over all lives."""
    await up(runtime, fake("alpha"))
    await runtime.restart("alpha")
    await runtime.stop("alpha")
    await runtime.restart("alpha")
    assert "alpha" == await call(runtime.endpoint("alpha", "http"))
    assert 3 == status_of(runtime, "alpha").boot
    assert 3 == runtime.logs("alpha", 1000).count("alpha is up")


async def test_pause_freezes_and_resume_thaws(runtime: Runtime, fake: Fake, call: Call) -> None:
    """A request to a paused node hangs, and the same request is answered once the node is resumed."""
    require(runtime, Capability.PAUSE)
    await up(runtime, fake("alpha"))
    await runtime.pause("alpha")
    await runtime.pause("alpha")
    assert NodeState.PAUSED == status_of(runtime, "alpha").state
    request = asyncio.ensure_future(call(runtime.endpoint("alpha", "http"), 20.0))
    done, _ = await asyncio.wait({request}, timeout=0.5)
    assert set() == done
    await runtime.resume("alpha")
    assert "alpha" == await request
    await runtime.resume("alpha")
    assert NodeState.READY == status_of(runtime, "alpha").state


@pytest.mark.parametrize("end", ["stop", "kill", "restart"])
async def test_paused_nodes_can_be_ended(runtime: Runtime, fake: Fake, end: str) -> None:
    """Being frozen is no protection, and a stop is still polite: the node hears it."""
    await up(runtime, fake("alpha", "crash-on-term"))
    await runtime.pause("alpha")
    await getattr(runtime, end)("alpha")
    status = status_of(runtime, "alpha")
    expected = {
        "stop": (NodeState.STOPPED, 3, None),
        "kill": (NodeState.KILLED, None, "SIGKILL"),
        "restart": (NodeState.READY, None, None),
    }
    assert expected[end] == (status.state, status.exit_code, status.signal)


async def test_stop_is_polite_then_firm(runtime: Runtime, fake: Fake) -> None:
    """A node that ignores the polite request is ended by force after its grace; one that hears it is not."""
    await up(runtime, fake("polite"), fake("stubborn", "stubborn", stop_grace_s=0.3))
    await runtime.stop("polite")
    began = time.monotonic()
    await runtime.stop("stubborn")
    assert time.monotonic() - began >= 0.3
    assert ("SIGTERM", "SIGKILL") == tuple(status.signal for status in runtime.status())
    assert [NodeState.STOPPED] * 2 == [status.state for status in runtime.status()]


async def test_kill_cuts_a_polite_stop_short(runtime: Runtime, fake: Fake) -> None:
    """A kill does not wait for the grace of a stop that is under way."""
    await up(runtime, fake("alpha", "stubborn", stop_grace_s=60.0))
    stop = asyncio.create_task(runtime.stop("alpha"))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(10):
        await runtime.kill("alpha")
        await stop
    assert NodeState.KILLED == status_of(runtime, "alpha").state


async def test_kill_ends_a_restart_that_waits_for_readiness(
    runtime: Runtime, fake: Fake, run: RunDirectory
) -> None:
    """The later call wins: the node is down, and the restart says why it came to nothing."""
    (run.journals / "open").touch()
    await up(runtime, fake("alpha", "gate=open"))
    (run.journals / "open").unlink()
    restart = asyncio.create_task(runtime.restart("alpha"))
    await until(lambda: status_of(runtime, "alpha").boot == 2)
    await runtime.kill("alpha")
    with pytest.raises(NodeExitedError, match="as it was asked to"):
        await restart
    assert (NodeState.KILLED, 2) == (status_of(runtime, "alpha").state, status_of(runtime, "alpha").boot)


@pytest.mark.parametrize("seed", range(3))
async def test_a_storm_of_calls_breaks_nothing(runtime: Runtime, fake: Fake, call: Call, seed: int) -> None:
    """Whatever is asked of one node at once, each call ends as the seam says, and a last restart brings a working node."""
    await up(runtime, fake("alpha", ready_timeout_s=2.0))
    operations = random.Random(seed).choices(["start", "stop", "kill", "pause", "resume", "restart"], k=12)
    tasks = [asyncio.ensure_future(getattr(runtime, operation)("alpha")) for operation in operations]
    await asyncio.wait(tasks)
    foreseen = (NodeStateError, NodeExitedError, NodeNotReadyError)
    failures = [failure for task in tasks if (failure := task.exception()) is not None]
    assert [] == [failure for failure in failures if not isinstance(failure, foreseen)]
    await runtime.restart("alpha")
    assert "alpha" == await call(runtime.endpoint("alpha", "http"))


async def test_start_failure_is_reported_at_once_and_takes_all_down(runtime: Runtime, fake: Fake) -> None:
    """A node that exits during start is reported with its last lines, long before any timeout; the rest goes too."""
    began = time.monotonic()
    with pytest.raises(NodeExitedError) as caught:
        await up(
            runtime,
            fake("l1"),
            fake("slow", "gate=never", ready_timeout_s=100.0),
            fake("broken", "exit=7", depends_on=("l1",), ready_timeout_s=100.0),
            fake("never", depends_on=("broken",)),
        )
    assert time.monotonic() - began < 50
    assert ("broken", True, True) == (
        caught.value.node,
        "exit code 7" in str(caught.value),
        "boom" in str(caught.value),
    )
    states = {status.name: status.state for status in runtime.status()}
    assert NodeState.PLANNED == states.pop("never")
    assert states.pop("broken") is NodeState.EXITED
    assert {NodeState.STOPPED} == set(states.values())


async def test_missing_program_is_a_start_error(runtime: Runtime, fake: Fake) -> None:
    """A node whose command can't be run is named, and so is the program."""
    await runtime.prepare([fake("alpha", command=("/nowhere/anvil",))])
    with pytest.raises(NodeStartError, match=r"(?s)alpha: .*/nowhere/anvil"):
        await runtime.start("alpha")


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.1, 0.3])
async def test_cancellation_leaves_nothing(runtime: Runtime, fake: Fake, moment: float) -> None:
    """Cancelled at any moment of the start, even twice, ``bring_up`` comes out with everything down."""
    specs = [
        fake("l1"),
        fake("alpha", "gate=never", depends_on=("l1",)),
        fake("beta", "child", "stubborn", "mute", stop_grace_s=0.3),
    ]
    await runtime.prepare(specs)
    start = asyncio.create_task(bring_up(runtime, specs))
    await asyncio.sleep(moment)
    start.cancel()
    await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert [None] * 3 == [status.pid for status in runtime.status()]


async def test_closing_is_not_cut_short(runtime: Runtime, fake: Fake) -> None:
    """Cancelled over and over while it closes, the runtime first finishes, then says that it was cancelled."""
    await up(runtime, fake("alpha"), fake("beta", "stubborn", stop_grace_s=0.5))
    closing = asyncio.create_task(runtime.close())
    for _ in range(10):
        await asyncio.sleep(0.01)
        closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert ["SIGTERM", "SIGKILL"] == [status.signal for status in runtime.status()]


async def test_unexpected_end_is_visible(runtime: Runtime, fake: Fake, call: Call) -> None:
    """A node that ends by itself is marked unexpected and shows its last lines; others go on."""
    await up(runtime, fake("alpha"), fake("beta", "exit=4", readiness=None))
    await until(lambda: status_of(runtime, "beta").state is not NodeState.RUNNING)
    status = status_of(runtime, "beta")
    assert (NodeState.EXITED, 4, False) == (status.state, status.exit_code, status.expected)
    assert ("beta is up", "boom") == status.last_lines[-2:]
    assert "alpha" == await call(runtime.endpoint("alpha", "http"))


async def test_wrong_state_is_refused(runtime: Runtime, fake: Fake) -> None:
    """Starting what runs and freezing what does not are errors; ending what is down is not."""
    await runtime.prepare([fake("alpha")])
    for operation in (runtime.pause, runtime.resume):
        with pytest.raises(NodeStateError, match="planned"):
            await operation("alpha")
    await runtime.stop("alpha")
    await runtime.kill("alpha")
    await runtime.start("alpha")
    with pytest.raises(NodeStateError, match="ready"):
        await runtime.start("alpha")


async def test_names_are_checked(runtime: Runtime, fake: Fake) -> None:
    """A wrong node name is refused with the nearest right one, a wrong endpoint with those there are."""
    await runtime.prepare([fake("sequencer")])
    with pytest.raises(UnknownNodeError, match="did you mean 'sequencer'"):
        await runtime.kill("sequenser")
    with pytest.raises(PlanError, match="http"):
        runtime.endpoint("sequencer", "ws")


async def test_closed_is_closed(runtime: Runtime, fake: Fake) -> None:
    """Closing many times at once is closing once; afterwards nothing can be started."""
    await up(runtime, fake("alpha"))
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(runtime.close())
    await runtime.close()
    with pytest.raises(NodeStateError, match="taken down"):
        await runtime.start("alpha")


async def test_missing_capabilities_are_refused_early(runtime: Runtime) -> None:
    """What a runtime can't do is refused by name, without touching a node."""
    missing = set(Capability) - runtime.capabilities
    for capability in missing:
        with pytest.raises(UnsupportedError, match=capability):
            require(runtime, Capability.KILL, capability)
    require(runtime, *runtime.capabilities)


async def test_every_operation_is_confirmed(runtime: Runtime, fake: Fake) -> None:
    """Somebody other than us has seen each start, pause, resume, kill, stop and restart: the kernel, or the engine."""
    await up(runtime, fake("alpha"))
    seen = {"up": status_of(runtime, "alpha").confirmed}
    for operation in ("pause", "resume", "kill", "restart", "stop", "start"):
        await getattr(runtime, operation)("alpha")
        seen[operation] = status_of(runtime, "alpha").confirmed
    assert None not in seen.values()
    assert 4 <= len({seen[operation] for operation in ("pause", "resume", "kill", "stop")}), seen
