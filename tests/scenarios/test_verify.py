"""``rollnet verify``: valid of everything that a devnet did; and it names what is wrong when one byte, one hash or one root was changed."""

import asyncio
import random
import shutil
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.op import op_artifact
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.stages import Stage
from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet
from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.settlement.deployments import deployments
from orchestrator.tracing import analyse, load_traces
from orchestrator.verification import Moved, live_sources, verify
from orchestrator.verification.testing import (
    LyingClient,
    Posted,
    all_of,
    edit_stored_block,
    flip_stored_input,
    flipped,
    posted,
    with_height,
    with_input,
    with_result,
    with_state_root,
)
from orchestrator.verification.testing_load import Work, busy, settled
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

SETTLED = "{settlement: {challenge_period: 4s, proposal_interval: 2s}}"
QUICK = """l1: {block_time: 500ms, confirmations: 1}
messaging: {slot: 100ms, publish_every: 500ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
NAME, ROLLUPS = "verifying", ("alpha", "beta", "gamma", "delta")
ORACLE = op_artifact("L2OutputOracle").interface
WRONG = "0x" + "ab" * 32


@dataclass(frozen=True)
class World:
    """A devnet that did something, and its end."""

    net: Devnet
    work: Work
    stack: AsyncExitStack

    async def down(self) -> Path:
        """Take it down, once; its run directory stays."""
        await self.stack.aclose()
        return self.net.directory.path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """Four rollups after some five hundred items of all kinds, with one kill of the sequencer among them."""
    topology = topology_file(NAME, ROLLUPS, QUICK, **dict.fromkeys(ROLLUPS, SETTLED))
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(launched(topology))
        work = Work()
        began = time.monotonic()
        await busy(net, work)
        await settled(net, work)
        print(f"{work.items} items in {time.monotonic() - began:.1f} s")  # noqa: T201 - the load's own speed
        yield World(net, work, stack)


async def superbatches(net: Devnet, last: int) -> list[Posted]:
    """What the sequencer posted up to an L1 block."""
    contracts = deployments(net.plan).rollups["alpha"]
    return await posted(net.l1.client, contracts.batch_inbox, contracts.batcher, last)


async def test_everything_that_was_done_is_found_again_from_l1_alone(world: World, rollnet: Rollnet) -> None:
    """Valid, exit 0; slots, bundles, blocks and outputs are those that the test counts itself on L1 and at its users."""
    net, work = world.net, world.work
    assert 500 < work.items
    assert 40 < len(work.messages)
    assert {"committed", "aborted"} <= set(work.bundles.values())
    said, human = await asyncio.gather(rollnet("verify", NAME, "--json"), rollnet("verify"))
    found = said.json
    assert (0, "valid", []) == (said.code, found["verdict"], found["findings"]), said
    on_l1 = await superbatches(net, found["l1_block"])
    assert {1, 2} == {each.superbatch.term for each in on_l1}
    assert sum(len(each.superbatch.slots) for each in on_l1) == found["slots"]
    assert work.committed == set().union(*(each.bundles for each in on_l1))
    assert len(work.committed) == found["bundles"] > 0
    blocks = [block for each in on_l1 for slot in each.superbatch.slots for block in slot.blocks]
    heads = {block.chain_id: block.number for block in blocks}
    assert {name: heads[chain.chain_id] for name, chain in net.rollups.items()} == found["blocks"]
    assert all(0 < number <= found["blocks"][name] + 1 for name, number in found["served"].items())
    assert (0, 0, {}) == (found["forced"], found["strangers"], found["uncompared"])
    assert len(ROLLUPS) <= found["outputs"]
    assert (0, True) == (human.code, "verdict: valid" in human.out)
    assert all(name in human.out for name in ROLLUPS)
    assert "L1 block" in human.err


@pytest.mark.parametrize("place", ["first", "middle", "last"])
async def test_one_byte_of_a_batch(world: World, place: str) -> None:
    """L1 tells one bit otherwise: the superbatch is named, and on each rollup the first block that is missing without it."""
    net = world.net
    of_all = [
        each
        for each in await superbatches(net, await net.l1.height())
        if len(each.first_blocks) == len(ROLLUPS)
    ]
    chosen = of_all[{"first": 0, "middle": len(of_all) // 2, "last": -1}[place]]
    data = flipped(chosen.data, random.Random(place).randrange(len(chosen.data)))
    lie = with_input(chosen.transaction, data)
    async with live_sources(net.directory.path) as sources, LyingClient(sources.l1.url, lie) as l1:
        found = await verify(replace(sources, l1=l1))
    assert "invalid" == found.verdict
    (batch,) = [finding for _, finding in found.findings if finding.what == "superbatch"]
    assert (f"superbatch {chosen.superbatch.number}", chosen.transaction) == (batch.claimed, batch.l1_tx)
    missing = {name: finding.block for name, finding in found.findings if finding.what == "missing"}
    assert {name: chosen.first_blocks[chain.chain_id] for name, chain in net.rollups.items()} == missing


async def test_several_lies_at_once(world: World) -> None:
    """A claimed state root, a hash that a node serves, a proposed output root: each is named by rollup and block, and nothing else."""
    net = world.net
    oracle = deployments(net.plan).rollups["gamma"].output_oracle
    asked = ORACLE.encode_call("getL2Output", 1)
    told = from_hex(await net.l1.rpc("eth_call", {"to": oracle, "data": to_hex(asked)}, "latest"))
    ((_, _, proposed),) = ORACLE.decode_result("getL2Output", told)
    async with live_sources(net.directory.path) as sources:
        height = await net.l1.height()
        last = (await superbatches(net, height))[-1]
        data, block = with_state_root(last.superbatch, WRONG)
        lie = all_of(
            with_height(height),
            with_input(last.transaction, data),
            with_result(oracle, asked, bytes([told[0] ^ 1]) + told[1:]),
        )
        beta = replace(sources.served["beta"], hashes={**sources.served["beta"].hashes, 7: WRONG})
        async with LyingClient(sources.l1.url, lie) as l1:
            found = await verify(replace(sources, l1=l1, served={**sources.served, "beta": beta}))
    names = {chain.chain_id: name for name, chain in net.rollups.items()}
    assert {
        (names[block.chain_id], block.number, "state root"),
        ("beta", 7, "block hash"),
        ("gamma", proposed, "output root"),
    } == {(name, finding.block, finding.what) for name, finding in found.findings}
    assert 3 == len(found.findings)
    claims = {finding.what: finding for _, finding in found.findings}
    assert (WRONG, block.state_root) == (claims["state root"].claimed, claims["state root"].derived)
    assert f"superbatch {last.superbatch.number} " in claims["state root"].where
    assert (WRONG, "node beta") == (claims["block hash"].claimed, claims["block hash"].where)


async def test_an_answer_about_another_l1_chain_is_no_claim(world: World) -> None:
    """A node that had derived from L1 blocks which are gone by now is not called wrong: L1 moved, verify again."""
    async with live_sources(world.net.directory.path) as sources:
        stale = replace(sources.served["beta"], derived_from=((5, WRONG),), hashes={1: WRONG})
        with pytest.raises(Moved):
            await verify(replace(sources, served={**sources.served, "beta": stale}))


async def test_every_committed_bundle_is_settled(world: World) -> None:
    """Each rollup tells it of its own legs once the covering output is final; no bundle without effect is told to be settled."""
    run = world.net.directory.path

    def told() -> dict[str, bool]:
        """By bundle: whether all its legs are settled; only what some journal says is settled, at least in part."""
        traces = load_traces(run).traces
        return {
            bundle: Stage.SETTLED in {each.stage for each in analyse(traces[bundle]).stage_times}
            for bundle in world.work.bundles
            if any(event.event == Stage.SETTLED for event in traces[bundle].events)
        }

    async def all_settled() -> bool:
        return dict.fromkeys(world.work.committed, True) == await asyncio.to_thread(told)

    await eventually(all_settled, 40, f"{len(world.work.committed)} bundles to be settled", every_s=1.0)


async def test_a_finished_run_verifies_from_its_files(
    world: World, rollnet: Rollnet, module_home: Path
) -> None:
    """After ``down``: by directory and by topology name valid, with every bundle; also if its supervisor had crashed."""
    run = await world.down()
    gone = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.read()", stdin=-1
    )
    owner = ProcessId.of(gone.pid)
    assert owner is not None
    await gone.communicate(b"")
    registry = Registry(module_home)
    entry = DevnetEntry("crashed", world.net.directory.run_id, str(run), owner, Control(1, "token"))
    registry.claim(entry)
    try:
        by_path, by_name, crashed = await asyncio.gather(
            rollnet("verify", str(run), "--json"),
            rollnet("verify", NAME, "--json"),
            rollnet("verify", "crashed", "--json"),
        )
    finally:
        registry.release(entry)
    expected = (0, "valid", len(world.work.committed))
    assert expected == (by_path.code, by_path.json["verdict"], by_path.json["bundles"])
    assert by_path.json == by_name.json == crashed.json


async def test_a_changed_file_of_a_finished_run(world: World, rollnet: Rollnet, tmp_path: Path) -> None:
    """One byte of a batch in L1's state, one block in a node's log: invalid and named; damage: unknown; no file is touched."""
    run = await world.down()
    copies = {name: tmp_path / name for name in ("batch", "block", "log", "l1", "old", "nothing")}
    for copy in copies.values():
        shutil.copytree(run, copy)
    inbox = deployments(world.net.plan).rollups["alpha"].batch_inbox
    flip_stored_input(copies["batch"] / "data" / "l1" / "state.json", 3, inbox, 40)
    edit_stored_block(copies["block"] / "data" / "alpha" / "blocks.log", 9, {"hash": WRONG})
    log = copies["log"] / "data" / "beta" / "blocks.log"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    state = copies["l1"] / "data" / "l1" / "state.json"
    state.write_bytes(state.read_bytes()[:-100])
    l1 = copies["old"] / "data" / "l1"
    shutil.copyfile(l1 / "state.kept.json", l1 / "state.json")
    (copies["nothing"] / "data" / "l1" / "state.json").unlink()
    before = {name: files_of(copy) for name, copy in copies.items()}
    results = await asyncio.gather(*(rollnet("verify", str(copy), "--json") for copy in copies.values()))
    said = dict(zip(copies, results, strict=True))
    assert before == {name: files_of(copy) for name, copy in copies.items()}
    codes = {"batch": 1, "block": 1, "log": 2, "l1": 2, "old": 2, "nothing": 2}
    assert codes == {name: each.code for name, each in said.items()}
    batch, *others = said["batch"].json["findings"]
    assert ("superbatch", True) == (batch["what"], "superbatch 3" in batch["claimed"])
    assert "superbatch" not in {each["what"] for each in others}
    (block,) = said["block"].json["findings"]
    assert ["alpha", 9, "block hash", WRONG] == [block[key] for key in ("rollup", "block", "what", "claimed")]
    assert ("unknown", ["beta"]) == (said["log"].json["verdict"], list(said["log"].json["uncompared"]))
    assert ("unknown", set(ROLLUPS)) == (said["old"].json["verdict"], set(said["old"].json["uncompared"]))
    assert "damaged" in said["l1"].json["error"]["message"]
    assert "no L1 state" in said["nothing"].json["error"]["message"]


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of change of every file."""
    found = ((path, path.stat()) for path in folder.rglob("*") if path.is_file())
    return {str(path): (stat.st_size, stat.st_mtime_ns) for path, stat in found}
