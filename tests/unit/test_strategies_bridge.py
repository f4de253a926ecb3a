"""A strategy over the bridge before it is opened and after it has ended, and who decides that it goes there; all pure."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.relayer.strategies.lifecycle import GIVEN_UP, Lock
from orchestrator.execution import NeedsBridge, chosen_mode
from orchestrator.market.testing import EXAMPLE_MARKET, example_plan
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.strategies import presets
from orchestrator.strategies.bridge_result import Measured, RollupEnd, Trade, bridge_result, refused
from orchestrator.strategies.bridge_terms import (
    MAX_LEGS,
    MAX_LEGS_IN_ALL,
    MAX_LOCK_S,
    MAX_PARTICIPANTS,
    BridgeStrategy,
    Deadlines,
    deadlines,
    participants_of,
    require_expiries,
    waits,
)
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.model import ExecutionMode, Kind, Leg, Side, Strategy
from orchestrator.strategies.resolve import PlacedLeg
from orchestrator.topology.plan import L1_BRIDGE, SHARED_SEQUENCER, Plan, SettlementPlan

NAMES = tuple(f"r{index:02d}" for index in range(MAX_PARTICIPANTS + 1))
MAKER = "0x" + "aa" * 20
USER = "0x" + "bb" * 20
NOW = 1_700_000_000
STRIKES = (1_800, 1_900, 2_000, 2_100, 2_200)


def plan_of(mode: str, *, challenge_s: int = 5, window: int = 60, block_s: float = 1.0) -> Plan:
    """Three rollups."""
    plan = example_plan(("alpha", "beta", "gamma"))
    settled = SettlementPlan(challenge_period_s=challenge_s, proposal_interval=2)
    return replace(
        plan,
        l1=replace(plan.l1, block_time_s=block_s),
        rollups=tuple(replace(rollup, settlement=settled) for rollup in plan.rollups),
        messaging=replace(plan.messaging, mode=mode, sequencing_window=window),
    )


def placed(index: int, rollup: str, side: Side = Side.BUY, quantity: int = 10_000) -> PlacedLeg:
    """A leg with everything decided."""
    leg = Leg(side, Kind.CALL, "ETH", STRIKES[index % len(STRIKES)] * 10**6, quantity, None, rollup)
    chain_id = 901 + NAMES.index(rollup) if rollup in NAMES else 900
    return PlacedLeg(leg, index, rollup, chain_id, 0, bytes([index]) * 32, NOW + 10**6, 10, 11)


legs_of = st.lists(st.sampled_from(NAMES[:MAX_PARTICIPANTS]), min_size=1, max_size=MAX_LEGS_IN_ALL).map(
    lambda rollups: [placed(index, rollup) for index, rollup in enumerate(rollups)]
)


@given(legs_of)
def test_participants_are_the_legs_by_rollup(legs: list[PlacedLeg]) -> None:
    """Every leg is in exactly one rollup's part, in its order; the rollups are in the order in which they are first named."""
    crowded = {leg.rollup for leg in legs if sum(each.rollup == leg.rollup for each in legs) > MAX_LEGS}
    if crowded:
        with pytest.raises(ResolutionError, match="over the bridge a rollup takes 8"):
            participants_of("s", legs, MAKER)
        return
    parts = participants_of("s", legs, MAKER)
    assert list(dict.fromkeys(leg.rollup for leg in legs)) == [part.rollup for part in parts]
    assert list(range(len(legs))) == sorted(index for part in parts for index in part.legs)
    for part in parts:
        own = [leg for leg in legs if leg.rollup == part.rollup]
        assert [leg.index for leg in own] == list(part.legs)
        expected = [(leg.series, MAKER, leg.leg.signed_quantity, leg.limit) for leg in own]
        assert (part.chain_id, expected) == (own[0].chain_id, part.struct[1])


def test_more_than_the_registry_takes_is_refused_beforehand() -> None:
    """Too many legs, or too many rollups; with what to do."""
    many = [placed(index, NAMES[index % 8]) for index in range(MAX_LEGS_IN_ALL + 1)]
    with pytest.raises(ResolutionError, match="has 33 legs"):
        participants_of("s", many, MAKER)
    wide = [placed(index, name) for index, name in enumerate(NAMES)]
    with pytest.raises(ResolutionError, match="on 17 rollups"):
        participants_of("s", wide, MAKER)


@given(
    st.integers(1, 3_600),
    st.integers(4, 300),
    st.floats(0.1, 12.0),
    st.none() | st.integers(1, 10_000),
)
def test_deadlines_leave_time_for_every_way(
    challenge_s: int, window: int, block_s: float, lifetime_s: int | None
) -> None:
    """The decision has as long as asked for, or more than the orders and votes may take; refunds wait for the registry's margin."""
    plan = plan_of(L1_BRIDGE, challenge_s=challenge_s, window=window, block_s=block_s)
    times, way = deadlines(plan, ["alpha", "gamma"], NOW, lifetime_s), waits(plan, ["alpha", "gamma"])
    assert refund_margin_s(plan) == times.refund_after - times.decide_by
    if lifetime_s is None:
        assert times.decide_by - NOW > 2 * (way.order_s + way.vote_s)
    else:
        assert NOW + lifetime_s == times.decide_by
    assert times.refund_after - NOW < MAX_LOCK_S
    assert way.vote_s > challenge_s


def test_a_week_of_challenge_is_too_long() -> None:
    """Legs would be locked for longer than the registry allows: the user hears it, with the settings to change."""
    with pytest.raises(ResolutionError, match="allows less than 604800 s") as caught:
        deadlines(plan_of(L1_BRIDGE, challenge_s=604_800), ["alpha"], NOW)
    assert "settlement.challenge_period" in caught.value.hint


