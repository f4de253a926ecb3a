from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.journal import Event
from orchestrator.report import Report, RunMeta, build_report
from orchestrator.tracing import Kind, Outcome, group_events
from orchestrator.tracing.percentiles import Standing
from orchestrator.tracing.testing import ScriptedRun

META = RunMeta(name="pair", run="20260101T000000Z-seed7", seed=7, host="a CPU, 2 cores")
ROLLUPS = ("alpha", "beta", "gamma", "delta")
ENDS = ("committed", "aborted", "expired", "partial", "unknown")


def key(number: int) -> str:
    """A bundle hash."""
    return f"0x{number:064x}"


def tell(script: ScriptedRun, number: int, end: str, legs: int = 2, start_ns: int = 0) -> None:
    """Add one bundle that ends like this."""
    steps = [1_000 + number, 20_000, 3_000, 2_000, 4_000, 500_000]
    before = len(script.events)
    fails = 1 if end in {"aborted", "partial"} else None
    script.bundle(
        key(number), rollups=ROLLUPS[:legs], start_ns=start_ns, abort_leg=fails, steps_ns=steps, spread_ns=10
    )
    last = script.events[-1].mono_ns
    if end == "partial":
        script.emit("leg.executed", node="alpha", at_ns=last + 1, bundle_id=key(number), leg=0)
    if end in {"expired", "unknown"}:
        del script.events[before + 2 :]
    if end == "expired":
        script.emit("bundle.expired", node="sequencer", at_ns=last, bundle_id=key(number))


def reported(script: ScriptedRun) -> Report:
    """The report of a script."""
    return build_report(group_events(script.events), META)


@settings(max_examples=50)
@given(ends=st.lists(st.tuples(st.sampled_from(ENDS), st.integers(min_value=2, max_value=4)), max_size=12))
def test_every_message_is_counted_once_by_its_outcome(ends: list[tuple[str, int]]) -> None:
    """The counts are those of the run, and nothing falls between the rows."""
    script = ScriptedRun()
    for number, (end, legs) in enumerate(ends):
        tell(script, number, end, legs)

    report = reported(script)

    assert Counter(end for end, _ in ends) == Counter(
        {str(row.outcome): row.count for row in report.outcomes if row.count}
    )
    assert len(ends) == report.total
    assert len(report.aborted) == sum(end in {"aborted", "expired"} for end, _ in ends)


@settings(max_examples=50)
@given(healthy=st.integers(min_value=0, max_value=8), broken=st.integers(min_value=0, max_value=3))
def test_the_headline_screams_exactly_when_a_bundle_is_partial(healthy: int, broken: int) -> None:
    """One partial bundle among any number of good ones is the first thing that a reader sees."""
    script = ScriptedRun()
    for number in range(healthy + broken):
        tell(script, number, "partial" if number < broken else "committed")

    report = reported(script)

    assert (broken > 0) == ("‼ PARTIAL" in report.headline)
    assert broken == report.violations_total == len(report.violations)
    assert (broken > 0) == any("First violation" in title for title, _ in report.drawings)


def test_a_run_without_messages_is_unknown() -> None:
    """A report that saw nothing says so; it never reads as fine."""
    script = ScriptedRun()
    script.emit("node.started", node="sequencer", at_ns=1)

    report = reported(script)

    assert report.headline.startswith("UNKNOWN")
    assert ((), (), ()) == (report.outcomes, report.latencies, report.drawings)


def test_a_contradiction_that_is_no_partial_bundle_is_told_too() -> None:
    """A decision told both ways is a violation even before a leg has moved."""
    script = ScriptedRun()
    tell(script, 0, "unknown")
    for decision in ("commit", "abort"):
        script.emit(
            "bundle.decided", node="sequencer", at_ns=9, bundle_id=key(0), attrs={"decision": decision}
        )

    assert reported(script).headline.startswith("‼ CONTRADICTION")


@settings(max_examples=25)
@given(legs=st.lists(st.integers(min_value=1, max_value=4), min_size=1, max_size=10), lose=st.integers(0, 40))
def test_critical_path_shares_of_a_kind_sum_to_one(legs: list[int], lose: int) -> None:
    """The shares are an identity, also when a journal line is lost."""
    script = ScriptedRun()
    for number, count in enumerate(legs):
        tell(script, number, "committed", count, start_ns=number)
    lost = [
        event
        for place, event in enumerate(script.events)
        if place != lose or event.event == "bundle.submitted"
    ]

    report = build_report(group_events(lost), META)

    if report.shares:
        assert pytest.approx(1.0) == sum(row.share for row in report.shares)
        measured = sum(row.summary.finished for row in report.latencies if row.outcome is Outcome.COMMITTED)
        assert all(row.messages <= measured for row in report.shares)


