"""What L1 was paid, and how long cash was locked, as readings of the journals."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from bridge.wire.stages import Stage
from orchestrator.report import RunMeta, build_report
from orchestrator.tracing import analyse, group_events
from orchestrator.tracing.capital import capital_of
from orchestrator.tracing.gas import Cost, GasAccount, Purpose, Share, account_gas, divide
from orchestrator.tracing.testing import ScriptedRun
from orchestrator.tracing.testing_bridge import SECOND, tell_message, tell_strategy

MESSAGE, STRATEGY, BUNDLE = ("0x" + digit * 64 for digit in "abc")
ROLLUPS = ("alpha", "beta", "gamma")

amounts = some.integers(0, 10**12)


def accounted(script: ScriptedRun) -> GasAccount:
    """The account of a script."""
    return account_gas(group_events(script.events))


def publish(script: ScriptedRun, number: int, gas: int, *keys: str, node: str = "sequencer") -> None:
    """A superbatch with these bundles in it."""
    attrs = {"number": number, "l1_tx": f"batch {node} {number}", "gas": gas, "wei": 3 * gas}
    at = 100 * SECOND + number
    script.emit("superbatch.published", node=node, at_ns=at, attrs=attrs)
    for key in keys:
        place = {"superbatch": number, "l1_tx": attrs["l1_tx"]}
        script.emit(Stage.PUBLISHED, node=node, at_ns=at, bundle_id=key, attrs=place)


def propose(script: ScriptedRun, rollup: str, root: str, gas: int) -> None:
    """An output on L1."""
    attrs = {"root": root, "l1_tx": f"output {rollup} {root}", "gas": gas, "wei": gas}
    script.emit("output.proposed", node=rollup, at_ns=200 * SECOND, attrs=attrs)


def prove_against(script: ScriptedRun, root: str) -> None:
    """Let every withdrawal be proven against this output."""
    for event in script.events:
        if event.event == Stage.MESSAGE_PROPOSED:
            event.attrs["root"] = root


@given(amount=amounts, weights=some.dictionaries(some.text(max_size=3), some.integers(1, 9), min_size=1))
def test_a_cost_is_divided_without_rest_and_fairly(amount: int, weights: dict[str, int]) -> None:
    """The parts sum to the whole, and none is a unit or more from its exact share."""
    parts = divide(Cost(amount, 2 * amount), weights)

    assert Cost(amount, 2 * amount) == sum(parts.values(), Cost())
    for key, part in parts.items():
        exact = amount * weights[key] / sum(weights.values())
        assert exact - 1 < part.gas < exact + len(weights)


@given(
    batches=some.lists(
        some.tuples(amounts, some.lists(some.sampled_from([MESSAGE, BUNDLE, "0xdd"]), unique=True)),
        max_size=6,
    ),
    outputs=some.lists(some.tuples(some.sampled_from(ROLLUPS), amounts), max_size=6),
    gas=amounts,
    again=some.integers(0, 5),
)
def test_shares_and_overhead_sum_to_what_was_paid(
    batches: list[tuple[int, list[str]]], outputs: list[tuple[str, int]], gas: int, again: int
) -> None:
    """Nothing is paid twice, forgotten or made up: by purposes, by messages, or told again after a crash."""
    script = ScriptedRun()
    script.bundle(BUNDLE, rollups=ROLLUPS, start_ns=0)
    tell_message(script, MESSAGE, start_ns=0, gas=gas)
    tell_strategy(script, STRATEGY, rollups=ROLLUPS, start_ns=0, gas=gas)
    for number, (cost, keys) in enumerate(batches):
        publish(script, number, cost, *keys)
    for number, (rollup, cost) in enumerate(outputs):
        propose(script, rollup, str(number), cost)
    prove_against(script, "0")
    paid = sum(cost for cost, _ in batches) + sum(cost for _, cost in outputs) + (2 + 1 + 2 * 3) * gas
    for event in script.events[:again]:
        script.emit(
            event.event,
            node=event.node,
            at_ns=event.mono_ns + 1,
            bundle_id=event.bundle_id,
            msg_id=event.msg_id,
            leg=event.leg,
            attrs=event.attrs,
        )

    found = accounted(script)

    assert paid == found.total.gas
    assert paid == sum(cost.gas for _, _, _, cost in found.rows())
    assert paid == found.overhead.gas + sum(share.total.gas for share in found.shares.values())
    assert found.total.wei == found.overhead.wei + sum(share.total.wei for share in found.shares.values())
    assert found.overhead.gas >= 0
    assert found.overhead.wei >= 0


def test_who_paid_for_what() -> None:
    """Each payment has its purpose and its payer, whoever tells of it; strategies are opened by users."""
    script = ScriptedRun()
    tell_message(script, MESSAGE, start_ns=0, gas=10)
    tell_strategy(script, STRATEGY, rollups=ROLLUPS, start_ns=0, gas=100)
    publish(script, 0, 1_000, node="alpha-sequencer")
    propose(script, "alpha", "r", 10_000)
    script.emit("output.deleted", node="alpha", at_ns=1, attrs={"l1_tx": "delete", "gas": 100_000, "wei": 1})
    script.emit("contract.deployed", node="maker", at_ns=1, attrs={"l1_tx": "deploy", "gas": 7, "wei": 1})

    assert {
        (Purpose.BATCHES, "alpha-sequencer"): (1, 1_000),
        (Purpose.PROPOSALS, "alpha"): (1, 10_000),
        (Purpose.CHALLENGES, "alpha"): (1, 100_000),
        (Purpose.OPENS, "user"): (1, 100),
        (Purpose.PROOFS, "relayer"): (4, 310),
        (Purpose.FINALIZATIONS, "relayer"): (4, 310),
        (Purpose.OTHER, "maker"): (1, 7),
    } == {(purpose, payer): (count, cost.gas) for purpose, payer, count, cost in accounted(script).rows()}


def test_what_served_several_is_divided_among_them() -> None:
    """A superbatch by the transactions in it, an output by the withdrawals proven against it; idle ones are overhead."""
    script = ScriptedRun()
    script.bundle(BUNDLE, rollups=ROLLUPS, start_ns=0)
    single = "0x" + "e" * 64
    script.emit("bundle.submitted", node="client", at_ns=0, msg_id=single)
    ids = tell_message(script, MESSAGE, start_ns=0, gas=50)
    sent = next(event for event in script.events if event.id == ids[1])
    sent.attrs["l2_tx"] = single
    publish(script, 0, 4_000, BUNDLE)
    place = {"superbatch": 0, "l1_tx": "batch sequencer 0"}
    script.emit(Stage.PUBLISHED, node="sequencer", at_ns=9, msg_id=single, attrs=place)
    publish(script, 1, 999)
    prove_against(script, "r")
    propose(script, "alpha", "r", 800)
    propose(script, "beta", "r", 77)

    found = accounted(script)

    assert Share(shared=Cost(3_000, 9_000)) == found.share(BUNDLE)
    assert Share(own=Cost(100, 700), shared=Cost(1_800, 3_800)) == found.share(MESSAGE)
    assert Share() == found.share(single)
    assert 999 + 77 == found.overhead.gas


def test_one_transaction_that_is_two_stages_is_paid_once() -> None:
    """The router passes a message on in the transaction that finalizes its withdrawal."""
    script = ScriptedRun()
    ids = tell_message(script, MESSAGE, start_ns=0, gas=50)
    told = {event.id: event for event in script.events}
    told[ids[6]].attrs.update({name: told[ids[5]].attrs[name] for name in ("l1_tx", "gas", "wei")})

    found = accounted(script)

    assert Counter({Purpose.PROOFS: 1, Purpose.FINALIZATIONS: 1}) == Counter(
        payment.purpose for payment in found.payments
    )


def test_gas_on_a_rollup_is_not_gas_on_l1() -> None:
    """A replay at the destination costs something there."""
    script = ScriptedRun()
    tell_message(script, MESSAGE, start_ns=0, gas=50)
    script.events[-1].attrs.update({"l2_tx": "0x77", "gas": 12_345, "wei": 1})

    assert 100 == accounted(script).total.gas


def test_the_report_shows_what_was_paid() -> None:
    """One row per purpose and payer."""
    script = ScriptedRun()
    tell_message(script, MESSAGE, start_ns=0, gas=50)
    report = build_report(group_events(script.events), RunMeta("pair", "run", 7, "host"))

    assert [("proofs", "relayer", 1, 50, 350), ("finalizations", "relayer", 1, 50, 350)] == [
        (row.purpose, row.payer, row.transactions, row.gas, row.wei) for row in report.gas
    ]


@given(
    spread=some.integers(0, 10**9),
    end=some.integers(1, 10**10),
    amount=some.integers(1, 10**12),
    legs=some.integers(1, 3),
)
def test_cash_is_locked_from_each_lock_to_its_end(spread: int, end: int, amount: int, legs: int) -> None:
    """Cash times time is summed over the legs, each with its own time; the first lock and the last end span the whole."""
    script = ScriptedRun()
    tell_strategy(
        script, STRATEGY, rollups=ROLLUPS[:legs], start_ns=0, spread_ns=spread, end_ns=end, amount=amount
    )
    at = {(event.event, event.leg): event.mono_ns for event in script.events if event.msg_id is None}
    times = [at["leg.executed", leg] - at["leg.staged", leg] for leg in range(legs)]

    found = capital_of(analyse(group_events(script.events).traces[STRATEGY]).built)

    assert (legs * amount, amount * sum(times)) == (found.amount, found.cash_ns)
    assert at["leg.executed", legs - 1] - at["leg.staged", 0] == found.locked_ns


def test_a_leg_that_votes_no_locks_nothing() -> None:
    """It had nothing to set aside; the others' cash is locked until they are released."""
    script = ScriptedRun()
    tell_strategy(script, STRATEGY, rollups=ROLLUPS, start_ns=0, no=1)

    found = capital_of(analyse(group_events(script.events).traces[STRATEGY]).built)

    assert [0, 2] == [lock.leg for lock in found.locks]
    assert found.locked_ns is not None


@pytest.mark.parametrize("kept", [4, 8, 20])
def test_what_is_still_locked_has_no_time(kept: int) -> None:
    """A strategy in flight is not a short lock."""
    script = ScriptedRun()
    tell_strategy(script, STRATEGY, rollups=ROLLUPS, start_ns=0)
    events = sorted(script.events, key=lambda event: event.mono_ns)[:kept]
    found = capital_of(analyse(group_events(events).traces[STRATEGY]).built)

    assert (None, None) == (found.locked_ns, found.cash_ns)


def test_a_bundle_locks_from_its_staging_to_its_execution() -> None:
    """Behind the gate nobody else can have the cash; how much it is, no journal of a bundle states."""
    script = ScriptedRun()
    script.bundle(BUNDLE, rollups=ROLLUPS, start_ns=0, spread_ns=0)

    found: Any = capital_of(analyse(group_events(script.events).traces[BUNDLE]).built)

    assert (6_000_000, None, None) == (found.locked_ns, found.amount, found.cash_ns)
