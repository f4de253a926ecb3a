"""Stand-ins for tests of derivation: the rules once more, written naively, and superbatches as a sequencer writes them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from bridge.wire.deposits import l1_attributes
from bridge.wire.derivation import MAX_DRIFT_S, Derivation, DerivedSlot, ForcedBlock, Ignored, Rules
from bridge.wire.errors import Malformed
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block, L1Info
from bridge.wire.slot import GENESIS_PARENT, Block, BundlePart, Origin, Payload, Slot, slot_hash
from bridge.wire.superbatch import Superbatch, decode_superbatch, encode_superbatch, superbatch_hash

ZERO = "0x" + "00" * 32


class Refused(Exception):  # noqa: N818 - what happens to a superbatch
    """The naive rules say no."""


@dataclass(slots=True)
class Tip:
    """The end of one rollup's chain: block number, number of its origin, its place in the epoch, unix seconds."""

    number: int = 0
    origin: int = 0
    sequence: int = 0
    timestamp: int = 0


@dataclass(slots=True)
class Naive:
    """The rules once more, from their description alone: everything from the first L1 block on, copied before it is tried."""

    rules: Rules
    l1: list[L1Block]
    tips: dict[int, Tip] = field(default_factory=dict)
    chains: dict[int, list[Payload]] = field(default_factory=dict)
    forced: dict[int, int] = field(default_factory=dict)
    """How many blocks of each rollup L1 forced."""
    ignored: list[str] = field(default_factory=list)
    """L1 transactions."""
    superbatches: list[str] = field(default_factory=list)
    """Hashes of those that count."""
    slots: list[str] = field(default_factory=list)
    term: int = 0

    @classmethod
    def read(cls, rules: Rules, l1: Sequence[L1Block]) -> "Naive":
        """All of an L1 chain."""
        naive = cls(rules, list(l1))
        for member in rules.members:
            naive.tips[member.chain_id] = Tip()
            naive.chains[member.chain_id], naive.forced[member.chain_id] = [], 0
        for block in l1[1:]:
            naive._force(block.info.number)
            for batch in block.batches:
                if batch.inbox != rules.inbox:
                    continue
                tried = naive.copy()
                try:
                    tried.take(batch, block.info.number)
                except (Refused, Malformed):
                    naive.ignored.append(batch.hash)
                else:
                    naive = tried
        return naive

    def _portal(self, chain: int) -> str:
        return next(member.portal for member in self.rules.members if member.chain_id == chain)

    def copy(self) -> "Naive":
        """An independent copy."""
        return replace(
            self,
            tips={chain: replace(tip) for chain, tip in self.tips.items()},
            chains={chain: list(payloads) for chain, payloads in self.chains.items()},
            forced=dict(self.forced),
            ignored=list(self.ignored),
            superbatches=list(self.superbatches),
            slots=list(self.slots),
        )

    def _force(self, now: int) -> None:
        for chain in sorted(self.tips):
            # the first block of epoch n must be in L1 block n + window at the latest
            if now <= self.tips[chain].origin + 1 + self.rules.window:
                continue
            for _ in range(self.tips[chain].origin, now):
                tip = self.tips[chain]
                timestamp = max(tip.timestamp, self.l1[tip.origin + 1].info.timestamp)
                self.append(chain, tip.origin + 1, timestamp, (), ())
                self.forced[chain] += 1

    def take(self, batch: BatchTransaction, now: int) -> None:
        """A transaction to the inbox in L1 block ``now``; raises, and leaves this account half done, if it does not count."""
        _must(batch.sender == self.rules.batcher)
        held, hashes = _read(batch.data)
        _must(held.number == len(self.superbatches))
        _must(held.parent == [ZERO, *self.superbatches][-1])
        _must(held.term >= self.term)
        for slot, digest in zip(held.slots, hashes, strict=True):
            _must(slot.number == len(self.slots) and slot.parent == [ZERO, *self.slots][-1])
            self.slots.append(digest)
            last = -1
            for block in slot.blocks:
                _must(block.chain_id > last and block.chain_id in self.tips)
                last = block.chain_id
                self._extend(block, now)
        self.superbatches.append(superbatch_hash(batch.data))
        self.term = held.term

    def _extend(self, block: Block, now: int) -> None:
        tip, payload = self.tips[block.chain_id], block.payload
        _must(block.number == tip.number + 1)
        _must(payload.origin.number in (tip.origin, tip.origin + 1) and payload.origin.number < len(self.l1))
        _must(payload.origin.number <= now)
        origin = self.l1[payload.origin.number].info
        _must(origin.hash == payload.origin.hash)
        _must(now - origin.number <= self.rules.window)
        _must(payload.timestamp >= tip.timestamp and payload.timestamp >= origin.timestamp)
        raws = [*payload.transactions, *(raw for part in payload.bundles for raw in part.transactions)]
        _must(not raws or payload.timestamp - origin.timestamp <= MAX_DRIFT_S)
        _must(not any(raw.startswith("0x7e") for raw in raws))
        _must(all(len(part.legs) == len(part.transactions) for part in payload.bundles))
        self.append(block.chain_id, origin.number, payload.timestamp, payload.transactions, payload.bundles)

    def append(
        self,
        chain: int,
        origin: int,
        timestamp: int,
        transactions: tuple[str, ...],
        bundles: tuple[BundlePart, ...],
    ) -> Payload:
        """One more block of a rollup; what its origin asks for is added."""
        tip, l1 = self.tips[chain], self.l1[origin]
        sequence = tip.sequence + 1 if origin == tip.origin else 0
        deposits = [_attributes(l1.info, sequence, self.rules.batcher)]
        if sequence == 0:
            deposits += l1.deposits.get(self._portal(chain), ())
        payload = Payload(
            timestamp, transactions, bundles, Origin(origin, l1.info.hash), sequence, tuple(deposits)
        )
        self.chains[chain].append(payload)
        self.tips[chain] = Tip(tip.number + 1, origin, sequence, timestamp)
        return payload


