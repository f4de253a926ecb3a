"""``chaos points``: where nodes can be made to crash, and what must hold afterwards. ``chaos run``: a scenario, and its verdict.

``chaos explore``: a search for a schedule of faults that fails.
"""

import asyncio
import time
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bridge.wire.crash_points import CRASH_POINTS
from bridge.wire.mutants import MUTANTS
from orchestrator.cli.ending import Ending
from orchestrator.cli.interrupts import importing
from orchestrator.cli.output import JsonOption, command, command_group, err, out, run, say_json
from orchestrator.errors import RollnetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.chaos.explore import Explored
    from orchestrator.chaos.findings import Findings
    from orchestrator.chaos.plan import ScenarioPlan
    from orchestrator.chaos.stages import Tell
    from orchestrator.devnet import Devnet

app = command_group("Break a devnet on purpose, and judge what came of it.")


class UnknownRole(RollnetError):  # noqa: N818 - names what it is
    """No node of this role has crash points."""

    exit_code = 2


@app.command()
def points(
    role: Annotated[
        str | None,
        typer.Option("--role", help="Only those that nodes of a role pass: sequencer, rollup, relayer."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the points at which a node can be ordered to crash, and what must hold after each.

    Only nodes of a devnet that was launched for chaos take such orders.

    Example: rollnet chaos points --role relayer
    """
    with command(as_json=as_json):
        roles = sorted({role for point in CRASH_POINTS.values() for role in point.roles})
        if role is not None and role not in roles:
            raise UnknownRole(f"no node of role {role!r} has crash points", f"there are: {', '.join(roles)}")
        chosen = [point for point in CRASH_POINTS.values() if role is None or role in point.roles]
        if as_json:
            say_json([asdict(point) for point in chosen])
            return
        for passed_by, group in groupby(chosen, key=lambda point: point.passed_by):
            out.print(f"[bold]{passed_by}[/bold]")
            for point in group:
                out.print(f"  {point.name}", soft_wrap=True)
                out.print(f"      between  {point.after} / {point.before}", markup=False, soft_wrap=True)
                out.print(f"      holds    {point.holds}", markup=False, soft_wrap=True)


class UnknownMutant(RollnetError):  # noqa: N818 - names what it is
    """Nodes can't be broken in this way."""

    exit_code = 3


class Unwritable(RollnetError):  # noqa: N818 - names what it is
    """The report can't be put where the user wants it."""

    exit_code = 3


@app.command("run")
def run_command(
    scenario: Annotated[Path, typer.Argument(help="A scenario file, such as scenarios/sequencer-kill.yaml.")],
    seed: Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Instead of the scenario's.")] = None,
    runtime: Annotated[
        Literal["process", "docker"] | None,
        typer.Option(help="Where nodes run; what the topology says by default."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.1, max=10_080, help="Repeat the schedule until so much time has passed, for a soak."
        ),
    ] = None,
    mutant: Annotated[
        str,
        typer.Option(help=f"Run nodes that are broken on purpose, to see the verdict: {', '.join(MUTANTS)}."),
    ] = "",
    junit: Annotated[
        Path | None, typer.Option(help="Write JUnit XML there, one test case for each check.")
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave a devnet that is not valid running until Ctrl-C.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the schedule with its targets drawn; start nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Launch a devnet, put load on it, break it as the scenario says, heal it, and judge what came of it.

    Exits 0 if the run is valid, 1 if it is invalid, 2 if nobody knows (a fault did not bite, too little was seen), 3 if nothing could
    be started. The run directory stays in any case.

    Example: rollnet chaos run scenarios/sequencer-kill.yaml --junit junit.xml
    """
    code = 0
    with command(as_json=as_json):
        with importing():
            from orchestrator.chaos.load import load_scenario  # noqa: PLC0415 - `chaos points` does without

        if mutant and mutant not in MUTANTS:
            raise UnknownMutant(f"there is no mutant {mutant!r}", f"there are: {', '.join(MUTANTS)}")
        if junit is not None:
            _require_writable(junit)
        plan = load_scenario(
            scenario, runtime=runtime, seed=seed, repeat_s=None if minutes is None else 60 * minutes
        )
        if dry_run:
            _print_plan(plan, as_json=as_json)
        else:
            code = _run(plan, mutant, junit, keep=keep, as_json=as_json)
    raise typer.Exit(code)


@app.command()
def explore(
    topology: Annotated[
        Path | None, typer.Argument(help="A topology file; three rollups and a shared sequencer by default.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, max=10_080, help="How long to search.")] = 5.0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**30, help="Of the first schedule; the next ones count on.")
    ] = 0,
    mutant: Annotated[
        str, typer.Option(help=f"Run nodes that are broken on purpose: {', '.join(MUTANTS)}.")
    ] = "",
    folder: Annotated[
        Path, typer.Option("--out", help="Where failing schedules go, as scenario files.")
    ] = Path("explored"),
    as_json: JsonOption = False,
) -> None:
    """Draw schedules of faults and crash points, run them on the process runtime, and shrink one that fails to the fewest faults.

    A schedule takes up to a minute. Exits 0 if none failed, 1 if one did, 2 if none could be judged, 3 if nothing could be started.

    Example: rollnet chaos explore --minutes 10 --seed 100
    """
    code = 0
    with command(as_json=as_json):
        if mutant and mutant not in MUTANTS:
            raise UnknownMutant(f"there is no mutant {mutant!r}", f"there are: {', '.join(MUTANTS)}")
        with importing():
            from orchestrator.chaos.drawing import TOPOLOGY  # noqa: PLC0415 - `chaos points` does without
            from orchestrator.chaos.explore import Search  # noqa: PLC0415 - as above
            from orchestrator.chaos.run import run_scenario  # noqa: PLC0415 - as above
            from orchestrator.chaos.terminal import print_explored  # noqa: PLC0415 - as above
            from orchestrator.chaos.to_json import explored_to_json  # noqa: PLC0415 - as above
            from orchestrator.chaos.write import write_findings  # noqa: PLC0415 - as above

        tell = _teller(time.monotonic())

        async def one(plan: "ScenarioPlan") -> "Findings":
            found = await run_scenario(plan, _quiet, mutant=mutant)
            if found.exit_code:
                await asyncio.to_thread(write_findings, found)
            return found

        where = TOPOLOGY if topology is None else str(topology.resolve())

        async def whole() -> "Explored":
            with Ending():
                return await Search(where, seed, folder, one, tell).explore(60 * minutes)

        explored = run(whole())
        if as_json:
            say_json(explored_to_json(explored))
        else:
            print_explored(explored, out)
        code = explored.exit_code
    raise typer.Exit(code)


def _quiet(line: str) -> None:
    del line


def _require_writable(junit: Path) -> None:
    """Refuse, before anything is launched, a place where the verdict could not be written; an older one goes."""
    try:
        junit.parent.mkdir(parents=True, exist_ok=True)
        junit.unlink(missing_ok=True)
        junit.touch()
        junit.unlink()
    except OSError as exc:
        raise Unwritable(f"{junit} can't be written: {exc.strerror}", "give another file") from exc


def _run(plan: "ScenarioPlan", mutant: str, junit: Path | None, *, keep: bool, as_json: bool) -> int:
    with importing():
        from orchestrator.chaos.run import run_scenario  # noqa: PLC0415 - `chaos points` does without
        from orchestrator.chaos.terminal import print_findings  # noqa: PLC0415 - as above
        from orchestrator.chaos.to_json import findings_to_json  # noqa: PLC0415 - as above
        from orchestrator.chaos.write import write_findings, write_junit  # noqa: PLC0415 - as above

    began = time.monotonic()
    written: list[Path] = []
    tell = _teller(began)

    async def whole() -> "Findings":
        with Ending() as ending:

            async def hold(net: "Devnet", found: "Findings") -> None:
                written.extend(await asyncio.to_thread(_written, lambda: write_findings(found), tell))
                if keep and found.exit_code:
                    await _kept(net, found, ending)

            return await run_scenario(plan, tell, mutant=mutant, hold=hold)

    found = run(whole())
    if junit is not None:
        written += _written(lambda: write_junit(found, time.monotonic() - began, junit), tell)
    if as_json:
        say_json({**findings_to_json(found), "files": [str(path) for path in written]})
    else:
        print_findings(found, out)
        out.print(f"written: {', '.join(str(path) for path in written)}", soft_wrap=True, markup=False)
    return found.exit_code


def _written(write: "Callable[[], tuple[Path, ...]]", tell: "Tell") -> tuple[Path, ...]:
    """The files of a report; a disk that takes none changes nothing about the verdict, which is printed and told by the exit code."""
    try:
        return write()
    except OSError as exc:
        tell(f"WARNING: the report can't be written: {exc}")
        return ()


def _teller(began: float) -> Any:
    def tell(line: str) -> None:
        err.print(f"{time.monotonic() - began:7.2f} s  {line}", markup=False, emoji=False)

    return tell


async def _kept(net: "Devnet", found: "Findings", ending: Ending) -> None:
    """Wait for Ctrl-C or SIGTERM beside the devnet."""
    endpoints = {net.l1.name: net.l1.http, **{name: chain.http for name, chain in net.rollups.items()}}
    endpoints |= {name: sequencer.http for name, sequencer in net.sequencers.items()}
    err.print(f"{found.verdict.value}: {net.name} is left running, with everything healed", markup=False)
    for name, url in endpoints.items():
        err.print(f"  {name:16} {url}", markup=False)
    err.print("Ctrl-C takes it down", markup=False)
    await ending.wait()


def _print_plan(plan: "ScenarioPlan", *, as_json: bool) -> None:
    from orchestrator.chaos.plan import plan_to_dict  # noqa: PLC0415 - `chaos points` does without
    from orchestrator.chaos.terminal import print_plan  # noqa: PLC0415 - as above

    if as_json:
        say_json(plan_to_dict(plan))
    else:
        print_plan(plan, out)
