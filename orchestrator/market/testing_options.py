"""A market on an options rollup's engine alone, for tests: the real genesis and reads, real signed transactions, one block for each that is sent.

No sequencer and no rollup node: what is tried here is the engine and its clients alone.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import orjson

from bridge.wire.errors import SERVER_ERROR, RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.system import close_guard, open_guard
from orchestrator.market.options_genesis import options_genesis
from orchestrator.market.options_venue import OptionsRollup
from orchestrator.market.testing import EXAMPLE_MARKET, example_plan
from orchestrator.topology.load import read_topology
from orchestrator.topology.plan import MarketPlan, Plan, RollupPlan
from orchestrator.topology.resolve import make_plan
from rollup_node.engines.base import BlockInput, ExecutedBlock
from rollup_node.engines.options.engine import OptionsEngine

START = 1_800_000_000
"""Unix seconds at which tests begin."""
SMALL_MARKET = replace(
    EXAMPLE_MARKET, strikes=(1_800.0, 1_900.0, 2_000.0, 2_100.0, 2_200.0), expiries_s=(86_400.0, 604_800.0)
)
_TOPOLOGY = b"""
name: example
rollups: {gamma: {engine: options, options: {settlement_average: 60s}}}
market: {underlying: ETH, spot: 2000, volatility: 0.6}
"""


def example_options_plan(
    rollups: Sequence[str] = ("gamma",), market: MarketPlan = SMALL_MARKET, **changes: Any
) -> Plan:
    """A small devnet's plan of options rollups alone."""
    plan = example_plan(rollups, market=market)
    (usual,) = make_plan(read_topology(_TOPOLOGY, "example.yaml")).rollups
    assert usual.options is not None
    options = replace(usual.options, **changes)
    return replace(
        plan,
        rollups=tuple(
            replace(rollup, engine="options", options=options, dev_methods=False) for rollup in plan.rollups
        ),
    )


class OptionsChain:
    """One options rollup's engine, with a clock that stands still until it is told.

    Args:
        engine: running.
        rollup: whose it is.
    """

    def __init__(self, engine: OptionsEngine, rollup: RollupPlan) -> None:
        self.engine, self.rollup = engine, rollup
        self.now = START
        self.refusing: str | None = None
        """A method that is refused, for tests of what comes of that."""

    @property
    def client(self) -> Client:
        """This, as what speaks JSON-RPC with a rollup."""
        return cast("Client", self)

    @property
    def for_maker(self) -> OptionsRollup:
        """As the maker is told of it."""
        options = self.rollup.options
        assert options is not None
        return OptionsRollup(
            name=self.rollup.name,
            url="",
            chain_id=self.rollup.chain_id,
            signers=tuple(signer.private_key for signer in options.oracle_signers),
            needed=options.signatures_needed,
            trusted_s=options.max_oracle_age_s,
        )

    async def block(self, *raws: bytes, bundle: bytes | None = None) -> ExecutedBlock:
        """Execute a block, its transactions as one bundle if that is named."""
        head = await self.engine.head()
        number = head.number + 1
        legs = (open_guard(number, 0, bundle), *raws, close_guard(number, 1)) if bundle else raws
        fee = next_base_fee(head.base_fee, head.gas_used, head.gas_limit)
        return await self.engine.execute(BlockInput(head, self.now, fee, tuple(legs)))

    async def call(self, method: str, *params: Any) -> Any:
        """As a JSON-RPC client; what is sent is mined at once, or refused as at admission."""
        if method == self.refusing:
            raise RpcError(SERVER_ERROR, "refused for a test")
        if method != "eth_sendRawTransaction":
            return await self.engine.request(method, list(params))
        raw = from_hex(params[0])
        (result,) = (await self.block(raw)).results
        if result.status in ("invalid", "gap"):
            raise RpcError(SERVER_ERROR, result.reason)
        return to_hex(keccak256(raw))

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]], _deadline: float = 0.0) -> list[Any]:
        """As a JSON-RPC client, several at once."""
        return [await self.call(method, *params) for method, params in calls]


class OptionsReads:
    """``ChainAccess`` for strategies on some options rollups."""

    def __init__(self, *chains: OptionsChain) -> None:
        self._chains = {chain.rollup.name: chain for chain in chains}

    async def nonce(self, rollup: str, address: str) -> int:
        """Next nonce."""
        return int(await self.ask(rollup, "eth_getTransactionCount", address, "latest"), 16)

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """Result of a read-only call."""
        return from_hex(await self.ask(rollup, "eth_call", {"to": to, "data": to_hex(data)}, "latest"))

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """The answer to a method."""
        return await self._chains[rollup].call(method, *params)


@contextlib.asynccontextmanager
async def options_chain(plan: Plan, folder: Path, index: int = 0) -> AsyncIterator[OptionsChain]:
    """An options rollup's engine, from its genesis.

    Args:
        plan: whose.
        folder: for its files.
        index: of the rollup in the plan.
    """
    rollup = plan.rollups[index]
    assert rollup.options is not None
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{rollup.name}.json"
    path.write_bytes(orjson.dumps(options_genesis(plan, rollup, rollup.options)))
    engine = OptionsEngine(path, folder / rollup.name)
    await engine.start()
    try:
        yield OptionsChain(engine, rollup)
    finally:
        await engine.stop()