@lru_cache(maxsize=1_024)
def _read(data: bytes) -> tuple[Superbatch, tuple[str, ...]]:
    """A superbatch and its slots' hashes; whoever begins anew after each L1 block reads the same ones again and again."""
    held = decode_superbatch(data)
    return held, tuple(map(slot_hash, held.slots))


@lru_cache(maxsize=1_024)
def _attributes(info: L1Info, sequence: int, batcher: str) -> str:
    return to_hex(l1_attributes(info, sequence, from_hex(batcher)))


def _must(condition: bool) -> None:
    if not condition:
        raise Refused


@dataclass(slots=True)
class Draft:
    """A superbatch that is being written, on the naive account of L1."""

    on: Naive
    term: int = 1
    number: int = 0
    parent: str = GENESIS_PARENT
    slots: list[Slot] = field(default_factory=list)
    built: list[tuple[int, Payload]] = field(default_factory=list)
    """Chain id and complete payload of each block."""
    sender: str = ""
    """Who sends it to L1; the batcher if nobody else."""

    @classmethod
    def after(cls, naive: Naive) -> "Draft":
        """The honest continuation of what counts."""
        on = naive.copy()
        parent = [GENESIS_PARENT, *on.superbatches][-1]
        return cls(on, max(1, on.term), len(on.superbatches), parent)

    def slot(self, blocks: Sequence[tuple[int, bool, int, int]]) -> None:
        """One more slot.

        Args:
            blocks: chain id, whether a new epoch begins (if L1 has one), seconds after the last block, number of transactions.
        """
        timestamp = max([0, *(tip.timestamp for tip in self.on.tips.values())])
        timestamp = max([timestamp, self.on.l1[0].info.timestamp, *(timestamp + each[2] for each in blocks)])
        made: list[Block] = []
        for chain, opens, _, count in sorted(blocks):
            tip = self.on.tips[chain]
            origin = tip.origin
            if opens and origin + 1 < len(self.on.l1):
                following = self.on.l1[origin + 1].info
                origin += following.timestamp <= timestamp
            raws = tuple(f"0x02{tip.number:04x}{index:02x}" for index in range(count))
            part = BundlePart(to_hex(keccak256(b"%d" % tip.number)), (0,), raws[:1])
            payload = self.on.append(chain, origin, timestamp, raws[1:], (part,) if raws else ())
            self.built.append((chain, payload))
            number = self.on.tips[chain].number
            made.append(Block(chain, number, ZERO, ZERO, payload))
        parent = [ZERO, *self.on.slots][-1]
        slot = Slot(self.term, len(self.on.slots), parent, timestamp, tuple(made), (), {})
        self.slots.append(slot)
        self.on.slots.append(slot_hash(slot))

    def change(self, index: int, **members: Any) -> None:
        """Another slot in a place; those after it still name their parent rightly."""
        self.slots[index] = replace(self.slots[index], **members)
        for after in range(index + 1, len(self.slots)):
            self.slots[after] = replace(self.slots[after], parent=slot_hash(self.slots[after - 1]))

    def change_block(self, index: int, payload: dict[str, Any] | None = None, **members: Any) -> None:
        """Another last block in a slot."""
        *blocks, last = self.slots[index].blocks
        changed = replace(last, payload=replace(last.payload, **(payload or {})), **members)
        self.change(index, blocks=(*blocks, changed))

    def transaction(self, inbox: str = "", data: bytes | None = None) -> BatchTransaction:
        """As L1 holds it."""
        encoded = encode_superbatch(self.number, self.parent, self.term, self.slots) if data is None else data
        sender = self.sender or self.on.rules.batcher
        digest = to_hex(keccak256(encoded + sender.encode() + b"%d" % len(self.on.l1)))
        return BatchTransaction(digest, sender, inbox or self.on.rules.inbox, encoded)


def derived(derivation: Derivation, l1: Sequence[L1Block]) -> Naive:
    """What the derivation says of an L1 chain, in the naive account's words."""
    said = Naive(derivation.rules, list(l1))
    said.chains = {member.chain_id: [] for member in derivation.rules.members}
    said.forced = dict.fromkeys(said.chains, 0)
    for block in l1:
        for event in derivation.add(block):
            match event:
                case ForcedBlock():
                    said.chains[event.chain_id].append(event.payload)
                    said.forced[event.chain_id] += 1
                    assert len(said.chains[event.chain_id]) == event.number
                case DerivedSlot():
                    said.slots.append(slot_hash(event.slot))
                    for held in event.slot.blocks:
                        said.chains[held.chain_id].append(held.payload)
                        assert len(said.chains[held.chain_id]) == held.number
                case Ignored():
                    assert event.reason
                    said.ignored.append(event.l1_tx)
    state = derivation.state
    said.superbatches, said.term = [str(n) for n in range(state.superbatches)], state.term
    said.tips = {
        chain: Tip(head.number, head.origin.number, head.sequence, head.timestamp)
        for chain, head in state.heads.items()
    }
    return said


def require_same(naive: Naive, said: Naive) -> None:
    """Both accounts agree.

    Raises:
        AssertionError: they do not.
    """
    assert naive.chains == said.chains
    assert naive.tips == said.tips
    assert naive.forced == said.forced
    assert naive.ignored == said.ignored
    assert naive.slots == said.slots
    assert (len(naive.superbatches), naive.term) == (len(said.superbatches), said.term)
