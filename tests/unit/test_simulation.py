"""The simulated devnet: thousands of schedules hold, every mutant is caught, one seed is one execution, and the checkers can say no."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.simulation.accounts import transaction_hash
from orchestrator.simulation.checks import CHECKERS, check
from orchestrator.simulation.facts import Facts
from orchestrator.simulation.mutants import MUTANTS, Mutant, table
from orchestrator.simulation.schedule import Entry, Submit, draw
from orchestrator.simulation.search import live, search, smallest
from orchestrator.simulation.story import story

BUDGET = 5_000
"""Schedules; the mutants have the same ones."""
PARTS = 25
SHORT = 1
"""Parts that run with the other unit tests; the rest is a ring of its own."""


@pytest.mark.parametrize(
    "part", [*range(SHORT), *(pytest.param(part, marks=pytest.mark.long) for part in range(SHORT, PARTS))]
)
def test_thousands_of_schedules_hold(part: int) -> None:
    """No schedule ends in a violation, and the schedules are not idle: items are acknowledged, slots decided, nodes die, L1 cuts the log."""
    size = BUDGET // PARTS
    seen = search(range(part * size, (part + 1) * size))
    if seen.found is not None:
        _, facts, violations = smallest(seen.found)
        pytest.fail(f"seed {seen.found.seed}\n{story(facts, violations)}")
    assert size == seen.tried
    assert seen.acknowledged > 3 * size
    assert seen.slots > 4 * size
    assert seen.deaths > size // 5
    assert seen.cuts > size // 50


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_is_caught(mutant: Mutant) -> None:
    """With one rule taken out of the code, a checker that is named for it sees a violation within the budget."""
    seen = search(range(BUDGET), mutant)
    assert seen.found is not None, f"{mutant.name} lives through {BUDGET} schedules"
    found = {violation.checker for violation in seen.found.violations}
    assert found & set(mutant.checkers), f"seen by {found} only, at seed {seen.found.seed}"


def test_a_found_schedule_is_shrunk_to_what_matters() -> None:
    """Of a schedule with a mutant only what is needed stays, a bundle that fails; the story names the checker and what was sent."""
    forgetful = next(each for each in MUTANTS if each.name == "forget-one-participant")
    seen = search(range(BUDGET), forgetful)
    assert seen.found is not None
    schedule, facts, violations = smallest(seen.found, forgetful)
    assert 1 <= len(schedule.entries) <= 2
    text = story(facts, violations)
    assert f"\n  {violations[0].checker}: " in text
    assert text.partition("what happened")[0].count(" is sent: ") == len(schedule.entries)


def test_one_seed_is_one_execution() -> None:
    """The same schedule gives the same trace again, whatever ran before."""
    traces = [live(draw(seed))[0].trace for seed in range(20)]
    live(draw(999))
    assert traces == [live(draw(seed))[0].trace for seed in range(20)]
    assert 20 == len(set(traces))


_PRINT_TRACES = """
from orchestrator.simulation.schedule import draw
from orchestrator.simulation.search import live
print([live(draw(seed))[0].trace for seed in range(30)])
"""


def test_traces_do_not_depend_on_the_interpreters_hash_seed(repository: Path) -> None:
    """Another process with another PYTHONHASHSEED lives through the same executions, to the last step."""
    told = [
        subprocess.run(
            [sys.executable, "-c", _PRINT_TRACES],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=repository,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert told[0] == told[1]
    assert told[0].count("'") == 60


def _twice(facts: Facts) -> None:
    rollup = facts.rollups[901]
    made = next(made for made in rollup.served.values() if made.included)
    rollup.served[made.header.number] = replace(made, included=made.included * 2)


def _lost_leg(facts: Facts) -> None:
    key = next(key for key, item in facts.ledger.items.items() if item.outcome == "commit")
    digests = set(map(transaction_hash, facts.ledger.items[key].raws[:1]))
    for rollup in facts.rollups.values():
        for number, made in rollup.served.items():
            kept = tuple(each for each in made.included if each[0] not in digests)
            rollup.served[number] = replace(made, included=kept)


def _money_from_nowhere(facts: Facts) -> None:
    rollup = facts.rollups[901]
    made = rollup.served[rollup.chain.safe]  # type: ignore[union-attr]
    made.balances[next(iter(made.balances))] += 1


def _false_abort(facts: Facts) -> None:
    slot = next(s for s in facts.ledger.slots if any(d["outcome"] == "commit" for d in s["decisions"]))
    decision = next(d for d in slot["decisions"] if d["outcome"] == "commit")
    decision["outcome"] = "abort"


def _wasted_superbatch(facts: Facts) -> None:
    chain = facts.layer1.chain
    held = next(n for n, sealed in enumerate(chain.sealed) if sealed.block.batches)
    block = chain.sealed[held].block
    twice = replace(block, batches=block.batches * 2)
    chain.sealed[held] = replace(chain.sealed[held], block=twice)


def _replaced(facts: Facts) -> None:
    facts.problems.append(("stable", "block 1 was another"))


def _never_done(facts: Facts) -> None:
    facts.drained = False


@pytest.mark.parametrize(
    ("checker", "doctor"),
    [
        ("once", _twice),
        ("whole", _lost_leg),
        ("derived", _money_from_nowhere),
        ("judged", _false_abort),
        ("published", _wasted_superbatch),
        ("stable", _replaced),
        ("drained", _never_done),
    ],
)
def test_a_doctored_history_is_rejected(checker: str, doctor: Callable[[Facts], None]) -> None:
    """What an honest schedule left behind is changed in one place, and the checker for it says so."""
    for seed in range(50):
        facts, violations = live(replace(draw(seed), entries=_only_work(seed)))
        assert [] == violations
        if len([item for item in facts.ledger.items.values() if item.outcome == "commit"]) > 1:
            break
    doctor(facts)
    assert checker in {violation.checker for violation in check(facts)}


def _only_work(seed: int) -> tuple[Entry, ...]:
    return tuple(entry for entry in draw(seed).entries if isinstance(entry, Submit))


def test_every_checker_is_shown_to_say_no() -> None:
    """Each checker is named by a mutant, or is given a doctored history here."""
    doctored = {"once", "whole", "derived", "judged", "published", "stable", "drained"}
    assert set(CHECKERS) == doctored | {checker for each in MUTANTS for checker in each.checkers}


def test_the_page_of_mutants_is_true(repository: Path) -> None:
    """``docs/reference/chaos-mutants.md`` shows the mutants and checkers that there are, at least twelve mutants."""
    page = (repository / "docs" / "reference" / "chaos-mutants.md").read_text()
    assert table() in page
    assert set(CHECKERS) == {name for name, rule in CHECKERS.items() if f"| `{name}` | {rule} |" in page}
    assert len(MUTANTS) >= 12
    assert len(MUTANTS) == len({each.name for each in MUTANTS})
