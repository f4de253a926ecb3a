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

LONGEST_S = 240.0
"""For the schedules that begin in time, and for a slow machine, seconds."""


async def test_a_sound_build_lives_through_what_is_drawn(
    module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """Whatever the schedules do, no promise is broken; nothing is written."""
    arguments = ("chaos", "explore", "--minutes", "0.3", "--out", str(tmp_path / "out"), "--json")
    told = await said(module_home, repository, *arguments, within_s=LONGEST_S)
    assert told.code in (0, 2), told
    assert [] == [tried for tried in told.json["tried"] if tried["verdict"] == "invalid"]
    assert len(told.json["tried"]) > 0
    assert not (tmp_path / "out").exists()
