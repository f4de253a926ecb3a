"""L1 and rollups on bare engines with their real geneses, for tests that drive the bridge between rollups by hand."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import NOBODY, Chain, Clock, HandBridge, HandRollup
from bridge.wire.jsonrpc import Client
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import scratch_anvil
from orchestrator.market.testing import EXAMPLE_MARKET, example_plan
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.geth_genesis import GENESIS_TIME, genesis_bytes
from orchestrator.settlement.l1 import build_l1_genesis
from orchestrator.settlement.messages import l1_arguments, l2_arguments
from orchestrator.topology.accounts import derive_roles
from orchestrator.topology.plan import MarketPlan, Plan, SettlementPlan

_START = GENESIS_TIME + 1_000_000
"""All clocks start here, unix seconds: the outputs of a million blocks lie in the past."""
_ROOM = 10**24
"""Wei of those who only pay for gas."""


def bridge_plan(
    rollups: tuple[str, ...], market: MarketPlan | None = EXAMPLE_MARKET, sequencing_window: int = 60
) -> Plan:
    """A plan in which outputs finalize after a second, with L1 blocks of a second."""
    plan = example_plan(rollups, market=market)
    quick = SettlementPlan(challenge_period_s=1, proposal_interval=1)
    return replace(
        plan,
        rollups=tuple(replace(rollup, settlement=quick) for rollup in plan.rollups),
        roles=derive_roles(plan.seed, rollups),
        messaging=replace(plan.messaging, sequencing_window=sequencing_window),
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


async def put_contracts(bridge: HandBridge, plan: Plan, **codes: bytes) -> None:
    """Put code of the contracts between rollups where the genesis has it: mutants, or the committed code again.

    Their storage stays what it is.

    Args:
        bridge: where.
        plan: of the bridge.
        codes: creation code by contract, without arguments; the committed one for contracts that are not named.
    """
    where = deployments(plan)
    for name, arguments in l1_arguments(plan, where).items():
        await bridge.l1.place(where.l1[name], _creation_code(name, codes, arguments))
    for name, arguments in l2_arguments(plan, where).items():
        code = _creation_code(name, codes, arguments)
        for rollup in plan.rollups:
            await bridge.rollups[rollup.chain_id].chain.place(where.rollups[rollup.name].l2[name], code)


def _creation_code(name: str, codes: Mapping[str, bytes], arguments: tuple[Any, ...]) -> bytes:
    committed = artifact(name)
    return codes.get(name, committed.creation_code) + committed.interface.encode_constructor(*arguments)


async def _engine(stack: AsyncExitStack, path: Path, genesis: dict[str, Any], *options: str) -> Client:
    path.write_bytes(genesis_bytes(genesis))
    mining = ("--no-mining", "--order", "fifo")
    return await stack.enter_async_context(scratch_anvil("--init", str(path), *options, *mining))
