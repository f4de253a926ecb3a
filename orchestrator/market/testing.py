"""A market on one bare anvil, for tests: the real genesis, real signed transactions, one block per transaction.

No sequencer and no rollup node: what is tried here is the contracts and their clients alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction
from bridge.wire.system import close_guard, open_guard
from orchestrator.market.board import Quote, Terms
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import scratch_anvil
from orchestrator.market.units import symbol_bytes
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet
from orchestrator.settlement.geth_genesis import genesis_bytes
from orchestrator.topology.accounts import ROLES, challenger_of, proposer_of
from orchestrator.topology.plan import (
    Account,
    L1Plan,
    MarketPlan,
    MessagingPlan,
    Plan,
    RollupPlan,
    SettlementPlan,
)

EXAMPLE_MARKET = MarketPlan(
    underlying="ETH",
    spot=2_000.0,
    volatility=0.6,
    rate=0.05,
    spread=0.02,
    depth=50.0,
    expiries_s=(86_400.0, 604_800.0),
    strikes=(1_600.0, 1_800.0, 1_900.0, 2_000.0, 2_100.0, 2_200.0, 2_400.0),
    price_cap=8_000.0,
)
"""Seven strikes, two expiries."""


def example_account(name: str) -> Account:
    """An account whose key is the hash of its name."""
    key = to_hex(keccak256(name.encode()))
    return Account(name, to_hex(Wallet(key).address), key)


def example_plan(
    rollups: Sequence[str] = ("alpha",), users: int = 3, market: MarketPlan | None = EXAMPLE_MARKET
) -> Plan:
    """A small devnet's plan."""
    return Plan(
        name="example",
        seed=0,
        runtime="process",
        l1=L1Plan(chain_id=900, block_time_s=1.0, confirmations=2),
        rollups=tuple(
            RollupPlan(
                name=name,
                chain_id=901 + index,
                engine="evm",
                block_gas_limit=30_000_000,
                block_time_s=1.0,
                dev_methods=True,
                data_availability="calldata",
                settlement=SettlementPlan(challenge_period_s=5, proposal_interval=10),
            )
            for index, name in enumerate(rollups)
        ),
        messaging=MessagingPlan("shared-sequencer", 0.2, 1_000, 1.0, sequencing_window=60),
        market=market,
        users=tuple(example_account(f"user-{index}") for index in range(users)),
        roles=tuple(
            example_account(name)
            for name in (*ROLES, *map(proposer_of, rollups), *map(challenger_of, rollups))
        ),
    )


class Reverted(Exception):  # noqa: N818 - names what the transaction did
    """A transaction reverted; ``error`` is why."""

    def __init__(self, error: Decoded | None, data: bytes) -> None:
        super().__init__(str(error) if error else to_hex(data))
        self.error, self.data = error, data


