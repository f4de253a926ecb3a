"""Publishing: nonce is number, every slot is on L1 exactly once, whatever L1, the network and the sequencer's own life do."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import address_of
from bridge.wire.slot import GENESIS_PARENT, Block, BundlePart, Decision, Payload, Slot
from bridge.wire.superbatch import BATCH_INBOX, MAX_BYTES, decode_superbatch, superbatch_hash
from bridge.wire.testing import MemoryJournal, private_key, run_virtual
from bridge.wire.transaction import decode_transaction
from shared_sequencer import publisher as module
from shared_sequencer.publisher import MAX_SLOTS, Publisher, _calldata_gas
from shared_sequencer.sequencer import SlotLog, new_slot_log
from shared_sequencer.testing import MemoryLog

KEY = private_key(0)
L1_CHAIN = 900


class ToyL1(Client):
    """An L1 with one account: blocks of raw transactions, a pool, answers that get lost on the way there or back."""

    def __init__(self) -> None:
        self.blocks: list[list[bytes]] = []
        self.pool: dict[int, bytes] = {}
        self.failures: list[str] = []
        """``before`` or ``after``: the next calls fail, without or with their effect."""
        self.sent: list[bytes] = []

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """Answer, or lose the request or the answer."""
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise PeerUnreachable("lost on the way there")
        answer = getattr(self, method)(*params)
        if failure == "after":
            raise PeerUnreachable("lost on the way back")
        await asyncio.sleep(0)
        return answer

    @property
    def mined(self) -> list[bytes]:
        """Every transaction on L1 in order."""
        return [raw for block in self.blocks for raw in block]

    def mine(self) -> None:
        """Take what follows from the pool."""
        block = []
        nonce = len(self.mined)
        while nonce in self.pool:
            block.append(self.pool.pop(nonce))
            nonce += 1
        self.blocks.append(block)

    def roll_back(self, depth: int) -> None:
        """Lose blocks, and whatever was in the pool."""
        del self.blocks[max(0, len(self.blocks) - depth) :]
        self.pool.clear()

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:  # noqa: N802 - the method's own name and shape
        """The head."""
        assert (tag, full) == ("latest", False)
        return {"baseFeePerGas": hex(10**9)}

    def eth_getTransactionCount(self, address: str, tag: str) -> str:  # noqa: N802 - as above
        """Of the publisher."""
        assert (address, tag) == (to_hex(address_of(KEY)), "latest")
        return hex(len(self.mined))

    def eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802 - as above
        """Into the pool, as anvil does."""
        sent = decode_transaction(from_hex(raw))
        self.sent.append(sent.raw)
        if sent.nonce < len(self.mined):
            raise RpcError(-32003, "nonce too low")
        if sent.nonce in self.pool:
            raise RpcError(-32003, "transaction already imported")
        self.pool[sent.nonce] = sent.raw
        return to_hex(sent.hash)

    def eth_getTransactionReceipt(self, digest: str) -> Any:  # noqa: N802 - as above
        """Where it is."""
        for number, block in enumerate(self.blocks):
            if digest in [to_hex(keccak256(raw)) for raw in block]:
                return {"blockNumber": hex(number)}
        return None


class Press:
    """A publisher with its log, its slots and its L1."""

    def __init__(
        self,
        l1: ToyL1 | None = None,
        log: MemoryLog | None = None,
        slots: SlotLog | None = None,
        term: int = 1,
    ) -> None:
        self.l1, self.log, self.slots = l1 or ToyL1(), log or MemoryLog(), slots or new_slot_log()
        self.journal = MemoryJournal()
        self.told: list[Mapping[int, int]] = []
        self.publisher = Publisher(
            l1=self.l1,
            l1_chain_id=L1_CHAIN,
            private_key=KEY,
            every_s=1.0,
            term=term,
            slots=self.slots,
            wal=self.log,
            journal=self.journal,
            on_published=self._on_published,
        )
        for record in self.log.records():
            self.publisher.restore(record)

    async def _on_published(self, blocks: Mapping[int, int]) -> None:
        self.told.append(blocks)

    async def add_slot(self, content: bytes = b"") -> None:
        """One more decided slot, with one committed bundle and one aborted."""
        number = len(self.slots.slots)
        names = [to_hex(keccak256(b"%d %d" % (number, kind))) for kind in (0, 1)]
        part = BundlePart(names[0], (0,), (to_hex(content),))
        block = Block(901, number + 1, names[0], names[1], Payload(number, (), (part,)))
        decisions = (Decision(names[0], "commit"), Decision(names[1], "abort"))
        causes = dict.fromkeys(names, f"sequencer/1/{number}")
        self.slots.add(Slot(1, number, self.slots.head, number, (block,), decisions, causes))
        async with self.slots.changed:
            self.slots.changed.notify_all()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The publisher at work; cut off in the middle of whatever it does."""
        task = asyncio.create_task(self.publisher.run())
        try:
            yield
        finally:
            task.cancel()
            done = await asyncio.gather(task, return_exceptions=True)
            assert isinstance(done[0], asyncio.CancelledError), done


