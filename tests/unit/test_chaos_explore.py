"""Exploring: every schedule that is drawn is a right one, a failing one is shrunk to what matters, and nothing is claimed that was not seen."""

import asyncio
import io
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.drawing import GAP_S, LEAST_S, TOPOLOGY, draw, scenario
from orchestrator.chaos.explore import ATTEMPTS, RATE, Explored, Search
from orchestrator.chaos.fault_spec import KINDS
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.load import load_scenario, read_scenario
from orchestrator.chaos.plan import AtTime, ScenarioPlan
from orchestrator.chaos.terminal import print_explored
from orchestrator.checks import Verdict

SEEDS = range(150)
NODES = {"kill", "stop", "restart", "pause", "crash_at"}


def plan_of(seed: int, schedule: Any = None) -> ScenarioPlan:
    """As the search reads it."""
    ground = Ground.of(_any().devnet)
    document = scenario(seed, TOPOLOGY, draw(seed, ground) if schedule is None else schedule, RATE)
    return read_scenario(yaml.safe_dump(document).encode(), "drawn", Path.cwd(), runtime="process")


def _any() -> ScenarioPlan:
    fault = {"name": "a", "when": {"after": "0ms"}, "fault": "restart", "target": "sequencer"}
    text = yaml.safe_dump(scenario(0, TOPOLOGY, [fault], RATE)).encode()
    return read_scenario(text, "any", Path.cwd(), runtime="process")


def test_every_schedule_is_a_right_scenario_and_a_seed_is_a_schedule() -> None:
    """Read as a user's file would be; every kind that processes can do is drawn, and many crash points; nodes are struck one after the other.

    A message fault on a quiet link would not bite: only links of slots are drawn, and for long enough.
    """
    ground = Ground.of(_any().devnet)
    kinds, points = set(), set()
    for seed in SEEDS:
        plan = plan_of(seed)
        assert_apart(plan)
        assert draw(seed, ground) == draw(seed, ground)
        kinds |= {fault.kind for fault in plan.faults}
        points |= {fault.parameters["point"] for fault in plan.faults if fault.kind == "crash_at"}
        windows = []
        for fault in plan.faults:
            assert isinstance(fault.trigger, AtTime)
            if fault.kind in ("drop", "duplicate", "reorder"):
                assert {"sequencer"} == {caller for caller, _ in fault.links}
                assert fault.lasts_s >= LEAST_S
            if fault.kind in NODES:
                windows.append((fault.trigger.after_s, fault.trigger.after_s + fault.lasts_s))
        for (_, ended), (begun, _) in itertools.pairwise(windows):
            assert begun >= ended + GAP_S - 0.01
    assert {"packet_loss", "out_of_memory", "disk_full"} == set(KINDS) - kinds
    assert len(points) > 15
    assert points <= set(CRASH_POINTS)


def assert_apart(plan: ScenarioPlan) -> None:
    """No link and no clock is struck while a node of it is down, and no link twice at once: neither could be seen to bite."""
    for fault, other in itertools.permutations(plan.faults, 2):
        begins, ends = (
            (one.trigger.after_s, one.trigger.after_s + one.lasts_s)
            for one in (fault, other)
            if isinstance(one.trigger, AtTime)
        )
        if begins[0] >= ends[1] or ends[0] >= begins[1]:
            continue
        used = {end for link in fault.links for end in link} | (
            set(fault.targets) if fault.kind == "clock_skew" else set()
        )
        assert other.kind not in NODES or not used & set(other.targets)
        assert not {frozenset(link) for link in fault.links} & {frozenset(link) for link in other.links}


