"""``rollnet check``: a stored run judged on the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.checks import RunFacts
from orchestrator.checks.testing import Document, altered, write_run
from orchestrator.checks.testing_breakages import BREAKAGES
from orchestrator.cli.testing import within


@pytest.fixture
def run_of(tmp_path: Path) -> Callable[[RunFacts], str]:
    """Stores a run; the path of its directory."""

    def store(facts: RunFacts) -> str:
        write_run(facts, tmp_path / "run")
        return str(tmp_path / "run")

    return store


async def test_a_valid_run_leaves_with_zero(
    good: RunFacts, run_of: Callable[..., str], tmp_path: Path
) -> None:
    """The verdict comes first, then a line for each checker with what it saw."""
    found = await within(tmp_path, "check", run_of(good), "--no-replay")
    assert (0, "") == (found.code, found.err)
    assert found.out.startswith("verdict: valid")
    assert all(word in found.out for word in ("atomicity", "18 bundles", "conservation", "no loss"))


async def test_an_invalid_run_leaves_with_one_and_its_counter_example(
    good: RunFacts, run_of: Callable[..., str], tmp_path: Path
) -> None:
    """What is wrong stands in the text and, for machines, in the document."""
    breakage = next(one for one in BREAKAGES if one.name == "a leg that is missing")
    folder = run_of(altered(good, breakage.apply))
    found = await within(tmp_path, "check", folder, "--no-replay")
    assert 1 == found.code
    assert found.out.startswith("verdict: invalid")
    assert "atomicity is broken" in found.out
    assert "1 of 2 legs took effect" in found.out
    document = json.loads((await within(tmp_path, "check", folder, "--no-replay", "--json")).out)
    assert ("invalid", 1) == (document["verdict"], document["schema"])
    broken = next(check for check in document["checks"] if check["name"] == "atomicity")
    assert ("invalid", 1) == (broken["verdict"], broken["violations"])
    assert "1 of 2 legs" in broken["counterexample"]["lines"][0]
    assert ["history/0"] == broken["counterexample"]["events"]


async def test_a_run_that_shows_nothing_leaves_with_two(
    good: RunFacts, run_of: Callable[..., str], tmp_path: Path
) -> None:
    """Nothing seen is unknown, also for a continuous integration that only reads exit statuses."""

    def forget(run: Document) -> None:
        run["operations"], run["observed"] = [], None

    found = await within(tmp_path, "check", run_of(altered(good, forget)), "--no-replay")
    assert (2, True) == (found.code, found.out.startswith("verdict: unknown"))


async def test_without_an_l1_the_replay_is_unknown(
    good: RunFacts, run_of: Callable[..., str], tmp_path: Path
) -> None:
    """By default every rollup is rebuilt; where that can't be done the verdict says so."""
    found = await within(tmp_path, "check", run_of(good))
    assert 2 == found.code
    assert "nothing was rebuilt" in found.out


@pytest.mark.parametrize("wanted", ["no-such-run", "/no/such/folder", "."])
async def test_whatever_is_no_run_is_an_error_with_a_hint(tmp_path: Path, wanted: str) -> None:
    """Exit status 1 is kept for what is invalid."""
    found = await within(tmp_path, "check", wanted)
    assert 2 == found.code
    assert found.err.startswith("error: ")
    assert "hint: give a run directory" in found.err
