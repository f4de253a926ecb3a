"""Strategies, messages, their traces and the reports of both messaging modes on containers: what works on processes works there."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.relayer.lifecycle import ORDER
from orchestrator.cli.testing import COMMAND_S, Rollnet, said, within
from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("image"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

NAME = "reported"
COMPARED_S = 140.0
"""Far above what two launches, and a message over the bridge, take on a machine of its own (20 s)."""
ROLLUP = "{engine: evm, block_time: 400ms, settlement: {challenge_period: 1s, proposal_interval: 800ms}}"
MARKET = "market: {underlying: ETH, spot: 2000, volatility: 0.6}"
SHARED = f"""\
l1: {{block_time: 400ms, confirmations: 1}}
messaging: {{slot: 100ms, publish_every: 400ms}}
{MARKET}
runtime: docker"""
BRIDGED = SHARED.replace("{slot:", "{mode: l1-bridge, slot:")


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def nothing_left(module_home: Path) -> AsyncIterator[None]:
    """The engine has nothing of this module's devnets in the end, whatever came of them."""
    yield
    await within(module_home, "down", NAME)
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def launched_there(topology_file: Callable[..., Path], rollnet: Rollnet) -> Any:
    """A devnet with a shared sequencer; what ``up`` says of it. The topology itself asks for containers."""
    file = topology_file(NAME, extra=SHARED, alpha=ROLLUP, beta=ROLLUP)
    up = await rollnet("up", str(file), "--detach", "--json")
    assert (0, "docker") == (up.code, up.json["runtime"]["kind"]), up
    return up.json


@pytest.fixture
def inside(launched_there: Any, module_home: Path) -> Callable[..., Any]:
    """Runs a command that waits for nothing; it has to end well. Its document."""

    async def run(*arguments: str) -> Any:
        found = await within(module_home, *arguments, "--json")
        assert 0 == found.code, (arguments, found)
        return found.json

    return run


async def traced(inside: Callable[..., Any], digest: str) -> Any:
    """A trace once nothing of it is awaited any more."""
    found: list[Any] = []

    async def whole() -> bool:
        found.append(await inside("trace", digest))
        return not found[-1]["awaited"]

    await eventually(whole, COMMAND_S, f"the end of {digest}", every_s=0.1)
    return found[-1]


async def test_strategies_and_their_traces(inside: Callable[..., Any], rollnet: Rollnet) -> None:
    """One commits, one is written in a file, one aborts at its leg; the committed one is traced over all containers, on one clock."""
    runs = (
        ("vertical",),
        ("topologies/strategies/skewed-strangle.yaml", "--account", "1"),
        ("vertical", "--limit", "0=0.01", "--account", "2"),
    )
    committed, written, aborted = await asyncio.gather(
        *(rollnet("strategy", "run", *arguments, "--json") for arguments in runs)
    )
    assert [(0, "committed"), (0, "committed"), (1, "aborted")] == [
        (each.code, each.json["outcome"]) for each in (committed, written, aborted)
    ]
    assert aborted.json["reason"].startswith("leg 0 on alpha: LimitExceeded(")
    trace = await traced(inside, committed.json["bundle_hash"])
    assert ("committed", [], [], []) == (trace["outcome"], trace["orphans"], trace["skews"], trace["alarms"])
    assert {"sequencer", "alpha", "beta"} <= {event["node"] for event in trace["events"]}
    assert trace["end_to_end_ns"] == sum(part["duration_ns"] for part in trace["critical_path"]) > 0


async def test_to_the_rollup_and_back(inside: Callable[..., Any], rollnet: Rollnet) -> None:
    """A deposit arrives; a withdrawal passes every stage, outputs, proofs and challenge periods of containers."""
    target, recipient = "0x" + "d0" * 20, "0x" + "d1" * 20
    there = await rollnet("deposit", "alpha", "1", "--account", "3", "--to", target, "--json")
    assert 0 == there.code, there
    back = await rollnet("withdraw", "alpha", "0.5", "--account", "4", "--to", recipient, "--json")
    assert (0, "finalized", [*ORDER]) == (back.code, back.json["outcome"], list(back.json["stages"])), back
    assert "finalized" == (await inside("withdraw", "--status", back.json["hash"]))["state"]


async def test_the_report_outlives_the_containers(
    launched_there: Any, inside: Callable[..., Any], rollnet: Rollnet, module_home: Path
) -> None:
    """A killed and returned rollup is in it; once all containers are gone it says the same, and the chains are rebuilt from L1 alone."""
    await inside("node", "kill", "beta")
    await inside("node", "restart", "beta")
    assert (
        "committed"
        == (await rollnet("strategy", "run", "strangle", "--account", "5", "--json")).json["outcome"]
    )
    running = await inside("report", NAME)
    down = await rollnet("down", NAME, "--json")
    assert (0, []) == (down.code, down.json["left_behind"])
    assert footprint(module_home) == NOTHING
    finished = await inside("report", launched_there["run_dir"])
    assert (0, running["outcomes"]) == (finished["violations_total"], finished["outcomes"])
    assert (Path(launched_there["run_dir"]) / "report.md").stat().st_size > 0
    verified = await rollnet("verify", launched_there["run_dir"], "--json")
    assert (0, "valid") == (verified.code, verified.json["verdict"]), verified


async def test_both_modes_side_by_side(
    topology_file: Callable[..., Path], rollnet: Rollnet, module_home: Path, repository: Path, tmp_path: Path
) -> None:
    """``compare`` runs a strategy as a bundle and over the L1 bridge on containers: both commit, every stage of both paths is traced."""
    topology = topology_file("compared", extra=BRIDGED, alpha=ROLLUP, beta=ROLLUP)
    command = ("compare", "vertical", "--topology", str(topology), "--runs", "1", "--messages", "1")
    out = ("--out", str(tmp_path / "pages"), "--json")
    told = await said(module_home, repository, *command, *out, within_s=COMPARED_S)
    assert 0 == told.code, told
    sides = told.json["sides"]
    assert ("shared-sequencer", "l1-bridge") == (sides["bundle"]["mode"], sides["bridge"]["mode"])
    for side in sides.values():
        assert ({"committed": 1}, []) == (side["outcomes"], side["alarms"])
        assert all(part["traced"] for part in side["median"]["path"])
        assert side["end_to_end"]["min_ns"] == sum(part["duration_ns"] for part in side["median"]["path"])
        report = await rollnet("report", side["run_dir"], "--json")
        assert (0, 0) == (report.code, report.json["violations_total"]), report
    assert {"executed": 1} == told.json["messages"]["outcomes"]
    assert all(Path(file).stat().st_size > 0 for file in told.json["files"])
