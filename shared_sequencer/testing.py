"""Stand-ins for tests of the sequencer: rollup nodes in memory, a log in memory, items from toy transactions."""

from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from bridge.wire.bundle import bundle_hash
from bridge.wire.deposits import decode_deposit
from bridge.wire.derivation import Rules
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, Payload, payload_digest
from bridge.wire.testing import ToyState
from bridge.wire.transaction import Transaction, decode_transaction
from shared_sequencer.mempool import Item
from shared_sequencer.rollups import Rollup
from shared_sequencer.testing_l1 import DerivedChain, ToyL1, toy_rules
from shared_sequencer.wal import WriteAheadLog

FAR = 10**10
"""A deadline that no test reaches, unix seconds."""
RICH = 10**24
"""Balance of every toy account, wei."""
GAS_LIMIT = 3_000_000
"""Of a toy block."""
BASE_FEE = 10**6
"""Of the toy genesis block, wei per gas."""

Hook = Callable[[str, Sequence[Any]], Awaitable[None]]


def bundle_item(legs: Sequence[Transaction], max_timestamp: int = FAR, salt: bytes = bytes(32)) -> Item:
    """An acknowledged bundle."""
    keys = [(leg.chain_id, leg.sender, leg.nonce) for leg in legs]
    identity = to_hex(bundle_hash(keys, max_timestamp, salt))
    return Item(identity, "bundle", tuple(legs), max_timestamp, to_hex(salt), "client/1/1")


def transaction_item(leg: Transaction, max_timestamp: int = FAR) -> Item:
    """An acknowledged single transaction."""
    return Item(to_hex(leg.hash), "transaction", (leg,), max_timestamp, "0x", "client/1/1")


class MemoryLog(WriteAheadLog):
    """A log in memory. ``before`` runs before records become durable, ``after`` before their append returns."""

    def __init__(self, written: Sequence[Any] = ()) -> None:
        self.written: list[Any] = orjson.loads(orjson.dumps(list(written)))
        self.before: Callable[[Sequence[Any]], Awaitable[None]] | None = None
        self.after: Callable[[Sequence[Any]], Awaitable[None]] | None = None

    def records(self) -> Generator[Any, None, None]:
        """What was written."""
        yield from orjson.loads(orjson.dumps(self.written))

    async def append(self, records: Sequence[Any]) -> None:
        """Durable at once."""
        told = orjson.loads(orjson.dumps(list(records)))
        if self.before is not None:
            await self.before(told)
        self.written += told
        if self.after is not None:
            await self.after(told)

    def close(self) -> None:
        """Nothing to close."""


def header(number: int, digest: str, parent: str, timestamp: int) -> dict[str, Any]:
    """A toy block's header."""
    return {
        "number": number,
        "hash": digest,
        "parent": parent,
        "timestamp": timestamp,
        "base_fee": BASE_FEE,
        "gas_used": 0,
        "gas_limit": GAS_LIMIT,
        "state_root": digest,
    }


@dataclass(frozen=True, slots=True)
class ToyBlock:
    """A block as a toy node holds it, above its gate or below."""

    header: dict[str, Any]
    payload: Payload
    state: ToyState
    results: dict[str, Any]


