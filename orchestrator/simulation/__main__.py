"""Longer searches by hand: ``python -m orchestrator.simulation --seeds 0:100000 [--mutant NAME] [--shrink] [--verbose]``.

Ends with 0 if nothing was found and with 1 if something was; what was found is named by its seed, which gives the same execution everywhere.
"""

import sys
import time
from typing import Annotated

import typer

from orchestrator.simulation.checks import CHECKERS
from orchestrator.simulation.mutants import MUTANTS, Mutant, mutant
from orchestrator.simulation.search import Searched, live, search, smallest
from orchestrator.simulation.story import story

CHUNK = 1_000
"""Seeds between two lines of progress."""


def run(
    seeds: Annotated[str, typer.Option(help="First seed, and the one after the last.")] = "0:5000",
    mutant_name: Annotated[str, typer.Option("--mutant", help="Take this rule out of the code.")] = "",
    *,
    shrink: Annotated[bool, typer.Option(help="Make what is found as small as it goes.")] = False,
    mutants: Annotated[bool, typer.Option(help="List the mutants and the checkers.")] = False,
) -> None:
    """Search simulated schedules for a violation."""
    if mutants:
        _list()
        return
    try:
        first, end = map(int, seeds.split(":"))
        chosen = mutant(mutant_name) if mutant_name else None
    except (ValueError, KeyError) as exc:
        raise typer.BadParameter(f"{exc} (seeds are FIRST:END)") from exc
    begun, tried = time.perf_counter(), 0
    for start in range(first, end, CHUNK):
        seen = search(range(start, min(start + CHUNK, end)), chosen)
        tried += seen.tried
        rate = tried / (time.perf_counter() - begun) * 60
        typer.echo(
            f"{tried} schedules, {rate:.0f} a minute; the last ones: {seen.acknowledged} items acknowledged,"
            f" {seen.slots} slots, {seen.deaths} deaths, {seen.cuts} cuts of the log"
        )
        if seen.found is not None:
            _show(seen, chosen, shrinking=shrink)
            sys.exit(1)


def _show(seen: Searched, chosen: Mutant | None, *, shrinking: bool) -> None:
    found = seen.found
    assert found is not None
    typer.echo(f"seed {found.seed}: {found.violations[0].checker}: {found.violations[0].what}")
    if shrinking:
        schedule, facts, violations = smallest(found, chosen)
        typer.echo(f"{len(found.schedule.entries)} entries shrunk to {len(schedule.entries)}")
    else:
        facts, violations = live(found.schedule, chosen)
    typer.echo(story(facts, violations))


def _list() -> None:
    for each in MUTANTS:
        typer.echo(f"{each.name:28} {each.breaks}  ({', '.join(each.checkers)})")
    for name, rule in CHECKERS.items():
        typer.echo(f"{name:28} {rule}")


if __name__ == "__main__":
    typer.run(run)
