"""The node of an options rollup crashes where its engine writes: it has the same roots again, and bundles with EVM rollups stay whole."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from orchestrator.chains import Refused
from orchestrator.crash_testing.rows import OPTIONS_AT_BOOT, OPTIONS_CHECKPOINTS, OPTIONS_UNDER_LOAD
from orchestrator.crash_testing.world import WITHIN_S, CrashWorld
from orchestrator.verification import live_sources, verify

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

QUICK = (
    "l1: {block_time: 400ms, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms, sequencing_window: 30s}\n"
    "market: {underlying: ETH, spot: 2000, volatility: 0.6}"
)
SETTLED = "block_time: 300ms, settlement: {challenge_period: 30s, proposal_interval: 600ms}"
NODE = "gamma"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[CrashWorld]:
    """One rollup of each kind; users' bundles have a leg on both."""
    kinds = {"alpha": f"{{{SETTLED}}}", NODE: f"{{engine: options, options: {{roots: step}}, {SETTLED}}}"}
    file = topology_file("crashed-options", ("alpha", NODE), QUICK, **kinds)
    async with launched(file, chaos=True) as net:
        yield CrashWorld(net)


async def _served(world: CrashWorld) -> list[Any]:
    """Every block of the rollup, with its roots, and every receipt."""
    chain = world.net.rollup(NODE)
    numbers = [hex(number) for number in range(await chain.height() + 1)]
    return await chain.client.batch(
        [("eth_getBlockByNumber", [number, True]) for number in numbers]
        + [("eth_getBlockReceipts", [number]) for number in numbers]
    )


async def _comes_back(world: CrashWorld, seen: list[Any], point: str) -> None:
    """To all that it had served, receipts of blocks from before its checkpoint too."""
    await world.revive(NODE, point)
    count, now = len(seen) // 2, await _served(world)
    half = len(now) // 2
    assert seen == [*now[:count], *now[half : half + count]]


@pytest.mark.parametrize(("point", "count"), OPTIONS_UNDER_LOAD)
async def test_at_a_point_of_its_work(world: CrashWorld, point: str, count: int) -> None:
    """A block that is half in the archive, or whole and told to nobody."""
    async with world.judged():
        seen = await _served(world)
        await world.crash(NODE, point, count)
        await _comes_back(world, seen, point)


@pytest.mark.parametrize("point", OPTIONS_CHECKPOINTS)
async def test_at_a_point_of_a_checkpoint(world: CrashWorld, point: str) -> None:
    """Whatever there is of the new checkpoint, the older one, or genesis, gives the same."""
    async with world.judged():
        seen = await _served(world)
        await world.crash(NODE, point, within_s=5 * WITHIN_S)
        await _comes_back(world, seen, point)


@pytest.mark.parametrize("point", OPTIONS_AT_BOOT)
async def test_at_a_point_of_its_boot(world: CrashWorld, point: str) -> None:
    """Killed, and crashed while it comes back."""
    async with world.judged():
        seen = await _served(world)
        await world.net.node(NODE).kill()
        await world.crash_while_starting(NODE, point)
        await _comes_back(world, seen, point)


async def test_a_point_of_the_other_engine_is_refused_at_once(world: CrashWorld) -> None:
    """An order that would wait for ever is none, and says whose the point is; the node goes on."""
    before = (await world.net.node(NODE).status()).boot
    for node, point, words in (
        (NODE, "rollup.engine.mining", "is a point of evm rollup nodes, this is an options rollup"),
        ("alpha", "options.archive.torn", "is a point of options rollup nodes, this is an evm rollup"),
    ):
        with pytest.raises(Refused, match=words):
            await world.net.node(node).crash_at(point)
    assert before == (await world.net.node(NODE).status()).boot


async def test_at_the_end_all_is_on_l1_once(world: CrashWorld) -> None:
    """A verifier that has only L1 agrees with every root of both rollups."""
    async with world.judged(whole=True):
        pass
    async with live_sources(world.net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)
    world.report()
