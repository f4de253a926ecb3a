"""The OP Stack's contracts on bare chains, for tests: the real L1 node and a real engine, mining on request.

No sequencer, rollup node or relayer: what is tried here is what the genesis states hold.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.contracts.codec import Decoded
from bridge.contracts.op import op_artifact
from bridge.wire.configuration import VARIABLE
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import anvil_binary, scratch_anvil
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet
from orchestrator.runtimes.ports import PortReservations
from orchestrator.settlement.geth_genesis import genesis_bytes
from orchestrator.settlement.l1 import build_l1_genesis
from orchestrator.topology.plan import Account, Plan

ON_REQUEST_S = 3_600.0
"""Block time of an L1 that in effect mines on request only, seconds."""
_START_S = 15.0
_STOP_S = 10.0


class Refused(Exception):  # noqa: N818 - names what happened to the call
    """A call or transaction reverted; says why."""


@dataclass(frozen=True, slots=True)
class OpChain:
    """One chain with the OP Stack's contracts."""

    client: Client
    chain_id: int

    async def read(self, contract: str, to: str, function: str, *arguments: Any) -> tuple[Any, ...]:
        """What a view function returns.

        Raises:
            Refused: it reverts.
        """
        answer = await self.simulate(contract, to, function, *arguments)
        return op_artifact(contract).interface.decode_result(function, answer)

    async def simulate(
        self, contract: str, to: str, function: str, *arguments: Any, sender: str | None = None
    ) -> bytes:
        """Try a call without effect.

        Raises:
            Refused: it reverts.
        """
        data = op_artifact(contract).interface.encode_call(function, *arguments)
        call = {"to": to, "data": to_hex(data)} | ({} if sender is None else {"from": sender})
        try:
            return from_hex(await self.client.call("eth_call", call, "latest"))
        except RpcError as exc:
            reason = op_artifact(contract).interface.decode_error(from_hex(exc.data or "0x"))
            raise Refused(str(reason or exc.message)) from exc

    async def send(
        self, account: Account, contract: str, to: str, function: str, *arguments: Any, value: int = 0
    ) -> dict[str, Any]:
        """Sign, mine a block and return the receipt.

        Raises:
            Refused: the transaction has no effect.
        """
        nonce = int(await self.client.call("eth_getTransactionCount", account.address, "latest"), 16)
        call = UnsignedTransaction(
            chain_id=self.chain_id,
            nonce=nonce,
            max_fee=MAX_FEE,
            priority_fee=PRIORITY_FEE,
            gas=5_000_000,
            to=from_hex(to),
            data=op_artifact(contract).interface.encode_call(function, *arguments),
            value=value,
        )
        receipt = await self.send_raw(Wallet(account.private_key).sign(call))
        if receipt["status"] != "0x1":
            raise Refused(f"{function} reverted in block {receipt['blockNumber']}")
        return receipt

    async def send_raw(self, raw: bytes) -> dict[str, Any]:
        """Mine one raw transaction and return its receipt, whatever its status."""
        digest = await self.client.call("eth_sendRawTransaction", to_hex(raw))
        await self.client.call("evm_mine")
        receipt: dict[str, Any] = await self.client.call("eth_getTransactionReceipt", digest)
        return receipt

    async def balance(self, address: str) -> int:
        """Wei."""
        return int(await self.client.call("eth_getBalance", address, "latest"), 16)

    async def codes(self, addresses: Sequence[str]) -> dict[str, bool]:
        """Which addresses have code."""
        answers = await self.client.batch([("eth_getCode", [address, "latest"]) for address in addresses])
        return {
            address: answer not in {"0x", "0x0"} for address, answer in zip(addresses, answers, strict=True)
        }


def events(receipt: dict[str, Any], contract: str, address: str) -> list[Decoded]:
    """What a contract logged, in order."""
    interface = op_artifact(contract).interface
    found = (
        interface.decode_event([from_hex(topic) for topic in log["topics"]], from_hex(log["data"]))
        for log in receipt["logs"]
        if log["address"].lower() == address.lower()
    )
    return [event for event in found if event is not None]


@contextlib.asynccontextmanager
async def l1_chain(plan: Plan, directory: Path, block_time_s: float = ON_REQUEST_S) -> AsyncIterator[OpChain]:
    """The real L1 node of a plan; left, it stops gracefully and keeps its state in ``directory`` for the next time.

    Args:
        plan: whose genesis.
        directory: for the genesis file, the cache and the node's state.
        block_time_s: seconds between blocks.
    """
    genesis = directory / "l1.json"
    genesis.write_bytes(genesis_bytes(await build_l1_genesis(plan, directory / "cache")))
    with PortReservations() as ports:
        port = ports.reserve()
    configuration = {
        "anvil": str(anvil_binary()),
        "port": port,
        "chain_id": plan.l1.chain_id,
        "block_time_s": block_time_s,
        "genesis": str(genesis),
        "data_dir": str(directory / "l1-data"),
    }
    node = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bridge.l1.node"),
        env={**os.environ, VARIABLE: orjson.dumps(configuration).decode()},
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with Client(f"http://127.0.0.1:{port}") as client:
            await _answering(client, node)
            yield OpChain(client, plan.l1.chain_id)
    finally:
        await asyncio.shield(_stopped(node))


@contextlib.asynccontextmanager
async def rollup_chain(plan: Plan, directory: Path, rollup: int = 0) -> AsyncIterator[OpChain]:
    """A rollup's engine, started from its genesis, mining on request.

    Args:
        plan: whose genesis.
        directory: for the genesis file and the cache.
        rollup: index in the plan.
    """
    chosen = plan.rollups[rollup]
    path = directory / f"{chosen.name}.json"
    path.write_bytes(genesis_bytes(await build_genesis(plan, chosen, directory / "cache")))
    options = ("--init", str(path), "--network", "optimism", "--no-mining", "--order", "fifo")
    async with scratch_anvil(*options) as client:
        yield OpChain(client, chosen.chain_id)


async def _stopped(node: asyncio.subprocess.Process) -> None:
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            node.send_signal(sign)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_S):
                await node.wait()
                return


async def _answering(client: Client, node: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_START_S):
        while node.returncode is None:
            try:
                await client.call("eth_chainId", deadline=1.0)
            except PeerUnreachable:
                await asyncio.sleep(0.01)
            else:
                return
    raise AssertionError(f"the L1 node ended with exit code {node.returncode}")
