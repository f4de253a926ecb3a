"""``check``: a stored run judged again, by everything that its clients, journals and chains left."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.checks import (
    EXIT_CODES,
    CheckResult,
    NotARun,
    RunFacts,
    Verdict,
    check_run,
    load_facts,
    rebuilt,
    worst,
)
from orchestrator.cli.output import JsonOption, command, command_group, out, run, say_json
from orchestrator.cli.traces import run_directory
from orchestrator.cli.verify import lives_in
from orchestrator.errors import RollnetError

COLOURS = {Verdict.VALID: "green", Verdict.INVALID: "red", Verdict.UNKNOWN: "yellow"}
SCHEMA = 1
"""Of the JSON document; raised when a key changes its meaning."""

app = command_group()


@app.command(name="check")
def check_command(
    run_or_name: Annotated[
        str,
        typer.Argument(
            help="A run directory, or the name of a topology or devnet (its latest run).", metavar="RUN"
        ),
    ],
    replay: Annotated[
        bool,
        typer.Option(
            "--replay/--no-replay",
            help="Rebuild every rollup from L1 as well, as `rollnet verify` does; takes seconds to minutes.",
        ),
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Judge a stored run: conservation, no ghosts, at most once, no loss, atomicity, order, agreement, finality, and more.

    Nothing in the run is changed, and no devnet is needed. Exit status: 0 valid, 1 invalid (with the smallest counter-example), 2 unknown:
    too little was seen to say, or it is no run. Example: rollnet check condor-quad --no-replay
    """
    with command(as_json=as_json):
        folder = _folder(run_or_name)
        facts = load_facts(folder)
        if replay:
            facts = run(rebuilt(facts, folder, live=lives_in(folder)))
        results = check_run(facts)
        if as_json:
            say_json(results_to_json(results))
        else:
            print_results(facts, results)
    raise typer.Exit(EXIT_CODES[worst(result.verdict for result in results)])


def results_to_json(results: tuple[CheckResult, ...]) -> dict[str, Any]:
    """The machine contract of ``rollnet check --json``; keys are only ever added."""
    return {
        "schema": SCHEMA,
        "verdict": worst(result.verdict for result in results),
        "checks": [
            {
                "name": result.name,
                "verdict": result.verdict,
                "seen": result.seen,
                "of_what": result.of_what,
                "violations": result.violations,
                "counterexample": None
                if result.counterexample is None
                else {
                    "lines": list(result.counterexample.lines),
                    "events": list(result.counterexample.events),
                },
                "notes": list(result.notes),
            }
            for result in results
        ],
    }


def print_results(facts: RunFacts, results: tuple[CheckResult, ...]) -> None:
    """The verdict, one line for each checker, and what speaks against the run."""
    verdict = worst(result.verdict for result in results)
    ends = ", ".join(f"{name}" for name in _ends(facts))
    out.print(f"verdict: [bold {COLOURS[verdict]}]{verdict}[/]   {escape(ends)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("check", "verdict", "seen", "notes"):
        table.add_column(column, overflow="fold")
    for result in results:
        table.add_row(
            result.name,
            f"[{COLOURS[result.verdict]}]{result.verdict}[/]",
            f"{result.seen} {result.of_what}",
            escape("; ".join(result.notes)),
        )
    out.print(table)
    for torn in facts.torn:
        out.print(f"[dim]{escape(torn)}[/dim]", soft_wrap=True)
    for result in results:
        if result.counterexample is not None:
            _print_counterexample(result)


def _print_counterexample(result: CheckResult) -> None:
    found = result.counterexample
    assert found is not None, "the caller looked"
    others = f", the smallest of {result.violations}" if result.violations > 1 else ""
    out.print(f"\n[red]{escape(result.name)}[/red] is broken{others}:", soft_wrap=True)
    for line in found.lines:
        out.print(f"  {escape(line)}", soft_wrap=True)
    if found.events:
        out.print(f"  [dim]see {escape(', '.join(found.events))}[/dim]", soft_wrap=True)


def _ends(facts: RunFacts) -> list[str]:
    counts: dict[str, int] = {}
    for one in facts.operations:
        end = f"{one.kind} {one.outcome or one.result}"
        counts[end] = counts.get(end, 0) + 1
    return [f"{count} {end}" for end, count in sorted(counts.items(), key=lambda item: -item[1])]


def _folder(wanted: str) -> Path:
    """A run directory by its path, or the latest run of a devnet or topology.

    Raises:
        NotARun: neither; exit status 1 is kept for what is invalid.
    """
    if Path(wanted).is_dir():
        return Path(wanted)
    try:
        return run_directory(wanted)
    except RollnetError as exc:
        raise NotARun(exc.message, "give a run directory, or the name of a topology that ran") from exc