class Fake:
    """Runs nothing: says what a rule says of the names of the faults."""

    def __init__(self, rule: Callable[[tuple[str, ...], int], Verdict], struck: int = 1) -> None:
        self.rule, self.struck, self.runs = rule, struck, list[tuple[str, ...]]()

    async def __call__(self, plan: ScenarioPlan) -> Any:
        """One run."""
        await asyncio.sleep(0)
        names = tuple(fault.kind for fault in plan.faults)
        self.runs.append(names)
        verdict = self.rule(names, self.runs.count(names))
        because = (
            () if verdict is Verdict.VALID else (SimpleNamespace(name="a checker", notes=("too little",)),)
        )
        struck = tuple(SimpleNamespace(begun_ns=1) for _ in range(self.struck))
        return SimpleNamespace(verdict=verdict, because=because, directory=Path("/run"), struck=struck)


def search(
    folder: Path, run: Callable[[ScenarioPlan], Awaitable[Any]], seed: int = 0, seconds: float = 30.0
) -> Explored:
    """A whole search."""
    told: list[str] = []
    return asyncio.run(Search(TOPOLOGY, seed, folder, run, told.append).explore(seconds))


def test_a_failing_schedule_is_shrunk_to_the_faults_that_matter(tmp_path: Path) -> None:
    """It fails whenever something is killed while L1 is reorganised: these two are left, and the file says just them."""

    def rule(names: tuple[str, ...], _: int) -> Verdict:
        return Verdict.INVALID if {"kill", "l1_reorg"} <= set(names) else Verdict.VALID

    run = Fake(rule)
    found = search(tmp_path / "out", run)
    assert (Verdict.INVALID, 1) == (found.verdict, found.exit_code)
    assert {"kill", "l1_reorg"} == {fault["fault"] for fault in found.smallest}
    assert 2 == len(found.smallest)
    assert found.file is not None
    again = load_scenario(found.file)
    assert {"kill", "l1_reorg"} == {fault.kind for fault in again.faults}
    failing = next((tmp_path / "out").glob("failing-*.yaml"))
    assert set(found.tried[-1].faults) == {fault.name for fault in load_scenario(failing).faults}
    assert all(tried.verdict is Verdict.VALID for tried in found.tried[:-1])


def test_what_fails_only_now_and_then_gets_another_chance(tmp_path: Path) -> None:
    """A part that passes once and fails the next time is believed to fail."""

    def rule(names: tuple[str, ...], attempt: int) -> Verdict:
        if "pause" not in names:
            return Verdict.VALID
        return Verdict.INVALID if attempt == ATTEMPTS or len(names) > 2 else Verdict.VALID

    found = search(tmp_path, Fake(rule))
    assert ["pause"] == [fault["fault"] for fault in found.smallest]
    assert found.last is not None
    assert ("a checker",) == found.last.because


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([Verdict.VALID, Verdict.UNKNOWN], (Verdict.VALID, 0)),
        ([Verdict.UNKNOWN], (Verdict.UNKNOWN, 2)),
    ],
)
def test_nothing_is_claimed_that_was_not_seen(
    tmp_path: Path, verdicts: list[Verdict], expected: tuple[Verdict, int]
) -> None:
    """Without a failure: valid if something was judged, unknown if nothing was; no file is written, and at least one schedule is run."""
    cycle = itertools.cycle(verdicts)
    run = Fake(lambda _, __: next(cycle))
    found = search(tmp_path / "out", run, seconds=0.2)
    assert expected == (found.verdict, found.exit_code)
    assert len(found.tried) >= len(verdicts)
    assert [tried.seed for tried in found.tried] == list(range(len(found.tried)))
    assert (None, ()) == (found.file, found.smallest)
    assert not (tmp_path / "out").exists()


def test_who_reads_of_a_failure_hears_whether_a_fault_had_a_part_in_it(tmp_path: Path) -> None:
    """A build that fails before anything struck says so; one that fails after a fault does not."""
    for struck, told in ((0, True), (1, False)):
        found = search(tmp_path, Fake(lambda _, __: Verdict.INVALID, struck=struck))
        console = Console(width=140, record=True, file=io.StringIO())
        print_explored(found, console)
        assert told is ("before any fault struck" in console.export_text())
