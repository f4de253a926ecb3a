"""Two runs of the same work held side by side: what is counted, measured and concluded."""

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from bridge.wire.stages import Stage
from orchestrator.bridging.terms import message_terms
from orchestrator.cli.compare import exit_code
from orchestrator.comparison import Recorded, Standing
from orchestrator.comparison.drawing import TICKS_WANTED, charts, ticks
from orchestrator.comparison.running import NotCompared, plans_of, require_fit
from orchestrator.comparison.tables import BRIDGED, SHARED, headline, message_verdict
from orchestrator.comparison.testing import BRIDGE_PLAN, PLAN, ROLLUPS, bridged, bundles, compared, key
from orchestrator.comparison.waits import message_waits, waits_s
from orchestrator.comparison.work import departures
from orchestrator.strategies import presets
from orchestrator.strategies.errors import ResolutionError
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import L1_BRIDGE, SettlementPlan
from orchestrator.topology.resolve import make_plan
from orchestrator.tracing import Outcome, group_events
from orchestrator.tracing.gas import Cost
from orchestrator.tracing.percentiles import nearest_rank
from orchestrator.tracing.testing import ScriptedRun
from orchestrator.tracing.testing_bridge import SECOND, tell_strategy


@given(
    publish=some.floats(0.1, 30),
    block=some.sampled_from([0.2, 0.4, 1.0, 2.0, 12.0]),
    challenge=some.integers(1, 10_000),
    interval=some.integers(1, 100),
    confirmations=some.integers(0, 20),
    block_time=some.floats(0.1, 10),
)
def test_the_waits_by_stage_sum_to_what_a_message_is_expected_to_take(
    publish: float, block: float, challenge: int, interval: int, confirmations: int, block_time: float
) -> None:
    """What is put beside the stages is exactly what ``rollnet message`` tells a user to expect, and no wait is negative."""
    rollups = tuple(
        replace(each, block_time_s=block_time, settlement=SettlementPlan(challenge, interval))
        for each in PLAN.rollups
    )
    plan = replace(
        BRIDGE_PLAN,
        rollups=rollups,
        l1=replace(PLAN.l1, block_time_s=block, confirmations=confirmations),
        messaging=replace(BRIDGE_PLAN.messaging, publish_every_s=publish),
    )

    waits = message_waits(plan, "alpha", "beta")

    assert pytest.approx(message_terms(plan, "alpha", "beta").expected_s) == waits_s(waits)
    assert all(wait.seconds >= 0 for wait in waits)
    assert challenge <= next(wait.seconds for wait in waits if wait.until == Stage.MESSAGE_FINALIZED)


@settings(max_examples=30)
@given(
    times=some.lists(some.integers(0, SECOND), min_size=1, max_size=6),
    spreads=some.lists(some.integers(0, SECOND), min_size=1, max_size=6),
)
def test_the_stages_on_the_way_of_the_median_sum_to_its_time(times: list[int], spreads: list[int]) -> None:
    """The critical path shown is one that happened: the run in the middle, and its segments are its whole time."""
    found = compared(bundles(times), bridged(spreads))

    for side in found.sides:
        assert side.median is not None
        assert side.median.end_to_end_ns == sum(part.duration_ns for part in side.median.segments)
    middle = sorted(times)[nearest_rank(len(times), 500) - 1]
    assert found.bundle.median is not None
    assert middle + 10_000 == found.bundle.median.end_to_end_ns
    assert found.both_committed
    assert found.slower == Fraction(
        found.bridge.median.end_to_end_ns if found.bridge.median else 0, found.bundle.median.end_to_end_ns
    )


@settings(max_examples=30)
@given(spreads=some.lists(some.integers(0, SECOND), min_size=1, max_size=4), strategies=some.integers(1, 4))
def test_gas_is_divided_without_rest(spreads: list[int], strategies: int) -> None:
    """On each side strategies, messages and overhead are all that was paid."""
    found = compared(bundles([1] * strategies), bridged(spreads, [5 * SECOND] * 3))

    for side in found.sides:
        gas = side.gas
        parts = (
            gas.strategies_own,
            gas.strategies_shared,
            gas.messages_own,
            gas.messages_shared,
            gas.overhead,
        )
        assert sum((row.cost for row in gas.rows), Cost()) == sum(parts, Cost())
    assert (0, 60_000 * strategies) == (
        found.bundle.gas.strategies_own.gas,
        found.bundle.gas.strategies_shared.gas,
    )
    assert len(spreads) * (1 + 2 * len(ROLLUPS)) * 100_000 == found.bridge.gas.strategies_own.gas
    assert 3 * 2 * 100_000 == found.bridge.gas.messages_own.gas


