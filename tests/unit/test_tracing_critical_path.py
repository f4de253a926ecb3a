from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.journal import Event
from orchestrator.tracing import Analysis, Trace, analyse, group_events
from orchestrator.tracing.critical_path import critical_path, slacks
from orchestrator.tracing.graph import build_graph
from orchestrator.tracing.testing import ScriptedRun

KEY = "0x" + "a" * 64


def only(script: ScriptedRun) -> Trace:
    """The one message of a script."""
    (trace,) = group_events(script.events).traces.values()
    return trace


@st.composite
def random_lives(draw: st.DrawFn) -> Trace:
    """A message whose inner events form any DAG at all, from its submission to its one executed leg.

    Times respect the causes, several events may share a time, and some stated causes are in no journal.
    """
    script = ScriptedRun()
    intended = draw(st.one_of(st.none(), st.integers(min_value=0, max_value=1_000)))
    attrs = {} if intended is None else {"intended_ns": intended}
    ids = [script.emit("bundle.submitted", node="client", at_ns=1_000, bundle_id=KEY, attrs=attrs)]
    times = {ids[0]: 1_000}
    for _ in range(draw(st.integers(min_value=0, max_value=12))):
        causes = draw(st.lists(st.sampled_from(ids), max_size=4, unique=True))
        lost = draw(st.sampled_from([[], [], [], ["gone/1/0"]]))
        at = max([1_000, *(times[cause] for cause in causes)]) + draw(st.integers(min_value=0, max_value=50))
        node = draw(st.sampled_from(["alpha", "beta", "sequencer"]))
        ids.append(
            script.emit("leg.staged", node=node, at_ns=at, bundle_id=KEY, leg=0, cause=[*causes, *lost])
        )
        times[ids[-1]] = at
    causes = draw(st.lists(st.sampled_from(ids), max_size=4, unique=True))
    end = max([1_000, *(times[cause] for cause in causes)]) + draw(st.integers(min_value=0, max_value=50))
    script.emit("leg.executed", node="alpha", at_ns=end, bundle_id=KEY, leg=0, cause=causes)
    return only(script)


def the(trace: Trace, stage: str) -> Event:
    """The one event of a stage."""
    (found,) = (event for event in trace.events if event.event == stage)
    return found


def total(found: Analysis) -> int:
    """What the segments of a critical path sum to."""
    return sum(part.duration_ns for part in found.segments)


@given(trace=random_lives())
def test_segments_sum_exactly_to_the_end_to_end_time(trace: Trace) -> None:
    """On any graph, with lost causes or without, the critical path accounts for every nanosecond once."""
    found = analyse(trace)
    start, end = (the(trace, stage) for stage in ("bundle.submitted", "leg.executed"))
    intended = start.attrs.get("intended_ns", start.mono_ns)

    assert end.mono_ns - intended == found.end_to_end_ns
    assert found.end_to_end_ns == total(found)
    assert all(part.duration_ns >= 0 for part in found.segments)
    assert () == found.skews


@given(trace=random_lives())
def test_every_step_goes_back_to_the_cause_that_arrived_last(trace: Trace) -> None:
    """No cause of a path's event is younger than the one the path takes, and the path ends only where causes end."""
    built = build_graph(trace)
    path, cyclic = critical_path(built, the(trace, "leg.executed").id)

    assert not cyclic
    assert [] == list(built.graph.predecessors(path[0]))
    for cause, effect in pairwise(path):
        arrivals = {found: built.events[found].mono_ns for found in built.graph.predecessors(effect)}
        assert max(arrivals.values()) == arrivals[cause]


@given(trace=random_lives())
def test_no_edge_is_invented_and_none_forgotten(trace: Trace) -> None:
    """Edges plus orphans are exactly the stated causes."""
    built = build_graph(trace)

    stated = {(cause, event.id) for event in trace.events for cause in event.cause}
    assert stated == set(built.graph.edges) | {(cause, effect) for effect, cause in built.orphans}


@given(trace=random_lives())
def test_untraced_time_is_named_when_the_causes_do_not_reach_the_submission(trace: Trace) -> None:
    """A path that starts elsewhere carries one untraced segment, a path from the submission none."""
    found = analyse(trace)
    untraced = [part for part in found.segments if not part.traced]

    assert (found.path[0] != the(trace, "bundle.submitted").id) == (len(untraced) == 1)


@given(trace=random_lives())
def test_slack_is_zero_for_the_last_arrival_and_positive_for_the_others(trace: Trace) -> None:
    """At each join the slacks are the distances to the last arrival."""
    built = build_graph(trace)
    for slack in slacks(built):
        arrivals = [built.events[cause].mono_ns for cause in built.graph.predecessors(slack.join)]
        assert max(arrivals) - built.events[slack.cause].mono_ns == slack.slack_ns