def _hold(press: Press, *, complete: bool) -> None:
    """What must be true of L1 and the log at any time."""
    parent, first = GENESIS_PARENT, 0
    for number, raw in enumerate(press.l1.mined):
        sent = decode_transaction(raw)
        assert (number, L1_CHAIN, from_hex(BATCH_INBOX)) == (sent.nonce, sent.chain_id, sent.to)
        batch = decode_superbatch(sent.data)
        assert (number, parent) == (batch.number, batch.parent)
        assert list(range(first, first + len(batch.slots))) == [slot.number for slot in batch.slots]
        parent, first = superbatch_hash(sent.data), first + len(batch.slots)
    if complete:
        assert len(press.slots.slots) == first
    signed = [record["superbatch"] for record in press.log.written if record["kind"] == "superbatch"]
    assert list(range(len(signed))) == [superbatch["number"] for superbatch in signed]
    assert set(press.l1.sent) <= {from_hex(superbatch["raw"]) for superbatch in signed}, (
        "other bytes than those in the log"
    )
    noted = Counter(record["number"] for record in press.log.written if record["kind"] == "published")
    assert all(count == 1 for count in noted.values())


def test_slots_reach_l1_in_order_and_everybody_is_told_once() -> None:
    """The plain course: slots gather, one superbatch holds them, the journal and the rollups hear of it once it is in a block."""

    async def main() -> None:
        press = Press()
        async with press.running():
            for _ in range(3):
                await press.add_slot(b"leg")
            await asyncio.sleep(1.5)
            assert [] == press.told
            assert 0 == press.publisher.published_slots
            press.l1.mine()
            await asyncio.sleep(1.0)
            assert (3, {901: 3}) == (press.publisher.published_slots, press.publisher.published_blocks())
            await press.add_slot(b"leg")
            await asyncio.sleep(1.5)
            press.l1.mine()
            await asyncio.sleep(1.0)
        assert [{901: 3}, {901: 4}] == press.told
        committed = [slot.decisions[0].id for slot in press.slots.slots]
        published = [event for event in press.journal.events if event.event == "bundle.published"]
        assert committed == [event.bundle_id for event in published]
        assert [("sequencer/1/0",), 0, 0] == [
            published[0].cause,
            published[0].attrs["superbatch"],
            published[0].attrs["l1_block"],
        ]
        _hold(press, complete=True)

    run_virtual(main())


