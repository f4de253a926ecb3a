"""Exploring on real nodes: a sound build lives through what is drawn, and one that breaks bundles is found out and its schedule shrunk."""

from pathlib import Path

import pytest

from orchestrator.chaos.load import load_scenario
from orchestrator.cli.testing import said

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

SEED = "8"
"""Of a schedule that freezes a rollup: no luck is needed for it to bite, so the run can be judged."""
MANY = "3"
"""Of a schedule with more than one fault."""
LONGEST_S = 240.0
"""For one schedule on a slow machine, seconds."""


async def test_a_sound_build_lives_through_what_is_drawn(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """The schedule is judged, and no promise is broken; nothing is written."""
    arguments = (
        "chaos",
        "explore",
        "--minutes",
        "0.1",
        "--seed",
        SEED,
        "--out",
        str(tmp_path / "out"),
        "--json",
    )
    told = await said(module_home, repository, *arguments, within_s=LONGEST_S)
    assert (0, "valid") == (told.code, told.json["verdict"]), told
    assert ["valid"] == [tried["verdict"] for tried in told.json["tried"]]
    assert [["1 pause"]] == [tried["faults"] for tried in told.json["tried"]]
    assert not (tmp_path / "out").exists()


async def test_a_build_that_breaks_bundles_is_found_and_shrunk(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """A mutant fails, fewer of its faults still do, and what is left is a scenario file that a user may run again."""
    out = tmp_path / "found"
    arguments = (
        "--minutes",
        "0.1",
        "--seed",
        MANY,
        "--mutant",
        "commit-failing-legs",
        "--out",
        str(out),
        "--json",
    )
    told = await said(module_home, repository, "chaos", "explore", *arguments, within_s=LONGEST_S)
    assert (1, "invalid") == (told.code, told.json["verdict"]), told
    (smallest,) = told.json["smallest"]
    assert len(told.json["tried"][-1]["faults"]) > 1
    assert {"atomicity", "no loss"} & set(told.json["tried"][-1]["because"])
    again = load_scenario(Path(told.json["file"]), runtime="process")
    assert [smallest["name"]] == [fault.name for fault in again.faults]
    assert 1 < len(load_scenario(out / f"failing-{MANY}.yaml", runtime="process").faults)
