"""Everything is undone whatever goes wrong with a part of it, all of what went wrong is told, and a verdict outlives what comes after it."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge.wire.testing import run_virtual
from orchestrator.chaos import run as running
from orchestrator.chaos.clocks import ClockInjection
from orchestrator.chaos.crashes import CrashInjection, order_of
from orchestrator.chaos.errors import NotStarted
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.healing import Healed, heal_all
from orchestrator.chaos.injection import HEAL_S, all_tried, words_of
from orchestrator.chaos.link_injection import LinkInjection, judged, name_on
from orchestrator.chaos.load import load_scenario
from orchestrator.chaos.machine import MachineInjection, machine_faults
from orchestrator.chaos.plan import AtTime, PlannedFault, ScenarioPlan
from orchestrator.checks import CheckResult, RunFacts, Verdict
from orchestrator.cli.ending import Ending
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.links.errors import NoSuchLinkFault
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.faults import DevnetFaults, DiskFull, Fault, Healing, PacketLoss

ROOT = Path(__file__).parents[2]
DOWN, UP = NodeState.KILLED, NodeState.READY


def planned(kind: str, *targets: str, links: Any = (), ways: Any = (), **parameters: Any) -> PlannedFault:
    """A fault of a plan."""
    return PlannedFault(f"the {kind}", kind, AtTime(0.0), targets, links, 1.0, parameters, 1, ways)


class World:
    """A devnet that notes what is done to it; what is in ``broken`` fails."""

    def __init__(
        self, folder: Path, *, broken: tuple[str, ...] = (), in_force: tuple[Fault, ...] = ()
    ) -> None:
        self.done, self.broken = list[str](), broken
        self.states: dict[str, NodeState] = {}
        self.directory, self.nodes, self.links = RunDirectory(folder), self, self
        self.plan = SimpleNamespace(l1=SimpleNamespace(block_time_s=1.0))
        self.l1 = self.relayer = SimpleNamespace(rpc=self._rpc)
        self.sequencers = {"sequencer": SimpleNamespace(rpc=self._rpc)}
        self._in_force = in_force

    def node(self, name: str) -> Any:
        """One node."""

        async def status() -> Any:
            return SimpleNamespace(state=self.states.get(name, UP), boot=2)

        async def restart() -> Any:
            await self.act(f"restart {name}")
            self.states[name] = UP
            return SimpleNamespace(state=UP, boot=3)

        async def heal(fault: Fault) -> Healing:
            await self.act(f"{fault.kind} off {name}")
            return Healing(True, f"{name} is free")

        return SimpleNamespace(status=status, restart=restart, heal=heal)

    async def faults(self) -> DevnetFaults:
        """Of the runtime."""
        await self.act("ask for faults")
        return DevnetFaults((), self._in_force)

    async def heal_all(self) -> dict[str, int]:
        """Of the links."""
        await self.act("free the links")
        return {"a link": 3}

    async def heal(self, name: str) -> int:
        """One link."""
        if name.startswith("unknown"):
            raise NoSuchLinkFault(name)
        await self.act(f"free {name}")
        return 1

    async def _rpc(self, method: str, *params: Any) -> None:
        await self.act(f"{method} {' '.join(map(str, params))}")

    async def act(self, what: str) -> None:
        """Note it; a thing that is broken does not work."""
        await asyncio.sleep(0)
        self.done.append(what)
        if what in self.broken:
            raise RollnetError(f"{what} does not work")


PLAN = SimpleNamespace(
    faults=(
        planned("kill", "alpha"),
        planned("kill", "beta"),
        planned("crash_at", "gamma"),
        planned("clock_skew", "sequencer"),
        planned("l1_stall", "l1"),
    )
)
STEPS = {
    "free the links",
    "ask for faults",
    "disk-full off beta",
    "packet-loss off alpha",
    "restart beta",
    "restart alpha",
    "rollnet_skewClock 0",
    "evm_setIntervalMining 1",
}


def healed(world: World) -> Healed:
    """Everything that the plan may have done is undone."""
    net: Any = world
    plan: Any = PLAN
    return asyncio.run(heal_all(net, plan))


def broken_world(folder: Path, *broken: str) -> World:
    """Alpha is dead and loses packets, beta's disk is full, gamma is ordered to crash, a clock is wrong, L1 may stand."""
    world = World(folder, broken=broken, in_force=(DiskFull("beta"), PacketLoss("alpha", 0.3)))
    world.states["alpha"] = DOWN
    net: Any = world
    order_of(net, "gamma").parent.mkdir(parents=True, exist_ok=True)
    order_of(net, "gamma").write_text("rollup.boot.replayed:1")
    return world


