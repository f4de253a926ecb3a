"""Searching seeds for a violation, and making a found one small and readable."""

import contextlib
import gc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from orchestrator.simulation.checks import Violation, check
from orchestrator.simulation.facts import Facts
from orchestrator.simulation.memory import remembered
from orchestrator.simulation.mutants import Mutant
from orchestrator.simulation.schedule import Entry, Schedule, draw
from orchestrator.simulation.shrink import shrink
from orchestrator.simulation.world import World

COLLECT_EVERY = 150
"""Schedules between two collections of garbage."""


@dataclass(frozen=True, slots=True)
class Found:
    """A schedule that ends badly."""

    seed: int
    tried: int
    """Schedules until then, itself included."""
    schedule: Schedule
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search saw."""

    tried: int
    found: Found | None
    acknowledged: int
    """Items that were acknowledged, in all schedules together: nothing was shown if none was."""
    slots: int
    deaths: int
    cuts: int
    virtual_s: float


def live(schedule: Schedule, mutant: Mutant | None = None) -> tuple[Facts, list[Violation]]:
    """Live through one schedule and look at it."""
    with mutant.patch() if mutant is not None else contextlib.nullcontext():
        facts = World(schedule).run()
    return facts, check(facts)


def search(seeds: Iterable[int], mutant: Mutant | None = None) -> Searched:
    """The first violation of these seeds' schedules, if there is one."""
    tried = acknowledged = slots = deaths = cuts = 0
    virtual_s = 0.0
    found = None
    with remembered():
        for seed in seeds:
            tried += 1
            if tried % COLLECT_EVERY == 0:
                gc.collect()
            schedule = draw(seed)
            facts, violations = live(schedule, mutant)
            acknowledged += len(facts.acknowledged)
            slots += len(facts.ledger.slots)
            deaths += facts.deaths
            cuts += facts.ledger.cuts
            virtual_s += facts.ended
            if violations:
                found = Found(seed, tried, schedule, tuple(violations))
                break
    return Searched(tried, found, acknowledged, slots, deaths, cuts, virtual_s)


def smallest(found: Found, mutant: Mutant | None = None) -> tuple[Schedule, Facts, list[Violation]]:
    """The fewest entries that still give a violation by the same checker."""
    checker = found.violations[0].checker

    def fails(entries: Sequence[Entry]) -> bool:
        _, violations = live(replace(found.schedule, entries=tuple(entries)), mutant)
        return any(violation.checker == checker for violation in violations)

    with remembered():
        schedule = replace(found.schedule, entries=tuple(shrink(found.schedule.entries, fails)))
        facts, violations = live(schedule, mutant)
    return schedule, facts, [violation for violation in violations if violation.checker == checker]
