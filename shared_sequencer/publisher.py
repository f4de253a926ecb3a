"""Publishing: decided slots go to L1 as superbatches, one transaction each, in order, each counting once.

What counts is not decided here: the publisher asks the derivation rules, which run over the inbox as every verifier runs
them, how far L1 holds the log. A superbatch's signed bytes are in the write-ahead log before they are sent, so a retry sends
the same bytes, and the account's nonce lets L1 take them once. Should L1 lose blocks (a reorganisation, a restart
from an older state) both the nonce and the derived state go back, and the same superbatches are sent again. If a superbatch
can no longer count (L1 took its nonce for something else, or was reorganised so that a nonce before it is free again), it is
discarded and its slots are signed anew. A discarded one may still win, where L1 was reorganised once more: what counts on L1
leads, whichever of the signed superbatches that is.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bridge.wire.crash_points import crash_point
from bridge.wire.derivation import Derivation
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal, subject
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import address_of
from bridge.wire.slot import GENESIS_PARENT, Slot
from bridge.wire.stages import Stage
from bridge.wire.superbatch import MAX_BYTES, encode_superbatch, superbatch_hash
from shared_sequencer.availability import Availability
from shared_sequencer.errors import WalDamaged
from shared_sequencer.slot_log import SlotLog
from shared_sequencer.wal import WriteAheadLog

POLL_SECONDS = 0.2
"""Between two looks at L1 while a superbatch is on its way."""
MAX_SLOTS = 100
"""Slots in one superbatch: with a slot's largest size this bounds what a verifier inflates and what is encoded at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SignedSuperbatch:
    """A superbatch on its way to L1."""

    number: int
    nonce: int
    """Of the L1 account."""
    first: int
    """First slot it holds."""
    last: int
    hash: str
    parent: str
    """Hash of the superbatch before."""
    raw: str
    """Signed L1 transaction, as it is sent."""
    l1_hash: str
    """Hash of the L1 transaction."""
    l1_block: int | None = None
    """Where it was seen to count; None until then."""

    def seen(self, l1_block: int) -> "SignedSuperbatch":
        """The same, counting since an L1 block."""
        return replace(self, l1_block=l1_block)


def chain_of(signed: Iterable[SignedSuperbatch], last: str) -> list[SignedSuperbatch]:
    """The superbatches up to the one with hash ``last``, from the first on.

    Raises:
        WalDamaged: one of them was never signed here.
    """
    by_hash = {superbatch.hash: superbatch for superbatch in signed}
    chain: list[SignedSuperbatch] = []
    while last != GENESIS_PARENT:
        if last not in by_hash:
            raise WalDamaged(f"L1 holds superbatch {last}, which this log does not have")
        chain.append(by_hash[last])
        last = by_hash[last].parent
    return chain[::-1]