class ToyNode(Client):
    """A rollup node as its client sees it, in memory; every message passes through JSON, as on the wire.

    ``unreachable`` and ``hook`` say when it fails: the hook runs before each call and may raise.
    """

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        self.balances: dict[str, int] = {}
        genesis = to_hex(keccak256(b"genesis %d" % chain_id))
        self.chain = [ToyBlock(header(0, genesis, "0x" + "00" * 32, 0), Payload(0, (), ()), ToyState(), {})]
        """Committed, genesis first: what readers see."""
        self.staged: ToyBlock | None = None
        self.safe = 0
        """Last block that L1 holds."""
        self.calls: list[tuple[str, Any]] = []
        self.unreachable = False
        self.term = 0
        self.hook: Hook | None = None

    @property
    def gate(self) -> dict[str, Any]:
        """Header of the last committed block."""
        return self.chain[-1].header

    @property
    def state(self) -> ToyState:
        """After the last committed block."""
        return self.chain[-1].state

    @property
    def payloads(self) -> list[Payload]:
        """Of the committed blocks from number 1 on."""
        return [block.payload for block in self.chain[1:]]

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:  # noqa: ARG002 - the client's own
        """Answer one call as a rollup node's control listener would."""
        told = orjson.loads(orjson.dumps(params))
        self.calls.append((method, told))
        if self.hook is not None:
            await self.hook(method, told)
        if self.unreachable:
            raise PeerUnreachable(f"toy node {self.chain_id} is gone")
        answers: dict[str, Callable[..., Any]] = {
            "rollup_greet": self._greet,
            "rollup_stage": self._stage,
            "rollup_commit": self._commit,
            "rollup_rewind": self._rewind,
            "rollup_accounts": self._accounts,
            "rollup_ping": lambda: None,
        }
        return orjson.loads(orjson.dumps(answers[method](*told)))

    def visible(self) -> list[str]:
        """Hashes of the transactions that readers see, user deposits included, in order."""
        return [
            to_hex(keccak256(from_hex(raw)))
            for payload in self.payloads
            for raw in [
                *payload.deposits[1:],
                *payload.transactions,
                *(raw for part in payload.bundles for raw in part.transactions),
            ]
        ]

    def commit(self, message: Mapping[str, Any]) -> Any:
        """Open the gate, whoever decided it: also what a node does with a block that it fetches from the log."""
        if message["block"] is None:
            return self.gate
        block = Block.from_json(message["block"])
        if block.number <= self.gate["number"]:
            same = block.hash == self.chain[block.number].header["hash"]
            if not same and block.number <= self.safe:
                raise RpcError(-39002, f"L1 holds another block {block.number}")
            assert same, "two blocks of one number were decided"
            return self.gate
        if block.number != self.gate["number"] + 1:
            raise RpcError(-39002, f"block {block.number} after {self.gate['number']}")
        if self.staged is None or self.staged.payload != block.payload:
            self.staged = self._execute(block.payload)
        assert self.staged.header["hash"] == block.hash, "diverged"
        self._accept(self.staged)
        return self.gate

    def derive(self, number: int, payload: Payload) -> None:
        """L1 says that this is block ``number``: confirm it, add it, or replace what stands there."""
        if number <= self.gate["number"]:
            if self.chain[number].payload == payload:
                return
            self._back(number - 1)
        assert number == self.gate["number"] + 1, "L1 holds a block whose parent is missing"
        block = self._execute(payload)
        assert {"success", "failed"} >= {result["status"] for result in block.results.values()}
        self._accept(block)

    def _greet(self, term: int, expected: int) -> Any:  # noqa: ARG002 - as the node's own
        self._fence(term)
        self.staged = None
        return {**self.gate, "payload": payload_digest(self.chain[-1].payload)}

    def _stage(self, message: Mapping[str, Any]) -> Any:
        self._fence(message["term"])
        if message["parent"] != self.gate["hash"]:
            raise RpcError(-39002, "not next")
        payload = Payload.from_json(message["payload"])
        self.staged = self._execute(payload)
        bundles = {part.bundle: [f"toy/0/{self.chain_id}"] for part in payload.bundles}
        return {"header": self.staged.header, "results": self.staged.results, "events": bundles}

    def _commit(self, message: Mapping[str, Any]) -> Any:
        self._fence(message["term"])
        return self.commit(message)

    def _rewind(self, term: int, number: int, digest: str | None) -> Any:
        self._fence(term)
        if number < self.safe:
            raise RpcError(-39002, f"L1 holds the chain up to {self.safe}")
        if number > self.gate["number"] or digest not in (None, self.chain[number].header["hash"]):
            raise RpcError(-39002, f"block {number} {digest} is not on this chain")
        self._back(number)
        return {**self.gate, "payload": payload_digest(self.chain[-1].payload)}

    def _accounts(self, addresses: Sequence[str]) -> list[list[str]]:
        return [
            [hex(self.state.nonces.get(from_hex(address), 0)), hex(self.balances.get(address, RICH))]
            for address in addresses
        ]

    def _fence(self, term: int) -> None:
        if term < self.term:
            raise RpcError(-39001, f"term {term} is over")
        self.term = term

    def _back(self, number: int) -> None:
        del self.chain[number + 1 :]
        self.staged, self.safe = None, min(self.safe, number)

    def _accept(self, block: ToyBlock) -> None:
        self.chain.append(block)
        self.staged = None

    def _execute(self, payload: Payload) -> ToyBlock:
        state = self.state.copy()
        for raw in payload.deposits[1:]:
            sender = decode_deposit(from_hex(raw)).sender
            state.nonces[sender] = state.nonces.get(sender, 0) + 1
        included: list[str] = []
        results: dict[str, Any] = {}
        for raw in [
            *payload.transactions,
            *(raw for part in payload.bundles for raw in part.transactions),
        ]:
            sent = decode_transaction(from_hex(raw))
            status = state.run(sent)
            reason = "" if status == "success" else f"toy {status}"
            results[to_hex(sent.hash)] = {
                "hash": to_hex(sent.hash),
                "status": status,
                "reason": reason,
                "data": "0x",
            }
            if status in ("success", "failed"):
                included.append(raw)
        content = orjson.dumps([self.gate["hash"], replace(payload, transactions=(), bundles=()), included])
        digest = to_hex(keccak256(content))
        told = header(self.gate["number"] + 1, digest, self.gate["hash"], payload.timestamp)
        return ToyBlock(told, payload, state, results)


