"""``rollnet compare`` on real devnets: both ways, side by side; and what L1 was paid, held against L1 itself."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from bridge.wire.stages import Stage
from orchestrator.cli.testing import Rollnet, Said
from orchestrator.comparison import build_comparison
from orchestrator.comparison.build import Recorded
from orchestrator.comparison.work import Work, over_the_bridge
from orchestrator.devnet import Devnet
from orchestrator.strategies import presets
from orchestrator.tracing import Kind, Outcome, analyse, load_traces
from orchestrator.tracing.gas import Purpose, account_gas
from orchestrator.tracing.stages import way_to
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

ROLLUP = "{engine: evm, block_time: 400ms, settlement: {challenge_period: 1s, proposal_interval: 800ms}}"
QUICK = """\
l1: {block_time: 400ms, confirmations: 1}
messaging: {mode: l1-bridge, slot: 100ms, publish_every: 400ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
WITHDRAWN = ("sent", "batched", "proposed", "proven", "finalized")


@dataclass(frozen=True)
class World:
    """A devnet over whose bridge a strategy and a message went."""

    net: Devnet
    recorded: Recorded


@pytest.fixture(scope="module")
def topology(topology_file: Callable[..., Path]) -> Path:
    """Two rollups that settle in seconds."""
    return topology_file("quick", extra=QUICK, alpha=ROLLUP, beta=ROLLUP)


@pytest.fixture(scope="module")
def mixed(topology_file: Callable[..., Path]) -> Path:
    """The same, with an options rollup for the second."""
    return topology_file(
        "mixed", extra=QUICK, alpha=ROLLUP, beta=ROLLUP.replace("engine: evm", "engine: options")
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    launched: Callable[..., AbstractAsyncContextManager[Devnet]], topology: Path
) -> AsyncIterator[World]:
    """The work of the bridge's side, on a devnet that is still there afterwards."""
    async with launched(topology, name="paid") as net:
        assert net.plan.market is not None
        strategy = presets.build("vertical", net.plan.market, rollups=("alpha", "beta"))
        done = await over_the_bridge(net, Work(strategy, 1, 2, net.plan.seed), print)
        traces = load_traces(net.directory.path)
        run_dir = str(net.directory.path)
        recorded = Recorded(
            net.plan,
            run_dir,
            net.ready_s,
            done.worked_s,
            traces,
            done.strategies,
            done.failures,
            done.messages,
        )
        yield World(net, recorded)


async def test_compare_runs_the_strategy_both_ways(rollnet: Rollnet, mixed: Path, tmp_path: Path) -> None:
    """With a leg on each kind of rollup both commit; every figure is there; the stages of each path sum to its end to end; nothing is left running."""
    said: Said = await rollnet(
        "compare",
        "vertical",
        *("--topology", str(mixed), "--runs", "1", "--messages", "1", "--seed", "5"),
        *("--out", str(tmp_path / "pages"), "--json"),
    )
    assert 0 == said.code, said
    found = said.json
    bundle, bridge = found["sides"]["bundle"], found["sides"]["bridge"]

    assert (True, 5, "shared-sequencer", "l1-bridge") == (
        found["both_committed"],
        found["seed"],
        bundle["mode"],
        bridge["mode"],
    )
    assert {"committed": 1} == bundle["outcomes"] == bridge["outcomes"]
    assert [[], []] == [bundle["alarms"], bridge["alarms"]]
    for side in (bundle, bridge):
        took = side["end_to_end"]["min_ns"]
        assert took == side["median"]["end_to_end_ns"]
        assert took == sum(part["duration_ns"] for part in side["median"]["path"])
        assert took == sum(each["times"]["min_ns"] for each in side["stages"] if each["on_the_way"])
        assert all(part["traced"] for part in side["median"]["path"])
        assert side["locked"]["times"]["min_ns"] <= took
        assert side["gas"]["strategies_own"]["gas"] + side["gas"]["strategies_shared"]["gas"] > 0
        assert Path(side["run_dir"]).is_dir()
    assert bridge["median"]["end_to_end_ns"] > 10 * bundle["median"]["end_to_end_ns"]
    assert 0 < bundle["locked"]["cash"] == bridge["locked"]["cash"]
    assert {"opens", "proofs", "finalizations", "proposals", "batches"} == {
        row["purpose"] for row in bridge["gas"]["rows"]
    }
    assert all(int(row["cost"]["wei"]) > 0 for row in bridge["gas"]["rows"])

    messages = found["messages"]
    assert {"executed": 1} == messages["outcomes"]
    stages = {each["stage"]: each["times"]["min_ns"] for each in messages["stages"]}
    assert {*(f"message.{stage}" for stage in (*WITHDRAWN, "deposited", "executed"))} == set(stages)
    assert messages["end_to_end"]["min_ns"] == sum(stages.values())
    assert messages["waits_s"] == pytest.approx(sum(wait["seconds"] for wait in messages["waits"]))
    assert "unknown" == messages["standing"]
    assert ["compare.html", "compare.md", "compare.json"] == [Path(file).name for file in found["files"]]
    assert all(Path(file).stat().st_size > 0 for file in found["files"])

    status = await rollnet("status", "--json")
    assert "compare-" not in status.out


async def test_a_topology_that_takes_days_is_refused_at_once(rollnet: Rollnet) -> None:
    """Nothing is launched for a comparison that nobody would wait for."""
    said = await rollnet("compare", "iron_condor", "--topology", "topologies/condor-quad.yaml")

    assert (2, "") == (said.code, said.out)
    assert "challenge period" in said.err
    assert "bridge-quad" in said.err


async def test_a_folder_that_cannot_be_written_is_told_before_the_runs(
    rollnet: Rollnet, topology: Path, tmp_path: Path
) -> None:
    """Not after a minute of work."""
    (tmp_path / "file").write_text("in the way")

    said = await rollnet(
        "compare", "vertical", "--topology", str(topology), "--out", str(tmp_path / "file" / "pages")
    )

    assert (2, "") == (said.code, said.out)
    assert "can't be written" in said.err
    assert "launching" not in said.err


async def test_real_journals_tell_a_whole_life(world: World) -> None:
    """Strategy and messages end well, without alarm or skew; all of each path is traced, and its stages telescope."""
    run = world.recorded
    expected = dict.fromkeys(run.strategies, (Kind.BRIDGED, Outcome.COMMITTED, Stage.LEG_EXECUTED))
    expected |= {each.key: (Kind.MESSAGE, Outcome.EXECUTED, Stage.MESSAGE_EXECUTED) for each in run.messages}
    assert ((), 3) == (run.failures, len(expected))

    for key, (kind, outcome, end) in expected.items():
        found = analyse(run.traces.traces[key])
        assert (kind, outcome, (), ()) == (found.kind, found.outcome, found.alarms, found.skews)
        assert all(part.traced for part in found.segments)
        on_the_way = way_to(kind, end)
        assert found.end_to_end_ns == sum(t.duration_ns for t in found.stage_times if t.stage in on_the_way)
        assert list(on_the_way) == [t.stage for t in found.stage_times if t.stage in on_the_way]


async def test_the_account_of_gas_is_what_l1_says(world: World) -> None:
    """Every transaction on L1 is in the journals' account, with the gas and the wei of its receipt, and no other is."""
    net = world.net
    head = await net.l1.height()
    receipts = {}
    for number in range(1, head + 1):
        for receipt in await net.l1.rpc("eth_getBlockReceipts", hex(number)):
            receipts[receipt["transactionHash"]] = receipt

    async def accounted() -> bool:
        paid = {payment.transaction for payment in account_gas(load_traces(net.directory.path)).payments}
        return set(receipts) <= paid

    await eventually(accounted, 15, "the journals to tell of every transaction on L1", every_s=0.3)
    account = account_gas(load_traces(net.directory.path))
    told = {payment.transaction: payment for payment in account.payments}

    for digest, receipt in receipts.items():
        gas = int(receipt["gasUsed"], 16)
        assert gas == told[digest].cost.gas, told[digest]
        assert gas * int(receipt["effectiveGasPrice"], 16) == told[digest].cost.wei, told[digest]
    strategy = account.share(world.recorded.strategies[0])
    assert strategy.own.gas > 0
    by_purpose = {purpose: count for purpose, _, count, _ in account.rows()}
    assert (1, 2 + 2, 2 + 2) == (
        by_purpose[Purpose.OPENS],
        by_purpose[Purpose.PROOFS],
        by_purpose[Purpose.FINALIZATIONS],
    )
    assert {*map(str, by_purpose)} == {"opens", "proofs", "finalizations", "batches", "proposals"}


async def test_a_comparison_can_be_built_from_the_journals_alone(world: World) -> None:
    """The same journals give the same comparison, whoever reads them and when."""
    run = world.recorded
    again = Recorded(
        run.plan,
        run.run_dir,
        run.ready_s,
        run.worked_s,
        load_traces(Path(run.run_dir)),
        run.strategies,
        run.failures,
        run.messages,
    )
    bridges = [
        build_comparison(each, each, strategy="vertical", host="", command="").bridge for each in (run, again)
    ]

    assert bridges[0].stages == bridges[1].stages
    assert bridges[0].median == bridges[1].median
    assert bridges[0].locked == bridges[1].locked
