"""A scenario for a terminal: its schedule before it runs, its findings afterwards."""

from collections import Counter

from rich.console import Console
from rich.markup import escape

from orchestrator.chaos.explore import Explored
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.chaos.tables import METHOD, build_tables, headline
from orchestrator.checks import Verdict
from orchestrator.report.tables import Table
from orchestrator.report.terminal import print_table
from orchestrator.topology.durations import format_duration

_STYLES = {Verdict.VALID: "bold green", Verdict.INVALID: "bold white on red", Verdict.UNKNOWN: "bold magenta"}


def print_findings(found: Findings, console: Console) -> None:
    """The verdict, counter-examples, then the tables."""
    mutant = f", mutant {escape(found.mutant)}" if found.mutant else ""
    console.print(
        f"\n[bold]{escape(found.plan.name)}[/] on {escape(found.plan.devnet.name)}, seed {found.plan.seed}{mutant}"
    )
    console.print(headline(found), style=_STYLES[found.verdict], markup=False)
    for warning in found.warnings:
        console.print(f"WARNING: {warning}", style="yellow", markup=False)
    for check in found.checks:
        if check.counterexample is not None:
            console.print(f"\n[bold]Counter-example: {escape(check.name)}[/]")
            for line in check.counterexample.lines:
                console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)
    for table in build_tables(found):
        if not table.folded:
            print_table(table, console, "report.md")
    console.print(f"\n[dim]{escape(METHOD)}[/]")


def print_plan(plan: ScenarioPlan, console: Console) -> None:
    """The schedule with its targets drawn."""
    load = f"{plan.rate:g} bundles/s"
    console.print(
        f"[bold]{escape(plan.name)}[/] on {escape(plan.devnet.name)} ({plan.runtime}), seed {plan.seed}, {load}, "
        f"baseline {format_duration(plan.baseline_s)}"
    )
    rows = tuple(
        (
            fault.name,
            fault.kind,
            ", ".join(fault.strikes),
            str(fault.trigger),
            format_duration(fault.lasts_s) if fault.lasts_s else "at once",
            ", ".join(f"{key} {value}" for key, value in fault.parameters.items()),
        )
        for fault in plan.faults
    )
    print_table(
        Table("Schedule", ("fault", "kind", "struck", "when", "lasts", "what"), rows), console, "--json"
    )
    console.print("dry run: nothing was started")


def print_explored(explored: Explored, console: Console) -> None:
    """What a search found: the verdict, the smallest schedule, then every schedule."""
    counts = Counter(tried.verdict for tried in explored.tried)
    said = ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items())
    console.print(
        f"{explored.verdict.value.upper()}: {len(explored.tried)} schedules, {said}",
        style=_STYLES[explored.verdict],
    )
    if explored.file is not None:
        console.print("\n[bold]The fewest faults that still fail[/]")
        for fault in explored.smallest:
            words = " ".join(f"{key}={value}" for key, value in fault.items() if key not in ("name", "fault"))
            console.print(f"  {fault['name']}: {words}", markup=False, highlight=False, soft_wrap=True)
        run = explored.last or explored.tried[-1]
        console.print(
            f"  seen by {', '.join(run.because)}; {run.directory}/report.md", markup=False, soft_wrap=True
        )
        if not run.struck:
            console.print("  it failed before any fault struck: the build is wrong by itself")
        console.print(f"  again: rollnet chaos run {explored.file}", markup=False, soft_wrap=True)
    rows = tuple(
        (str(tried.seed), tried.verdict.value, ", ".join(tried.faults), ", ".join(tried.because))
        for tried in explored.tried
    )
    print_table(Table("Schedules", ("seed", "verdict", "faults", "because"), rows), console, "--json")
