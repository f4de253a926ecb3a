"""The world of messages, once for each file of tests."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from orchestrator.settlement.testing_messages import (
    World,
    messages_world,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests of a file."""
    async with messages_world(tmp_path_factory.mktemp("messages")) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def world(made: World) -> AsyncIterator[World]:
    """The engines as they were at first."""
    chains = [made.bridge.l1, *(rollup.chain for rollup in made.bridge.rollups.values())]
    snapshots = [await chain.client.call("evm_snapshot") for chain in chains]
    yield made
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    for rollup in made.bridge.rollups.values():
        rollup.deposits.clear()
        rollup.withdrawals.clear()
