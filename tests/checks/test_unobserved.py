"""Who did not see something says so: a rollup that was not read, or not read far enough, is neither well nor broken."""

from dataclasses import replace

import pytest

from orchestrator.checks import CHECKERS, Expectations, RunFacts, Verdict, check_run
from orchestrator.checks.testing import Document, altered
from orchestrator.checks.testing_breakages import BREAKAGES

OF_ROLLUPS = frozenset(
    {
        "conservation",
        "no ghosts",
        "at most once",
        "no loss",
        "atomicity",
        "order",
        "agreement",
        "finality",
        "strategy",
        "serialisable",
        "settlement",
    }
)
"""Checkers that look at rollups in the end."""
OF_SEQUENCERS = frozenset({"no loss", "atomicity", "order", "drained"})
OF_L1 = frozenset({"conservation", "no ghosts", "at most once", "no loss", "settlement"})


def verdicts(facts: RunFacts) -> dict[str, Verdict]:
    """What each checker says."""
    return {one.name: one.verdict for one in check_run(facts)}


def unknown(facts: RunFacts) -> set[str]:
    """Checkers that say so; no other says invalid."""
    found = verdicts(facts)
    assert Verdict.INVALID not in found.values(), found
    return {name for name, verdict in found.items() if verdict is Verdict.UNKNOWN}


def test_a_rollup_that_was_not_observed_is_not_known(good: RunFacts) -> None:
    """Every checker that looks at rollups says unknown, and none calls the run broken."""
    assert OF_ROLLUPS == unknown(altered(good, lambda run: run["observed"]["rollups"].pop("beta")))


def test_a_sequencer_that_was_not_observed_is_not_known(good: RunFacts) -> None:
    """That nothing waits there, that it knows what it acknowledged, and what it decided."""
    assert OF_SEQUENCERS == unknown(altered(good, lambda run: run["observed"]["sequencers"].clear()))


def test_an_l1_that_was_not_observed_is_not_known(good: RunFacts) -> None:
    """What it paid, and what it holds."""

    def forget(run: Document) -> None:
        run["observed"]["l1"] = None

    assert OF_L1 == unknown(altered(good, forget))


def lagging(run: Document) -> None:
    """Beta was read before its last four blocks, the sequencer after them."""
    beta = run["observed"]["rollups"]["beta"]
    del beta["blocks"][-4:]
    last = beta["blocks"][-1]
    beta["heads"] = dict.fromkeys(beta["heads"], (last["number"], last["hash"]))
    run["sightings"] = [
        one
        for one in run["sightings"]
        if one["node"] != "beta" or all(number <= last["number"] for number, _ in one["heads"].values())
    ]


def test_a_rollup_that_lags_has_lost_nothing(good: RunFacts) -> None:
    """Bundles whose legs are in blocks that nobody read yet are no partial bundles, and lost is not what is still to come."""
    found = verdicts(altered(good, lagging))
    assert (Verdict.UNKNOWN, Verdict.UNKNOWN) == (found["atomicity"], found["no loss"])


@pytest.mark.parametrize("name", ["a leg that is missing", "a committed bundle that is nowhere"])
def test_what_a_lagging_rollup_had_long_before_is_judged_all_the_same(good: RunFacts, name: str) -> None:
    """A bundle of the first slot must be whole, however far the rollups have come."""
    breakage = next(one for one in BREAKAGES if one.name == name)

    def both(run: Document) -> None:
        lagging(run)
        breakage.apply(run)

    assert Verdict.INVALID == verdicts(altered(good, both))[breakage.checker]


def test_slots_that_were_not_read_are_beyond(good: RunFacts) -> None:
    """A status may name a slot that was decided after the log was read: no leg is missing then."""

    def fewer(run: Document) -> None:
        slots = run["observed"]["sequencers"]["sequencer"]["slots"]
        last = max(slot["number"] for slot in slots if slot["decisions"])
        del slots[last:]
        for rollup in run["observed"]["rollups"].values():
            kept = max(
                (block for slot in slots for block, _ in [slot["blocks"].get("alpha", (0, ""))]), default=0
            )
            del rollup["blocks"][kept + 1 :]

    assert Verdict.UNKNOWN == verdicts(altered(good, fewer))["atomicity"]


def test_torn_lines_in_the_middle_of_a_history_are_judged(good: RunFacts) -> None:
    """What they said is missing: nobody knows whether a ghost is one, and the run shows too little."""

    def forget(run: Document) -> None:
        one = run["operations"].pop(0)
        run["events"] = [each for each in run["events"] if each["bundle_id"] != one["id"]]

    ghosts = altered(good, forget)
    assert Verdict.INVALID == verdicts(ghosts)["no ghosts"]
    damaged = verdicts(replace(ghosts, damaged=1))
    assert (Verdict.UNKNOWN, Verdict.UNKNOWN) == (damaged["no ghosts"], damaged["coverage"])


def test_named_checkers_are_asked_and_no_others(good: RunFacts) -> None:
    """With coverage, which says what was seen at all."""
    named = replace(good, expected=Expectations(checkers=("order", "atomicity")))
    assert {"order", "atomicity", "coverage"} == verdicts(named).keys()


def test_a_named_checker_that_cannot_be_asked_is_told(good: RunFacts) -> None:
    """Nothing is known of it, and that is the verdict; of those that nobody named coverage tells why they were not asked."""
    calm = altered(good, lambda run: run.update(events=[e for e in run["events"] if e["role"] != "client"]))
    named = replace(calm, expected=Expectations(checkers=("recovery", "order")))
    (found,) = (one for one in check_run(named) if one.name == "recovery")
    assert (Verdict.UNKNOWN, ("it can't be asked: there was no fault",)) == (found.verdict, found.notes)
    coverage = check_run(calm)[-1]
    assert "recovery was not asked: there was no fault" in coverage.notes
    assert "replay from L1 was not asked: nothing was to be rebuilt" in coverage.notes


def test_a_blast_radius_without_bystanders_is_not_asked(good: RunFacts) -> None:
    """The run says whether there were any; to name the checker all the same is to ask what nobody can say."""
    alone = replace(good, expected=Expectations(bystanders=False))
    assert "blast radius" not in verdicts(alone)
    named = replace(good, expected=Expectations(bystanders=False, checkers=("blast radius",)))
    assert Verdict.UNKNOWN == verdicts(named)["blast radius"]


def test_every_checker_is_told_or_asked(good: RunFacts) -> None:
    """None is dropped without a word."""
    results = check_run(good)
    notes = " ".join(results[-1].notes)
    assert all(
        one.name in {each.name for each in results} or f"{one.name} was not" in notes for one in CHECKERS
    )
