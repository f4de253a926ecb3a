"""Judging a stored run: pure checkers over what clients, an onlooker, the journals and the chains say.

::

    history.jsonl ─┐
    journal/*.jsonl ┼─► load_facts ─► RunFacts ─► check_run ─► CheckResult for each checker ─► worst: valid | invalid | unknown
    observed.json ──┤                    ▲
    conduct.json ───┤                    │
    L1's state ─────┴─► rebuilt ─────────┘
"""

from orchestrator.checks.conduct import Conduct, write_conduct
from orchestrator.checks.expectations import Expectations, write_expectations
from orchestrator.checks.facts import NotARun, RunFacts, load_facts
from orchestrator.checks.observe import observe
from orchestrator.checks.observed import Observed
from orchestrator.checks.run import CHECKERS, Checker, check_run, rebuilt
from orchestrator.checks.settling import settle
from orchestrator.checks.verdict import EXIT_CODES, CheckResult, CounterExample, Verdict, worst

__all__ = [
    "CHECKERS",
    "EXIT_CODES",
    "CheckResult",
    "Checker",
    "Conduct",
    "CounterExample",
    "Expectations",
    "NotARun",
    "Observed",
    "RunFacts",
    "Verdict",
    "check_run",
    "load_facts",
    "observe",
    "rebuilt",
    "settle",
    "worst",
    "write_conduct",
    "write_expectations",
]
