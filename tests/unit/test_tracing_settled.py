"""``bundle.settled`` in a trace: each rollup tells it of its own legs, and the bundle is settled with the last of them."""

from typing import Any

import pytest

from bridge.wire.stages import Stage
from orchestrator.tracing import Outcome, analyse, group_events
from orchestrator.tracing.testing import ScriptedRun

KEY = "0x" + "a" * 64


def settled_after(*told: tuple[int, int]) -> tuple[Outcome, int | None, list[str]]:
    """A bundle of two legs that was published at 50, and settled so (leg, time): its outcome, how long it took, and what caused that."""
    script = ScriptedRun()
    ids: dict[str, Any] = {"bundle_id": KEY}
    script.emit("bundle.submitted", node="client", at_ns=0, attrs={"legs": 2}, **ids)
    decided = script.emit("bundle.decided", node="sequencer", at_ns=10, attrs={"decision": "commit"}, **ids)
    for leg, node in enumerate(("alpha", "beta")):
        script.emit("leg.executed", node=node, at_ns=20 + leg, leg=leg, **ids)
    script.emit("bundle.published", node="sequencer", at_ns=50, **ids)
    for leg, at_ns in told:
        script.emit("bundle.settled", node=("alpha", "beta")[leg], at_ns=at_ns, leg=leg, **ids)
    assert decided
    (trace,) = group_events(script.events).traces.values()
    found = analyse(trace)
    took = [each.duration_ns for each in found.stage_times if each.stage == Stage.SETTLED]
    causes = [
        found.built.events[cause].event
        for name, event in found.built.events.items()
        if event.event == Stage.SETTLED
        for cause in found.built.graph.predecessors(name)
    ]
    return found.outcome, took[0] if took else None, causes


@pytest.mark.parametrize(
    ("told", "took"),
    [((), None), (((0, 70),), None), (((0, 70), (1, 90)), 40), (((1, 90), (0, 70), (1, 99)), 40)],
)
def test_settled_with_the_last_leg(told: tuple[tuple[int, int], ...], took: int | None) -> None:
    """Half of it settled is not settled; told again after a crash counts once; the publication is what came before."""
    outcome, duration, causes = settled_after(*told)
    assert (Outcome.COMMITTED, took) == (outcome, duration)
    assert {"bundle.published"} >= set(causes)
    assert len({leg for leg, _ in told}) == len(causes)
