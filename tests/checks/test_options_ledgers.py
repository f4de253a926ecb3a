"""The ledger of an options rollup: cash that was made or lost, and positions that nobody is on the other side of, are found."""

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.checks import RunFacts, Verdict, check_run
from orchestrator.checks.testing import Document, altered
from orchestrator.checks.verdict import CheckResult

SERIES = {"strike": 2_000_000_000, "expiry": 1_900_000_000, "is_call": True}


def with_ledger(change: Callable[[Document], Any]) -> Callable[[Document], None]:
    """A run whose rollup beta keeps its dollars in accounts, changed."""

    def apply(run: Document) -> None:
        beta = run["observed"]["rollups"]["beta"]
        owners = sorted(beta["ether"])[:2]
        accounts = {
            str(number): {"owner": owner, "cash": 5_000_000, "positions": {"1": quantity}}
            for number, owner, quantity in zip((1, 2), owners, (100, -100), strict=True)
        }
        beta["market"] = None
        beta["ledger"] = {"accounts": accounts, "series": {"1": SERIES}, "settling": ()}
        change(beta)

    return apply


def judged(good: RunFacts, change: Callable[[Document], Any]) -> CheckResult:
    """What conservation says."""
    return next(one for one in check_run(altered(good, with_ledger(change))) if one.name == "conservation")


def test_a_ledger_that_adds_up_is_valid(good: RunFacts) -> None:
    """Trades move cash between those who sign nothing: only sums are judged there."""

    def trade(beta: Document) -> None:
        one, other = sorted(beta["ether"])[:2]
        beta["ether"][one]["after"] += 7
        beta["ether"][other]["after"] -= 7

    for change in (lambda _: None, trade):
        assert Verdict.VALID == judged(good, change).verdict


@pytest.mark.parametrize("wei", [1, -1])
def test_cash_that_is_made_or_lost(good: RunFacts, wei: int) -> None:
    """To the wei, whoever has it."""

    def change(beta: Document) -> None:
        beta["ether"][min(beta["ether"])]["after"] += wei

    found = judged(good, change)
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert f"beta: 1 wei were {'made' if wei > 0 else 'lost'}" == found.counterexample.lines[0]


def test_a_position_without_another_side(good: RunFacts) -> None:
    """Unless its series is just being paid out."""

    def change(beta: Document) -> None:
        beta["ledger"]["accounts"]["2"]["positions"]["1"] = -99

    found = judged(good, change)
    assert Verdict.INVALID == found.verdict
    assert found.counterexample is not None
    assert "beta: positions in series 1 net to 1, not to zero" == found.counterexample.lines[0]
    settling = judged(good, lambda beta: (change(beta), beta["ledger"].update(settling=("1",))))
    assert Verdict.VALID == settling.verdict
