"""The world of strategies over the bridge, once for each file of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.settlement.testing_strategies import World, strategies_world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests of a file."""
    async with strategies_world(tmp_path_factory.mktemp("strategies")) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(made: World) -> AsyncIterator[World]:
    """The engines as they were at first; whatever a test did, the markets are solvent after it."""
    chains = [made.bridge.l1, *(rollup.chain for rollup in made.bridge.rollups.values())]
    snapshots, start = [await chain.client.call("evm_snapshot") for chain in chains], made.now
    yield made
    await made.is_solvent()
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    made.bridge.l1.clock.now = start
    for rollup in made.bridge.rollups.values():
        rollup.deposits.clear()
        rollup.withdrawals.clear()
