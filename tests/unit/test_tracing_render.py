import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from orchestrator.tracing import Trace, analyse, group_events, render_mermaid, render_tree, trace_to_json
from orchestrator.tracing.mermaid import EDGE_LIMIT, TEXT_LIMIT, render_stage_graph
from orchestrator.tracing.stage_graph import build_stage_graph
from orchestrator.tracing.testing import ScriptedRun

KEY = "0x" + "a" * 64


def one(script: ScriptedRun) -> Trace:
    """The one message of a script."""
    (trace,) = group_events(script.events).traces.values()
    return trace


def healthy(legs: int = 2) -> ScriptedRun:
    """One committed bundle, sent 3 ms after its schedule."""
    script = ScriptedRun()
    script.bundle(
        KEY, rollups=[f"rollup-{leg}" for leg in range(legs)], start_ns=5_000_000, intended_ns=2_000_000
    )
    return script


def drawn(trace: Trace) -> str:
    """The tree as a terminal without colours shows it."""
    console = Console(width=200, color_system=None, record=True, file=None, quiet=False)
    with console.capture() as capture:
        console.print(render_tree(trace))
    return capture.get()


def test_the_tree_of_a_committed_bundle_reads_from_cause_to_effect() -> None:
    """Golden: the whole tree of a two-leg bundle."""
    expected = f"""\
bundle {KEY}: committed in 33.2 ms, 2 legs
├── sent 3.00 ms after its schedule
└── ●      0 ms  bundle.submitted client
    └── ●   1.00 ms Δ 1.00 ms  bundle.admitted sequencer
        └── ●   21.0 ms Δ 20.0 ms  bundle.sequenced sequencer slot=0 round=0
            ├── ○   24.0 ms Δ 3.00 ms  leg.staged leg 0 rollup-0 slot=0 round=0 status=ok
            └── ●   24.1 ms Δ 3.10 ms  leg.staged leg 1 rollup-1 slot=0 round=0 status=ok
                └── ●   26.1 ms Δ 2.00 ms  bundle.decided sequencer slot=0 round=0 decision=commit (joins 2)
                    ├── ○   30.1 ms Δ 4.00 ms  leg.executed leg 0 rollup-0 block=0
                    ├── ●   30.2 ms Δ 4.10 ms  leg.executed leg 1 rollup-1 block=0
                    └── ○    530 ms Δ 504 ms  bundle.published sequencer
"""

    assert expected == "".join(f"{line.rstrip()}\n" for line in drawn(one(healthy())).splitlines())


def test_a_partial_bundle_screams_in_the_tree() -> None:
    """The first line under the heading says PARTIAL, the next ones why."""
    script = healthy()
    script.emit("leg.reverted", node="rollup-1", at_ns=10**9, bundle_id=KEY, leg=1, cause=["lost/1/7"])

    lines = drawn(one(script)).splitlines()

    assert "PARTIAL" in lines[1]
    assert any("in no journal" in line for line in lines)


@given(order=st.permutations(range(8)))
def test_every_event_is_in_the_tree_once_even_if_causes_are_skewed_or_circular(order: list[int]) -> None:
    """Whatever the causes are, each event has one line."""
    script = ScriptedRun()
    for place, cause in enumerate(order):
        script.emit(
            "leg.staged", node="alpha", at_ns=place % 3, bundle_id=KEY, leg=place, cause=[f"alpha/1/{cause}"]
        )

    text = drawn(one(script))

    assert [1] * 8 == [text.count(f"leg {place} ") for place in range(8)]


def test_the_sequence_diagram_of_a_committed_bundle() -> None:
    """Golden: lifelines, solid arrows for what was waited for, dashed ones for what had slack."""
    expected = """\
sequenceDiagram
    participant n0 as client
    participant n1 as sequencer
    participant n2 as rollup-0
    participant n3 as rollup-1
    Note over n0: ★ bundle.submitted +0 ms
    n0->>n1: ★ bundle.admitted +1.00 ms
    Note over n1: ★ bundle.sequenced +21.0 ms
    n1->>n2: leg.staged leg 0 ok +24.0 ms
    n1->>n3: ★ leg.staged leg 1 ok +24.1 ms
    n2-->>n1: leg.staged slack 0.100 ms
    n3->>n1: ★ bundle.decided commit +26.1 ms
    n1->>n2: leg.executed leg 0 +30.1 ms
    n1->>n3: ★ leg.executed leg 1 +30.2 ms
    Note over n1: bundle.published +530 ms
    Note over n0: committed after 33.2 ms
"""

    assert expected == render_mermaid(one(healthy()))


@pytest.mark.parametrize("legs", [150, 2_000])
def test_a_huge_bundle_still_fits_mermaid_and_says_what_is_missing(legs: int) -> None:
    """Text and arrows stay within Mermaid's limits; the events left out are counted."""
    text = render_mermaid(one(healthy(legs)))

    assert len(text) <= TEXT_LIMIT
    assert text.count("->>") <= EDGE_LIMIT
    assert (legs > 200) == ("more events are not drawn" in text)


def test_long_names_count_towards_the_limit_too() -> None:
    """Lifelines with endless names leave less room for events, never a text that Mermaid refuses."""
    script = ScriptedRun()
    script.bundle(KEY, rollups=[f"{leg}-{'x' * 300}" for leg in range(400)], start_ns=0)

    text = render_mermaid(one(script))

    assert len(text) <= TEXT_LIMIT
    assert "more events are not drawn" in text


@given(reason=st.text(max_size=300), node=st.text(min_size=1, max_size=20))
def test_no_text_from_a_node_breaks_a_drawing(reason: str, node: str) -> None:
    """Reasons and names are data: they add no line and no Mermaid syntax."""
    drawings = []
    for said, called in (("plain", "alpha"), (reason, node)):
        script = ScriptedRun()
        start = script.emit("bundle.submitted", node="client", at_ns=0, bundle_id=KEY)
        attrs = {"decision": "abort", "reason": said}
        script.emit("bundle.decided", node=f"x{called}", at_ns=9, bundle_id=KEY, cause=[start], attrs=attrs)
        drawings.append(render_mermaid(one(script)).split("\n"))
        drawn(one(script))

    assert len(drawings[0]) == len(drawings[1])
    assert not any(sign in line for line in drawings[1] for sign in "#;")


def test_the_json_of_a_trace_holds_every_event_and_sums() -> None:
    """Programs get all events, and a critical path that adds up to the end-to-end time."""
    trace = one(healthy(3))

    found = orjson.loads(orjson.dumps(trace_to_json(trace)))

    assert [event.id for event in trace.events] == [event["id"] for event in found["events"]]
    assert found["end_to_end_ns"] == sum(part["duration_ns"] for part in found["critical_path"])
    assert ("rollnet.trace/1", "committed", 3) == (found["schema"], found["outcome"], found["legs"])
    assert {0} < {slack["slack_ns"] for slack in found["slacks"]}


def test_the_stage_graph_is_drawn_with_counts() -> None:
    """Each edge says how often, and n/a where too few messages went over it."""
    text = render_stage_graph(build_stage_graph([analyse(one(healthy())).built]))

    assert '["bundle.decided"]' in text
    assert "2 times, p50 n/a (n=2) p99 n/a (n=2)" in text