def test_in_the_end_everything_is_undone(tmp_path: Path) -> None:
    """Links, disks, packets, lives, orders to crash, clocks and L1's beat; what was still to be undone is told."""
    world = broken_world(tmp_path)
    found = healed(world)
    net: Any = world
    assert STEPS <= set(world.done)
    assert not order_of(net, "gamma").exists()
    assert ((), ()) == (found.lost, found.stuck)
    assert any("links were freed of a link" in line for line in found.done)
    assert any("beta is free" in line for line in found.done)


@pytest.mark.parametrize("broken", sorted(STEPS))
def test_one_thing_that_does_not_work_spares_no_other(tmp_path: Path, broken: str) -> None:
    """Each part is tried whatever became of the others, and the one that failed is told."""
    world = broken_world(tmp_path, broken)
    found = healed(world)
    missing = (
        {"disk-full off beta", "packet-loss off alpha", "restart beta"}
        if broken == "ask for faults"
        else set()
    )
    missing |= {"restart beta"} if broken == "disk-full off beta" else set()
    assert STEPS - missing <= set(world.done)
    told = [*found.lost, *found.stuck]
    assert any(f"{broken} does not work" in line for line in told), told


def test_all_that_does_not_work_is_told(tmp_path: Path) -> None:
    """Every failure has a line of its own."""
    world = broken_world(tmp_path, *STEPS - {"ask for faults"})
    found = healed(world)
    told = "\n".join((*found.lost, *found.stuck))
    assert [] == [
        step for step in STEPS - {"ask for faults", "restart beta"} if f"{step} does not work" not in told
    ]


def test_parts_of_a_heal_have_limits_of_their_own() -> None:
    """One that never ends is told after its time, and the others were long done."""
    log: list[str] = []

    async def good() -> Healing:
        log.append("good")
        return Healing(True, "good")

    async def endless() -> Healing:
        await asyncio.sleep(10 * HEAL_S)
        return Healing(True, "never")

    async def bad() -> Healing:
        raise ExceptionGroup("several", [RollnetError("one"), OSError("two")])

    async def main() -> Healing:
        return await all_tried([("a", endless()), ("b", bad()), ("c", good())])

    found = run_virtual(main())
    assert ["good"] == log
    assert (False, f"a: not within {HEAL_S:g} s; b: one; two; good") == (found.healed, found.evidence)
    with pytest.raises(ExceptionGroup):
        words_of(ExceptionGroup("a mistake of ours", [ValueError("x"), RollnetError("y")]))


def test_injections_go_on_after_an_error(tmp_path: Path) -> None:
    """Links, machines and clocks: every part is undone though the first fails; an unknown link is no failure."""
    world = World(tmp_path, broken=("free the drop a->b", "rollnet_skewClock 0", "disk-full off alpha"))
    net: Any = world
    links = LinkInjection(net, planned("drop", links=(("a", "b"), ("b", "c")), probability=1.0))
    links._applied = ["the drop a->b", "unknown x->y", "the drop b->c"]
    found = asyncio.run(links.heal())
    assert (False, True) == (found.healed, "free the drop a->b does not work" in found.evidence)
    assert "free the drop b->c" in world.done
    faults = machine_faults(planned("disk_full", "alpha", "beta", spare=0))
    found = asyncio.run(MachineInjection(net, faults).heal())
    assert (False, True) == (found.healed, "restart beta" in world.done)
    found = asyncio.run(ClockInjection(net, ["sequencer", "relayer"], 5.0).heal())
    assert (False, 2) == (found.healed, world.done.count("rollnet_skewClock 0"))


def test_an_order_for_the_next_boot_does_not_outlive_its_fault(tmp_path: Path) -> None:
    """Whatever interrupted it, the file is gone before the node is brought back, or its next life would end too."""
    world = World(tmp_path)
    net: Any = world
    order_of(net, "alpha").parent.mkdir(parents=True)
    order_of(net, "alpha").write_text("rollup.boot.replayed:1")
    world.states["alpha"] = DOWN
    injection = CrashInjection(net, ["alpha"], "rollup.boot.replayed", 1, 1.0)
    assert asyncio.run(injection.heal()).healed
    assert not order_of(net, "alpha").exists()
    assert ["restart alpha"] == world.done


TO, BACK = (("sequencer", "alpha"), ("sequencer", "beta")), (("alpha", "sequencer"),)


@pytest.mark.parametrize(
    ("ways", "met", "bit"),
    [
        ((TO,), {("sequencer", "alpha"): 3}, True),
        ((TO, BACK), {("sequencer", "alpha"): 3}, False),
        ((TO, BACK), {("sequencer", "beta"): 1, ("alpha", "sequencer"): 1}, True),
        ((TO, BACK), {}, False),
        ((), {}, False),
    ],
)
def test_a_partition_has_to_be_seen_in_each_direction(ways: Any, met: Any, bit: bool) -> None:
    """One link of each direction is enough, and none of one direction is too little; other kinds need any."""
    links = tuple(link for way in ways for link in way)
    fault = planned("partition", links=links, ways=ways, mode="blackhole")
    touched = {name_on(fault, link): met.get(link, 0) for link in links}
    assert bit is judged(fault, touched).bit
    dropping = planned("drop", links=links, ways=ways)
    assert bool(met) is judged(dropping, {name_on(dropping, link): met.get(link, 0) for link in links}).bit