def test_shares_near_p99_need_a_thousand_messages() -> None:
    """With 1,000 messages the band around p99 is explained, and its shares sum to one as well; with 999 it is not."""
    shares = []
    for count in (999, 1_000):
        script = ScriptedRun()
        for number in range(count):
            tell(script, number, "committed")
        shares.append([row.share_at_p99 for row in reported(script).shares])

    assert [None] * len(shares[0]) == shares[0]
    assert pytest.approx(1.0) == sum(share for share in shares[1] if share is not None)


def test_shares_near_p99_are_those_of_the_slow_tail() -> None:
    """Twenty slow messages in a thousand lose their time elsewhere than the rest: the band around p99 shows where."""
    script = ScriptedRun()
    for number in range(1_000):
        steps = [1_000, 20_000, 3_000, 2_000, 4_000, 500_000]
        if number % 50 == 0:
            steps[3] = 900_000
        script.bundle(key(number), rollups=ROLLUPS[:2], start_ns=number, steps_ns=steps, spread_ns=0)

    shares = {row.since: row for row in reported(script).shares}

    decision, waiting = shares["leg.staged"], shares["bundle.admitted"]
    assert pytest.approx(900_000 / 928_000) == decision.share_at_p99
    assert decision.share < 0.5
    assert pytest.approx(20_000 / 928_000) == waiting.share_at_p99


def test_scheduled_messages_without_an_end_count_in_the_response_time() -> None:
    """Of an open-loop load, what hangs is unfinished in the response row too."""
    script = ScriptedRun()
    script.bundle(key(0), rollups=ROLLUPS[:2], start_ns=5, intended_ns=1)
    script.bundle(key(1), rollups=ROLLUPS[:2], start_ns=5, intended_ns=1)
    events = [
        event for event in script.events if event.bundle_id == key(0) or event.event == "bundle.submitted"
    ]

    rows = build_report(group_events(events), META).latencies

    assert [("intended", 1, 1), ("submitted", 1, 1)] == [
        (row.since, row.summary.finished, row.summary.unfinished) for row in rows
    ]


def test_messages_without_an_end_push_the_percentiles_out() -> None:
    """With half and one of the messages hanging, p50 is beyond the drain instead of flattering."""
    script = ScriptedRun()
    for number in range(40):
        tell(script, number, "committed" if number < 19 else "unknown")

    (row,) = (row for row in reported(script).latencies if row.outcome is Outcome.COMMITTED)
    (stage,) = (row for row in reported(script).stages if row.stage == "bundle.sequenced")

    assert (19, 21, Standing.BEYOND_DRAIN) == (
        row.summary.finished,
        row.summary.unfinished,
        row.summary.quantiles[0].standing,
    )
    assert (19, 21) == (stage.summary.finished, stage.summary.unfinished)


def test_a_partial_bundle_is_no_fast_bundle() -> None:
    """Broken bundles have no latency: they count as never finished."""
    script = ScriptedRun()
    for number in range(3):
        tell(script, number, "partial" if number else "committed")

    (row,) = reported(script).latencies

    assert (1, 2) == (row.summary.finished, row.summary.unfinished)


def test_response_time_counts_from_the_schedule_and_service_time_from_the_submission() -> None:
    """An open-loop load has both rows, and the lag between them is on the critical path."""
    script = ScriptedRun()
    script.bundle(key(1), rollups=ROLLUPS[:2], start_ns=5_000, intended_ns=1_000)

    report = reported(script)

    assert ["intended", "submitted"] == [row.since for row in report.latencies]
    response, service = (row.summary.maximum_ns for row in report.latencies)
    assert 4_000 == (response or 0) - (service or 0)
    assert [4_000] == [row.total_ns for row in report.shares if row.since == "intended"]


def test_a_message_whose_submission_is_lost_is_unmeasured_not_guessed() -> None:
    """Its outcome counts, its latency doesn't."""
    script = ScriptedRun()
    tell(script, 0, "committed")
    del script.events[0]

    (row,) = reported(script).latencies

    assert (0, 1) == (row.summary.finished, row.unmeasured)


def test_transactions_are_reported_apart_from_bundles() -> None:
    """A fast single transaction never improves the bundles' numbers."""
    script = ScriptedRun()
    tell(script, 0, "committed")
    sent = script.emit("bundle.submitted", node="client", at_ns=0, msg_id=key(7))
    script.emit("leg.executed", node="alpha", at_ns=5, msg_id=key(7), cause=[sent])

    report = reported(script)

    assert [(Kind.BUNDLE, 1), (Kind.TRANSACTION, 1)] == [
        (row.kind, row.summary.finished) for row in report.latencies
    ]
    assert (1, 1) == (
        report.count(Outcome.COMMITTED, Kind.BUNDLE),
        report.count(Outcome.COMMITTED, Kind.TRANSACTION),
    )
    assert [pytest.approx(1.0)] * 2 == [
        sum(row.share for row in report.shares if row.kind is kind)
        for kind in (Kind.BUNDLE, Kind.TRANSACTION)
    ]


