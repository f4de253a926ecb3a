"""Every checker against runs that are broken by hand: it must be red, for the right reason, with an example that one can read."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER
from bridge.wire.journal import Event
from orchestrator.checks import CHECKERS, Expectations, RunFacts, Verdict, check_run, worst
from orchestrator.checks.run import Checker
from orchestrator.checks.testing import Document, altered
from orchestrator.checks.testing_breakages import Breakage
from orchestrator.checks.testing_breakages_of_time import BREAKAGES
from orchestrator.checks.verdict import SHOWN_LINES, CheckResult
from rollup_node.derivation.verifier import Finding


def result_of(facts: RunFacts, name: str) -> CheckResult:
    """What one checker says."""
    return next(result for result in check_run(facts) if result.name == name)


def test_a_good_run_is_valid_for_every_checker(good: RunFacts) -> None:
    """All questions are asked, all see something, none finds anything."""
    results = check_run(good)
    assert [] == [(one.name, one.notes) for one in results if one.verdict is not Verdict.VALID]
    assert {one.name for one in CHECKERS} - {"replay from L1"} == {one.name for one in results}
    assert all(one.seen > 0 and one.counterexample is None for one in results)


def test_an_empty_run_is_unknown(empty: RunFacts) -> None:
    """Who saw nothing says so: no checker calls it valid, none invalid."""
    assert {Verdict.UNKNOWN} == {one.verdict for one in check_run(empty)}
    assert all(one.notes for one in check_run(empty))


@pytest.mark.parametrize("breakage", BREAKAGES, ids=lambda one: one.name.replace(" ", "_"))
def test_a_broken_run_is_invalid_for_the_right_reason(good: RunFacts, breakage: Breakage) -> None:
    """The checker that must see it does, and its smallest example says what is wrong in few lines."""
    broken = altered(good, breakage.apply)
    found = result_of(broken, breakage.checker)
    assert Verdict.INVALID == found.verdict, found
    assert found.violations >= 1
    assert found.counterexample is not None
    assert re.search(breakage.says, found.counterexample.lines[0]), found.counterexample.lines
    assert 1 <= len(found.counterexample.lines) <= SHOWN_LINES
    assert all(len(line) < 300 for line in found.counterexample.lines)
    assert Verdict.INVALID == worst(one.verdict for one in check_run(broken))


def test_breaking_a_run_leaves_the_good_one_as_it_was(good: RunFacts) -> None:
    """Altered runs are copies, and an unaltered copy is equal."""
    assert good == altered(good, lambda _: None)


def test_every_checker_has_a_run_that_breaks_it() -> None:
    """A checker that nothing can make red would prove nothing."""
    proven = {one.checker for one in BREAKAGES} | {"replay from L1", "coverage"}
    assert {one.name for one in CHECKERS} == proven


def test_what_was_rebuilt_from_l1_counts(rebuilt_run: Callable[..., RunFacts], good: RunFacts) -> None:
    """Equal is valid, a finding is invalid with what differs, and a rebuild that failed is unknown."""
    assert Verdict.VALID == result_of(rebuilt_run(), "replay from L1").verdict
    chain_id = good.plan.rollups[0].chain_id
    found = result_of(
        rebuilt_run(Finding(chain_id, 3, "hash", "0xaa", "0xbb", "node alpha")), "replay from L1"
    )
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert ("alpha block 3: hash differs", "claimed 0xaa (node alpha)", "derived 0xbb") == (
        found.counterexample.lines
    )
    assert Verdict.UNKNOWN == result_of(replace(good, rebuilt="no L1 comes up"), "replay from L1").verdict


def test_a_budget_of_recovery_is_kept_or_named(good: RunFacts) -> None:
    """The same run is valid within its budget, and invalid when it took longer."""
    within = replace(good, expected=Expectations(recovery_s=1.0))
    beyond = replace(good, expected=Expectations(recovery_s=0.01))
    assert Verdict.VALID == result_of(within, "recovery").verdict
    found = result_of(beyond, "recovery").counterexample
    assert found is not None
    assert "the budget is 0.01 s" in found.lines[0]


@pytest.mark.parametrize("word", ["committed", "in_flight", "recovered", "deposits", "bundle.admitted"])
def test_what_was_expected_and_did_not_happen_makes_it_unknown(good: RunFacts, word: str) -> None:
    """Coverage never says invalid: a run that did not show what it was for says nothing."""
    enough = replace(good, expected=Expectations(coverage={word: 1}))
    too_much = replace(good, expected=Expectations(coverage={word: 10_000}))
    assert Verdict.VALID == result_of(enough, "coverage").verdict
    assert Verdict.UNKNOWN == result_of(too_much, "coverage").verdict
    assert any("10000 needed" in note for note in result_of(too_much, "coverage").notes)


def test_ether_that_a_predeploy_passed_on_unseen_makes_it_unknown(good: RunFacts) -> None:
    """What L1 gave to a messenger went to somebody that only its call data names: too little is no proof of loss, too much still is."""

    def change(run: Document, by: int) -> None:
        beta = run["observed"]["rollups"]["beta"]
        (deposit, *_) = (s for b in beta["blocks"] for s in b["transactions"] if s["deposit"])
        beta["ether"][deposit["to"]]["after"] += by
        deposit["to"] = L2_CROSS_DOMAIN_MESSENGER

    assert (
        Verdict.UNKNOWN == result_of(altered(good, lambda run: change(run, -5_000)), "conservation").verdict
    )
    assert Verdict.INVALID == result_of(altered(good, lambda run: change(run, 1)), "conservation").verdict


def test_a_fault_that_missed_makes_it_unknown(good: RunFacts) -> None:
    """A green run proves nothing if the fault had no effect."""
    at = good.events[-1].mono_ns
    about = {"window": "cut off beta", "kind": "partition", "targets": ["sequencer->beta"]}

    def event(name: str, seq: int) -> Event:
        return replace(good.events[-1], event=name, seq=seq, mono_ns=at + seq, attrs=about, node="client")

    told = [event("fault.injected", 1), event("fault.missed", 2), event("fault.healed", 3)]
    found = result_of(replace(good, events=(*good.events, *told)), "coverage")
    assert Verdict.UNKNOWN == found.verdict
    assert any("cut off beta was not shown" in note for note in found.notes)


def test_a_checker_that_fails_knows_nothing(good: RunFacts) -> None:
    """It is unknown with the error, and the others still speak."""

    def fail(_: RunFacts) -> CheckResult:
        raise KeyError("no such block")

    results = check_run(good, (Checker("clumsy", "things", fail), *CHECKERS))
    assert Verdict.UNKNOWN == results[0].verdict
    assert "KeyError: 'no such block' (test_broken_runs.py:" in results[0].notes[0]
    assert {Verdict.VALID} == {one.verdict for one in results[1:]}