@given(st.integers(-5, 5))
def test_nothing_may_expire_while_it_is_locked(after: int) -> None:
    """The escrow's own condition: a series that expires at ``refund_after`` or before is refused."""
    times = Deadlines(NOW + 60, NOW + 150)
    leg = replace(placed(0, "r00"), expiry=times.refund_after + after)
    if after > 0:
        require_expiries("s", [leg], times)
    else:
        with pytest.raises(ResolutionError, match=r"leg 0 of s expires on r00"):
            require_expiries("s", [leg], times)


# -- which way


@given(
    st.sampled_from((SHARED_SEQUENCER, L1_BRIDGE)),
    st.sampled_from(ExecutionMode),
    st.none() | st.sampled_from(ExecutionMode),
    st.sets(st.sampled_from(("alpha", "beta", "gamma")), min_size=1),
)
def test_the_way_is_the_wanted_one_or_a_bundle_where_there_can_be_one(
    messaging: str, in_file: ExecutionMode, option: ExecutionMode | None, rollups: set[str]
) -> None:
    """The option goes before the file; ``auto`` is a bundle where one sequencer orders all legs; an impossible bundle is refused."""
    plan = plan_of(messaging)
    strategy = presets.build("vertical", EXAMPLE_MARKET, rollups=tuple(sorted(rollups)))
    strategy = replace(strategy, execution=in_file)
    used = {leg.rollup for leg in strategy.legs}
    possible = messaging == SHARED_SEQUENCER or len(used) == 1
    wanted = option or in_file
    if wanted is ExecutionMode.BUNDLE and not possible:
        with pytest.raises(NeedsBridge) as caught:
            chosen_mode(plan, strategy, option)
        assert "--execution bridge" in caught.value.hint
        return
    expected = wanted
    if wanted is ExecutionMode.AUTO:
        expected = ExecutionMode.BUNDLE if possible else ExecutionMode.BRIDGE
    assert expected is chosen_mode(plan, strategy, option)


# -- the end

LEGS = (placed(0, "r00"), placed(1, "r01", Side.SELL), placed(2, "r00"))
BRIDGED = BridgeStrategy(
    strategy=Strategy("s", tuple(leg.leg for leg in LEGS)),
    account=USER,
    price_cap=8_000 * 10**6,
    legs=LEGS,
    participants=participants_of("s", LEGS, MAKER),
    deadlines=Deadlines(NOW + 60, NOW + 150),
    salt=bytes(32),
    id=b"\5" * 32,
)


def measured(**locked_s: float) -> Measured:
    """What journals say."""
    return Measured({"end_to_end": 5.0}, (), 7, {int(leg[1:]): found for leg, found in locked_s.items()})


def test_a_commit_reads_like_a_bundle_s() -> None:
    """Legs in the strategy's order with what each rollup showed, the profile of all, and what was locked for how long."""
    ends = {
        "r00": RollupEnd(Lock.COMMITTED, b"\1" * 32, (Trade(10, 10), Trade(20, 20)), 3, (10, 20)),
        "r01": RollupEnd(Lock.COMMITTED, b"\2" * 32, (Trade(30, -30),), 4, (500,)),
    }
    result = bridge_result(BRIDGED, "committed", None, ends, measured(_0=3.25))
    body = result.to_json()
    assert ("committed", "bridge", "0x" + "05" * 32, 7) == tuple(
        body[key] for key in ("outcome", "execution", "bundle_hash", "l1_gas")
    )
    assert [10, -30, 20] == [leg["premium"] for leg in body["legs"]]
    assert ["0x" + "01" * 32, "0x" + "02" * 32, "0x" + "01" * 32] == [leg["tx_hash"] for leg in body["legs"]]
    expected = [{"seconds": 3.25, "cash": 10}, {"seconds": 4.0, "cash": 500}, {"seconds": 3.25, "cash": 20}]
    assert expected == [leg["locked"] for leg in body["legs"]]
    assert {"seconds": 4.0, "cash": 530} == body["locked"]
    assert 0 == body["net_premium"]
    assert len(body["payoffs"]) == len({0, 8_000 * 10**6, *(leg.leg.strike for leg in LEGS)})


@given(st.sampled_from([None, *Lock]), st.sampled_from(["committed", "aborted", "unknown", "partial"]))
def test_a_leg_is_what_its_rollup_shows(lock: Lock | None, outcome: Any) -> None:
    """Traded, given up or not known: never guessed from the decision, and without receipts there are no figures."""
    ends = {"r00": RollupEnd(lock, b"\1" * 32)}
    result = bridge_result(BRIDGED, outcome, "why", ends, measured())
    expected = "executed" if lock is Lock.COMMITTED else "reverted" if lock in GIVEN_UP else "unknown"
    assert [expected, "unknown", expected] == [leg.status for leg in result.legs]
    body = result.to_json()
    assert (None, None, []) == (body["net_premium"], body["locked"], body["payoffs"])
    assert None is body["legs"][1]["tx_hash"]


def test_a_refusal_names_the_leg_where_that_is_known() -> None:
    """By its place in the strategy; else all legs of the rollup that it may be."""
    first, second = BRIDGED.participants
    assert refused(second, None, b"").startswith("leg 1 on r01: ")
    assert refused(first, 1, b"").startswith("leg 2 on r00: ")
    assert refused(first, None, b"").startswith("one of the legs 0, 2 on r00: ")
