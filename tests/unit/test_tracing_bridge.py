"""Messages and strategies over the L1 bridge, as the journals tell of them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from rich.console import Console

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.report import RunMeta, build_report, render_markdown, report_to_json
from orchestrator.tracing import (
    Analysis,
    Kind,
    Outcome,
    analyse,
    find_trace,
    group_events,
    render_mermaid,
    render_tree,
)
from orchestrator.tracing.stages import way_to
from orchestrator.tracing.testing import ScriptedRun
from orchestrator.tracing.testing_bridge import SECOND, WITHDRAWN, tell_message, tell_strategy

KEY = "0x" + "a" * 64
OTHER = "0x" + "b" * 64
ROLLUPS = ("alpha", "beta", "gamma", "delta")
META = RunMeta(name="quad", run="20260101T000000Z-seed7", seed=7, host="a CPU, 2 cores")
Change = Callable[[ScriptedRun], None]

durations = some.integers(0, 10**11)


def judged(events: list[Event], key: str = KEY) -> Analysis:
    """The analysis of a message in these events."""
    return analyse(group_events(events).traces[key])


def message(end: Stage | None = Stage.MESSAGE_EXECUTED) -> ScriptedRun:
    """One message that ends so."""
    script = ScriptedRun()
    tell_message(script, KEY, start_ns=5, end=end)
    return script


def strategy(legs: int = 3, no: int | None = None) -> ScriptedRun:
    """One strategy, committed, or aborted by a leg."""
    script = ScriptedRun()
    tell_strategy(script, KEY, rollups=ROLLUPS[:legs], start_ns=5, no=no)
    return script


def again(script: ScriptedRun, stage: Stage, **changed: Any) -> None:
    """Tell a stage's first event once more, a second later, changed."""
    told = next(event for event in script.events if event.event == stage)
    script.emit(
        stage,
        node="relayer",
        at_ns=script.events[-1].mono_ns + SECOND,
        msg_id=told.msg_id,
        bundle_id=told.bundle_id,
        leg=told.leg,
        attrs={**told.attrs, **changed},
    )


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (Stage.MESSAGE_EXECUTED, Outcome.EXECUTED),
        (Stage.MESSAGE_FAILED, Outcome.FAILED),
        (Stage.MESSAGE_REFUNDED, Outcome.REFUNDED),
        (None, Outcome.FINALIZED),
    ],
)
def test_a_message_ends_as_its_last_stage_says(end: Stage | None, outcome: Outcome) -> None:
    """Each end is judged, without an alarm; only a failed message still waits for something."""
    found = judged(message(end).events)

    assert (Kind.MESSAGE, outcome, ()) == (found.kind, found.outcome, found.alarms)
    assert (() if outcome is not Outcome.FAILED else (Stage.MESSAGE_EXECUTED,)) == found.awaited
    assert (outcome is Outcome.FAILED) == (found.end_to_end_ns is None)


@given(
    steps=some.lists(durations, min_size=5, max_size=5),
    onward=some.lists(durations, min_size=2, max_size=2),
    end=some.sampled_from([Stage.MESSAGE_EXECUTED, Stage.MESSAGE_REFUNDED, None]),
)
def test_stages_of_a_message_telescope(steps: list[int], onward: list[int], end: Stage | None) -> None:
    """The stages on the way to its end, and the critical path, sum to the end-to-end time; all of it is traced."""
    script = ScriptedRun()
    tell_message(script, KEY, start_ns=3, end=end, steps_ns=steps, onward_ns=onward)
    way = way_to(Kind.MESSAGE, end or Stage.MESSAGE_FINALIZED)

    found = judged(script.events)

    assert sum(steps) + sum(onward if end else ()) == found.end_to_end_ns
    assert list(way) == [time.stage for time in found.stage_times]
    assert found.end_to_end_ns == sum(time.duration_ns for time in found.stage_times)
    assert found.end_to_end_ns == sum(part.duration_ns for part in found.segments)
    assert all(part.traced for part in found.segments)


