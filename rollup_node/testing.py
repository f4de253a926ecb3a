"""Stand-ins for tests: a node around an engine in memory that fails, pauses and leaves things lying about as real ones do.

Between any two steps of an operation it yields to the event loop, so cancelling a caller catches it half-way: with transactions
in its pool, with a block mined that nobody asked to keep, with some of the blocks undone.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.atomic import judge
from bridge.wire.errors import RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, BundlePart, Payload, block_transactions, payload_digest
from bridge.wire.testing import MemoryJournal, Program, ToyState, signed
from bridge.wire.transaction import decode_transaction
from rollup_node.chain import Chain
from rollup_node.engines.base import BlockInput, ExecutedBlock, Header, TransactionResult
from rollup_node.errors import EngineFailed
from rollup_node.messages import Commit, StageRequest
from rollup_node.recovery import recover
from rollup_node.store import Store

GAS_LIMIT = 600_000
"""Of a toy block."""
GENESIS = Header(
    0, to_hex(keccak256(b"toy genesis")), "0x" + "00" * 32, 0, 10**9, 0, GAS_LIMIT, to_hex(bytes(32))
)


BUNDLE = to_hex(keccak256(b"a bundle"))
"""Name of the one toy bundle."""


@dataclass(frozen=True, slots=True)
class ToyBlock:
    """One block of the toy engine."""

    header: Header
    hashes: tuple[str, ...]
    cells: dict[int, int]
    nonces: dict[bytes, int]


@dataclass(slots=True)
class ToyEngine:
    """Implements :class:`rollup_node.engines.base.Engine`."""

    blocks: list[ToyBlock] = field(default_factory=list)
    pool: list[bytes] = field(default_factory=list)
    running: bool = False
    executions: int = 0
    requests: list[tuple[str, list[Any]]] = field(default_factory=list)
    floor: int = 0
    """Number of the restored block: what was before cannot be reached."""

    async def start(self) -> Header:
        """From genesis."""
        await self._pause()
        self.blocks, self.pool, self.running, self.floor = [ToyBlock(GENESIS, (), {}, {})], [], True, 0
        return GENESIS

    async def stop(self) -> None:
        """Forget everything."""
        self.running = False
        self.blocks, self.pool = [], []

    async def head(self) -> Header:
        """The last block."""
        await self._pause()
        return self.blocks[-1].header

    async def header(self, number: int) -> Header | None:
        """Of a block."""
        await self._pause()
        return next((block.header for block in self.blocks if block.header.number == number), None)

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """Submit, mine, read back; what was left in the pool is mined first, as by a real engine."""
        self.executions += 1
        for raw in block.transactions:
            self.pool.append(raw)
            await self._pause()
        parent = self.blocks[-1]
        state = ToyState(dict(parent.cells), dict(parent.nonces))
        results = [self._run(state, raw) for raw in self.pool]
        self.pool = []
        hashes = tuple(r.hash for r in results if r.status in ("success", "failed"))
        content = [parent.header.hash, block.timestamp, block.base_fee, hashes, sorted(state.cells.items())]
        digest = to_hex(keccak256(orjson.dumps(content)))
        header = Header(
            parent.header.number + 1,
            digest,
            parent.header.hash,
            block.timestamp,
            block.base_fee,
            50_000 * len(hashes),
            GAS_LIMIT,
            to_hex(keccak256(orjson.dumps(sorted(state.cells.items())))),
        )
        self.blocks.append(ToyBlock(header, hashes, state.cells, state.nonces))
        await self._pause()
        if [result.hash for result in results] != [to_hex(keccak256(raw)) for raw in block.transactions]:
            raise EngineFailed("the block holds what was left in the pool")
        if header.parent != block.parent.hash:
            raise EngineFailed("mined on another block")
        if block.base_fee != next_base_fee(parent.header.base_fee, parent.header.gas_used, GAS_LIMIT):
            raise EngineFailed("not the base fee of the parent's child")
        return ExecutedBlock(header, tuple(results))

    async def rewind(self, number: int) -> None:
        """Undo blocks, one at a time."""
        await self._pause()
        if self.blocks[-1].header.number < number:
            raise EngineFailed(f"behind {number}")
        self.pool = []
        if number < self.floor:
            raise EngineFailed(f"there is no way back to {number}: the state of {self.floor} was loaded")
        while self.blocks[-1].header.number > number:
            await self._pause()
            self.blocks.pop()

    async def explain(self, transaction: str) -> tuple[str, str]:
        """Every revert has the same reason."""
        await self._pause()
        return f"toy revert of {transaction[:10]}", "0x08c379a0"

    async def checkpoint(self, path: Path) -> None:
        """Write the head's state and all headers, in two parts."""
        head = self.blocks[-1]
        nonces = {to_hex(sender): nonce for sender, nonce in head.nonces.items()}
        headers = [block.header for block in self.blocks]
        text = orjson.dumps([headers, list(head.cells.items()), nonces])
        path.write_bytes(text[: len(text) // 2])
        await self._pause()
        path.write_bytes(text)

    async def restore(self, path: Path) -> Header:
        """Continue from a checkpoint; of the blocks before it only the headers are known."""
        await self._pause()
        try:
            headers, cells, nonces = orjson.loads(path.read_bytes())
        except (ValueError, TypeError) as exc:
            raise EngineFailed("no state") from exc
        self.blocks = [ToyBlock(Header(**header), (), {}, {}) for header in headers]
        self.blocks[-1].cells.update(map(tuple, cells))
        self.blocks[-1].nonces.update({from_hex(sender): nonce for sender, nonce in nonces.items()})
        self.floor = self.blocks[-1].header.number
        return self.blocks[-1].header

    async def learn(self, blocks: Mapping[int, Sequence[bytes]]) -> None:
        """Nothing has two names here."""

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Reads, above the gate too; a method it doesn't know fails as an engine's would."""
        self.requests.append((method, list(params)))
        await self._pause()
        match method:
            case "eth_getBlockByNumber":
                number = int(params[0], 16)
                return next(
                    (
                        {"number": params[0], "hash": b.header.hash}
                        for b in self.blocks
                        if b.header.number == number
                    ),
                    None,
                )
            case "eth_getLogs":
                first, last = int(params[0]["fromBlock"], 16), int(params[0]["toBlock"], 16)
                held = [block.header.number for block in self.blocks if first <= block.header.number <= last]
                return [{"blockNumber": hex(number)} for number in held]
            case "eth_getTransactionCount":
                nonces = next(b.nonces for b in self.blocks if b.header.number == int(params[1], 16))
                return hex(nonces.get(from_hex(params[0]), 0))
            case "eth_getProof":
                number = int(params[2], 16)
                if not self.floor <= number < len(self.blocks):
                    raise RpcError(-32000, "required historical state unavailable")
                return {"storageHash": to_hex(keccak256(from_hex(self.blocks[number].header.state_root)))}
            case "eth_getBalance":
                return hex(10**18)
            case "anvil_setCell":
                head = self.blocks[-1]
                head.cells[params[0]] = params[1]
                return None
        raise RpcError(-32601, f"no method {method}")

    def _run(self, state: ToyState, raw: bytes) -> TransactionResult:
        digest = to_hex(keccak256(raw))
        if raw[0] == 0x7E:
            return TransactionResult(digest, "success")
        status = state.run(decode_transaction(raw))
        return TransactionResult(digest, status, "" if status == "success" else f"toy {status}")

    async def _pause(self) -> None:
        if not self.running and self.blocks:
            raise EngineFailed("the engine is not running")
        await asyncio.sleep(0)


def payload(height: int, account: int = 0, program: Program = (), *, bundled: bool = False) -> Payload:
    """A payload with one transaction whose nonce fits any height (accounts take turns)."""
    raw = to_hex(signed(901, 10 * height + account, 0, program).raw)
    parts = (BundlePart(BUNDLE, (2,), (raw,)),) if bundled else ()
    return Payload(100 + height, () if bundled else (raw,), parts)


class Decided:
    """What the sequencer decides: a reference engine that executes only decided payloads."""

    def __init__(self) -> None:
        self.engine, self.blocks = ToyEngine(), list[Block]()

    async def decide(self, content: Payload) -> Block:
        """The next block of the chain."""
        if not self.engine.blocks:
            await self.engine.start()
        parent = self.engine.blocks[-1].header
        fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
        transactions = block_transactions(content, parent.number + 1)
        made = (await self.engine.execute(BlockInput(parent, content.timestamp, fee, transactions))).header
        self.blocks.append(Block(901, made.number, made.hash, made.state_root, content))
        return self.blocks[-1]

    async def on(self, blocks: Sequence[Block], content: Payload) -> Block:
        """The child of the last of some blocks, which are a chain from the first on."""
        same = 0
        while same < min(len(blocks), len(self.blocks)) and blocks[same] == self.blocks[same]:
            same += 1
        if self.blocks:
            await self.engine.rewind(same)
            del self.blocks[same:]
        for block in blocks[same:]:
            await self.decide(block.payload)
        return await self.decide(content)


class Node:
    """A chain with everything around it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.engine, self.journal = folder, ToyEngine(), MemoryJournal()
        self.store = Store(folder)
        self.chain: Chain

    async def begin(self) -> "Node":
        """Recover."""
        self.chain = await recover(self.engine, self.store, self.journal)
        self.chain.mutation_s = 0.0  # nobody decides what tests stage: waiting for it only takes time
        return self

    async def stage(self, content: Payload, *, parent: str | None = None, term: int = 1) -> Any:
        """Ask for a block above the gate, as the wire brings it."""
        message = {
            "term": term,
            "slot": 7,
            "attempt": 1,
            "parent": parent or self.chain.gate.hash,
            "payload": content,
            "causes": {BUNDLE: "sequencer/1/5"},
        }
        return await self.chain.stage(StageRequest.from_json(orjson.loads(orjson.dumps(message))))

    async def commit(
        self,
        block: Block | None,
        *,
        parent: str | None = "",
        term: int = 1,
        aborted: Any = (),
        recovered: bool = False,
    ) -> Header:
        """Say what was decided, as the wire brings it; on the parent that it has here unless ``parent`` names another."""
        gate = self.chain.gate
        own = gate.parent if block is not None and block.number == gate.number else gate.hash
        message = {
            "term": term,
            "slot": 7,
            "block": block,
            "parent": own if parent == "" else parent,
            "aborted": aborted,
            "causes": {BUNDLE: "sequencer/1/9"},
        }
        return await self.chain.commit(
            Commit.from_json(orjson.loads(orjson.dumps(message))), recovered=recovered
        )

    async def derive(self, number: int, content: Payload) -> bool:
        """L1's word on a block with one bundle at most, which nobody shares; whether another block had to go for it."""
        before = [event.event for event in self.journal.events].count("chain.rewound")
        name = payload_digest(content)
        dropped = self.store.dropped.get(("L1", name), frozenset())
        while not dropped:
            legs = await self.chain.results(901, number, content, dropped)
            verdict = judge(list(legs), legs)
            if verdict.settled:
                break
            dropped = frozenset({abort.bundle for abort in verdict.aborted} | set(verdict.deferred))
            self.store.note_dropped("L1", name, dropped)
        await self.chain.derive(901, number, content, dropped)
        return [event.event for event in self.journal.events].count("chain.rewound") > before

    def at_gate(self) -> bool:
        """Whether the engine holds nothing but what was decided."""
        return self.engine.blocks[-1].header == self.chain.gate and not self.engine.pool

    def close(self) -> None:
        """As a killed node leaves it."""
        self.store.close()
