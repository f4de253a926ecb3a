"""What tests of checkers share: a good run, made once."""

from dataclasses import replace

import pytest

from orchestrator.checks import RunFacts
from orchestrator.checks.testing import good_run
from orchestrator.verification import Verification
from rollup_node.derivation.verifier import Finding


@pytest.fixture(scope="session")
def good() -> RunFacts:
    """Two rounds of work with a dead sequencer in the first; valid for every checker."""
    return good_run(2)


@pytest.fixture(scope="session")
def empty(good: RunFacts) -> RunFacts:
    """A run in which nobody did, saw or said anything."""
    return RunFacts(good.plan)


@pytest.fixture
def rebuilt_run(good: RunFacts) -> object:
    """Makes a run that was rebuilt from L1, with findings."""

    def make(*findings: Finding) -> RunFacts:
        named = tuple(("alpha", finding) for finding in findings)
        return replace(good, rebuilt=Verification(9, {"alpha": 5}, 5, 3, 0, 1, {"alpha": 5}, 0, {}, named))

    return make
