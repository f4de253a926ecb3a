import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wire.journal import Event
from orchestrator.tracing import Analysis, analyse, group_events
from orchestrator.tracing.stage_graph import build_stage_graph
from orchestrator.tracing.testing import ScriptedRun

KEY = "0x" + "a" * 64
UNTIL_THE_END = ("bundle.admitted", "bundle.sequenced", "leg.staged", "bundle.decided", "leg.executed")


def judged(events: list[Event]) -> Analysis:
    """The analysis of the one message in these events."""
    (trace,) = group_events(events).traces.values()
    return analyse(trace)


@given(
    steps=st.lists(st.integers(min_value=0, max_value=10**9), min_size=6, max_size=6),
    spread=st.integers(min_value=0, max_value=10**6),
    legs=st.integers(min_value=1, max_value=5),
)
def test_stage_durations_of_a_committed_bundle_sum_to_its_service_time(
    steps: list[int], spread: int, legs: int
) -> None:
    """The stages telescope: nothing between submission and end is counted twice or left out."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("a", "b", "c", "d", "e")[:legs], start_ns=3, steps_ns=steps, spread_ns=spread)

    found = judged(script.events)

    assert found.service_ns == sum(
        time.duration_ns for time in found.stage_times if time.stage in UNTIL_THE_END
    )
    assert [*UNTIL_THE_END, "bundle.published"] == [time.stage for time in found.stage_times]


def test_a_second_round_belongs_to_the_decision() -> None:
    """A leg staged again counts by its first time; the later rounds are time until the decision."""
    script = ScriptedRun()
    ids = script.bundle(KEY, rollups=("alpha", "beta"), start_ns=0)
    before = {time.stage: time.duration_ns for time in judged(script.events).stage_times}
    decided = next(event for event in script.events if event.id == ids["bundle.decided"][0])
    script.emit(
        "leg.staged", node="alpha", at_ns=decided.mono_ns - 1, bundle_id=KEY, leg=0, attrs={"round": 1}
    )
    script.emit(
        "bundle.sequenced", node="sequencer", at_ns=decided.mono_ns - 2, bundle_id=KEY, attrs={"round": 1}
    )

    after = {time.stage: time.duration_ns for time in judged(script.events).stage_times}

    assert before == after


@pytest.mark.parametrize(
    ("kept", "awaited"),
    [
        (1, ("bundle.admitted",)),
        (2, ("bundle.sequenced",)),
        (3, ("leg.staged",)),
        (5, ("bundle.decided",)),
        (6, ("leg.executed", "bundle.published")),
        (7, ("leg.executed", "bundle.published")),
        (8, ("bundle.published",)),
        (9, ()),
    ],
)
def test_a_message_in_flight_awaits_its_next_stage(kept: int, awaited: tuple[str, ...]) -> None:
    """Cut anywhere, a healthy two-leg bundle is an unfinished sample of exactly the stages it was on its way to."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=("alpha", "beta"), start_ns=0)

    assert awaited == judged(script.events[:kept]).awaited


def test_a_stage_that_only_some_legs_reached_has_no_time_yet() -> None:
    """With one of two known legs staged, the staging is awaited, not measured."""
    script = ScriptedRun()
    submitted = script.emit("bundle.submitted", node="client", at_ns=0, bundle_id=KEY, attrs={"legs": 2})
    script.emit("bundle.admitted", node="sequencer", at_ns=1, bundle_id=KEY, cause=[submitted])
    script.emit("bundle.sequenced", node="sequencer", at_ns=2, bundle_id=KEY)
    script.emit("leg.staged", node="alpha", at_ns=3, bundle_id=KEY, leg=0)

    found = judged(script.events)

    assert ("leg.staged",) == found.awaited
    assert ["bundle.admitted", "bundle.sequenced"] == [time.stage for time in found.stage_times]


@given(
    bundles=st.lists(st.tuples(st.integers(min_value=1, max_value=4), st.booleans()), min_size=1, max_size=8)
)
def test_the_stage_graph_counts_every_edge_of_every_message(bundles: list[tuple[int, bool]]) -> None:
    """Collapsing by stage loses no edge and makes none up."""
    script = ScriptedRun()
    for number, (legs, fails) in enumerate(bundles):
        rollups = ("a", "b", "c", "d")[:legs]
        script.bundle(f"0x{number:064x}", rollups=rollups, start_ns=number, abort_leg=0 if fails else None)
    graphs = [analyse(trace).built for trace in group_events(script.events).traces.values()]

    collapsed = build_stage_graph(graphs)

    assert sum(built.graph.number_of_edges() for built in graphs) == sum(
        edge["count"] for _, _, edge in collapsed.edges(data=True)
    )
    assert len(bundles) == collapsed.edges["bundle.submitted", "bundle.admitted"]["count"]
    assert sum(legs for legs, _ in bundles) == collapsed.edges["leg.staged", "bundle.decided"]["count"]