@pytest.fixture
def plan() -> ScenarioPlan:
    """A shipped scenario."""
    return load_scenario(ROOT / "scenarios" / "sequencer-kill.yaml")


Launch = Callable[..., Any]


def launching(folder: Path, *, before: Exception | None = None, after: Exception | None = None) -> Launch:
    """A ``Devnet.launch`` that fails on the way up or down."""

    @contextlib.asynccontextmanager
    async def launch(*_: Any, **__: Any) -> AsyncIterator[Any]:
        if before is not None:
            raise before
        yield SimpleNamespace(directory=RunDirectory(folder), ready_s=0.1)
        if after is not None:
            raise after

    return launch


def run(
    monkeypatch: pytest.MonkeyPatch,
    plan: ScenarioPlan,
    launch: Launch,
    found: Callable[[], Awaitable[Findings]],
) -> Findings:
    """A run whose stages are given."""

    async def nothing(*_: Any) -> Healed:
        return Healed()

    async def stages(*_: Any) -> Findings:
        return await found()

    monkeypatch.setattr(Devnet, "launch", launch)
    monkeypatch.setattr(running, "_found", stages)
    monkeypatch.setattr(running, "heal_all", nothing)
    return asyncio.run(running.run_scenario(plan, lambda _line: None))


@pytest.mark.parametrize(
    "trouble", [RollnetError("a node is stuck"), OSError(28, "no space"), ValueError("x")]
)
def test_what_goes_wrong_after_the_verdict_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, plan: ScenarioPlan, tmp_path: Path, trouble: Exception
) -> None:
    """A devnet that does not go down changes no verdict and no exit code; the words are there, and what to do."""

    async def valid() -> Findings:
        check = CheckResult("all", Verdict.VALID, 1, "things")
        return Findings(plan, "", tmp_path, (check,), (), RunFacts(plan.devnet))

    found = run(monkeypatch, plan, launching(tmp_path, after=trouble), valid)
    assert (Verdict.VALID, 0) == (found.verdict, found.exit_code)
    (warning,) = found.warnings
    assert str(trouble) in warning
    assert "rollnet gc" in warning


def test_a_run_that_breaks_down_is_reported_as_unknown(
    monkeypatch: pytest.MonkeyPatch, plan: ScenarioPlan, tmp_path: Path
) -> None:
    """The verdict is a finding like any other, so that JUnit and report say it; what happened is kept with the run."""

    async def broken() -> Findings:
        raise ExceptionGroup("tasks", [RollnetError("the journal is gone")])

    found = run(monkeypatch, plan, launching(tmp_path), broken)
    assert (Verdict.UNKNOWN, 2) == (found.verdict, found.exit_code)
    (check,) = found.because
    assert "the run broke down: the journal is gone" == check.notes[0]
    assert "the journal is gone" in (tmp_path / running.TROUBLE_FILE).read_text()


@pytest.mark.parametrize(
    "trouble",
    [
        OSError(13, "Permission denied"),
        RollnetError("no anvil"),
        ExceptionGroup("up", [RollnetError("no anvil")]),
    ],
)
def test_a_devnet_that_does_not_come_up_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, plan: ScenarioPlan, tmp_path: Path, trouble: Exception
) -> None:
    """Exit code 3, in words, whatever stood in the way."""

    async def never() -> Findings:
        raise AssertionError("there is no devnet")

    with pytest.raises(NotStarted, match=r"Permission denied|no anvil") as caught:
        run(monkeypatch, plan, launching(tmp_path, before=trouble), never)
    assert 3 == caught.value.exit_code


def test_sigterm_ends_the_work_once_and_undoes_it() -> None:
    """As Ctrl-C: what is under way is cancelled and may undo what it did, and a second signal does not cut that short."""
    log: list[str] = []

    async def work() -> None:
        with Ending():
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(30)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                await asyncio.sleep(0.05)
                log.append("undone")

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(work())
    assert ["undone"] == log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_devnet_that_is_kept_goes_down_by_a_signal_and_signals_mean_again_what_they_meant(
    number: int,
) -> None:
    """The wait ends, nothing else does; the handlers are those from before."""
    before = signal.getsignal(signal.SIGINT)

    async def work() -> str:
        with Ending() as ending:
            ours = signal.getsignal(signal.SIGINT)
            asyncio.get_running_loop().call_soon(os.kill, os.getpid(), number)
            await ending.wait()
            assert ours is signal.getsignal(signal.SIGINT)
            return "waited"

    assert "waited" == asyncio.run(work())
    assert (before, signal.SIG_DFL) == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
