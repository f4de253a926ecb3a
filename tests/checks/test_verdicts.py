"""How verdicts are made, put together and told."""

import itertools

import pytest

from orchestrator.checks import CounterExample, Verdict, worst
from orchestrator.checks.verdict import SHOWN_LINES, judged

VALUES = tuple(Verdict)


@pytest.mark.parametrize("many", list(itertools.product(VALUES, repeat=3)))
def test_the_worst_of_many_counts(many: tuple[Verdict, ...]) -> None:
    """Invalid before unknown before valid, wherever it stands."""
    order = [Verdict.INVALID, Verdict.UNKNOWN, Verdict.VALID]
    assert next(one for one in order if one in many) == worst(many)


def test_nothing_is_unknown() -> None:
    """No checker at all says nothing."""
    assert Verdict.UNKNOWN == worst([])


def test_nothing_seen_is_unknown() -> None:
    """And says what was not seen."""
    found = judged("order", 0, "slots")
    assert (Verdict.UNKNOWN, ("no slots were seen",)) == (found.verdict, found.notes)


def test_a_violation_counts_more_than_a_doubt() -> None:
    """What is wrong is wrong, however much was not seen."""
    found = judged("order", 0, "slots", [CounterExample(("wrong",))], unknown=["half was not seen"])
    assert (Verdict.INVALID, 1, ("half was not seen",)) == (found.verdict, found.violations, found.notes)


def test_the_smallest_example_is_told() -> None:
    """Of all violations the one with the fewest lines, then the shortest."""
    examples = [CounterExample(("a", "b")), CounterExample(("longer",)), CounterExample(("short",))]
    assert examples[2] == judged("order", 9, "slots", examples).counterexample


def test_an_example_that_nobody_could_read_is_cut() -> None:
    """It says how much is left out."""
    found = judged("order", 9, "slots", [CounterExample(tuple(map(str, range(100))))]).counterexample
    assert found is not None
    assert (SHOWN_LINES, "and 89 lines more") == (len(found.lines), found.lines[-1])
