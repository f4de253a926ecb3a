"""Comparing the two ways: the same strategies on the same rollups, once under a shared sequencer and once over the L1 bridge.

::

    topology ─► two plans, one mode each ─► for each: launch ─► work ─► drain ─► down ─► journals ─┐
                                                                                                  └─► build ─► compare.html, .md, .json

One devnet at a time, so that neither takes the machine from the other. Everything but ``messaging.mode`` is the same: names, keys, market, times,
and the moments in which the strategies depart.
"""

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Final

from orchestrator.comparison import Comparison, Recorded, build_comparison, write_comparison
from orchestrator.comparison.work import Done, Work, over_the_bridge, under_one_sequencer
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.report.write import describe_host
from orchestrator.runtimes.choice import processes_unless_said
from orchestrator.strategies.bridge_terms import waits
from orchestrator.strategies.model import Strategy
from orchestrator.strategies.resolve import place, require_lots
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import L1_BRIDGE, SHARED_SEQUENCER, Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.tracing import load_traces

LONGEST_S: Final = 900.0
"""A strategy that must be expected to take longer over the bridge isn't compared, seconds."""

Tell = Callable[[str], None]
"""Takes one line for the human who waits."""


class NotCompared(RollnetError):  # noqa: N818 - states what happened
    """There is nothing to compare: a devnet didn't come up, or the work can't be done on it."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Plans:
    """One topology, decided for each mode."""

    bundle: Plan
    bridge: Plan


def plans_of(topology: Path, seed: int | None = None) -> Plans:
    """A topology's plans, the same but for ``messaging.mode`` and what follows from it.

    Args:
        topology: the file; its own mode doesn't matter.
        seed: instead of the file's.

    Raises:
        InvalidTopology: the file is wrong, or would be in the other mode.
    """
    spec = load_topology(topology)
    if seed is not None:
        spec = spec.model_copy(update={"seed": seed})
    bundle, bridge = (
        make_plan(spec.model_copy(update={"messaging": spec.messaging.model_copy(update={"mode": mode})}))
        for mode in (SHARED_SEQUENCER, L1_BRIDGE)
    )
    return Plans(bundle, bridge)


def require_fit(plan: Plan, strategy: Strategy, messages: int) -> None:
    """Refuse work that can't be compared on a topology, before anything is launched.

    Raises:
        NotCompared: it would take too long, or there is nowhere for messages to go.
        ResolutionError: a leg is for a rollup that isn't there, or of a quantity that it doesn't trade.
    """
    placed = place(strategy, plan.rollups)
    for index, rollup in enumerate(placed):
        require_lots(strategy, index, rollup)
    rollups = sorted({rollup.name for rollup in placed})
    way = waits(plan, rollups)
    if way.expected_s > LONGEST_S:
        raise NotCompared(
            f"over the bridge of {plan.name} one {strategy.name} takes about {way.expected_s:,.0f} s, most of it the challenge period",
            f"{LONGEST_S:.0f} s are the most that is waited for: shorten settlement.challenge_period and proposal_interval, "
            "or use topologies/bridge-quad.yaml",
        )
    if messages and len(plan.rollups) < 2:
        raise NotCompared(
            f"{plan.name} has one rollup, so there is nowhere to send a message",
            "add a rollup, or use --messages 0",
        )


async def compare(
    plans: Plans, work: Work, tell: Tell, *, command: str, out: Path | None = None, state: Path | None = None
) -> tuple[Comparison, tuple[Path, ...]]:
    """Do the work both ways and write the comparison; nothing is left running.

    Args:
        plans: of the two devnets.
        work: what to do on each.
        tell: told of progress, a line at a time.
        command: what makes the comparison again; printed in it.
        out: folder of the pages; by default the run directory of the devnet with the bridge.
        state: the state home; ``$ROLLNET_HOME`` or its default.

    Raises:
        NotCompared: a devnet doesn't come up, or the folder can't be written.
        RollnetError: the work can't be done.
    """
    if out is not None:
        _require_writable(out)
    bundle = await _recorded(plans.bundle, work, tell, state)
    bridge = await _recorded(plans.bridge, work, tell, state)
    found = await asyncio.to_thread(
        build_comparison, bundle, bridge, strategy=work.strategy.name, host=describe_host(), command=command
    )
    return found, write_comparison(found, out or Path(bridge.run_dir))


def _require_writable(folder: Path) -> None:
    """Find out now, not after the runs."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass
    except OSError as exc:
        raise NotCompared(f"{folder} can't be written: {exc}", "give another --out") from exc


async def _recorded(plan: Plan, work: Work, tell: Tell, state: Path | None) -> Recorded:
    mode = plan.messaging.mode
    rollups = ", ".join(rollup.name for rollup in plan.rollups)
    tell(f"{mode}: launching l1, {rollups}")
    net = await _done(plan, work, tell, state)
    directory, ready_s, done = net
    tell(f"{mode}: down; run directory {directory}")
    traces = await asyncio.to_thread(load_traces, directory)
    return Recorded(
        plan=plan,
        run_dir=str(directory),
        ready_s=ready_s,
        worked_s=done.worked_s,
        traces=traces,
        strategies=done.strategies,
        failures=done.failures,
        messages=done.messages,
    )


async def _done(plan: Plan, work: Work, tell: Tell, state: Path | None) -> tuple[Path, float, Done]:
    mode = plan.messaging.mode
    name = f"compare-{mode}-{secrets.token_hex(4)}"
    up = False
    try:
        async with Devnet.launch(
            plan, name=name, state=state, runtime=processes_unless_said(plan.runtime)
        ) as net:
            up = True
            tell(f"{mode}: ready after {net.ready_s:.1f} s")
            do = under_one_sequencer if mode == SHARED_SEQUENCER else over_the_bridge
            done = await do(net, work, lambda line: tell(f"{mode}: {line}"))
            tell(f"{mode}: taking it down")
            return net.directory.path, net.ready_s, done
    except RollnetError as exc:
        if up:
            raise
        raise NotCompared(f"the devnet in mode {mode} did not come up: {exc.message}", exc.hint) from exc
