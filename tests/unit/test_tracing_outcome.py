from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.journal import Event
from orchestrator.tracing import Analysis, Outcome, analyse, group_events
from orchestrator.tracing.testing import ScriptedRun

KEY = "0x" + "a" * 64


def judged(events: list[Event]) -> Analysis:
    """The analysis of the one message in these events."""
    (trace,) = group_events(events).traces.values()
    return analyse(trace)


def life(*told: tuple[str, int | None, dict[str, Any]], transaction: bool = False) -> Analysis:
    """A submitted message and then these events, (name, leg, attributes), a nanosecond apart."""
    script = ScriptedRun()
    ids: dict[str, Any] = {"msg_id": KEY} if transaction else {"bundle_id": KEY}
    script.emit("bundle.submitted", node="client", at_ns=0, **ids)
    for place, (name, leg, attrs) in enumerate(told, start=1):
        node = "sequencer" if leg is None else f"rollup-{leg}"
        script.emit(name, node=node, at_ns=place, leg=leg, attrs=attrs, **ids)
    return judged(script.events)


COMMIT = ("bundle.decided", None, {"decision": "commit"})
ABORT = (
    "bundle.decided",
    None,
    {"decision": "abort", "reason": "out of margin", "failed_leg": 1, "rollup": "beta"},
)
EXPIRED: tuple[str, int | None, dict[str, Any]] = ("bundle.expired", None, {})


def staged(leg: int) -> tuple[str, int | None, dict[str, Any]]:
    """A leg behind its gate."""
    return ("leg.staged", leg, {"status": "ok"})


def executed(leg: int, **attrs: Any) -> tuple[str, int | None, dict[str, Any]]:
    """A leg whose receipt is visible."""
    return ("leg.executed", leg, attrs)


def reverted(leg: int) -> tuple[str, int | None, dict[str, Any]]:
    """A leg without effect."""
    return ("leg.reverted", leg, {})


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ([], Outcome.UNKNOWN),
        ([staged(0), staged(1)], Outcome.UNKNOWN),
        ([staged(0), staged(1), COMMIT], Outcome.UNKNOWN),
        ([staged(0), staged(1), COMMIT, executed(0)], Outcome.UNKNOWN),
        ([COMMIT, executed(1)], Outcome.UNKNOWN),
        ([staged(0), staged(1), COMMIT, executed(0), executed(1)], Outcome.COMMITTED),
        ([staged(0), staged(1), executed(1), executed(0)], Outcome.COMMITTED),
        ([("bundle.admitted", None, {"legs": 2}), COMMIT, executed(0)], Outcome.UNKNOWN),
        ([("bundle.admitted", None, {"legs": ["a", "b"]}), COMMIT, executed(0)], Outcome.UNKNOWN),
        ([staged(0), staged(1), ABORT], Outcome.ABORTED),
        ([staged(0), ABORT, reverted(0), reverted(1)], Outcome.ABORTED),
        ([staged(0), reverted(0)], Outcome.ABORTED),
        ([EXPIRED], Outcome.EXPIRED),
        ([EXPIRED, ABORT], Outcome.ABORTED),
        ([COMMIT, executed(0), reverted(1)], Outcome.PARTIAL),
        ([ABORT, reverted(0), executed(1)], Outcome.PARTIAL),
        ([ABORT, executed(0), executed(1)], Outcome.PARTIAL),
        ([staged(0), staged(1), COMMIT, reverted(1)], Outcome.PARTIAL),
        ([EXPIRED, executed(0)], Outcome.PARTIAL),
    ],
)
def test_outcome_follows_from_the_events(
    told: list[tuple[str, int | None, dict[str, Any]]], outcome: Outcome
) -> None:
    """The table of ends: what was told decides, nothing is assumed."""
    assert outcome is life(*told).outcome


@given(
    legs=st.lists(st.booleans(), min_size=2, max_size=6).filter(lambda found: len(set(found)) == 2),
    decision=st.sampled_from([[], [COMMIT], [ABORT], [EXPIRED], [COMMIT, ABORT]]),
    luck=st.randoms(use_true_random=False),
)
def test_a_partial_bundle_is_always_flagged(legs: list[bool], decision: list[Any], luck: Any) -> None:
    """Whatever was decided and in whatever order it is told: one leg executed and one reverted is PARTIAL."""
    told = [*decision, *(executed(leg) if done else reverted(leg) for leg, done in enumerate(legs))]
    luck.shuffle(told)

    found = life(*told)

    assert Outcome.PARTIAL is found.outcome
    assert any("executed" in alarm and "reverted" in alarm for alarm in found.alarms)


