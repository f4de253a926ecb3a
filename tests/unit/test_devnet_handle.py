"""The handle on a devnet: which sequencer is asked for what, in both messaging modes."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bridge.wire.jsonrpc import dispatcher
from bridge.wire.server import serve
from orchestrator.chains import ChainUnreachable
from orchestrator.cli.app import app
from orchestrator.devnet import Devnet, connect
from orchestrator.errors import RollnetError
from orchestrator.execution import NeedsBridge, bundle_sequencer
from orchestrator.rundir import RunDirectory
from orchestrator.runner import UnfitTopology, require_fit
from orchestrator.runtimes.ports import PortReservations
from orchestrator.strategies import presets
from orchestrator.strategies.model import ExecutionMode
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.spec import TopologySpec

ROOT = Path(__file__).parents[2]
ROLLUPS = ("alpha", "beta", "gamma")
SHARED, BRIDGE = "shared-sequencer", "l1-bridge"
KNOWN, UNKNOWN = "0x" + "ab" * 32, "0x" + "cd" * 32


def plan_of(mode: str, *, market: bool = True) -> Plan:
    """Three rollups in a mode."""
    content: dict[str, Any] = {"name": "x", "rollups": {name: {} for name in ROLLUPS}, "accounts": 1}
    if market:
        content["market"] = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}
    return make_plan(TopologySpec.model_validate(content | {"messaging": {"mode": mode}}))


@contextlib.asynccontextmanager
async def handle(mode: str, tmp_path: Path, urls: Mapping[str, str] | None = None) -> AsyncIterator[Devnet]:
    """A handle whose nodes nobody runs, except those with an address."""
    run = RunDirectory.create(tmp_path, "x", 0)
    nodes: Any = None
    known = urls or {}
    net = connect(
        "net", plan_of(mode), run, nodes, lambda node: known.get(node, f"http://127.0.0.1:1/{node}"), 0.5
    )
    try:
        yield net
    finally:
        await net.close()


@contextlib.asynccontextmanager
async def knowing(digest: str) -> AsyncIterator[str]:
    """A listener that has acknowledged one hash; yields its address."""

    async def status(asked: str) -> dict[str, Any] | None:
        return {"hash": digest, "status": "committed"} if asked == digest else None

    with PortReservations() as ports:
        port = ports.reserve()
        async with serve(dispatcher({"rollnet_getStatus": status}), port):
            yield f"http://127.0.0.1:{port}"


async def test_a_shared_sequencer_is_everybody_s(tmp_path: Path) -> None:
    """One node, under its old name, for every rollup."""
    async with handle(SHARED, tmp_path) as net:
        assert ["sequencer"] == list(net.sequencers)
        assert [net.sequencer] * 3 == [net.sequencer_of(rollup) for rollup in ROLLUPS]
        endpoints = net.describe()["endpoints"]
        assert endpoints["sequencers"] == {"sequencer": endpoints["sequencer"]}


async def test_over_the_bridge_each_rollup_has_its_own(tmp_path: Path) -> None:
    """There is no *the* sequencer to take by mistake: asking for it says which ones there are."""
    async with handle(BRIDGE, tmp_path) as net:
        assert [f"{rollup}-sequencer" for rollup in ROLLUPS] == list(net.sequencers)
        assert list(net.sequencers.values()) == [net.sequencer_of(rollup) for rollup in ROLLUPS]
        assert len({sequencer.http for sequencer in net.sequencers.values()}) == len(ROLLUPS)
        with pytest.raises(RollnetError, match="no shared sequencer") as caught:
            _ = net.sequencer
        assert "alpha-sequencer, beta-sequencer, gamma-sequencer" in caught.value.hint
        endpoints = net.describe()["endpoints"]
        assert "sequencer" not in endpoints
        assert {name: {"http": one.http} for name, one in net.sequencers.items()} == endpoints["sequencers"]


async def test_no_sequencer_orders_a_stranger(tmp_path: Path) -> None:
    """A rollup that is not there is named, with those that are."""
    async with handle(BRIDGE, tmp_path) as net:
        with pytest.raises(RollnetError, match="no rollup 'delta'"):
            net.sequencer_of("delta")


async def test_a_bundle_is_looked_for_at_every_sequencer(tmp_path: Path) -> None:
    """Whoever acknowledged it answers, also when one that is asked before is dead and another is frozen."""
    frozen = socket.create_server(("127.0.0.1", 0))  # takes connections and never answers
    with contextlib.closing(frozen):
        urls = {"alpha-sequencer": f"http://127.0.0.1:{frozen.getsockname()[1]}"}
        async with knowing(KNOWN) as url, handle(BRIDGE, tmp_path, urls | {"gamma-sequencer": url}) as net:
            async with asyncio.timeout(5):
                assert {"hash": KNOWN, "status": "committed"} == await net.bundle(KNOWN)


async def test_a_dead_sequencer_is_no_proof_that_a_bundle_never_was(tmp_path: Path) -> None:
    """Only when all of them say so was a hash never acknowledged."""
    async with knowing(KNOWN) as url:
        dead_gamma = {"alpha-sequencer": url, "beta-sequencer": url}
        async with handle(BRIDGE, tmp_path / "dead", dead_gamma) as net:
            with pytest.raises(ChainUnreachable, match="gamma-sequencer does not answer"):
                await net.bundle(UNKNOWN)
        async with handle(BRIDGE, tmp_path / "whole", dead_gamma | {"gamma-sequencer": url}) as net:
            assert await net.bundle(UNKNOWN) is None


@settings(deadline=None)
@given(st.lists(st.sampled_from(ROLLUPS), min_size=1))
def test_a_bundle_stays_within_one_sequencer(rollups: list[str]) -> None:
    """A shared one takes legs on any rollups; over the bridge only legs on one rollup are a bundle, at its own sequencer."""
    assert bundle_sequencer(plan_of(SHARED), rollups) == "sequencer"
    if len(set(rollups)) == 1:
        assert f"{rollups[0]}-sequencer" == bundle_sequencer(plan_of(BRIDGE), rollups)
    else:
        with pytest.raises(NeedsBridge) as caught:
            bundle_sequencer(plan_of(BRIDGE), rollups)
        assert "needs execution: bridge" in caught.value.hint
        assert all(rollup in caught.value.message for rollup in rollups)


async def test_a_strategy_over_several_sequencers_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    """None of these nodes runs, and yet the answer is about the strategy; as a bundle on one rollup, or over the bridge, it gets as far as reading."""
    async with handle(BRIDGE, tmp_path) as net:
        assert net.plan.market is not None
        with pytest.raises(NeedsBridge):
            await net.run(presets.build("vertical", net.plan.market), execution=ExecutionMode.BUNDLE)
        with pytest.raises(ChainUnreachable, match="does not answer"):
            await net.run(presets.build("vertical", net.plan.market))
        with pytest.raises(ChainUnreachable, match="beta does not answer"):
            await net.run(presets.build("vertical", net.plan.market, rollups=("beta",)))


def test_the_run_refuses_devnets_on_which_it_can_show_nothing() -> None:
    """Before a node is started, with an exit code that says that the input is at fault."""
    require_fit(plan_of(SHARED))
    for plan, words in ((plan_of(BRIDGE), "l1-bridge"), (plan_of(SHARED, market=False), "no market")):
        with pytest.raises(UnfitTopology, match=words) as caught:
            require_fit(plan)
        assert (2, True) == (caught.value.exit_code, "condor-quad" in caught.value.hint)


@pytest.mark.parametrize(("topology", "words"), [("bridge-pair", "l1-bridge"), ("solo", "no market")])
def test_the_demo_says_why_it_does_not_run(topology: str, words: str) -> None:
    """Exit 2 and a sentence, no traceback."""
    said = CliRunner().invoke(app, ["demo", str(ROOT / "topologies" / f"{topology}.yaml")])
    assert (2, True) == (said.exit_code, words in said.output), said.output


@pytest.mark.parametrize(
    ("topology", "nodes"),
    [
        ("pair", {"l1", "sequencer", "alpha", "beta", "relayer", "maker"}),
        ("bridge-pair", {"l1", "alpha-sequencer", "beta-sequencer", "alpha", "beta", "relayer", "maker"}),
    ],
)
def test_a_dry_run_lists_the_nodes_of_the_mode(topology: str, nodes: set[str]) -> None:
    """Nothing is started for it."""
    path = ROOT / "topologies" / f"{topology}.yaml"
    said = CliRunner().invoke(app, ["up", "--dry-run", str(path)])
    assert said.exit_code == 0
    listed = {line.split("│")[1].strip() for line in said.output.splitlines() if line.startswith("│")}
    assert nodes == listed - {"node"}
    assert make_plan(load_topology(path)).name == topology