@given(
    steps=some.lists(durations, min_size=2, max_size=2),
    vote_steps=some.lists(durations, min_size=5, max_size=5),
    end=durations,
    spread=some.integers(0, 10**9),
    legs=some.integers(1, 4),
    aborts=some.booleans(),
)
def test_stages_of_a_strategy_telescope(
    steps: list[int], vote_steps: list[int], end: int, spread: int, legs: int, aborts: bool
) -> None:
    """From the submission over the slowest vote to the end nothing is counted twice or left out; of an abort only the no counts."""
    script = ScriptedRun()
    no = legs - 1 if aborts else None
    tell_strategy(
        script,
        KEY,
        rollups=ROLLUPS[:legs],
        start_ns=3,
        no=no,
        steps_ns=steps,
        vote_steps_ns=vote_steps,
        end_ns=end,
        spread_ns=spread,
    )
    way = way_to(Kind.BRIDGED, Stage.DECIDED if aborts else Stage.LEG_EXECUTED)

    found = judged(script.events)
    taken = {time.stage: time.duration_ns for time in found.stage_times}

    assert (Kind.BRIDGED, (), legs) == (found.kind, found.alarms, found.verdict.legs)
    assert (Outcome.ABORTED if aborts else Outcome.COMMITTED) is found.outcome
    assert found.end_to_end_ns == sum(taken[stage] for stage in way)
    assert found.end_to_end_ns == sum(part.duration_ns for part in found.segments)
    assert all(part.traced for part in found.segments)
    assert all(duration >= 0 for duration in taken.values())
    assert () == found.skews


@given(
    luck=some.randoms(use_true_random=False),
    end=some.sampled_from([Stage.MESSAGE_EXECUTED, Stage.MESSAGE_FAILED, Stage.MESSAGE_REFUNDED, None]),
    no=some.one_of(some.none(), some.integers(0, 2)),
)
def test_the_order_of_the_journals_changes_nothing(luck: Any, end: Stage | None, no: int | None) -> None:
    """Lines in any order give the same report, to the byte."""
    script = message(end)
    tell_strategy(script, OTHER, rollups=ROLLUPS[:3], start_ns=7, no=no)
    shuffled = list(script.events)
    luck.shuffle(shuffled)

    pages = [
        render_markdown(build_report(group_events(events), META)) for events in (script.events, shuffled)
    ]

    assert pages[0] == pages[1]


@given(
    kept=some.integers(1, 40),
    end=some.sampled_from([Stage.MESSAGE_EXECUTED, Stage.MESSAGE_REFUNDED, None]),
    no=some.one_of(some.none(), some.integers(0, 2)),
)
def test_a_healthy_life_never_alarms_wherever_it_is_cut(kept: int, end: Stage | None, no: int | None) -> None:
    """Read at any moment, the journals show no violation; what has not ended is unknown and waits for exactly one stage."""
    script = message(end)
    tell_strategy(script, OTHER, rollups=ROLLUPS[:3], start_ns=7, no=no)
    events = sorted(script.events, key=lambda event: event.mono_ns)[: kept + 1]

    for trace in group_events(events).traces.values():
        found = analyse(trace)
        assert ((), ()) == (found.alarms, found.skews)
        if found.outcome is Outcome.UNKNOWN and end is not None:
            assert 1 == len(found.awaited)


REFUND = {"stage": Stage.MESSAGE_REFUNDED, "block": 99}
BROKEN: dict[str, tuple[Stage, dict[str, Any], str]] = {
    "executed twice": (
        Stage.MESSAGE_EXECUTED,
        {"stage": Stage.MESSAGE_EXECUTED, "block": 99},
        "executed in block 12 and again in block 99",
    ),
    "executed and refunded": (
        Stage.MESSAGE_EXECUTED,
        REFUND,
        "executed in block 12 and refunded in block 99",
    ),
    "refunded twice": (Stage.MESSAGE_REFUNDED, REFUND, "refunded in block 12 and again in block 99"),
    "finalized twice": (
        Stage.MESSAGE_EXECUTED,
        {"stage": Stage.MESSAGE_FINALIZED, "l1_tx": "0xcc"},
        f"finalized in l1_tx message.finalized {KEY} and again in l1_tx 0xcc",
    ),
}


@pytest.mark.parametrize("mutant", BROKEN)
@pytest.mark.parametrize("excused", [False, True])
def test_what_may_happen_once_is_an_alarm_the_second_time(mutant: str, excused: bool) -> None:
    """Whatever is executed, refunded or finalized twice is a violation, unless a chain took the first one back in between."""
    end, second, alarm = BROKEN[mutant]
    script = message(end)
    if excused:
        at = script.events[-1].mono_ns + 1
        script.emit("message.set_back", node="relayer", at_ns=at, msg_id=KEY, attrs={"to": "sent"})
    attrs = {name: value for name, value in second.items() if name != "stage"}
    script.emit(
        second["stage"], node="relayer", at_ns=script.events[-1].mono_ns + SECOND, msg_id=KEY, attrs=attrs
    )

    found = judged(script.events)

    assert (() if excused else (alarm,)) == found.alarms
    report = build_report(group_events(script.events), META)
    assert excused == (report.violations_total == 0)
    assert excused != report.headline.startswith("‼ CONTRADICTION")


