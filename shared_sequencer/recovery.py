"""What the write-ahead log says, read from its beginning: every life of the sequencer starts with it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.mutants import mutant
from bridge.wire.slot import GENESIS_PARENT, Decision, Slot
from shared_sequencer.errors import WalDamaged
from shared_sequencer.l1 import forced_from_record
from shared_sequencer.mempool import End, Item, Mempool
from shared_sequencer.publisher import SignedSuperbatch, chain_of
from shared_sequencer.sequencer import count_deposits, record_ends
from shared_sequencer.slot_log import Cut, Restore, SlotLog


@dataclass(slots=True)
class Recovered:
    """What the log said."""

    term: int = 0
    mempool: Mempool = field(default_factory=Mempool)
    slots: SlotLog = field(default_factory=SlotLog)
    superbatches: list[SignedSuperbatch] = field(default_factory=list)
    signed: dict[str, SignedSuperbatch] = field(default_factory=dict)
    """Every superbatch that was ever signed, by L1 transaction."""
    admitted: dict[str, int] = field(default_factory=dict)
    """Order of admission, by hash of the item."""
    admissions: int = 0
    expired: list[End] = field(default_factory=list)
    """What expired since the last slot: the crash may have come before that was told."""
    cut: Cut | Restore | None = None
    """What L1 took back since the last slot: the crash may have come before that was told."""


def recover(records: Iterable[Any]) -> Recovered:
    """Rebuild everything.

    Raises:
        WalDamaged: the log contradicts itself.
    """
    found = Recovered()
    for record in records:
        read = _READERS.get(record["kind"])
        if read is None:
            raise WalDamaged(f"unknown record kind {record['kind']!r}: written by another version")
        read(found, record)
    if mutant("forget-waiting"):
        for item in list(found.mempool):
            found.mempool.release(item)
            del found.mempool.waiting[item.id]
    return found


def _term(found: Recovered, record: Any) -> None:
    found.term = record["term"]


def _item(found: Recovered, record: Any) -> None:
    item = Item.from_record(record)
    if item.id in found.mempool.waiting:
        return  # admitted again by a life that did not know of a cut
    found.admitted[item.id] = found.admissions
    found.admissions += 1
    found.mempool.add(item)


def _slot(found: Recovered, record: Any) -> None:
    slot = Slot.from_json(record["slot"])
    found.slots.add(slot)
    found.expired.clear()
    found.cut = None
    record_ends(found.mempool, slot)


def _end(found: Recovered, record: Any) -> None:
    item = found.mempool.waiting[record["id"]]
    end = End(item, Decision(item.id, "expire", reason=record["reason"]), None, {})
    found.mempool.end(end)
    found.expired.append(end)


def _forced(found: Recovered, record: Any) -> None:
    block = forced_from_record(record)
    found.slots.force(block)
    count_deposits(found.mempool, block)


def _cut(found: Recovered, record: Any) -> None:
    """Slots count no more."""
    found.cut = cut = Cut(record["slots"], record["forced"], record["reason"])
    _take_back(found, found.slots.cut(cut), cut.slots)


def _restore(found: Recovered, record: Any) -> None:
    """Slots that were cut count again, instead of those that were decided in their place; whatever became of their items since."""
    slots = tuple(map(Slot.from_json, record["restored"]))
    found.cut = restore = Restore(record["slots"], tuple(record["forced"]), slots, record["reason"])
    _take_back(found, found.slots.restore(restore), restore.slots)
    for slot in slots:
        for decision in slot.decisions:
            end = found.mempool.ended.get(decision.id)
            if end is not None:  # its deadline passed while it waited again
                found.mempool.take_back(end.item)
        found.slots.add(slot)
        record_ends(found.mempool, slot)


def _take_back(found: Recovered, gone: Iterable[Slot], kept: int) -> None:
    """Items of slots that count no more wait again, in their old order; superbatches that hold such slots are none."""
    numbers = {slot.number for slot in gone}
    for end in [end for end in found.mempool.ended.values() if end.slot in numbers]:
        found.mempool.take_back(end.item)
    found.mempool.settle_order(found.admitted)
    _count_nonces_again(found)
    found.superbatches = [superbatch for superbatch in found.superbatches if superbatch.last < kept]


def _count_nonces_again(found: Recovered) -> None:
    """In the order of the log: a deposit takes one nonce after those that were taken before it."""
    mempool, forced = found.mempool, list(found.slots.forced)
    mempool.next_nonce.clear()
    for number in range(len(found.slots.slots) + 1):
        while forced and forced[0][0] == number:
            count_deposits(mempool, forced.pop(0)[1])
        for slot in found.slots.slots[number : number + 1]:
            for block in slot.blocks:
                count_deposits(mempool, block)
            for decision in slot.decisions:
                if decision.outcome in ("commit", "include"):
                    for leg in mempool.ended[decision.id].item.legs:
                        mempool.included(leg)


def _superbatch(found: Recovered, record: Any) -> None:
    superbatch = SignedSuperbatch(**record["superbatch"])
    found.signed[superbatch.l1_hash] = superbatch
    head = found.superbatches[-1].hash if found.superbatches else GENESIS_PARENT
    if superbatch.last >= len(found.slots.slots):
        return  # it was being signed while the log was cut: its slots are no more
    if superbatch.parent == head:
        found.superbatches.append(superbatch)
    else:  # L1 had taken another one than the log's last
        found.superbatches = chain_of(found.signed.values(), superbatch.hash)


def _published(found: Recovered, record: Any) -> None:
    superbatch = found.signed[record["l1_tx"]].seen(record["l1_block"])
    found.signed[superbatch.l1_hash] = superbatch
    if found.superbatches[superbatch.number : superbatch.number + 1] and (
        found.superbatches[superbatch.number].hash == superbatch.hash
    ):
        found.superbatches[superbatch.number] = superbatch


def _discard(found: Recovered, record: Any) -> None:
    del found.superbatches[record["number"] :]


_READERS: dict[str, Callable[[Recovered, Any], None]] = {
    "term": _term,
    "bundle": _item,
    "transaction": _item,
    "slot": _slot,
    "end": _end,
    "forced": _forced,
    "cut": _cut,
    "restore": _restore,
    "superbatch": _superbatch,
    "published": _published,
    "discard": _discard,
}
"""Who reads which kind of record."""
