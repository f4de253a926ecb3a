"""A rollup node crashes at each of its points under users' load: what it served stays, bundles are whole, outputs are proposed once."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.crash_testing.rows import (
    CHALLENGER,
    PROPOSER,
    ROLLUP_AT_BOOT,
    ROLLUP_CHECKPOINTS,
    ROLLUP_GREETED,
    ROLLUP_UNDER_LOAD,
)
from orchestrator.crash_testing.world import CrashWorld
from orchestrator.errors import RollnetError
from orchestrator.verification import live_sources, verify
from orchestrator.verification.testing_settlement import Settlement, next_nonce
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

QUICK = (
    "l1: {block_time: 400ms, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms, sequencing_window: 30s}"
)
SETTLED = "{engine: evm, block_time: 300ms, dev_methods: true, settlement: {challenge_period: 30s, proposal_interval: 600ms}}"
NODE = "alpha"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[CrashWorld]:
    """Two rollups that settle within seconds."""
    file = topology_file("crashed-rollup", extra=QUICK, alpha=SETTLED, beta=SETTLED)
    async with launched(file, chaos=True) as net:
        yield CrashWorld(net)


@pytest.mark.parametrize(("point", "count"), [*ROLLUP_UNDER_LOAD, *((point, 1) for point in PROPOSER)])
async def test_at_a_point_of_its_work(world: CrashWorld, point: str, count: int) -> None:
    """It crashes there and comes back to the chain that it had served, and what users sent is whole."""
    alpha = world.net.rollup(NODE)
    async with world.judged():
        seen = await alpha.rpc("eth_getBlockByNumber", "latest", True)
        await world.crash(NODE, point, count)
        await world.revive(NODE, point)
        assert seen == await alpha.rpc("eth_getBlockByNumber", seen["number"], True)


@pytest.mark.parametrize("point", ROLLUP_CHECKPOINTS)
async def test_at_a_point_of_a_checkpoint(world: CrashWorld, point: str) -> None:
    """A control method stores a checkpoint at once: whoever asked for it has no answer, and the chain is what it was."""
    async with world.judged():
        ordered = await world.net.node(NODE).crash_at(point)
        with pytest.raises(RollnetError):
            await world.net.rollup(NODE).rpc("anvil_nodeInfo")
        await world.crashed(NODE, point, ordered.boot)
        await world.revive(NODE, point)


@pytest.mark.parametrize("point", ROLLUP_AT_BOOT)
async def test_at_a_point_of_its_boot(world: CrashWorld, point: str) -> None:
    """Killed, and crashed while it comes back: the life after that has the chain. A useless checkpoint is no obstacle."""
    async with world.judged():
        await world.net.node(NODE).kill()
        folder = world.net.directory.data_of(NODE)
        (folder / f"checkpoint-999999-0x{'ab' * 32}.state").write_bytes(
            b"of a block that this chain never had"
        )
        await world.crash_while_starting(NODE, point)
        await world.revive(NODE, point)


@pytest.mark.parametrize("point", ROLLUP_GREETED)
async def test_at_the_greeting_of_a_new_sequencer(world: CrashWorld, point: str) -> None:
    """A sequencer that comes back greets with a new term: the rollup that crashed over it is greeted again."""
    async with world.judged():
        ordered = await world.net.node(NODE).crash_at(point)
        await world.net.node("sequencer").restart()
        await world.crashed(NODE, point, ordered.boot)
        await world.revive(NODE, point)


async def test_while_a_wrong_output_is_deleted(world: CrashWorld) -> None:
    """The challenger crashes before and after it has deleted a wrong output: that is gone, once, and right ones follow."""
    one = Settlement(world.net, NODE)
    await world.net.node(NODE).kill()
    wrong = "0x" + "bad0" * 16

    async def proposed() -> bool:
        nonce = await next_nonce(world.net.l1, one.proposer, "latest")
        await one.propose(wrong, await one.ask("nextBlockNumber"), nonce)
        await one.mined(nonce)
        return wrong in {root for root, _ in await one.outputs()}

    await eventually(proposed, 20, "a wrong output on L1")
    for point in CHALLENGER:
        await world.crash_while_starting(NODE, point)
    await world.revive(NODE, "rollup.output.deleted")
    await one.all_right(await one.ask("latestBlockNumber") + 2 * one.interval)


async def test_at_the_end_all_is_on_l1_once(world: CrashWorld) -> None:
    """Every block is proposed once, and by no failed transaction; a verifier that has only L1 agrees with all of them."""
    async with world.judged(whole=True):
        pass
    one = Settlement(world.net, NODE)
    await one.all_right(await one.ask("latestBlockNumber") + one.interval)
    proposals = await one.proposals()
    assert all(success for _, success in proposals)
    async with live_sources(world.net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)
    world.report()