def test_cash_is_locked_for_milliseconds_or_for_the_whole_round_trip() -> None:
    """The bridge states what it locked; the bundle's cash is the same, and its time bounds the product from above."""
    found = compared(bundles([1, 1]), bridged([0, 0]))

    bundle, bridge = (side.locked for side in found.sides)
    assert bundle.cash == bridge.cash == 4 * 5_000_000
    assert bundle.bound
    assert not bridge.bound
    assert 4 * 5_000_000 * 7_000 == bundle.cash_ns
    assert 4 * 5_000_000 * 12 * SECOND == bridge.cash_ns


@settings(max_examples=30)
@given(finality=some.integers(1, 60 * SECOND), count=some.integers(1, 40))
def test_messages_are_held_against_the_waits(finality: int, count: int) -> None:
    """Twenty messages make a verdict; it is the median over the sum of the waits, against one and a half."""
    found = compared(bundles([1]), bridged([0], [finality] * count)).messages
    assert found is not None
    waits = message_terms(BRIDGE_PLAN, "alpha", "beta").expected_s

    if count < 20:
        assert (None, Standing.UNKNOWN) == (found.ratio, found.standing)
        assert "UNKNOWN" in message_verdict(found)
        return
    assert finality == found.end_to_end.p50.value_ns
    exact = finality / (waits * SECOND)
    assert found.ratio is not None
    assert abs(float(found.ratio) - exact) <= 0.0005
    if abs(exact - 1.5) > 0.001:
        assert (Standing.WITHIN if exact < 1.5 else Standing.BEYOND) is found.standing
    assert str(found.standing).upper() in message_verdict(found)


def test_messages_that_never_arrive_are_beyond_every_mark() -> None:
    """The fast half is no excuse: with most of them missing the median is longer than any time measured."""
    found = compared(bundles([1]), bridged([0], [SECOND] * 10, lost=15)).messages

    assert found is not None
    assert Standing.BEYOND is found.standing
    assert "half of the messages had not arrived" in message_verdict(found)
    assert {Outcome.EXECUTED: 10, Outcome.UNKNOWN: 15} == dict(found.outcomes)


def test_each_message_is_held_against_the_waits_of_its_own_rollups() -> None:
    """A slow rollup's messages may take longer, and don't make the others look fast: the slowest pair is shown."""
    slow = replace(BRIDGE_PLAN.rollups[0], settlement=SettlementPlan(100, 10))
    plan = replace(BRIDGE_PLAN, rollups=(slow, *BRIDGE_PLAN.rollups[1:]))
    usual, longer = (message_terms(plan, source, "delta").expected_s for source in ("beta", "alpha"))
    times = [round((longer if number % 4 == 0 else usual) * SECOND) for number in range(20)]

    found = compared(bundles([1]), bridged([0], times, plan=plan)).messages

    assert found is not None
    assert Fraction(1) == found.ratio
    assert pytest.approx(longer) == found.waits_s


def test_what_did_not_commit_is_said_first() -> None:
    """Reasons are counted on the side where they happened; nothing is praised."""
    found = compared(bundles([1]), bridged([0, 0], no=2))

    assert not found.both_committed
    assert headline(found).startswith("iron_condor did not commit every time")
    assert (("no quote", 2),) == found.bridge.reasons
    assert (None, 2) == (found.bridge.median, found.bridge.count(Outcome.ABORTED))


@pytest.mark.parametrize(
    ("bundle", "bridge", "code"),
    [
        (bundles([1]), bridged(), 0),
        (bundles([1]), bridged(no=0), 1),
        (replace(bundles([1]), failures=("not quoted",)), bridged(), 1),
        (bundles([1]), replace(bridged(), strategies=(key(7),)), 2),
        (replace(bundles([1]), strategies=()), bridged(), 1),
    ],
)
def test_exit_codes(bundle: Recorded, bridge: Recorded, code: int) -> None:
    """0 both committed, 1 something did not, 2 something has no end; nothing done is no success."""
    assert code == exit_code(compared(bundle, bridge))


def test_a_contradiction_in_the_journals_is_no_success() -> None:
    """Committed everywhere, and one leg twice: that is told, and the exit status says it."""
    script = ScriptedRun()
    tell_strategy(script, key(1), rollups=ROLLUPS, start_ns=0)
    end = script.events[-1]
    script.emit(
        end.event,
        node="relayer",
        at_ns=end.mono_ns + 1,
        bundle_id=key(1),
        leg=end.leg,
        attrs={**end.attrs, "block": 99},
    )
    run = replace(bridged(), traces=group_events(script.events), strategies=(key(1),))

    found = compared(bundles([1]), run)

    assert found.both_committed
    assert 1 == len(found.bridge.alarms) == exit_code(found)


