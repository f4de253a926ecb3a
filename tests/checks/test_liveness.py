"""When the clock of a recovery starts and what stops it; who must go on beside a fault, for how long, and who may stand."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from orchestrator.checks import Expectations, RunFacts, Verdict, check_run
from orchestrator.checks.testing import Document, altered
from orchestrator.checks.testing_recorder import Recorder
from orchestrator.checks.verdict import CheckResult
from orchestrator.load.history import Result

BUDGET = Expectations(recovery_s=2.0)


def said(facts: RunFacts, name: str) -> CheckResult:
    """What one checker says."""
    return next(one for one in check_run(facts) if one.name == name)


def warmed() -> Recorder:
    """A devnet that has been working for a while."""
    made = Recorder()
    for _ in range(6):
        made.bundle(0)
        made.slot()
    return made


def test_the_clock_starts_when_the_heal_begins() -> None:
    """A node that takes five seconds to come back has not recovered meanwhile, however fast it is afterwards."""
    made = warmed()
    for word in ("injected", "bit", "healing"):
        made.window(word)
    made.idle(5)
    made.window("healed")
    made.bundle(1)
    made.slot()
    made.idle(2)
    found = said(replace(made.facts(), expected=BUDGET), "recovery")
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert "the budget is 2 s" in found.counterexample.lines[0]
    assert Verdict.VALID == said(made.facts(), "recovery").verdict


def test_work_that_was_under_way_is_no_recovery() -> None:
    """Sent before the heal began, committed after it: that nothing new commits is invalid all the same."""
    made = warmed()
    made.window("injected")
    made.bundle(1)
    made.now += 20_000_000
    made.window("healing")
    made.window("healed")
    made.slot()
    made.bundle(2, outcome="expired")
    made.slot()
    found = said(made.facts(), "recovery")
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert "no bundle of sequencer that was sent after the heal" in found.counterexample.lines[0]


def test_nothing_sent_is_nothing_known() -> None:
    """A heal after the last operation shows nothing."""
    made = warmed()
    for word in ("injected", "bit", "healing", "healed"):
        made.window(word)
    made.idle(2)
    assert Verdict.UNKNOWN == said(made.facts(), "recovery").verdict


def test_the_clock_waits_for_the_last_of_overlapping_faults() -> None:
    """The sequencer is back, and a rollup of its slots still hangs: the time is not the sequencer's."""
    made = warmed()
    made.window("injected", "one")
    made.window("injected", "other", "pause", "beta")
    for word in ("healing", "healed"):
        made.window(word, "one")
    made.idle(5)
    for word in ("healing", "healed"):
        made.window(word, "other", "pause", "beta")
    made.bundle(1)
    made.slot()
    made.idle(2)
    assert Verdict.VALID == said(replace(made.facts(), expected=BUDGET), "recovery").verdict

    def earlier(run: Document) -> None:
        """The other fault was over before the first one was healed."""
        ends = [event for event in run["events"] if event["attrs"].get("window") == "other"][1:]
        begun = next(event for event in run["events"] if event["event"] == "fault.healing")
        for event in ends:
            event["mono_ns"] = begun["mono_ns"] - 1

    assert (
        Verdict.INVALID == said(replace(altered(made.facts(), earlier), expected=BUDGET), "recovery").verdict
    )


def test_a_fault_that_strikes_before_the_recovery_moves_the_clock() -> None:
    """A soak that strikes again half a second after a heal can't ask for a commit in between; after the last it can."""
    made = warmed()
    for name in ("first", "second"):
        for word in ("injected", "bit", "healing", "healed"):
            made.window(word, name)
        made.now += 500_000_000
    made.bundle(1)
    made.slot()
    made.idle(2)
    found = said(replace(made.facts(), expected=BUDGET), "recovery")
    assert Verdict.VALID == found.verdict
    assert 2 == found.seen


def test_a_rollup_recovers_by_its_own_bundles() -> None:
    """Others commit long before a bundle has a leg on the rollup that was struck."""
    made = warmed()
    for word in ("injected", "bit", "healing", "healed"):
        made.window(word, "beta dies", "kill", "beta")
    made.bundle(1, outcome="expired")
    made.transaction(2, "alpha")
    made.slot()
    made.idle(2)
    found = said(made.facts(), "recovery")
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert "no bundle of beta" in found.counterexample.lines[0]


def test_a_load_without_bundles_recovers_by_its_transactions() -> None:
    """What fits counts: transactions where nobody sends bundles."""
    made = Recorder()
    for _ in range(4):
        made.transaction(0)
        made.slot()
    for word in ("injected", "bit", "healing", "healed"):
        made.window(word)
    made.transaction(1)
    made.slot()
    made.idle(2)
    found = said(made.facts(), "recovery")
    assert Verdict.VALID == found.verdict
    assert "the next transaction of sequencer" in found.notes[0]


