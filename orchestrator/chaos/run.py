"""The spine: one scenario from its plan to its findings, stage by stage.

::

    launch ─► warm-up ─► baseline ─► schedule ─► recovery ─► after ─► drain ─► observe ─► check ─► report ─► down

The load is an open loop from the warm-up to the end of ``after``. Whatever happens, faults are healed and the devnet is taken down; the
run directory stays. A devnet that was never steady is not struck, and the verdict is unknown.
"""

import asyncio
import contextlib
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import orjson

from orchestrator.chaos.errors import NotStarted, NoVerdict
from orchestrator.chaos.findings import Findings, backlog_check, lost_check, own_checks
from orchestrator.chaos.ground import bystanders_of
from orchestrator.chaos.lookout import Lookout
from orchestrator.chaos.nemesis import Struck
from orchestrator.chaos.plan import ScenarioPlan, plan_to_dict
from orchestrator.chaos.stages import Stages, Tell
from orchestrator.checks import (
    CHECKERS,
    CheckResult,
    Expectations,
    RunFacts,
    check_run,
    load_facts,
    observe,
    rebuilt,
    write_expectations,
)
from orchestrator.checks.coverage import NAME as COVERAGE
from orchestrator.checks.liveness import BLAST_RADIUS
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import History
from orchestrator.load.load import Load
from orchestrator.load.schedule import Mix

SCENARIO_FILE = "scenario.json"
"""In the run directory: the scenario, decided."""
TROUBLE_FILE = "trouble.txt"
"""In the run directory: why a run has no verdict."""


async def run_scenario(
    plan: ScenarioPlan,
    tell: Tell,
    *,
    state: Path | None = None,
    mutant: str = "",
    hold: Callable[[Devnet, Findings], Any] | None = None,
) -> Findings:
    """The whole run, from the plan to the findings; nothing is left running.

    Args:
        plan: of the scenario.
        tell: takes progress.
        state: the state home.
        mutant: how the nodes are broken on purpose.
        hold: awaited with the devnet and the findings before it is taken down.

    Raises:
        NotStarted: the devnet does not come up.
        NoVerdict: the run broke down in its middle.
    """
    async with _launched(plan, tell, state, mutant) as net:
        try:
            findings = await _found(plan, net, tell, mutant)
        except Exception as exc:
            raise await asyncio.to_thread(_broken, net.directory.path, exc) from exc
        if hold is not None:
            await hold(net, findings)
    return findings


async def _found(plan: ScenarioPlan, net: Devnet, tell: Tell, mutant: str) -> Findings:
    """Everything that is done with a launched devnet."""
    (net.directory.path / SCENARIO_FILE).write_bytes(
        orjson.dumps({**plan_to_dict(plan), "mutant": mutant}, option=orjson.OPT_INDENT_2)
    )
    write_expectations(net.directory.path, _expectations(plan))
    run = Stages(plan, net, tell)
    struck, unsteady = await _struck(run)
    tell("── observe")
    await observe(net)
    tell("── check")
    facts, checks = await _checked(net, plan)
    return Findings(
        plan=plan,
        mutant=mutant,
        directory=net.directory.path,
        checks=(
            *own_checks(plan, struck, unsteady),
            *checks,
            backlog_check(struck, run.backlog),
            *lost_check(plan, run.lost),
        ),
        struck=struck,
        facts=facts,
    )


def _broken(directory: Path, exc: Exception) -> NoVerdict:
    """A run that breaks down is no verdict, and above all not "invalid"; what happened is kept with it."""
    path = directory / TROUBLE_FILE
    path.write_text("".join(traceback.format_exception(exc)))
    while isinstance(exc, ExceptionGroup):
        exc = exc.exceptions[0]
    said = exc.message if isinstance(exc, RollnetError) else f"{type(exc).__name__}: {exc}"
    return NoVerdict(f"the run broke down: {said}", f"see {path}")


async def _struck(run: Stages) -> tuple[tuple[Struck, ...], str]:
    """From the warm-up to the end of the drain: what came of each fault, or why none was tried."""
    plan, net = run.plan, run.net
    lookout = Lookout(run.feed)
    struck: tuple[Struck, ...] = ()
    with History(net.directory.path / HISTORY) as history:
        load = Load(net, history, rate=plan.rate, mix=_mix(plan), seed=plan.seed)
        # a watcher that fails ends the run: without it no fault would ever be due
        async with load, asyncio.TaskGroup() as tasks:
            watching = [tasks.create_task(lookout.run()), tasks.create_task(run.watch(load))]
            unsteady = await run.warm_up()
            if not unsteady:
                await run.baseline()
                struck = await run.schedule(lookout)
                await run.heal_all()
                await run.recover()
                await run.after()
            else:
                run.tell(unsteady)
            await run.drain(load)
            for task in watching:
                task.cancel()
    return struck, unsteady


@contextlib.asynccontextmanager
async def _launched(plan: ScenarioPlan, tell: Tell, state: Path | None, mutant: str) -> AsyncIterator[Devnet]:
    began = time.monotonic()

    def progress(node: str, what: Any, seconds: float) -> None:
        if node in ("image", "runtime"):
            tell(f"   {node}: {what} ({seconds:.1f} s)")

    tell(f"── launch {plan.devnet.name} on {plan.runtime}{f', mutant {mutant}' if mutant else ''}")
    async with contextlib.AsyncExitStack() as stack:
        launching = Devnet.launch(
            plan.devnet,
            name=f"chaos-{plan.name}"[:32].rstrip("-"),
            state=state,
            progress=progress,
            runtime=plan.runtime,
            chaos=True,
            mutant=mutant,
        )
        try:
            net = await stack.enter_async_context(launching)
        except RollnetError as exc:
            raise NotStarted(exc.message, exc.hint) from exc
        tell(f"   ready in {net.ready_s:.2f} s, run directory {net.directory.path}")
        yield net
    tell(f"── down, {time.monotonic() - began:.1f} s in all")


async def _checked(net: Devnet, plan: ScenarioPlan) -> tuple[RunFacts, tuple[CheckResult, ...]]:
    """What the run directory says, with every rollup rebuilt from L1, and what the checkers make of it."""
    facts = await asyncio.to_thread(load_facts, net.directory.path)
    facts = await rebuilt(facts, net.directory.path, live=True)
    wanted, bystanders = plan.expect.invariants, bool(bystanders_of(plan))
    chosen = [
        one
        for one in CHECKERS
        if (wanted == "all" or one.name in wanted or one.name == COVERAGE)
        and (bystanders or one.name != BLAST_RADIUS)
    ]
    return facts, await asyncio.to_thread(check_run, facts, chosen)


def _mix(plan: ScenarioPlan) -> Mix | None:
    if plan.mix is None:
        return None if plan.devnet.market is not None else Mix(strategy=0, transfers=1)
    nothing = Mix(**{part.name: 0.0 for part in fields(Mix)})
    return replace(nothing, **plan.mix)


def _expectations(plan: ScenarioPlan) -> Expectations:
    """What ``rollnet check`` judges the stored run by, too."""
    wanted = plan.expect
    return Expectations(
        recovery_s=wanted.recovery.first_commit_within,
        stall_s=wanted.silence,
        coverage=dict(wanted.coverage),
        unaffected=wanted.blast_radius,
    )
