"""``demo``: the main job from launch to verdict, for people who want to see it once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from orchestrator.cli.output import JsonOption, command, command_group, err, out, run, say_json
from orchestrator.report import print_report, write_report
from orchestrator.runner import main_job

app = command_group()


@app.command()
def demo(
    topology: Annotated[
        Path, typer.Argument(help="A topology with a market and several EVM rollups.")
    ] = Path("topologies/condor-quad.yaml"),
    runtime: Annotated[
        Literal["process", "docker", "auto"] | None,
        typer.Option(help="Where nodes run; processes by default, unless the topology says otherwise."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Launch, commit a strategy, abort one, kill the sequencer under load, verify, report, take down.

    Exits 0 if every acknowledged bundle is whole, 1 if any is not.

    Example: rollnet demo topologies/condor-quad.yaml
    """
    with command(as_json=as_json):
        told = err if as_json else out
        verdict = run(main_job(topology, lambda line: told.print(line, markup=False), runtime=runtime))
        report, _ = write_report(verdict.report.parent)
        summary = {
            "valid": not verdict.violations,
            "violations": verdict.violations,
            "bundles": verdict.counts,
            "in_flight_at_kill": verdict.in_flight_at_kill,
            "recovery_s": round(verdict.recovery_s, 3),
            "rebuilt_blocks": sum(verdict.rebuilt.blocks.values()),
            "report": str(verdict.report),
        }
        if as_json:
            say_json(summary)
        else:
            print_report(report, out)
            for violation in verdict.violations:
                out.print(f"VIOLATION {violation}", style="red", markup=False)
            counts = ", ".join(f"{count} {outcome}" for outcome, count in verdict.counts.items())
            partial = sum(not bundle.whole for bundle in verdict.bundles)
            out.print(
                f"\n{'VALID' if not verdict.violations else 'INVALID'}: condor committed, condor with a failing leg aborted, "
                f"sequencer killed with {verdict.in_flight_at_kill} bundles in flight and back in {verdict.recovery_s:.2f} s; "
                f"{len(verdict.bundles)} acknowledged bundles ({counts}), {partial} partial; "
                f"{sum(verdict.rebuilt.blocks.values())} blocks rebuilt from L1 alone: {verdict.rebuilt.verdict}"
            )
            out.print(f"report: {verdict.report}")
    raise typer.Exit(1 if verdict.violations else 0)