class Publisher:
    """Publishes decided slots."""

    def __init__(
        self,
        *,
        l1: Client,
        private_key: str,
        every_s: float,
        term: int,
        slots: SlotLog,
        derivation: Derivation,
        availability: Availability,
        wal: WriteAheadLog,
        journal: Journal,
        superbatches: Sequence[SignedSuperbatch] = (),
        signed: Iterable[SignedSuperbatch] = (),
    ) -> None:
        self._l1, self._every_s, self._term = l1, every_s, term
        self._slots, self._derivation, self._availability = slots, derivation, availability
        self._wal, self._journal = wal, journal
        self._address = to_hex(address_of(private_key))
        self.superbatches = list(superbatches)
        """Those that count on L1, and those that are on their way there."""
        self._signed = {superbatch.l1_hash: superbatch for superbatch in signed}
        """By L1 transaction; discarded ones too: L1 may take one of them all the same."""

    @property
    def next_slot(self) -> int:
        """First slot that no superbatch holds yet."""
        return self.superbatches[-1].last + 1 if self.superbatches else 0

    @property
    def published_slots(self) -> int:
        """How many slots, from the first on, L1 holds."""
        return self._derivation.state.slots if self._derivation.l1_head >= 0 else 0

    @property
    def counting(self) -> int:
        """How many superbatches count."""
        return self._derivation.state.superbatches if self._derivation.l1_head >= 0 else 0

    async def run(self) -> None:
        """Publish for ever; L1 may come and go."""
        while True:
            try:
                await self._publish_rest()
                async with self._slots.changed:
                    await self._slots.changed.wait_for(lambda: self.next_slot < len(self._slots.slots))
                await asyncio.sleep(self._every_s)  # let slots gather
                await self._prepare()
            except (PeerUnreachable, RpcError) as exc:
                log.warning("publisher.waits", error=str(exc))
                await asyncio.sleep(POLL_SECONDS)

    async def _prepare(self) -> None:
        """Sign the next superbatch and make it durable."""
        self._follow_l1()
        number = len(self.superbatches)
        parent = self.superbatches[-1].hash if self.superbatches else GENESIS_PARENT
        slots = self._slots.slots[self.next_slot : self.next_slot + MAX_SLOTS]
        if not slots:
            return
        data = encode_superbatch(number, parent, self._term, slots)
        while len(data) > MAX_BYTES and len(slots) > 1:
            slots = slots[: max(1, len(slots) * MAX_BYTES // len(data) * 9 // 10)]
            data = encode_superbatch(number, parent, self._term, slots)
        nonce = await self._mined_nonce()
        crash_point("publisher.signing")
        raw, l1_hash = await self._availability.sign(data, nonce)
        crash_point("publisher.signed")
        superbatch = SignedSuperbatch(
            number=number,
            nonce=nonce,
            first=slots[0].number,
            last=slots[-1].number,
            hash=superbatch_hash(data),
            parent=parent,
            raw=to_hex(raw),
            l1_hash=to_hex(l1_hash),
        )
        await self._wal.append([{"kind": "superbatch", "superbatch": superbatch}])
        crash_point("publisher.logged")
        self._signed[superbatch.l1_hash] = superbatch
        self.superbatches.append(superbatch)

    def _follow_l1(self) -> None:
        """Where other superbatches count than those of the list, they and nothing else are the list."""
        count = self.counting
        if count and (
            count > len(self.superbatches)
            or self.superbatches[count - 1].hash != self._derivation.state.superbatch
        ):
            self.superbatches = chain_of(self._signed.values(), self._derivation.state.superbatch)
            log.warning("superbatches.replaced", counting=count)

    async def _publish_rest(self) -> None:
        """Bring L1 to the last superbatch of the log."""
        while True:
            self._follow_l1()
            noted = await self._note_published()
            pending = self.superbatches[self.counting :]
            if pending:
                await self._push(pending[0])
            elif noted:
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _push(self, first: SignedSuperbatch) -> None:
        """Send the first superbatch that does not count, or discard it if it never can."""
        mined = await self._mined_nonce()
        head = int(await self._l1.call("eth_blockNumber"), 16)
        if first.nonce == mined:
            await self._send(first)
        elif self._derivation.l1_head >= head and first.number >= self.counting:
            log.error("superbatch.discarded", number=first.number, l1_tx=first.l1_hash)
            await self._wal.append([{"kind": "discard", "number": first.number}])
            crash_point("publisher.discarded")
            del self.superbatches[first.number :]

    async def _mined_nonce(self) -> int:
        return int(await self._l1.call("eth_getTransactionCount", self._address, "latest"), 16)

    async def _send(self, superbatch: SignedSuperbatch) -> None:
        crash_point("publisher.sending")
        try:
            await self._l1.call("eth_sendRawTransaction", superbatch.raw)
            crash_point("publisher.sent")
        except RpcError as exc:
            if not any(words in exc.message.lower() for words in ("already", "nonce too low", "underpriced")):
                log.warning("superbatch.refused", number=superbatch.number, error=str(exc))
        else:
            self._journal.emit("superbatch.sent", number=superbatch.number, l1_tx=superbatch.l1_hash)

    async def _note_published(self) -> bool:
        """Remember and say what counts; returns whether that is all noted."""
        for counted in self.superbatches[: self.counting]:
            if counted.l1_block is not None:
                continue
            found = await self._carrier(counted)
            if found is None:
                return False  # L1 moved between two answers; the next look finds it
            receipt, block = found[1], int(found[1]["blockNumber"], 16)
            superbatch = found[0].seen(block)
            crash_point("publisher.counted")
            # told before it is noted: a crash in between tells it twice, which is harmless, and never not at all
            self._journal.emit(
                "superbatch.published",
                number=superbatch.number,
                l1_tx=superbatch.l1_hash,
                l1_block=block,
                slots=superbatch.last - superbatch.first + 1,
                bytes=len(from_hex(superbatch.raw)),
                **_paid(receipt),
            )
            crash_point("publisher.told")
            slots = self._slots.slots[superbatch.first : superbatch.last + 1]
            self._journal_published(superbatch, slots, block)
            await self._wal.append([{"kind": "published", "l1_tx": superbatch.l1_hash, "l1_block": block}])
            crash_point("publisher.noted")
            self.superbatches[superbatch.number] = self._signed[superbatch.l1_hash] = superbatch
        return True

    async def _carrier(self, counted: SignedSuperbatch) -> tuple[SignedSuperbatch, dict[str, Any]] | None:
        """The L1 transaction that holds a superbatch, with its receipt: the same bytes may have been signed with two nonces."""
        for superbatch in [each for each in self._signed.values() if each.hash == counted.hash]:
            receipt = await self._l1.call("eth_getTransactionReceipt", superbatch.l1_hash)
            if receipt is not None:
                return superbatch, receipt
        return None

    def _journal_published(self, superbatch: SignedSuperbatch, slots: Sequence[Slot], block: int) -> None:
        for slot in slots:
            for decision in slot.decisions:
                if decision.outcome not in ("commit", "include"):
                    continue
                key = subject("bundle" if decision.outcome == "commit" else "transaction", decision.id)
                self._journal.emit(
                    Stage.PUBLISHED,
                    cause=(self._slots.causes.get(decision.id, slot.causes[decision.id]),),
                    superbatch=superbatch.number,
                    l1_tx=superbatch.l1_hash,
                    l1_block=block,
                    **key,
                )


def _paid(receipt: dict[str, str]) -> dict[str, Any]:
    """What a superbatch cost: gas, and wei for gas and blob gas together."""
    gas, blob_gas = int(receipt["gasUsed"], 16), int(receipt.get("blobGasUsed") or "0x0", 16)
    wei = gas * int(receipt["effectiveGasPrice"], 16) + blob_gas * int(
        receipt.get("blobGasPrice") or "0x0", 16
    )
    return {"gas": gas, "blob_gas": blob_gas, "wei": wei}