def test_the_blocking_rollup_is_counted_at_each_join() -> None:
    """Of every join the last rollup is named, with its margin."""
    script = ScriptedRun()
    for number in range(20):
        tell(script, number, "committed", legs=3)

    rows = reported(script).blocking

    assert [("leg.staged", "gamma", 20, 20, 10), ("leg.executed", "gamma", 20, 20, 10)] == [
        (row.stage, row.node, row.count, row.joins, row.margin.value_ns) for row in rows
    ]


def test_the_slowest_come_first() -> None:
    """Ten of the slowest, in order, and the slowest is drawn."""
    script = ScriptedRun()
    for number in range(30):
        tell(script, number, "committed")

    report = reported(script)

    assert [key(number) for number in range(29, 19, -1)] == [row.key for row in report.slowest]
    assert [f"Slowest message: {key(29)}", "All messages by stage"] == [title for title, _ in report.drawings]


def test_boots_are_restarts_of_servers_only() -> None:
    """Each command of a client is a new life, but no restart; a node's second life is one."""
    script = ScriptedRun()
    for node in ("client", "sequencer", "alpha"):
        script.emit("tick", node=node, at_ns=1)
        if node != "alpha":
            script.restart(node)
            script.emit("tick", node=node, at_ns=2)

    assert [("alpha", 1, 0), ("client", 2, 0), ("sequencer", 2, 1)] == [
        (row.node, row.boots, row.restarts) for row in reported(script).nodes
    ]


def test_faults_stand_in_a_timeline_with_what_was_in_flight() -> None:
    """A fault counts the messages submitted and not ended at its moment, from the run's first event."""
    script = ScriptedRun()
    script.emit("node.started", node="sequencer", at_ns=1_000)
    tell(script, 0, "committed", start_ns=2_000)
    tell(script, 1, "unknown", start_ns=3_000)
    tell(script, 2, "committed", start_ns=10**9)
    for at_ns, event in ((5_000, "fault.kill"), (10**8, "fault.restart")):
        script.emit(event, node="orchestrator", at_ns=at_ns, attrs={"node": "sequencer", "point": "decided"})

    assert [
        (4_000, "fault.kill", "sequencer", "point=decided", 2),
        (10**8 - 1_000, "fault.restart", "sequencer", "point=decided", 1),
    ] == [(row.at_ns, row.event, row.node, row.details, row.in_flight) for row in reported(script).faults]


def test_doubts_about_the_evidence_are_counted() -> None:
    """Lost causes, skew, repeats and torn lines are in the report and torn lines in its headline."""
    script = ScriptedRun()
    tell(script, 0, "committed")
    first = script.events[0]
    script.emit(
        "leg.staged",
        node="alpha",
        at_ns=first.mono_ns - 5,
        bundle_id=key(0),
        leg=0,
        cause=[first.id, "x/1/1"],
    )
    script.emit("bundle.admitted", node="sequencer", at_ns=10**9, bundle_id=key(0))

    report = build_report(group_events(script.events, {"alpha.jsonl": 2}), META)

    found = report.evidence
    assert (1, 1, 5, 1) == (found.orphans, found.skews, found.worst_skew_ns, found.repeated)
    assert "2 torn" in report.headline


@settings(max_examples=15)
@given(luck=st.randoms(use_true_random=False))
def test_the_report_does_not_depend_on_the_order_of_events(luck: object) -> None:
    """Same journals, same report."""
    script = ScriptedRun()
    for number, end in enumerate(ENDS * 2):
        tell(script, number, end)
    shuffled: list[Event] = list(script.events)
    luck.shuffle(shuffled)  # type: ignore[attr-defined]  # hypothesis hands out a random.Random

    assert reported(script) == build_report(group_events(shuffled), META)


def test_a_refused_bundle_is_no_unfinished_one() -> None:
    """Nothing was promised for it: it must not push the percentiles of committed bundles to infinity."""
    script = ScriptedRun()
    script.bundle(key(1), rollups=("alpha", "beta"), start_ns=0)
    submitted = script.emit("bundle.submitted", node="client", at_ns=5, bundle_id=key(2), attrs={"legs": 2})
    script.emit("bundle.refused", node="client", at_ns=9, bundle_id=key(2), cause=(submitted,))

    report = reported(script)

    assert 1 == report.count(Outcome.REFUSED)
    assert {0} == {row.summary.unfinished for row in report.latencies}