@dataclass(slots=True)
class ToySet:
    """A sequencing set of toy rollups with their L1, as the sequencer sees them and as they are."""

    chains: tuple[int, ...]
    window: int = 50
    """Sequencing window, L1 blocks."""
    nodes: dict[int, ToyNode] = field(default_factory=dict)
    l1: ToyL1 = field(default_factory=ToyL1)
    _looked: DerivedChain = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {chain: ToyNode(chain) for chain in self.chains}
        self._looked = DerivedChain(self.rules)

    @property
    def rules(self) -> Rules:
        """What the set agreed on."""
        return toy_rules(self.chains, self.window)

    def rollups(self, block_time_s: float = 10**9, *, up: bool = True) -> dict[int, Rollup]:
        """The sequencer's side, as of the nodes' gates."""
        rollups = {}
        for chain, node in self.nodes.items():
            rollup = Rollup(f"rollup-{chain}", chain, GAS_LIMIT, block_time_s, node)
            rollup.number, rollup.hash, rollup.head = node.gate["number"], node.gate["hash"], node.gate
            rollup.state = "up" if up else "connecting"
            rollups[chain] = rollup
        return rollups

    def derived(self) -> dict[int, list[Payload]]:
        """Every rollup's blocks as L1 alone gives them, from number 1 on, by a fresh derivation."""
        return _by_chain(self.chains, DerivedChain(self.rules).read(self.l1.blocks))

    def look_at_l1(self) -> None:
        """Every node derives what L1 holds, as rollup nodes do beside following the sequencer."""
        for chain, payloads in _by_chain(self.chains, self._looked.read(self.l1.blocks)).items():
            for number, payload in enumerate(payloads, 1):
                self.nodes[chain].derive(number, payload)
            self.nodes[chain].safe = len(payloads)


def _by_chain(chains: Iterable[int], derived: Iterable[tuple[int, Payload]]) -> dict[int, list[Payload]]:
    found: dict[int, list[Payload]] = {chain: [] for chain in chains}
    for chain, payload in derived:
        found[chain].append(payload)
    return found
