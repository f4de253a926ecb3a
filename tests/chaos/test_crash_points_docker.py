"""Crash points in containers: the same orders, the same proof, the same verdict as for processes, at a few points of each node."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from orchestrator.crash_testing.world import CrashWorld
from orchestrator.devnet import Devnet

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

QUICK = (
    "l1: {block_time: 400ms, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms}"
)
BUSY = "{engine: evm, block_time: 500ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(
    image: str, module_home: Path, topology_file: Callable[..., Path]
) -> AsyncIterator[CrashWorld]:
    """Two rollups, each node in a container."""
    del image
    file = topology_file("crashed-docker", extra=QUICK, alpha=BUSY, beta=BUSY)
    async with Devnet.launch(file, state=module_home, runtime="docker", chaos=True) as net:
        yield CrashWorld(net)


@pytest.mark.parametrize(
    ("node", "point"),
    [
        ("sequencer", "sequencer.wal.torn"),
        ("sequencer", "sequencer.slot.decided"),
        ("sequencer", "publisher.logged"),
        ("alpha", "rollup.block.stored"),
    ],
)
async def test_at_a_point_of_its_work(world: CrashWorld, node: str, point: str) -> None:
    """The container ends there, is started again, goes on, and everything that users sent is whole."""
    async with world.judged():
        await world.crash(node, point)
        await world.revive(node, point)
