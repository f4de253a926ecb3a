"""A stored run judged again comes to the verdict of the run: all that only the run knew is stored with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.checks import (
    CheckResult,
    Conduct,
    CounterExample,
    Expectations,
    RunFacts,
    check_run,
    load_facts,
)
from orchestrator.checks.conduct import UnreadableConduct
from orchestrator.checks.testing import write_run
from orchestrator.checks.verdict import Verdict, judged
from orchestrator.cli.testing import within

STEADY = judged("steady state", 3, "chains")
UNSTEADY = judged("steady state", 3, "chains", unknown=["not steady after 30 s"])
MISSED = judged("faults bit", 0, "of 1 faults", unknown=["the fault: nobody saw it"])
STUCK = judged("faults bit", 1, "of 1 faults", unknown=["the fault was not healed: not within 60 s"])
GONE = judged("backlog", 1, "faults")
LEFT = judged("backlog", 1, "faults", [CounterExample(("2 items have no end", "0xaa"))])


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((STEADY,), (GONE,), Verdict.VALID),
        ((UNSTEADY,), (GONE,), Verdict.UNKNOWN),
        ((STEADY, MISSED), (GONE,), Verdict.UNKNOWN),
        ((STEADY, STUCK), (GONE,), Verdict.UNKNOWN),
        ((STEADY,), (LEFT,), Verdict.INVALID),
    ],
)
async def test_what_only_the_run_knew_counts_again(
    good: RunFacts,
    tmp_path: Path,
    before: tuple[CheckResult, ...],
    after: tuple[CheckResult, ...],
    expected: Verdict,
) -> None:
    """A devnet that was never steady, a fault that did not bite or was not healed, a backlog that stayed: the same results, in the same order, with the same exit status."""
    wanted = Expectations(checkers=("order", "no loss"), recovery_s=3.0, bystanders=False)
    facts = replace(good, conduct=Conduct(before, after), expected=wanted)
    write_run(facts, tmp_path / "run")
    again = load_facts(tmp_path / "run")
    assert check_run(facts) == check_run(again)
    assert [one.name for one in (*before, *after)] == [
        one.name for one in check_run(again) if one.name not in ("no loss", "order", "coverage")
    ]
    found = await within(tmp_path, "check", str(tmp_path / "run"), "--no-replay")
    assert {Verdict.VALID: 0, Verdict.INVALID: 1, Verdict.UNKNOWN: 2}[expected] == found.code
    assert found.out.startswith(f"verdict: {expected}")


def test_a_run_that_broke_down_is_judged_no_further(good: RunFacts, tmp_path: Path) -> None:
    """Whatever its remains look like, nobody knows."""
    broken = judged("the run", 0, "stages", unknown=["the run broke down: no space left"])
    write_run(replace(good, conduct=Conduct((broken,), broken=True)), tmp_path / "run")
    assert (broken,) == check_run(load_facts(tmp_path / "run"))


def test_a_conduct_of_something_else_is_named(good: RunFacts, tmp_path: Path) -> None:
    """The error says which file it is."""
    write_run(good, tmp_path / "run")
    (tmp_path / "run" / "conduct.json").write_text('{"before": [{"name": 3}]}')
    with pytest.raises(UnreadableConduct, match=r"conduct.json: before.0.name"):
        load_facts(tmp_path / "run")