def test_a_heal_that_failed_is_no_heal() -> None:
    """Nothing can be said about a recovery from a fault that still stands."""
    made = warmed()
    made.window("injected")
    made.window("healing")
    made.window("healed", healed=False)
    made.bundle(1)
    made.slot()
    found = said(made.facts(), "recovery")
    assert (Verdict.UNKNOWN, "broken was never healed") == (found.verdict, found.notes[0])


def beside(kind: str, *targets: str, seconds: int = 6) -> RunFacts:
    """A fault, and a devnet that goes on making blocks."""
    made = warmed()
    made.idle(3)
    made.window("injected", "the fault", kind, *targets)
    made.idle(seconds)
    for word in ("healing", "healed"):
        made.window(word, "the fault", kind, *targets)
    made.idle(3)
    return made.facts()


def frozen(node: str, seconds: float) -> Callable[[Document], None]:
    """A chain answers, and stands still from the beginning of the fault on."""

    def change(run: Document) -> None:
        begun = next(event["mono_ns"] for event in run["events"] if event["event"] == "fault.injected")
        mine = [one for one in run["sightings"] if one["node"] == node and one["answered_ns"] > begun]
        for one in mine:
            if one["answered_ns"] < begun + seconds * 1e9:
                one["heads"]["latest"] = list(mine[0]["heads"]["latest"])

    return change


@pytest.mark.parametrize(
    ("kind", "target", "node", "seconds", "expected"),
    [
        ("kill", "relayer", "alpha", 0, Verdict.VALID),
        ("kill", "relayer", "alpha", 7, Verdict.INVALID),
        ("kill", "relayer", "l1", 7, Verdict.INVALID),
        ("kill", "beta", "alpha", 7, Verdict.INVALID),
        ("pause", "beta", "alpha", 5, Verdict.VALID),
        ("kill", "sequencer", "alpha", 7, Verdict.VALID),
        ("kill", "sequencer", "l1", 7, Verdict.INVALID),
        ("l1_stall", "l1", "l1", 7, Verdict.VALID),
        ("l1_stall", "l1", "alpha", 7, Verdict.INVALID),
    ],
)
def test_who_must_go_on_and_who_may_stand(
    kind: str, target: str, node: str, seconds: float, expected: Verdict
) -> None:
    """Six seconds are below the run's patience of ten; who has no reason to stand must not stand through all of the window."""
    facts = altered(beside(kind, target), frozen(node, seconds))
    found = said(facts, "blast radius")
    assert expected == found.verdict, found


def test_a_neighbour_of_a_rollup_that_hangs_may_not_stand_for_ever() -> None:
    """A slot waits five seconds for it; the run's patience and that together are the end."""
    facts = altered(beside("pause", "beta", seconds=25), frozen("alpha", 24))
    assert Verdict.INVALID == said(facts, "blast radius").verdict


def test_where_nobody_asked_there_is_no_silence(good: RunFacts) -> None:
    """An onlooker that is late, or stops, is no node that falls silent."""

    def blind(run: Document) -> None:
        begun = next(event["mono_ns"] for event in run["events"] if event["event"] == "fault.kill")
        run["sightings"] = [
            one for one in run["sightings"] if one["node"] in ("l1", "relayer") or one["answered_ns"] < begun
        ]

    facts = altered(good, blind)
    assert Verdict.VALID == said(replace(facts, expected=Expectations(stall_s=0.5)), "blast radius").verdict


def test_a_bystander_that_nobody_looks_at_is_unknown(good: RunFacts) -> None:
    """Naming it is a promise that somebody has to see kept."""
    facts = replace(good, expected=Expectations(unaffected=("alpha", "maker")))
    found = said(facts, "blast radius")
    assert Verdict.UNKNOWN == found.verdict
    assert any("nobody looked at maker" in note for note in found.notes)


def test_operations_without_a_fault_of_theirs_end(good: RunFacts) -> None:
    """Transactions on a rollup whose neighbour is dead come to their ends; the same ones that hang until after the window are a breach."""
    del good
    made = Recorder()
    for _ in range(8):
        made.transaction(0)
        made.slot()
    made.window("injected", "beta dies", "kill", "beta")
    for _ in range(8):
        made.now += 400_000_000
        made.transaction(1)
        made.slot()
    for word in ("healing", "healed"):
        made.window(word, "beta dies", "kill", "beta")
    made.bundle(2)
    made.slot()
    made.idle(2)
    facts = made.facts()
    assert Verdict.VALID == said(facts, "blast radius").verdict

    def late(run: Document) -> None:
        healed = next(event["mono_ns"] for event in run["events"] if event["event"] == "fault.healed")
        begun = next(event["mono_ns"] for event in run["events"] if event["event"] == "fault.injected")
        for one in run["operations"]:
            if begun < one["invoked_ns"] < healed:
                one["ended_ns"] = healed + 1

    found = said(altered(facts, late), "blast radius")
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert "no operation on alpha ended for" in found.counterexample.lines[0]


def test_the_end_of_a_run_is_no_standstill() -> None:
    """Operations whose load ended are not held against anybody."""
    facts = beside("kill", "relayer")
    assert all(one.result is Result.OK for one in facts.operations)
    assert Verdict.VALID == said(facts, "blast radius").verdict
