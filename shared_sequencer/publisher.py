"""Publishing: decided slots go to L1 as superbatches, one transaction each, in order, exactly once.

The publisher's L1 account does nothing else, so *its nonce is the superbatch's number*: L1 itself refuses a second superbatch of
the same number, whoever sends it, and the account's nonce on L1 tells after any crash how far publishing got. Before a superbatch is sent its
signed bytes are in the write-ahead log, so a retry sends the same bytes. Should L1 lose blocks (a reorganisation, a
restart from an older state) the nonce goes back and the same superbatches are sent again from the log.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import structlog

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal, subject
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.slot import GENESIS_PARENT, Slot
from bridge.wire.stages import Stage
from bridge.wire.superbatch import BATCH_INBOX, MAX_BYTES, encode_superbatch, superbatch_hash
from shared_sequencer.sequencer import SlotLog
from shared_sequencer.wal import WriteAheadLog

POLL_SECONDS = 0.2
"""Between two looks at L1 while a superbatch is on its way."""
PRIORITY_FEE = 10**9
"""Wei per gas."""
FEE_HEADROOM = 10
"""A superbatch offers this many times the L1 base fee, so that it stays valid while it waits."""

MAX_SLOTS = 100
"""Slots in one superbatch: with a slot's largest size this bounds what a verifier inflates and what is encoded at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SignedSuperbatch:
    """A superbatch on its way to L1."""

    number: int
    first: int
    """First slot it holds."""
    last: int
    hash: str
    raw: str
    """Signed L1 transaction."""
    l1_block: int | None = None
    """Where it was seen on L1."""

    @property
    def l1_hash(self) -> str:
        """Hash of the L1 transaction."""
        return to_hex(keccak256(from_hex(self.raw)))


class Publisher:
    """Publishes decided slots."""

    def __init__(
        self,
        *,
        l1: Client,
        l1_chain_id: int,
        private_key: str,
        every_s: float,
        term: int,
        slots: SlotLog,
        wal: WriteAheadLog,
        journal: Journal,
        on_published: Callable[[Mapping[int, int]], Awaitable[None]],
    ) -> None:
        self._l1, self._l1_chain_id, self._key, self._every_s, self._term = (
            l1,
            l1_chain_id,
            private_key,
            every_s,
            term,
        )
        self._slots, self._wal, self._journal, self._on_published = slots, wal, journal, on_published
        self._address = to_hex(address_of(private_key))
        self.superbatches: list[SignedSuperbatch] = []

    @property
    def next_slot(self) -> int:
        """First slot that no superbatch holds yet."""
        return self.superbatches[-1].last + 1 if self.superbatches else 0

    @property
    def published_slots(self) -> int:
        """How many slots, from the first on, are on L1."""
        seen = [superbatch.last + 1 for superbatch in self.superbatches if superbatch.l1_block is not None]
        return max(seen, default=0)

    def published_blocks(self) -> dict[int, int]:
        """Last block of each rollup whose superbatch is on L1, by chain id."""
        slots = self._slots.slots[: self.published_slots]
        return {block.chain_id: block.number for slot in slots for block in slot.blocks}

    def restore(self, record: Mapping[str, Any]) -> None:
        """Take up a record of the log."""
        if record["kind"] == "superbatch":
            self.superbatches.append(SignedSuperbatch(**record["superbatch"]))
        else:
            number = record["number"]
            self.superbatches[number] = replace(self.superbatches[number], l1_block=record["l1_block"])

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
        number = len(self.superbatches)
        parent = self.superbatches[-1].hash if self.superbatches else GENESIS_PARENT
        slots = self._slots.slots[self.next_slot : self.next_slot + MAX_SLOTS]
        data = encode_superbatch(number, parent, self._term, slots)
        while len(data) > MAX_BYTES and len(slots) > 1:
            slots = slots[: max(1, len(slots) * MAX_BYTES // len(data) * 9 // 10)]
            data = encode_superbatch(number, parent, self._term, slots)
        block = await self._l1.call("eth_getBlockByNumber", "latest", False)
        fee = FEE_HEADROOM * int(block["baseFeePerGas"], 16) + PRIORITY_FEE
        unsigned = UnsignedTransaction(
            chain_id=self._l1_chain_id,
            nonce=number,
            max_fee=fee,
            priority_fee=PRIORITY_FEE,
            gas=_calldata_gas(data),
            to=from_hex(BATCH_INBOX, 20),
            data=data,
        )
        raw = to_hex(sign_transaction(unsigned, self._key))
        superbatch = SignedSuperbatch(number, slots[0].number, slots[-1].number, superbatch_hash(data), raw)
        await self._wal.append([{"kind": "superbatch", "superbatch": superbatch}])
        self.superbatches.append(superbatch)

    async def _publish_rest(self) -> None:
        """Bring L1 to the last superbatch of the log."""
        while True:
            mined = int(await self._l1.call("eth_getTransactionCount", self._address, "latest"), 16)
            await self._note_published(mined)
            if mined < len(self.superbatches):
                await self._send(self.superbatches[mined])
            elif all(superbatch.l1_block is not None for superbatch in self.superbatches):
                return
            await asyncio.sleep(POLL_SECONDS)

    async def _send(self, superbatch: SignedSuperbatch) -> None:
        try:
            await self._l1.call("eth_sendRawTransaction", superbatch.raw)
        except RpcError as exc:
            if not any(words in exc.message.lower() for words in ("already", "nonce too low", "underpriced")):
                log.warning("superbatch.refused", number=superbatch.number, error=str(exc))
        else:
            self._journal.emit("superbatch.sent", number=superbatch.number, l1_tx=superbatch.l1_hash)

    async def _note_published(self, mined: int) -> None:
        for superbatch in self.superbatches[:mined]:
            if superbatch.l1_block is not None:
                continue
            receipt = await self._l1.call("eth_getTransactionReceipt", superbatch.l1_hash)
            if receipt is None:
                return  # mined between two answers; the next look finds it
            block = int(receipt["blockNumber"], 16)
            await self._wal.append([{"kind": "published", "number": superbatch.number, "l1_block": block}])
            self.superbatches[superbatch.number] = replace(superbatch, l1_block=block)
            slots = self._slots.slots[superbatch.first : superbatch.last + 1]
            self._journal_published(superbatch, slots, block)
            await self._on_published({b.chain_id: b.number for slot in slots for b in slot.blocks})

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


def _calldata_gas(data: bytes) -> int:
    """Gas of a transaction that only carries data: the larger of EIP-2028's price and EIP-7623's floor."""
    zeros = data.count(0)
    others = len(data) - zeros
    return 21_000 + max(4 * zeros + 16 * others, 10 * (zeros + 4 * others))
