"""Exploring on real nodes: a sound build lives through what is drawn."""

from pathlib import Path

import pytest

from orchestrator.cli.testing import said

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

SEED = "8"
"""Of a schedule that freezes a rollup: no luck is needed for it to bite, so the run can be judged."""
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
