"""A toy L1 and a toy sequencer, for tests of what reads L1: real rules, real superbatches, engines in memory."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.wire.derivation import ChainHead, Derivation, DerivedSlot, ForcedBlock, Member, Rules, SafeState
from bridge.wire.errors import PeerUnreachable
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block, L1Info, Rewound
from bridge.wire.slot import Block, BundlePart, BundleTerms, Payload, Slot, block_transactions, slot_hash
from bridge.wire.superbatch import encode_superbatch, superbatch_hash
from rollup_node.engines.base import BlockInput
from rollup_node.testing import ToyEngine

BATCHER, INBOX = "0x" + "ba" * 20, "0x" + "1b" * 20
CHAINS = (901, 902)
START = 1_000
"""Timestamp of the first L1 block."""
DEADLINE, SALT = 10**9, "0x" + "00" * 32
"""Of every bundle of the toy set."""


def rules(window: int, chains: Sequence[int] = CHAINS) -> Rules:
    """Of the toy sequencing set."""
    return Rules(tuple(Member(chain, portal(chain)) for chain in chains), INBOX, BATCHER, window)


def portal(chain_id: int) -> str:
    """Address of a rollup's portal."""
    return "0x" + f"{chain_id:040x}"


@dataclass(slots=True)
class ToyL1:
    """A chain of L1 blocks that can be reorganised, and what a client and a follower say of it."""

    blocks: list[L1Block] = field(default_factory=list)
    finalized: int = 0
    down: bool = False
    _forks: int = 0
    _sent: int = 0
    _reader: "ToyReader" = field(init=False)

    def __post_init__(self) -> None:
        self.forget()
        self.mine()

    def mine(
        self, *batches: bytes, sender: str = BATCHER, deposits: Mapping[str, tuple[str, ...]] | None = None
    ) -> L1Block:
        """The next block, with batches in the inbox."""
        number = len(self.blocks)
        parent = self.blocks[-1].info.hash if self.blocks else "0x" + "00" * 32
        digest = to_hex(keccak256(f"{parent} {number} {self._forks}".encode()))
        sent = []
        for data in batches:
            self._sent += 1
            sent.append(
                BatchTransaction(to_hex(keccak256(b"L1 transaction %d" % self._sent)), sender, INBOX, data)
            )
        info = L1Info(number, digest, parent, START + 2 * number, 10**9, 1)
        self.blocks.append(L1Block(info, deposits or {}, tuple(sent)))
        return self.blocks[-1]

    def reorganise(self, number: int) -> None:
        """Blocks after ``number`` (-1: all) are gone; what is mined from now on is different."""
        self._forks += 1
        del self.blocks[number + 1 :]
        if number < 0:
            self.mine()

    def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """As its own follower tells them; see :meth:`ToyReader.changes`."""
        return self._reader.changes()

    def forget(self) -> None:
        """A new follower begins at the first block."""
        self._reader = ToyReader(self)

    async def call(self, method: str) -> Any:
        """As an L1 node answers."""
        assert method == "eth_blockNumber"
        if self.down:
            raise PeerUnreachable("L1 is down")
        return hex(len(self.blocks) - 1)


class ToyReader:
    """A follower of a toy L1."""

    def __init__(self, l1: ToyL1) -> None:
        self._l1 = l1
        self._told: list[str] = []

    @property
    def finalized(self) -> int:
        """Number of L1's finalized block."""
        return self._l1.finalized

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """Blocks and returns to earlier ones, up to the head; a second iteration goes on."""
        hashes = [block.info.hash for block in self._l1.blocks]
        common = 0
        while common < min(len(hashes), len(self._told)) and hashes[common] == self._told[common]:
            common += 1
        if common < len(self._told):
            del self._told[common:]
            yield Rewound(common - 1)
        for block in self._l1.blocks[common:]:
            self._told.append(block.info.hash)
            yield block


