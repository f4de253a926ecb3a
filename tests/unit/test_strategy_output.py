"""Strategies in words: the table of profits agrees with the extremes beside it."""

import re
from typing import Any

import pytest

from orchestrator.cli.strategy_output import print_result


def test_profits_are_after_fees(capsys: pytest.CaptureFixture[str]) -> None:
    """A condor that cost 0.50 USD in fees loses and wins at most what its table's rows show."""
    usd = 10**6
    document: dict[str, Any] = {
        "strategy": "iron_condor",
        "execution": "bundle",
        "outcome": "committed",
        "reason": None,
        "legs": [],
        "net_premium": -60 * usd,
        "fees": usd // 2,
        "max_loss": 40 * usd + usd // 2,
        "max_gain": 59 * usd + usd // 2,
        "above_cap": 0,
        "payoffs": [{"price": 0, "payoff": -100 * usd}, {"price": 2_000 * usd, "payoff": 0}],
        "locked": None,
        "l1_gas": 0,
        "latency_ms": {},
        "bundle_hash": None,
    }
    print_result(document)
    said = capsys.readouterr().out
    rows = [re.findall(r"-?[\d,]+\.\d\d", line) for line in said.splitlines()]
    assert ["0.00", "-100.00", "-40.50"] in rows
    assert ["2,000.00", "0.00", "59.50"] in rows
    assert "max loss 40.50  max gain 59.50 USD  fees 0.50 USD" in said
