"""An engine behind a gate: what is staged above it, and reads that never see that.

The problem: the engine can only execute a block by adding it to its chain, where every reader sees it; but until the sequencer's decision
is durable the block may vanish. So there is a *gate*: the last committed header. Readers are pinned to it (``gateway``); a staged
block lies one above it, and is either let through, staged again differently, or undone.

Each execution begins by bringing the engine back to the gate, because a request that timed out or a node that was paused may have left
anything above it. Moving the gate is one assignment, in both directions: whoever is cancelled half-way leaves an engine
that the next request brings to the gate, never a gate that does not know where it is. Rejected: hiding staged blocks by
snapshots and by holding reads back, which costs memory for every block and stalls readers when the sequencer dies.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.wire.atomic import LegResult
from bridge.wire.errors import RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Payload, block_transactions
from rollup_node.engines.base import BlockInput, Engine, ExecutedBlock, Header, TransactionResult

READ_TRIES = 5
"""Reads that keep meeting a moving head take the lock instead."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A block that the engine holds above the gate."""

    payload: Payload
    executed: ExecutedBlock
    results: Mapping[str, TransactionResult]
    """By transaction hash."""

    def legs(self, chain_id: int) -> dict[str, list[LegResult]]:
        """How the legs of its bundles went, by bundle hash."""
        found: dict[str, list[LegResult]] = {}
        for part in self.payload.bundles:
            for leg, raw in zip(part.legs, part.transactions, strict=True):
                told = self.results[_digest(raw)]
                result = LegResult(leg, chain_id, told.status, told.reason, told.data)
                found.setdefault(part.bundle, []).append(result)
        return found


class GatedEngine:
    """Drives an engine for a chain; all but :meth:`read` want the lock held.

    Args:
        engine: running.
        gate: the last committed header.
    """

    def __init__(self, engine: Engine, gate: Header) -> None:
        self.engine, self.gate = engine, gate
        self.lock = asyncio.Lock()
        """Held by whoever changes the chain: one at a time, in the order in which they come."""
        self.hidden: set[str] = set()
        """Hashes of the transactions that are being staged or lie staged: readers must not see their results."""
        self._staged: Staged | None = None
        self._version = 0
        """Counts changes of the engine's head; a read during which it moved is asked again."""
        self._still = asyncio.Event()
        """Set while the engine's head does not move."""
        self._still.set()

    async def read(self, method: str, params: Sequence[Any]) -> Any:
        """Ask the engine something, untouched by staging.

        The engine resolves a block number first and takes its lock afterwards: a read of block G that meets the mining of G + 1 is
        answered from G + 1. So a read waits until the head stands still and is asked again if it moved meanwhile.

        Raises:
            RpcError: the engine's own refusal.
            PeerUnreachable: the engine is gone.
        """
        for _ in range(READ_TRIES):
            await self._still.wait()
            if not self._still.is_set():
                continue  # it moved again before this task woke up
            version = self._version
            try:
                result = await self.engine.request(method, params)
            except RpcError:
                if version == self._version:
                    raise
                continue
            if version == self._version:
                return result
        async with self.lock:
            return await self.engine.request(method, params)

    async def accounts(self, addresses: Sequence[str]) -> list[list[str]]:
        """Nonce and balance of accounts at the gate, hexadecimal; no lock: reads never wait for staging."""
        gate = hex(self.gate.number)
        async with asyncio.TaskGroup() as group:
            tasks = [
                [
                    group.create_task(self.read(method, [address, gate]))
                    for method in ("eth_getTransactionCount", "eth_getBalance")
                ]
                for address in addresses
            ]
        return [[task.result() for task in account] for account in tasks]

    async def stage(self, payload: Payload, *, reasons: int | None = None) -> Staged:
        """The payload's block above the gate: what lies there already, if it is the same.

        Args:
            payload: to execute.
            reasons: how many failing legs are explained at most; all by default. Each is a trace, and somebody waits.

        Raises:
            EngineFailed: the engine must be restarted.
        """
        if self._staged is None or self._staged.payload != payload:
            self._staged = await self._execute(payload, reasons)
        return self._staged

    async def unstage(self) -> None:
        """Bring the engine back to the gate, whatever happened since.

        Raises:
            EngineFailed: it cannot go there.
        """
        self._staged = None
        with self._moving():
            await self.engine.rewind(self.gate.number)
        self.hidden = set()

    def open(self, staged: Staged) -> Header:
        """Let the staged block through."""
        self.gate, self._staged, self.hidden = staged.executed.header, None, set()
        return self.gate

    def go_back(self, header: Header) -> None:
        """Move the gate to an earlier block; :meth:`unstage` makes the engine follow."""
        self.gate = header
        self._version += 1

    @property
    def holds_staged(self) -> bool:
        """Whether a block lies above the gate, decided or not."""
        return self._staged is not None

    async def control(self, method: str, params: Sequence[Any]) -> Any:
        """Run one of the engine's own methods, with nothing staged.

        Raises:
            RpcError: the engine's own refusal.
            EngineFailed: the engine must be restarted.
        """
        await self.unstage()
        with self._moving():
            return await self.engine.request(method, params)

    async def _execute(self, payload: Payload, reasons: int | None) -> Staged:
        await self.unstage()
        transactions = block_transactions(payload, self.gate.number + 1)
        self.hidden = {to_hex(keccak256(raw)) for raw in transactions}
        fee = next_base_fee(self.gate.base_fee, self.gate.gas_used, self.gate.gas_limit)
        with self._moving():
            executed = await self.engine.execute(BlockInput(self.gate, payload.timestamp, fee, transactions))
        results = {result.hash: result for result in executed.results}
        legs = dict.fromkeys(_digest(raw) for part in payload.bundles for raw in part.transactions)
        for digest in [digest for digest in legs if results[digest].status == "failed"][:reasons]:
            reason, data = await self.engine.explain(digest)
            results[digest] = TransactionResult(digest, "failed", reason, data)
        return Staged(payload, executed, results)

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        self._version += 1
        self._still.clear()
        try:
            yield
        finally:
            self._still.set()


def _digest(raw: str) -> str:
    return to_hex(keccak256(from_hex(raw)))