@given(
    legs=st.integers(min_value=1, max_value=4),
    fails=st.booleans(),
    kept=st.integers(min_value=1, max_value=20),
)
def test_a_healthy_life_never_alarms_wherever_it_is_cut(legs: int, fails: bool, kept: int) -> None:
    """The journals of a healthy bundle, read at any moment, show no violation: what has not ended is unknown."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("a", "b", "c", "d")[:legs], start_ns=0, abort_leg=0 if fails else None)
    ordered = sorted(script.events, key=lambda event: event.mono_ns)[:kept]

    found = judged(ordered)

    assert () == found.alarms
    assert found.outcome in {Outcome.UNKNOWN, Outcome.ABORTED if fails else Outcome.COMMITTED}


@given(
    again=st.sets(st.sampled_from(["bundle.decided", "leg.executed", "bundle.admitted"]), min_size=1),
    later=st.integers(min_value=1, max_value=10**9),
)
def test_what_is_told_again_after_a_crash_changes_no_number(again: set[str], later: int) -> None:
    """Repeats are counted as repeated; outcome, times and path are those of the first telling."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha", "beta"), start_ns=0)
    before = judged(script.events)
    for node in ("alpha", "beta", "sequencer"):
        script.restart(node)
    repeats = [event for event in script.events if event.event in again]
    for event in repeats:
        script.emit(
            event.event,
            node=event.node,
            at_ns=event.mono_ns + later,
            bundle_id=KEY,
            leg=event.leg,
            attrs={**event.attrs, "recovered": True},
        )

    after = judged(script.events)

    assert len(repeats) == len(after.built.repeated)
    assert (before.outcome, before.end_to_end_ns, before.path, before.segments, before.stage_times) == (
        after.outcome,
        after.end_to_end_ns,
        after.path,
        after.segments,
        after.stage_times,
    )
    assert () == after.alarms


def test_a_leg_executed_in_two_blocks_is_an_alarm() -> None:
    """A repeat tells the same block again; another block means that the leg ran twice."""
    found = life(COMMIT, executed(0, block=7), executed(0, block=7), executed(0, block=8))

    assert ("leg 0 executed in block 7 and again in block 8",) == found.alarms
    assert Outcome.COMMITTED is found.outcome


def test_a_change_of_mind_after_a_crash_is_an_alarm() -> None:
    """A decision is durable: telling the other one later is a contradiction."""
    assert ("both commit and abort were decided",) == life(COMMIT, ABORT).alarms


def test_an_abort_names_its_leg_rollup_and_reason() -> None:
    """The blame is what the sequencer said, whether the leg stands in the event or in its attributes."""
    verdicts = [
        life(staged(0), staged(1), ABORT).verdict,
        life(staged(0), staged(1), ("bundle.decided", 1, ABORT[2] | {"failed_leg": None})).verdict,
    ]

    assert [(1, "beta", "out of margin")] * 2 == [
        (verdict.failed_leg, verdict.failed_rollup, verdict.reason) for verdict in verdicts
    ]


def test_a_transaction_that_reverts_is_aborted_not_partial() -> None:
    """Atomicity is a word about legs: a single transaction can fail, but not in part."""
    found = life(COMMIT, ("leg.reverted", None, {}), transaction=True)

    assert (Outcome.ABORTED, ()) == (found.outcome, found.alarms)


def test_a_transaction_is_committed_by_its_one_execution() -> None:
    """Single transactions go through the same stages, without a leg."""
    found = life(COMMIT, ("leg.executed", None, {}), transaction=True)

    assert (Outcome.COMMITTED, 1, 2) == (found.outcome, found.verdict.legs, found.end_to_end_ns)


def test_the_end_of_an_aborted_bundle_is_its_decision() -> None:
    """An aborted bundle ends when that is durable, an executed one when its last leg is visible."""
    aborted, committed = life(staged(0), ABORT, reverted(0)), life(staged(0), COMMIT, executed(0))

    assert (2, 3) == (aborted.end_to_end_ns, committed.end_to_end_ns)


def test_without_a_submission_nothing_is_measured() -> None:
    """A lost submission leaves the outcome and no end-to-end time."""
    script = ScriptedRun()
    script.emit("leg.executed", node="alpha", at_ns=5, bundle_id=KEY, leg=0)

    found = judged(script.events)

    assert (Outcome.COMMITTED, None, ()) == (found.outcome, found.end_to_end_ns, found.segments)
