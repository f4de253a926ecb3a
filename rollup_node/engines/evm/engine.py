"""anvil as an execution engine: one exact block at a time.

Facts about anvil 1.7 that this file stands on, each held down by a test:

- with ``--no-mining --order fifo`` a block holds the submitted transactions in their order;
- a JSON-RPC batch keeps its order up to 63 calls, so everything goes in chunks (``Client.batch``);
- timestamp *and* base fee must be set on every block, or a rolled-back block is mined differently the second time;
- ``anvil_rollback`` undoes a block without leaving anything behind, while every ``evm_snapshot`` would keep about 28 KB for ever;
- states of past blocks go to disk (0.2 MB each), so their number is bounded and older ones are not served;
- a loaded state continues with identical blocks.
"""

import asyncio
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.transaction import decode_transaction
from rollup_node.engines.base import BlockInput, ExecutedBlock, Header, TransactionResult
from rollup_node.engines.evm.process import AnvilProcess
from rollup_node.errors import EngineFailed

EXPLAIN_SECONDS = 2.0
"""Longest time for the reason of one failed leg; a trace must not hold up the slot."""
HISTORY_STATES = 256
"""Blocks whose state is served; older ones answer as on a pruned node."""


class EvmEngine:
    """An anvil child process behind the engine seam.

    Args:
        anvil: path of the binary.
        port: where it listens on loopback.
        chain_id: EIP-155 chain id.
        gas_limit: of every block, gas.
        genesis: genesis file (geth format).
        cache: folder for states of past blocks.
    """

    def __init__(
        self, anvil: str, port: int, chain_id: int, gas_limit: int, genesis: Path, cache: Path
    ) -> None:
        argv = [anvil, "--host", "127.0.0.1", "--port", str(port), "--chain-id", str(chain_id)]
        argv += [
            "--init",
            str(genesis),
            "--gas-limit",
            str(gas_limit),
            "--network",
            "optimism",
            "--accounts",
            "0",
            "--quiet",
        ]
        argv += ["--no-mining", "--order", "fifo", "--no-request-size-limit"]
        argv += ["--max-persisted-states", str(HISTORY_STATES), "--cache-path", str(cache)]
        self._process = AnvilProcess(argv)
        self._client = Client(f"http://127.0.0.1:{port}", timeout=60.0)

    async def start(self) -> Header:
        """Start from genesis; see :class:`rollup_node.engines.base.Engine`."""
        await self._process.start(self._client)
        return await self.head()

    async def stop(self) -> None:
        """End the process."""
        await self._client.close()
        await self._process.stop()

    async def ended(self) -> int:
        """Wait until the process ends by itself."""
        return await self._process.wait()

    async def head(self) -> Header:
        """The last block."""
        return _header(await self._call("eth_getBlockByNumber", "latest", False))

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """Submit, mine, read back."""
        # the fee comes first: the pool judges transactions by it, and after a rollback it still has another block's
        calls: list[tuple[str, list[Any]]] = [
            ("anvil_setNextBlockBaseFeePerGas", [hex(block.base_fee)]),
            ("evm_setNextBlockTimestamp", [block.timestamp]),
        ]
        calls += [("eth_sendRawTransaction", [to_hex(raw)]) for raw in block.transactions]
        calls.append(("evm_mine", []))
        answers = await self._batch(calls)
        for place in (0, 1, -1):
            method, answer = calls[place][0], answers[place]
            if isinstance(answer, RpcError):
                raise EngineFailed(f"{method}: {answer}")
        mined, receipts = await self._batch(
            [("eth_getBlockByNumber", ["latest", False]), ("eth_getBlockReceipts", ["latest"])]
        )
        if isinstance(mined, RpcError) or isinstance(receipts, RpcError):
            raise EngineFailed(f"the mined block cannot be read: {mined} {receipts}")
        header = _header(mined)
        if header.parent != block.parent.hash:
            raise EngineFailed(f"mined block {header.number} on {header.parent}, wanted {block.parent.hash}")
        statuses = {receipt["transactionHash"]: receipt["status"] == "0x1" for receipt in receipts}
        hashes = [to_hex(keccak256(raw)) for raw in block.transactions]
        expected = [digest for digest in hashes if digest in statuses]
        if mined["transactions"] != expected:
            raise EngineFailed(
                f"block {header.number} does not hold the submitted transactions in their order"
            )
        if len(expected) < len(hashes):
            await self._call("anvil_dropAllTransactions")
        results = [
            await self._result(raw, digest, statuses.get(digest), answer)
            for raw, digest, answer in zip(block.transactions, hashes, answers[2:-1], strict=True)
        ]
        return ExecutedBlock(header, tuple(results))

    async def rewind(self, number: int) -> None:
        """Undo blocks after ``number``."""
        height = int(await self._call("eth_blockNumber"), 16)
        if height < number:
            raise EngineFailed(f"the engine is at block {height}, behind {number}")
        calls: list[tuple[str, list[Any]]] = [("anvil_dropAllTransactions", [])]
        if height > number:
            calls.append(("anvil_rollback", [height - number]))
        for (method, _), answer in zip(calls, await self._batch(calls), strict=True):
            if isinstance(answer, RpcError):
                raise EngineFailed(f"{method}: {answer}")

    async def explain(self, transaction: str) -> tuple[str, str]:
        """Reason and revert data, from a call trace."""
        try:
            trace = await self._client.call(
                "debug_traceTransaction",
                transaction,
                {"tracer": "callTracer", "tracerConfig": {"onlyTopCall": True}},
                deadline=EXPLAIN_SECONDS,
            )
        except (RpcError, PeerUnreachable) as exc:
            return f"reverted (no trace: {exc})", "0x"
        reason = trace.get("revertReason") or trace.get("error") or "execution reverted"
        return str(reason), str(trace.get("output") or "0x")

    async def checkpoint(self, path: Path) -> None:
        """Write anvil's state dump, decompressed by nobody: it is gzip already."""
        dump = await self._call("anvil_dumpState")
        await asyncio.to_thread(_write_dump, path, dump)

    async def restore(self, path: Path) -> Header:
        """Load a state dump into a fresh engine."""
        dump = await asyncio.to_thread(_read_dump, path)
        await self._call("anvil_loadState", dump)
        head = await self.head()
        # BLOCKHASH knows no block of a loaded state until a rollback rebuilds what it looks at: mine one, undo it
        await self.execute(BlockInput(head, head.timestamp, head.base_fee, ()))
        await self.rewind(head.number)
        return head

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer a read."""
        return await self._client.call(method, *params)

    async def _result(self, raw: bytes, digest: str, status: bool | None, answer: Any) -> TransactionResult:
        if status is not None:
            return TransactionResult(digest, "success" if status else "failed")
        reason = (
            str(answer) if isinstance(answer, RpcError) else "not executable: insufficient funds or block gas"
        )
        if raw[0] != 0x7E:
            sent = decode_transaction(raw)
            nonce = int(await self._call("eth_getTransactionCount", to_hex(sent.sender), "latest"), 16)
            if nonce < sent.nonce:
                return TransactionResult(digest, "gap", f"waits for nonce {nonce} of {to_hex(sent.sender)}")
        return TransactionResult(digest, "invalid", reason)

    async def _call(self, method: str, *params: Any) -> Any:
        try:
            return await self._client.call(method, *params)
        except (RpcError, PeerUnreachable) as exc:
            raise EngineFailed(f"{method}: {exc}") from exc

    async def _batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        try:
            return await self._client.batch(calls)
        except PeerUnreachable as exc:
            raise EngineFailed(str(exc)) from exc


def _header(block: dict[str, Any]) -> Header:
    return Header(
        number=int(block["number"], 16),
        hash=block["hash"],
        parent=block["parentHash"],
        timestamp=int(block["timestamp"], 16),
        base_fee=int(block["baseFeePerGas"], 16),
        gas_used=int(block["gasUsed"], 16),
        gas_limit=int(block["gasLimit"], 16),
        state_root=block["stateRoot"],
    )


def _write_dump(path: Path, dump: str) -> None:
    data = from_hex(dump)
    path.write_bytes(data if data[:2] == b"\x1f\x8b" else gzip.compress(data, 1))


def _read_dump(path: Path) -> str:
    return to_hex(path.read_bytes())