@pytest.mark.parametrize("stage", [Stage.MESSAGE_EXECUTED, Stage.MESSAGE_FINALIZED, Stage.MESSAGE_PROVEN])
def test_what_a_relayer_tells_again_after_a_crash_changes_no_number(stage: Stage) -> None:
    """The same fact told twice is one fact."""
    script = message()
    before = judged(script.events)
    again(script, stage)

    after = judged(script.events)

    assert 1 == len(after.built.repeated)
    assert (before.outcome, before.stage_times, before.segments, ()) == (
        after.outcome,
        after.stage_times,
        after.segments,
        after.alarms,
    )


def test_a_message_that_fails_and_is_tried_again_is_executed() -> None:
    """A failure is no end, however often it happens: the time runs until the call succeeds."""
    script = message(Stage.MESSAGE_FAILED)
    last = script.events[-1]
    for attempt in range(2):
        at = last.mono_ns + (attempt + 1) * SECOND
        script.emit(
            Stage.MESSAGE_FAILED,
            node="relayer",
            at_ns=at,
            msg_id=KEY,
            cause=[script.events[-1].id],
            attrs={"rollup": "beta", "block": 20 + attempt, "reason": "closed"},
        )
    assert "closed" != judged(script.events[:-2]).verdict.reason
    script.emit(
        Stage.MESSAGE_EXECUTED,
        node="relayer",
        at_ns=last.mono_ns + 5 * SECOND,
        msg_id=KEY,
        cause=[script.events[-1].id],
        attrs={"rollup": "beta", "block": 30},
    )

    found = judged(script.events)

    assert (Outcome.EXECUTED, ()) == (found.outcome, found.alarms)
    assert 3 == sum(part.until == Stage.MESSAGE_FAILED for part in found.segments)
    on_the_way = way_to(Kind.MESSAGE, Stage.MESSAGE_EXECUTED)
    assert found.end_to_end_ns == sum(t.duration_ns for t in found.stage_times if t.stage in on_the_way)


def test_a_withdrawal_whose_call_failed_on_l1_has_failed() -> None:
    """It is finalized for good, and its target was never called."""
    script = message(None)
    script.events[-1] = replace(script.events[-1], attrs={**script.events[-1].attrs, "success": False})

    found = judged(script.events)

    assert (Outcome.FAILED, "its call failed on L1", ()) == (
        found.outcome,
        found.verdict.reason,
        found.awaited,
    )


def commit_missed(script: ScriptedRun) -> None:
    """A leg is given up although commit was decided."""
    script.emit(
        Stage.LEG_REVERTED,
        node="relayer",
        at_ns=script.events[-1].mono_ns + 1,
        bundle_id=KEY,
        leg=2,
        attrs={"rollup": "gamma"},
    )


def executed_in_another_block(script: ScriptedRun) -> None:
    """A leg is executed a second time."""
    again(script, Stage.LEG_EXECUTED, block=77)


@pytest.mark.parametrize(
    ("mutant", "outcome"),
    [(commit_missed, Outcome.PARTIAL), (executed_in_another_block, Outcome.COMMITTED)],
)
def test_a_strategy_that_comes_apart_is_an_alarm(mutant: Change, outcome: Outcome) -> None:
    """What is forbidden to bundles is forbidden over the bridge."""
    script = strategy()
    mutant(script)

    found = judged(script.events)

    assert outcome is found.outcome
    assert found.alarms


def test_the_decision_waited_for_the_last_vote() -> None:
    """Who was waited for is a rollup, though the relayer tells of all."""
    blocked = judged(strategy().events).blocking

    assert [(Stage.MESSAGE_FINALIZED, "gamma"), (Stage.LEG_EXECUTED, "gamma")] == [
        (block.stage, block.node) for block in blocked
    ]


def test_an_abort_is_blamed_on_the_no() -> None:
    """Which leg, which rollup and why are those of the vote that decided."""
    verdict = judged(strategy(no=1).events).verdict

    assert (1, "beta", "no quote") == (verdict.failed_leg, verdict.failed_rollup, verdict.reason)


