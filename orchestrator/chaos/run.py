"""The spine: one scenario from its plan to its findings, stage by stage.

::

    launch ─► warm-up ─► baseline ─► schedule ─► recovery ─► after ─► drain ─► settle ─► observe ─► check ─► report ─► down

The load is an open loop from the warm-up to the end of ``after``. Whatever happens, faults are healed and the devnet is taken down; the
run directory stays. A devnet that was never steady is not struck, and the verdict is unknown; so is that of a run that breaks down in its middle,
which is reported like any other. What goes wrong once there is a verdict (the devnet does not go down as it should) is a warning beside it.
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

from orchestrator.chaos.errors import NotStarted
from orchestrator.chaos.findings import Findings, backlog_check, broken_check, lost_check, own_checks
from orchestrator.chaos.ground import bystanders_of
from orchestrator.chaos.healing import heal_all
from orchestrator.chaos.lookout import Lookout
from orchestrator.chaos.nemesis import Struck
from orchestrator.chaos.plan import ScenarioPlan, plan_to_dict
from orchestrator.chaos.stages import Stages, Tell
from orchestrator.checks import (
    CheckResult,
    Conduct,
    Expectations,
    RunFacts,
    check_run,
    load_facts,
    observe,
    rebuilt,
    write_conduct,
    write_expectations,
)
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
LAUNCH_HINT = "look at the space and the rights of $ROLLNET_HOME"


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
    """
    found: Findings | None = None
    try:
        async with _launched(plan, tell, state, mutant) as net:
            found = await _judged(plan, net, tell, mutant)
            if hold is not None:
                await hold(net, found)
    except Exception as exc:
        if found is None:
            raise
        # a verdict was found, and nothing that comes after it can change it
        warning = f"after the verdict: {_words(exc)}; see rollnet status, and rollnet gc for what is left"
        tell(f"WARNING: {warning}")
        return replace(found, warnings=(*found.warnings, warning))
    return found


async def _judged(plan: ScenarioPlan, net: Devnet, tell: Tell, mutant: str) -> Findings:
    """What the run found; one that breaks down has found nothing, above all not "invalid"."""
    try:
        return await _found(plan, net, tell, mutant)
    except Exception as exc:
        tell(f"BROKE DOWN: {_words(exc)}")
        healed = await heal_all(net, plan)
        for line in (*healed.lost, *healed.stuck):
            tell(f"NOT healed: {line}")
        facts, checks = await asyncio.to_thread(_kept, plan, net.directory.path, exc)
        return Findings(plan, mutant, net.directory.path, checks, (), facts)


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
    before = own_checks(plan, struck, unsteady)
    after = (backlog_check(struck, run.backlog, run.wrong), *lost_check(plan, run.lost, run.stuck))
    write_conduct(net.directory.path, Conduct(before, after))
    facts, checks = await _checked(net)
    return Findings(
        plan=plan,
        mutant=mutant,
        directory=net.directory.path,
        checks=checks,
        struck=struck,
        facts=facts,
    )


def _kept(plan: ScenarioPlan, directory: Path, exc: Exception) -> tuple[RunFacts, tuple[CheckResult, ...]]:
    """Keep what happened with a run that broke down, and read what there is of it, for the drawing."""
    path = directory / TROUBLE_FILE
    conduct = Conduct(before=(broken_check(_words(exc), path),), broken=True)
    with contextlib.suppress(OSError):  # nothing can be written any more: that may be what happened
        path.write_text("".join(traceback.format_exception(exc)))
        write_conduct(directory, conduct)
    try:
        return load_facts(directory), conduct.before
    except (RollnetError, OSError):
        return RunFacts(plan.devnet), conduct.before


def _words(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return exc.message if isinstance(exc, RollnetError) else f"{type(exc).__name__}: {exc}"


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
            await run.drain(load, steady=not unsteady)
            if not unsteady:
                await run.settle()
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
        except (OSError, ExceptionGroup) as exc:
            raise NotStarted(f"the devnet does not come up: {_words(exc)}", LAUNCH_HINT) from exc
        tell(f"   ready in {net.ready_s:.2f} s, run directory {net.directory.path}")
        yield net
    tell(f"── down, {time.monotonic() - began:.1f} s in all")


async def _checked(net: Devnet) -> tuple[RunFacts, tuple[CheckResult, ...]]:
    """What the run directory says, with every rollup rebuilt from L1, and what the checkers make of it."""
    facts = await asyncio.to_thread(load_facts, net.directory.path)
    facts = await rebuilt(facts, net.directory.path, live=True)
    return facts, await asyncio.to_thread(check_run, facts)


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
        checkers=None if wanted.invariants == "all" else wanted.invariants,
        bystanders=bool(bystanders_of(plan)),
    )