STEPS = st.lists(
    st.one_of(
        st.just(("slot", 0)),
        st.just(("mine", 0)),
        st.just(("restart", 0)),
        st.tuples(st.just("before"), st.integers(1, 4)),
        st.tuples(st.just("after"), st.integers(1, 4)),
        st.tuples(st.just("roll back"), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
        st.tuples(st.just("yield"), st.integers(1, 6)),
    ),
    max_size=30,
)


async def _happens(press: Press, kind: str, count: int) -> None:
    """One step of the random schedule."""
    match kind:
        case "slot":
            await press.add_slot(b"leg")
        case "mine":
            press.l1.mine()
        case "before" | "after":
            press.l1.failures += [kind] * count
        case "roll back":
            press.l1.roll_back(count)
        case "wait":
            await asyncio.sleep(count / 10)
        case _:
            for _ in range(count):
                await asyncio.sleep(0)


@given(STEPS)
@settings(max_examples=200, deadline=None)
def test_every_slot_is_published_exactly_once_over_any_failures(steps: Sequence[tuple[str, int]]) -> None:
    """Lost requests, lost answers, lost blocks, restarts at any point: L1 never holds a wrong superbatch, and in the end all."""

    async def main() -> None:
        press = Press()
        told: list[Mapping[int, int]] = []
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(press.running())
            for kind, count in steps:
                if kind == "restart":
                    await stack.aclose()
                    told += press.told
                    press = Press(press.l1, press.log, press.slots)
                    await stack.enter_async_context(press.running())
                else:
                    await _happens(press, kind, count)
                _hold(press, complete=False)
            for _ in range(2):  # the second slot makes a publisher that rests look at L1 again
                press.l1.failures.clear()
                await press.add_slot(b"last")
                for _ in range(40):
                    await asyncio.sleep(1.0)
                    press.l1.mine()
        _hold(press, complete=True)
        told += press.told
        assert all(count == 1 for count in Counter(blocks[901] for blocks in told).values())
        assert len(press.slots.slots) == press.publisher.published_slots

    run_virtual(main())


def test_a_restart_at_every_point_sends_the_same_bytes() -> None:
    """Cut the log after any record: what is sent again under a number is what was signed under it."""

    async def published(log: MemoryLog, slots: SlotLog, l1: ToyL1) -> Press:
        press = Press(l1, log, slots)
        async with press.running():
            for _ in range(20):
                await asyncio.sleep(0.5)
                l1.mine()
        return press

    async def main() -> None:
        first = Press()
        for _ in range(MAX_SLOTS * 2 + 5):
            await first.add_slot()
        whole = await published(first.log, first.slots, ToyL1())
        assert 3 == len(whole.publisher.superbatches) == len(whole.l1.mined)
        for cut in range(len(whole.log.written) + 1):
            again = await published(MemoryLog(whole.log.written[:cut]), first.slots, ToyL1())
            kept = [r["superbatch"]["raw"] for r in whole.log.written[:cut] if r["kind"] == "superbatch"]
            assert kept == [to_hex(raw) for raw in again.l1.mined[: len(kept)]]
            _hold(again, complete=True)

    run_virtual(main())


def test_big_slots_are_spread_and_the_largest_still_goes() -> None:
    """Superbatches stay below the size limit as long as they hold more than one slot; slots are bounded in number too."""

    async def main() -> None:
        press = Press()
        noise = b"".join(keccak256(b"%d" % n) for n in range(4_000))
        for size in (50_000, 60_000, 50_000, 3_000, 128_000, 10, 10):
            await press.add_slot(noise[:size])
        for _ in range(MAX_SLOTS + 1):
            await press.add_slot()
        async with press.running():
            for _ in range(40):
                await asyncio.sleep(0.5)
                press.l1.mine()
        _hold(press, complete=True)
        batches = [decode_superbatch(decode_transaction(raw).data).slots for raw in press.l1.mined]
        assert all(len(slots) <= MAX_SLOTS for slots in batches)
        for raw, slots in zip(press.l1.mined, batches, strict=True):
            assert len(slots) == 1 or len(decode_transaction(raw).data) <= MAX_BYTES
        assert len(batches) < 10

    run_virtual(main())


def test_a_receipt_that_comes_late_is_still_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The nonce is there before the receipt: publishing is noted as soon as the receipt is, without waiting for another slot."""

    async def main() -> None:
        press = Press()
        found = press.l1.eth_getTransactionReceipt
        monkeypatch.setattr(press.l1, "eth_getTransactionReceipt", lambda _: None)
        async with press.running():
            await press.add_slot()
            await asyncio.sleep(1.5)
            press.l1.mine()
            await asyncio.sleep(3.0)
            assert [] == press.told
            monkeypatch.setattr(press.l1, "eth_getTransactionReceipt", found)
            await asyncio.sleep(1.0)
            assert [{901: 1}] == press.told

    run_virtual(main())


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"\x01" * 100, bytes(50) + b"\x07" * 50])
def test_gas_covers_calldata_and_its_floor(data: bytes) -> None:
    """EIP-2028 prices and EIP-7623's floor: what L1 charges for a transaction that only carries data."""
    tokens = sum(4 if byte else 1 for byte in data)
    assert max(21_000 + 4 * tokens, 21_000 + 10 * tokens) == _calldata_gas(data)
    assert module.FEE_HEADROOM >= 2