@pytest.mark.parametrize(
    ("kept", "awaited"),
    [
        (1, Stage.ADMITTED),
        (2, Stage.LEG_STAGED),
        (3, Stage.LEG_STAGED),
        (4, Stage.MESSAGE_SENT),
        (6, Stage.MESSAGE_BATCHED),
        (12, Stage.MESSAGE_FINALIZED),
        (14, Stage.DECIDED),
        (15, Stage.LEG_EXECUTED),
        (16, Stage.LEG_EXECUTED),
    ],
)
def test_a_strategy_in_flight_awaits_its_next_stage(kept: int, awaited: Stage) -> None:
    """Cut anywhere, it is an unfinished sample of the first stage that not all legs have reached."""
    script = ScriptedRun()
    tell_strategy(script, KEY, rollups=ROLLUPS[:2], start_ns=0, spread_ns=1)
    events = sorted(script.events, key=lambda event: (event.mono_ns, event.event == Stage.DECIDED))

    assert (awaited,) == judged(events[:kept]).awaited


def test_a_vote_is_found_by_its_withdrawal_and_a_message_by_its() -> None:
    """What a wallet or an explorer shows leads to the trace."""
    script = message()
    tell_strategy(script, OTHER, rollups=ROLLUPS[:2], start_ns=7)
    traces = group_events(script.events)
    vote = next(event.msg_id for event in script.events if event.bundle_id and event.msg_id)
    withdrawal = next(event.attrs["withdrawal"] for event in script.events if "withdrawal" in event.attrs)

    assert (OTHER, KEY) == (find_trace(traces, str(vote)).key, find_trace(traces, withdrawal).key)


def test_a_strategy_whose_submission_is_lost_is_known_by_its_votes() -> None:
    """Kinds are told apart without the client's journal, and nothing is measured."""
    found = judged(strategy().events[1:])

    assert (Kind.BRIDGED, Outcome.COMMITTED, None) == (found.kind, found.outcome, found.end_to_end_ns)


def test_the_tree_of_a_message_reads_from_chain_to_chain() -> None:
    """Golden: where each stage happened, not only who saw it."""
    console = Console(width=200, color_system=None)
    with console.capture() as capture:
        console.print(render_tree(group_events(message().events).traces[KEY]))
    expected = f"""\
message {KEY}: executed in 12000 ms
└── ●      0 ms  message.submitted client
    └── ●    500 ms Δ 500 ms  message.sent alpha
        └── ●   1500 ms Δ 1000 ms  message.batched l1 rollup=alpha
            └── ●   3500 ms Δ 2000 ms  message.proposed l1 rollup=alpha
                └── ●   4000 ms Δ 500 ms  message.proven l1 rollup=alpha by=relayer gas=100000
                    └── ●  10000 ms Δ 6000 ms  message.finalized l1 rollup=alpha by=relayer gas=100000
                        └── ●  10000 ms Δ 0.000 ms  message.deposited l1 rollup=beta block=10
                            └── ●  12000 ms Δ 2000 ms  message.executed beta block=12
"""

    assert expected == "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


@pytest.mark.parametrize("script", [message(), strategy(4), strategy(3, no=0)])
def test_the_drawing_has_a_lifeline_per_chain(script: ScriptedRun) -> None:
    """The relayer sees everything and appears nowhere: the drawing shows the chains."""
    drawing = render_mermaid(group_events(script.events).traces[KEY])
    lifelines = [line.rpartition(" as ")[2] for line in drawing.splitlines() if "participant" in line]

    assert {"client", "l1", "alpha", "beta"} <= set(lifelines)
    assert "relayer" not in lifelines


def test_a_report_keeps_the_kinds_apart() -> None:
    """Bundles of milliseconds and strategies of seconds are no one sample; each kind has its own stages and outcomes."""
    script = message()
    tell_strategy(script, OTHER, rollups=ROLLUPS, start_ns=9)
    script.bundle("0x" + "c" * 64, rollups=ROLLUPS, start_ns=11)
    report = build_report(group_events(script.events), META)
    document = report_to_json(report)

    assert {"bundle": "committed", "bridged": "committed", "message": "executed"} == {
        kind: next(outcome for outcome, count in counts.items() if count)
        for kind, counts in document["outcomes"].items()
    }
    assert [1, 1, 1] == [row.summary.finished for row in report.latencies]
    staged = {(str(row.kind), row.stage) for row in report.stages}
    assert {("bridged", stage) for stage in WITHDRAWN} <= staged
    assert ("bridged", "bundle.sequenced") not in staged
    for kind in ("bundle", "bridged", "message"):
        assert pytest.approx(1.0) == sum(row.share for row in report.shares if row.kind == kind)
