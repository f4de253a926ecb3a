"""Runs that were never made, to be compared: for tests of what is said about them."""

from collections.abc import Sequence
from dataclasses import replace

from bridge.wire.stages import Stage
from orchestrator.comparison.build import Recorded, SentMessage, build_comparison
from orchestrator.comparison.model import Comparison
from orchestrator.market.testing import example_plan
from orchestrator.topology.plan import L1_BRIDGE, Plan
from orchestrator.tracing import group_events
from orchestrator.tracing.testing import ScriptedRun
from orchestrator.tracing.testing_bridge import SECOND, tell_message, tell_strategy

ROLLUPS = ("alpha", "beta", "gamma", "delta")
PLAN = example_plan(ROLLUPS)
BRIDGE_PLAN = replace(PLAN, messaging=replace(PLAN.messaging, mode=L1_BRIDGE))


def key(number: int) -> str:
    """A hash."""
    return f"0x{number:064x}"


def bundles(times: Sequence[int], gas: int = 60_000) -> Recorded:
    """A run under one sequencer: bundles that take so long to be sequenced, each in a superbatch of its own."""
    script = ScriptedRun()
    for number, took in enumerate(times):
        steps = (1_000, took, 2_000, 3_000, 4_000, 5_000)
        ids = script.bundle(
            key(number), rollups=ROLLUPS, start_ns=number * SECOND, steps_ns=steps, spread_ns=0
        )
        attrs = {"number": number, "l1_tx": f"batch {number}", "gas": gas, "wei": gas}
        script.emit("superbatch.published", node="sequencer", at_ns=number * SECOND, attrs=attrs)
        published = next(event for event in script.events if event.id == ids[Stage.PUBLISHED][0])
        published.attrs.update(l1_tx=attrs["l1_tx"], superbatch=number)
    keys = tuple(key(number) for number in range(len(times)))
    return Recorded(PLAN, "runs/example/one", 2.0, 20.0, group_events(script.events), keys)


def bridged(
    spreads: Sequence[int] = (0,),
    waiting: Sequence[int] = (),
    *,
    no: int | None = None,
    plan: Plan = BRIDGE_PLAN,
    lost: int = 0,
) -> Recorded:
    """A run over the bridge: strategies with such a spread between their legs, messages that wait so long for finality."""
    script = ScriptedRun()
    strategies, messages = [], []
    for number, spread in enumerate(spreads):
        strategies.append(f"0x{number:060x}aaaa")
        tell_strategy(
            script, strategies[-1], rollups=ROLLUPS, start_ns=number * SECOND, spread_ns=spread, no=no
        )
    for number, finality in enumerate(waiting):
        source, destination = ROLLUPS[number % 4], ROLLUPS[(number + 1) % 4]
        messages.append(SentMessage(f"0x{number:060x}bbbb", source, destination))
        ends = (source, destination)
        steps = (0, 0, 0, 0, finality)
        tell_message(
            script,
            messages[-1].key,
            rollups=ends,
            start_ns=number * SECOND,
            steps_ns=steps,
            onward_ns=(0, 0),
        )
    messages += [SentMessage(f"0x{number:060x}cccc", "alpha", "beta") for number in range(lost)]
    return Recorded(
        plan,
        "runs/example/two",
        3.0,
        40.0,
        group_events(script.events),
        tuple(strategies),
        (),
        tuple(messages),
    )


def compared(bundle: Recorded, bridge: Recorded) -> Comparison:
    """The comparison of two runs."""
    return build_comparison(
        bundle, bridge, strategy="iron_condor", host="a CPU", command="rollnet compare iron_condor"
    )