def test_blocking_names_the_last_rollup_and_its_margin() -> None:
    """The decision waited for the leg that was staged last, the end for the leg executed last."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha", "beta", "gamma"), start_ns=0, spread_ns=70)

    found = analyse(only(script)).blocking

    assert [("leg.staged", "gamma", 70), ("leg.executed", "gamma", 70)] == [
        (block.stage, block.node, block.margin_ns) for block in found
    ]


def test_a_single_leg_blocks_nobody() -> None:
    """Where nobody else was waited for there is no blocking leg."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha",), start_ns=0)

    assert () == analyse(only(script)).blocking


def test_an_effect_before_its_cause_is_reported_and_not_cut() -> None:
    """Clock skew shows up as skew and as a negative segment; the sum stays exact."""
    script = ScriptedRun()
    submitted = script.emit("bundle.submitted", node="client", at_ns=100, bundle_id=KEY)
    admitted = script.emit("bundle.admitted", node="sequencer", at_ns=40, bundle_id=KEY, cause=[submitted])
    script.emit("leg.executed", node="alpha", at_ns=300, bundle_id=KEY, leg=0, cause=[admitted])

    found = analyse(only(script))

    assert [(submitted, admitted, 60)] == [(skew.cause, skew.effect, skew.by_ns) for skew in found.skews]
    assert [-60, 260] == [part.duration_ns for part in found.segments]
    assert 200 == found.end_to_end_ns


def test_sending_before_the_schedule_is_skew() -> None:
    """An open-loop load can't be early: an intended time after the submission is reported."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha",), start_ns=100, intended_ns=150)

    found = analyse(only(script))

    assert [50] == [skew.by_ns for skew in found.skews]
    assert found.end_to_end_ns == total(found)


def test_the_path_begins_at_the_submission_even_if_that_had_a_cause() -> None:
    """What led to the submission, such as a quote asked for, is not part of the message's time."""
    script = ScriptedRun()
    asked = script.emit("quote.asked", node="client", at_ns=0, bundle_id=KEY)
    sent = script.emit("bundle.submitted", node="client", at_ns=100, bundle_id=KEY, cause=[asked])
    done = script.emit("leg.executed", node="alpha", at_ns=300, bundle_id=KEY, leg=0, cause=[sent])

    found = analyse(only(script))

    assert (200, 200, (sent, done)) == (found.end_to_end_ns, total(found), found.path)


def test_causes_older_than_the_submission_are_skew() -> None:
    """A path whose root is older than the submission has a negative untraced segment, and says so."""
    script = ScriptedRun()
    root = script.emit("bundle.admitted", node="sequencer", at_ns=60, bundle_id=KEY)
    script.emit("bundle.submitted", node="client", at_ns=100, bundle_id=KEY)
    script.emit("leg.executed", node="alpha", at_ns=300, bundle_id=KEY, leg=0, cause=[root])

    found = analyse(only(script))

    assert [(root, 40)] == [(skew.effect, skew.by_ns) for skew in found.skews]
    assert (200, 200) == (found.end_to_end_ns, total(found))


@pytest.mark.parametrize("length", [1, 2, 5])
def test_causes_in_a_circle_end_the_walk_and_raise_an_alarm(length: int) -> None:
    """Corrupt journals can't hang the walk, and are told."""
    script = ScriptedRun()
    script.emit("bundle.submitted", node="client", at_ns=0, bundle_id=KEY)
    ring = [f"alpha/1/{place}" for place in range(length)]
    for place in range(length):
        script.emit("leg.staged", node="alpha", at_ns=10, bundle_id=KEY, leg=0, cause=[ring[place - 1]])
    script.emit("leg.executed", node="beta", at_ns=20, bundle_id=KEY, leg=0, cause=[ring[0]])

    found = analyse(only(script))

    assert 1 == sum("cycle" in alarm for alarm in found.alarms)
    assert found.end_to_end_ns == total(found) == 20


def test_a_path_through_a_crash_keeps_its_whole_length() -> None:
    """What a recovered decision caused is joined to the decision told first, so the outage is on the path."""
    script = ScriptedRun()
    ids = script.bundle(KEY, rollups=("alpha",), start_ns=0)
    first: Event = next(event for event in script.events if event.id == ids["bundle.decided"][0])
    script.events = [
        event for event in script.events if event.event not in {"leg.executed", "bundle.published"}
    ]
    script.restart("sequencer")
    again = script.emit(
        "bundle.decided",
        node="sequencer",
        at_ns=first.mono_ns + 900,
        bundle_id=KEY,
        attrs={"decision": "commit", "recovered": True},
    )
    script.emit(
        "leg.executed", node="alpha", at_ns=first.mono_ns + 1_000, bundle_id=KEY, leg=0, cause=[again]
    )

    found = analyse(only(script))

    assert 1_000 == found.segments[-1].duration_ns
    assert all(part.traced for part in found.segments)
    assert [again] == [event.id for event in found.built.repeated]