class ToySequencer:
    """Decides slots for the toy set and packs them; keeps to the rules unless it is told to forge.

    Args:
        l1: where it reads origins.
        window: sequencing window, L1 blocks.
        chains: its rollups.
    """

    def __init__(self, l1: ToyL1, window: int, chains: Sequence[int] = CHAINS) -> None:
        self.rules, self._l1, self._chains = rules(window, chains), l1, tuple(chains)
        self.blocks: dict[int, list[Block]] = {chain: [] for chain in chains}
        """Every block that counts, forced ones included."""
        self.slots: list[Slot] = []
        """Decided, not published."""
        self._engines = {chain: ToyEngine() for chain in chains}
        self._state = SafeState({})

    async def restart(self) -> None:
        """From what L1 holds: everything after it is cancelled."""
        derivation, self.slots = Derivation(self.rules), []
        self.blocks = {chain: [] for chain in self._chains}
        for engine in self._engines.values():
            await engine.start()
        for block in self._l1.blocks:
            for event in derivation.add(block):
                if isinstance(event, ForcedBlock):
                    await self._execute(event.chain_id, event.payload)
                elif isinstance(event, DerivedSlot):
                    for held in event.slot.blocks:
                        await self._execute(held.chain_id, held.payload)
        self._state = derivation.state

    async def slot(
        self,
        transactions: Mapping[int, Sequence[str]],
        bundles: Mapping[int, Sequence[BundlePart]] | None = None,
        *,
        order: Sequence[str] | None = None,
        advance: bool = True,
        forge: Callable[[Block], Block] = lambda block: block,
        lie: Callable[[Slot], Slot] = lambda slot: slot,
    ) -> list[Block]:
        """Decide a slot.

        Args:
            transactions: by chain id; a rollup without an entry has no block.
            bundles: by chain id.
            order: their global order; that in which the rollups by chain id have them by default.
            advance: whether blocks take the next L1 block as their origin, where there is one.
            forge: what is claimed of a block instead of the truth.
            lie: what is published instead of the slot.
        """
        heads, origins = self._state.heads, {}
        for chain in transactions:
            number = heads[chain].origin.number
            origins[chain] = self._l1.blocks[min(number + advance, len(self._l1.blocks) - 1)]
        times = [(heads[chain].timestamp, origin.info.timestamp) for chain, origin in origins.items()]
        timestamp = max((time for pair in times for time in pair), default=0)
        claimed = []
        for chain in sorted(transactions):
            plain = Derivation(self.rules).payload(chain, heads[chain], origins[chain], timestamp)
            content = replace(
                plain,
                transactions=tuple(transactions[chain]),
                bundles=tuple((bundles or {}).get(chain, ())),
            )
            claimed.append(forge(await self._execute(chain, content)))
            head = ChainHead(len(self.blocks[chain]), content.origin, content.sequence, timestamp)
            heads = {**heads, chain: head}
        names = order or dict.fromkeys(part.bundle for block in claimed for part in block.payload.bundles)
        terms = tuple(BundleTerms(name, DEADLINE, SALT) for name in names)
        slot = lie(Slot(1, self._state.slots, self._state.slot, timestamp, tuple(claimed), (), {}, terms))
        self.slots.append(slot)
        self._state = replace(self._state, heads=heads, slots=self._state.slots + 1, slot=slot_hash(slot))
        return claimed

    def publish(self) -> bytes:
        """The superbatch of all slots that were decided since the last one."""
        data = encode_superbatch(self._state.superbatches, self._state.superbatch, 1, self.slots)
        self._state = replace(
            self._state, superbatches=self._state.superbatches + 1, superbatch=superbatch_hash(data)
        )
        self.slots = []
        return data

    async def _execute(self, chain: int, content: Payload) -> Block:
        parent = self._engines[chain].blocks[-1].header
        fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
        transactions = block_transactions(content, parent.number + 1)
        inputs = BlockInput(parent, content.timestamp, fee, transactions)
        made = (await self._engines[chain].execute(inputs)).header
        self.blocks[chain].append(Block(chain, made.number, made.hash, made.state_root, content))
        return self.blocks[chain][-1]


def derived(l1: ToyL1, window: int, chain_id: int) -> tuple[list[Payload], list[int]]:
    """One rollup's payloads as L1 has them, and how many of them after each L1 block: the expectation of tests."""
    derivation = Derivation(rules(window))
    payloads: list[Payload] = []
    counts: list[int] = []
    for block in l1.blocks:
        for event in derivation.add(block):
            if isinstance(event, ForcedBlock) and event.chain_id == chain_id:
                payloads.append(event.payload)
            elif isinstance(event, DerivedSlot):
                payloads += [held.payload for held in event.slot.blocks if held.chain_id == chain_id]
        counts.append(len(payloads))
    return payloads, counts