@dataclass(slots=True)
class MarketChain:
    """One rollup's engine with its genesis."""

    client: Client
    chain_id: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def send(
        self, account: Account, contract: str, to: str, function: str, *arguments: Any
    ) -> dict[str, Any]:
        """Sign, mine and return the receipt.

        Raises:
            Reverted: the transaction has no effect; says why.
        """
        data = artifact(contract).interface.encode_call(function, *arguments)
        return await self.send_data(account, to, data)

    async def send_data(self, account: Account, to: str, data: bytes) -> dict[str, Any]:
        """Sign, mine and return the receipt of a transaction with given call data.

        Raises:
            Reverted: the transaction has no effect; says why.
        """
        async with self.lock:
            nonce = int(await self.client.call("eth_getTransactionCount", account.address, "latest"), 16)
            call = UnsignedTransaction(
                chain_id=self.chain_id,
                nonce=nonce,
                max_fee=MAX_FEE,
                priority_fee=PRIORITY_FEE,
                gas=5_000_000,
                to=from_hex(to),
                data=data,
            )
            receipt = await self.send_raw(Wallet(account.private_key).sign(call))
        if receipt["status"] != "0x1":
            raise await self._reason(receipt)
        return receipt

    async def send_raw(self, raw: bytes) -> dict[str, Any]:
        """Mine one signed transaction and return its receipt, whatever its status."""
        digest = await self.client.call("eth_sendRawTransaction", to_hex(raw))
        await self.client.call("evm_mine")
        receipt: dict[str, Any] = await self.client.call("eth_getTransactionReceipt", digest)
        return receipt

    async def read(self, contract: str, to: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """What a view function returns.

        Raises:
            Reverted: it reverts; says why.
        """
        interface = artifact(contract).interface
        data = to_hex(interface.encode_call(function, *arguments))
        try:
            answer = await self.client.call("eth_call", {"to": to, "data": data}, "latest")
        except RpcError as exc:
            revert = from_hex(exc.data)
            raise Reverted(interface.decode_error(revert), revert) from exc
        return interface.decode_result(function, from_hex(answer))

    async def open_bundle(self, bundle: bytes, block: int) -> None:
        """Open the guard as a rollup node does; ``block`` only makes the deposit unique."""
        await self.send_raw(open_guard(block, 0, bundle))

    async def close_bundle(self, block: int) -> None:
        """Close the guard as a rollup node does."""
        await self.send_raw(close_guard(block, 1))

    async def now(self) -> int:
        """Timestamp of the latest block, unix seconds."""
        block = await self.client.call("eth_getBlockByNumber", "latest", False)
        return int(block["timestamp"], 16)

    async def travel(self, time: int) -> None:
        """Mine a block at a later time, unix seconds."""
        await self.client.call("evm_setNextBlockTimestamp", time)
        await self.client.call("evm_mine")

    async def quote(self, maker: Account, terms: Terms, quote: Quote) -> bytes:
        """Post one quote; returns the id of its series."""
        await self.send(
            maker, "OptionsMarket", OPTIONS_MARKET, "postQuotes", [(terms.encoded(), quote.encoded())]
        )
        (identity,) = await self.read("OptionsMarket", OPTIONS_MARKET, "seriesId", terms.encoded())
        return bytes(identity)

    async def fix(self, reporter: Account, terms: Terms, price: int) -> None:
        """Move to the expiry of a series and fix its settlement price, 1e-6 USD per unit."""
        await self.travel(max(terms.expiry, await self.now() + 1))
        symbol = symbol_bytes(terms.underlying)
        await self.send(reporter, "PriceOracle", PRICE_ORACLE, "fixSettlement", symbol, terms.expiry, price)

    async def nonce(self, rollup: str, address: str) -> int:
        """``ChainAccess`` for strategies: this chain stands for every rollup."""
        assert rollup
        return int(await self.client.call("eth_getTransactionCount", address, "pending"), 16)

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """``ChainAccess`` for strategies: this chain stands for every rollup."""
        assert rollup
        return from_hex(await self.client.call("eth_call", {"to": to, "data": to_hex(data)}, "latest"))

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """``ChainAccess`` for strategies: this chain stands for every rollup."""
        assert rollup
        return await self.client.call(method, *params)

    async def _reason(self, receipt: dict[str, Any]) -> Reverted:
        """Why a mined transaction failed, from its trace (the state it ran in)."""
        trace = await self.client.call(
            "debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"}
        )
        revert = from_hex(trace.get("output") or "0x")
        for name in ("OptionsMarket", "BundleGuard", "PriceOracle", "CashToken"):
            error = artifact(name).interface.decode_error(revert)
            if error is not None:
                return Reverted(error, revert)
        return Reverted(None, revert)


@contextlib.asynccontextmanager
async def market_chain(
    plan: Plan, directory: Path, rollup: int = 0, *options: str
) -> AsyncIterator[MarketChain]:
    """A rollup's engine, started from its genesis, mining on request.

    Args:
        plan: whose genesis.
        directory: for the genesis file and the cache.
        rollup: index in the plan.
        options: instead of ``--no-mining --order fifo``.
    """
    chosen = plan.rollups[rollup]
    path = directory / f"{chosen.name}.json"
    path.write_bytes(genesis_bytes(await build_genesis(plan, chosen, directory / "cache")))
    mining = options or ("--no-mining", "--order", "fifo")
    async with scratch_anvil("--init", str(path), "--network", "optimism", *mining) as client:
        yield MarketChain(client, chosen.chain_id)
