"""Exploring on real nodes: a build that is broken on purpose is found out, and one fault is enough to show it."""

from pathlib import Path

import pytest

from orchestrator.chaos.load import load_scenario
from orchestrator.cli.testing import Rollnet

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),
]

SEED = "56"
"""Of a schedule with two faults."""


async def test_a_broken_build_is_found_out_and_shrunk(rollnet: Rollnet, tmp_path: Path) -> None:
    """Bundles commit though a leg fails, whatever else is broken: the verdict is invalid, and the smallest schedule has one fault."""
    said = await rollnet(
        "chaos", "explore", "topologies/pair.yaml", "--minutes", "0.1", "--seed", SEED,
        "--mutant", "commit-failing-legs", "--out", str(tmp_path / "out"), "--json",
    )  # fmt: skip
    assert (1, "invalid", 1) == (said.code, said.json["verdict"], len(said.json["tried"])), said
    assert 1 == len(said.json["smallest"]) < len(said.json["tried"][0]["faults"])
    assert 1 == len(load_scenario(Path(said.json["file"])).faults)


async def test_a_sound_build_lives_through_what_is_drawn(rollnet: Rollnet, tmp_path: Path) -> None:
    """Whatever the schedules do, no promise is broken; nothing is written."""
    said = await rollnet("chaos", "explore", "--minutes", "0.7", "--out", str(tmp_path / "out"), "--json")
    assert said.code in (0, 2), said
    assert [] == [tried for tried in said.json["tried"] if tried["verdict"] == "invalid"]
    assert not (tmp_path / "out").exists()