@given(
    times=some.lists(some.integers(0, SECOND), min_size=1, max_size=3),
    spread=some.integers(0, SECOND),
)
def test_both_paths_are_drawn_on_one_scale(times: list[int], spread: int) -> None:
    """Bars follow one another without gap, end where the path ends, and only the enlarged drawing has a scale of its own."""
    found = compared(bundles(times), bridged([spread]))
    drawn = charts(found.bundle.median, found.bridge.median, (SHARED, BRIDGED))

    assert 1 == len({chart.whole_ns for chart in drawn if not chart.enlarged})
    for chart in drawn:
        for earlier, later in pairwise(chart.bars):
            assert earlier.start_ns + earlier.duration_ns == later.start_ns
        assert 0 == chart.bars[0].start_ns
        assert chart.bars[-1].start_ns + chart.bars[-1].duration_ns <= chart.whole_ns
    assert [False, False, True] == [chart.enlarged for chart in drawn]
    assert drawn[-1].whole_ns == sum(bar.duration_ns for bar in drawn[-1].bars)


@given(whole=some.integers(0, 10**14))
def test_marks_on_a_scale_are_round_and_few(whole: int) -> None:
    """From zero, evenly, not beyond the end; a step is 1, 2 or 5 and zeros."""
    marks = ticks(whole)
    steps = {later - earlier for earlier, later in pairwise(marks)}

    assert 0 == marks[0]
    assert marks[-1] <= max(0, whole)
    assert len(steps) <= 1
    assert len(marks) <= TICKS_WANTED + 1
    assert all(str(step).rstrip("0") in {"1", "2", "5"} for step in steps)


@given(seed=some.integers(0, 2**32), count=some.integers(0, 50), spacing=some.floats(0.01, 10))
def test_departures_are_the_same_in_both_modes(seed: int, count: int, spacing: float) -> None:
    """The same seed gives the same moments, in order, about so far apart."""
    moments = departures(seed, count, spacing)

    assert moments == departures(seed, count, spacing)
    assert count == len(moments)
    assert all(spacing * 0.499 < later - earlier < spacing * 1.501 for earlier, later in pairwise(moments))


def test_only_the_mode_differs_between_the_two_plans(repository: Path) -> None:
    """Whatever mode the file is in; of the roles only the batchers differ, which belong to the mode."""
    for name in ("bridge-quad", "condor-quad"):
        file = repository / "topologies" / f"{name}.yaml"
        plans = plans_of(file)
        own = make_plan(load_topology(file))
        assert own in (plans.bundle, plans.bridge)
        same: dict[str, Any] = {"messaging": own.messaging, "roles": ()}
        assert replace(plans.bundle, **same) == replace(plans.bridge, **same)
        assert replace(plans.bundle.messaging, mode=L1_BRIDGE) == plans.bridge.messaging
        batchers = {f"{rollup.name}-batcher" for rollup in own.rollups}
        assert batchers == {role.name for role in plans.bridge.roles} - {
            role.name for role in plans.bundle.roles
        }
    assert 11 == plans_of(file, 11).bridge.seed == plans_of(file, 11).bundle.seed


def test_what_would_take_days_is_refused_beforehand(repository: Path) -> None:
    """A challenge period of a week is no comparison over a coffee; the message says what to do instead."""
    plan = plans_of(repository / "topologies" / "condor-quad.yaml").bridge
    assert plan.market is not None
    condor = presets.build("iron_condor", plan.market)

    with pytest.raises(NotCompared, match="challenge period") as caught:
        require_fit(plan, condor, 20)
    assert "bridge-quad" in caught.value.hint
    require_fit(plans_of(repository / "topologies" / "bridge-quad.yaml").bridge, condor, 20)


def test_options_rollups_are_compared_in_their_lots(repository: Path) -> None:
    """The mixed topology can be compared as it is; a quantity that an options rollup would refuse is refused before anything is launched."""
    plan = plans_of(repository / "topologies" / "condor-mixed.yaml").bridge
    assert plan.market is not None
    require_fit(plan, presets.build("iron_condor", plan.market), 20)
    with pytest.raises(ResolutionError, match=r"is no multiple of the lot, 0\.01 of delta"):
        require_fit(plan, presets.build("iron_condor", plan.market, quantity=0.001), 20)


def test_messages_need_somewhere_to_go(repository: Path) -> None:
    """One rollup has nobody to write to."""
    plan = plans_of(repository / "topologies" / "bridge-pair.yaml").bridge
    single = replace(plan, rollups=plan.rollups[:1])
    assert plan.market is not None
    alone = presets.build("vertical", plan.market, rollups=("alpha",))

    with pytest.raises(NotCompared, match="nowhere to send"):
        require_fit(single, alone, 1)
    require_fit(single, alone, 0)
