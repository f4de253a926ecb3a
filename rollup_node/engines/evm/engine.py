"""anvil as an execution engine: one exact block at a time.

Facts about anvil 1.7 that this file stands on, each held down by a test:

- with ``--no-mining --order fifo`` a block holds the submitted transactions in their order;
- a JSON-RPC batch keeps its order up to 63 calls, so everything goes in chunks (``Client.batch``);
- timestamp *and* base fee must be set on every block, or a rolled-back block is mined differently the second time;
- ``anvil_rollback`` undoes a block without leaving anything behind, while every ``evm_snapshot`` would keep about 28 KB for ever;
- states of past blocks go to disk (0.2 MB each), so their number is bounded and older ones are not served;
- a loaded state continues with identical blocks;
- the pool knows a raw deposit by its sender and nonce 0, so it takes one per sender; how several go in says ``deposits``;
- the pool's own checks would keep deposits out that must be in the block (value above the balance, too little gas: they fail
  there, and their mint stays), so they are off, and what is left out is explained here (``refusals``);
- a rollback stops at a loaded state: nothing before it can be reached again.
"""

import asyncio
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog

from bridge.contracts.addresses import SEQUENCER_FEE_VAULT
from bridge.wire.crash_points import crash_point
from bridge.wire.deposits import DEPOSIT_TYPE
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.transaction import decode_transaction
from rollup_node.engines.base import BlockInput, ExecutedBlock, Header, TransactionResult
from rollup_node.engines.evm.aliases import Aliases
from rollup_node.engines.evm.deposits import Call, renamed_in, submission
from rollup_node.engines.evm.process import AnvilProcess
from rollup_node.engines.evm.refusals import why_left_out
from rollup_node.errors import EngineFailed

EXPLAIN_SECONDS = 2.0
"""Longest time for the reason of one failed leg; a trace must not hold up the slot."""
HISTORY_STATES = 256
"""Blocks whose state is served; older ones answer as on a pruned node."""

log = structlog.get_logger()


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
        argv += ["--no-mining", "--order", "fifo", "--no-request-size-limit", "--disable-pool-balance-checks"]
        argv += ["--max-persisted-states", str(HISTORY_STATES), "--cache-path", str(cache)]
        self._process = AnvilProcess(argv)
        self._client = Client(f"http://127.0.0.1:{port}", timeout=60.0)
        self._aliases = Aliases()

    async def start(self) -> Header:
        """Start from genesis; see :class:`rollup_node.engines.base.Engine`."""
        self._aliases = Aliases()
        await self._process.start(self._client)
        await self._call("anvil_setCoinbase", SEQUENCER_FEE_VAULT)
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

    async def header(self, number: int) -> Header | None:
        """Of a block of the chain, or None."""
        found = await self._call("eth_getBlockByNumber", hex(number), False) if number >= 0 else None
        return None if found is None else _header(found)

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """Submit, mine, read back."""
        hashes = [to_hex(keccak256(raw)) for raw in block.transactions]
        try:
            handed_in = await submission(self._client, block.transactions)
        except (RpcError, PeerUnreachable) as exc:
            raise EngineFailed(f"the engine does not say a sender's nonce: {exc}") from exc
        # the fee comes first: the pool judges transactions by it, and after a rollback it still has another block's
        before: list[Call] = [
            ("anvil_setNextBlockBaseFeePerGas", [hex(block.base_fee)]),
            ("evm_setNextBlockTimestamp", [block.timestamp]),
        ]
        calls = [*before, *handed_in.calls, ("evm_mine", [])]
        crash_point("rollup.engine.mining")
        answers = await self._batch(calls)
        crash_point("rollup.engine.mined")
        for place in (0, 1, -1):
            method, answer = calls[place][0], answers[place]
            if isinstance(answer, RpcError):
                raise EngineFailed(f"{method}: {answer}")
        header, statuses = await self._mined(full=handed_in.renamed)
        if header.parent != block.parent.hash:
            raise EngineFailed(f"mined block {header.number} on {header.parent}, wanted {block.parent.hash}")
        expected = [hashes[index] for index in handed_in.answers if hashes[index] in statuses]
        if list(statuses) != expected:
            raise EngineFailed(
                f"block {header.number} does not hold the submitted transactions in their order"
            )
        if len(expected) < len(handed_in.answers):
            await self._call("anvil_dropAllTransactions")
        results: list[TransactionResult] = []
        for index, (raw, digest) in enumerate(zip(block.transactions, hashes, strict=True)):
            if index in handed_in.refused:
                result = TransactionResult(digest, "invalid", handed_in.refused[index])
            elif digest in statuses:
                result = TransactionResult(digest, "success" if statuses[digest] else "failed")
            else:
                answer = answers[len(before) + handed_in.answers[index]]
                result = await self._left_out(
                    raw, digest, header, str(answer) if isinstance(answer, RpcError) else ""
                )
            results.append(result)
        return ExecutedBlock(header, tuple(results))

    async def _mined(self, number: str = "latest", *, full: bool) -> tuple[Header, dict[str, bool]]:
        """Header of a block and whether each of its transactions succeeded, by hash and in order.

        Args:
            number: hexadecimal, or a tag.
            full: read whole transactions: only they tell the true hash of a deposit that went in as a request.
        """
        mined, receipts = await self._batch(
            [("eth_getBlockByNumber", [number, full]), ("eth_getBlockReceipts", [number])]
        )
        if isinstance(mined, RpcError) or isinstance(receipts, RpcError):
            raise EngineFailed(f"the mined block cannot be read: {mined} {receipts}")
        hashes = [tx["hash"] for tx in mined["transactions"]] if full else mined["transactions"]
        found = list(zip(hashes, receipts, strict=True))
        self._aliases.learn({digest: receipt["transactionHash"] for digest, receipt in found})
        return _header(mined), {digest: receipt["status"] == "0x1" for digest, receipt in found}

    async def learn(self, blocks: Mapping[int, Sequence[bytes]]) -> None:
        """Learn the names under which the engine keeps receipts of a restored chain's blocks."""
        for number, transactions in blocks.items():
            if renamed_in(transactions):
                await self._mined(hex(number), full=True)

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
                self._aliases.inner(transaction),
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
        await self._call("anvil_setCoinbase", SEQUENCER_FEE_VAULT)
        head = await self.head()
        # BLOCKHASH knows no block of a loaded state until a rollback rebuilds what it looks at: mine one, undo it
        await self.execute(BlockInput(head, head.timestamp, head.base_fee, ()))
        await self.rewind(head.number)
        return head

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer a read."""
        answer = await self._client.call(method, *self._aliases.question(method, params))
        return self._aliases.answer(method, answer)

    async def _left_out(self, raw: bytes, digest: str, header: Header, refusal: str) -> TransactionResult:
        """Why a transaction is not in the block that was mined."""
        if raw[:1] == DEPOSIT_TYPE:
            log.error("deposit.left_out", transaction=digest, block=header.number, reason=refusal)
            return TransactionResult(digest, "invalid", refusal or "more gas than the block has left")
        try:
            sent = decode_transaction(raw)
        except Malformed as exc:
            return TransactionResult(digest, "invalid", refusal or str(exc))
        sender = to_hex(sent.sender)
        nonce, balance = [
            int(await self._call(method, sender, "latest"), 16)
            for method in ("eth_getTransactionCount", "eth_getBalance")
        ]
        if nonce < sent.nonce:
            return TransactionResult(digest, "gap", f"waits for nonce {nonce} of {sender}")
        return TransactionResult(digest, "invalid", refusal or why_left_out(sent, nonce, balance, header))

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
