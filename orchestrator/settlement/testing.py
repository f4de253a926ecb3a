"""L1 and rollups on bare engines with their real geneses, and the contracts for messages, for tests that drive the bridge by hand."""

import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, LEG_ESCROW, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import NOBODY, Chain, Clock, HandBridge, HandRollup
from bridge.wire.jsonrpc import Client
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import scratch_anvil
from orchestrator.market.testing import EXAMPLE_MARKET, example_plan
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.geth_genesis import GENESIS_TIME, genesis_bytes
from orchestrator.settlement.l1 import build_l1_genesis
from orchestrator.topology.accounts import derive_roles
from orchestrator.topology.plan import MarketPlan, Plan, SettlementPlan

_START = GENESIS_TIME + 1_000_000
"""All clocks start here, unix seconds: the outputs of a million blocks lie in the past."""
_ROOM = 10**24
"""Wei of those who only pay for gas."""


def bridge_plan(rollups: tuple[str, ...], market: MarketPlan | None = EXAMPLE_MARKET) -> Plan:
    """A plan in which outputs finalize after a second."""
    plan = example_plan(rollups, market=market)
    quick = SettlementPlan(challenge_period_s=1, proposal_interval=1)
    return replace(
        plan,
        rollups=tuple(replace(rollup, settlement=quick) for rollup in plan.rollups),
        roles=derive_roles(plan.seed, rollups),
    )


@contextlib.asynccontextmanager
async def hand_bridge(plan: Plan, directory: Path) -> AsyncIterator[HandBridge]:
    """An engine for L1 and one per rollup, each from its genesis, mining on request.

    Args:
        plan: the devnet, such as :func:`bridge_plan`.
        directory: for the genesis files and the cache.
    """
    where, cache = deployments(plan), directory / "cache"
    clock = Clock(_START)
    proposers = {role.name: role.address for role in plan.roles}
    async with AsyncExitStack() as stack:
        l1 = Chain(await _engine(stack, directory / "l1.json", await build_l1_genesis(plan, cache)), clock)
        rollups = {}
        for rollup in plan.rollups:
            genesis = await build_genesis(plan, rollup, cache)
            client = await _engine(stack, directory / f"{rollup.name}.json", genesis, "--network", "optimism")
            here = where.rollups[rollup.name]
            rollups[rollup.chain_id] = HandRollup(
                rollup.chain_id,
                Chain(client, clock),
                here.portal,
                here.output_oracle,
                here.messenger,
                proposers[f"{rollup.name}-proposer"],
            )
        for chain in (l1, *(rollup.chain for rollup in rollups.values())):
            await chain.fund(NOBODY, _ROOM)
        yield HandBridge(l1, rollups)


def registered(bridge: HandBridge) -> list[tuple[int, str]]:
    """The rollups as constructors of contracts on L1 take them."""
    return [(rollup.chain_id, rollup.messenger) for rollup in bridge.rollups.values()]


async def add_messages(bridge: HandBridge, router: bytes | None = None, mailbox: bytes | None = None) -> str:
    """Create the MessageRouter and put a mailbox on every rollup; returns the router's address.

    Args:
        bridge: where.
        router: creation code instead of the committed one, without arguments.
        mailbox: creation code instead of the committed one, without arguments.
    """
    ours, its = artifact("MessageRouter"), artifact("CrossRollupMailbox")
    arguments = ours.interface.encode_constructor(registered(bridge))
    address = await bridge.l1.create(NOBODY, (router or ours.creation_code) + arguments)
    code = (mailbox or its.creation_code) + its.interface.encode_constructor(address)
    for rollup in bridge.rollups.values():
        await rollup.chain.place(CROSS_ROLLUP_MAILBOX, code)
    return address


async def add_strategies(bridge: HandBridge, margin: int) -> str:
    """Create the StrategyRegistry and put an escrow on every rollup; returns the registry's address.

    Args:
        bridge: where; its rollups have markets.
        margin: least seconds between decision and refund.
    """
    registry = artifact("StrategyRegistry")
    address = await bridge.l1.create(NOBODY, registry.deployment(registered(bridge), margin))
    code = artifact("LegEscrow").deployment(address, OPTIONS_MARKET)
    for rollup in bridge.rollups.values():
        await rollup.chain.place(LEG_ESCROW, code)
    return address


async def _engine(stack: AsyncExitStack, path: Path, genesis: dict[str, Any], *options: str) -> Client:
    path.write_bytes(genesis_bytes(genesis))
    mining = ("--no-mining", "--order", "fifo")
    return await stack.enter_async_context(scratch_anvil("--init", str(path), *options, *mining))
