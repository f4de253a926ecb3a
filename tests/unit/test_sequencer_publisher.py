"""Publishing: every slot counts on L1 exactly once, whatever L1, the network and the sequencer's own life do."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.derivation import Derivation, DerivedSlot
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import Rewound
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from bridge.wire.slot import Block, BundlePart, Decision, Origin, Payload, Slot, slot_hash
from bridge.wire.superbatch import BATCH_INBOX, MAX_BYTES, decode_superbatch, superbatch_hash
from bridge.wire.testing import MemoryJournal, run_virtual
from bridge.wire.transaction import decode_transaction
from shared_sequencer import availability
from shared_sequencer.availability import Calldata, calldata_gas
from shared_sequencer.publisher import MAX_SLOTS, Publisher
from shared_sequencer.recovery import Recovered, recover
from shared_sequencer.slot_log import SlotLog
from shared_sequencer.testing import MemoryLog
from shared_sequencer.testing_l1 import (
    BATCHER,
    BATCHER_KEY,
    GENESIS_TIME,
    L1_CHAIN,
    ToyFollower,
    ToyL1,
    toy_rules,
)

RULES = toy_rules([901], 10**6)
"""No window ends here: what that does to a log is a matter of the cuts."""


class Press:
    """A publisher with its log, its slots and its L1."""

    def __init__(
        self,
        l1: ToyL1 | None = None,
        log: MemoryLog | None = None,
        slots: SlotLog | None = None,
        term: int = 1,
    ) -> None:
        self.l1, self.log, self.slots = l1 or ToyL1(), log or MemoryLog(), slots or SlotLog()
        self.journal = MemoryJournal()
        self.derivation = Derivation(RULES)
        found = _read(self.slots, self.log)
        self.publisher = Publisher(
            l1=self.l1,
            private_key=BATCHER_KEY,
            every_s=1.0,
            term=term,
            slots=self.slots,
            derivation=self.derivation,
            availability=Calldata(self.l1, L1_CHAIN, BATCHER_KEY, BATCH_INBOX),
            wal=self.log,
            journal=self.journal,
            superbatches=found.superbatches,
            signed=found.signed.values(),
        )

    async def add_slot(self, content: bytes = b"") -> None:
        """One more decided slot, with one committed bundle and one aborted."""
        number = len(self.slots.slots)
        names = [to_hex(keccak256(b"%d %d" % (number, kind))) for kind in (0, 1)]
        part = BundlePart(names[0], (0,), (to_hex(content),))
        origin = Origin(0, self.l1.blocks[0].info.hash)
        payload = Payload(GENESIS_TIME + number, (), (part,), origin, number + 1)
        block = Block(901, number + 1, names[0], names[1], payload)
        decisions = (Decision(names[0], "commit"), Decision(names[1], "abort"))
        causes = dict.fromkeys(names, f"sequencer/1/{number}")
        slot = Slot(1, number, self.slots.head, payload.timestamp, (block,), decisions, causes)
        self.slots.add(slot)
        async with self.slots.changed:
            self.slots.changed.notify_all()

    @contextlib.asynccontextmanager
    async def running(self, blind_s: float = 0) -> AsyncIterator[None]:
        """The publisher at work, and its eyes on L1 (open after a while); cut off in the middle of whatever they do."""
        tasks = [asyncio.create_task(self.publisher.run()), asyncio.create_task(self._look(blind_s))]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for ended in await asyncio.gather(*tasks, return_exceptions=True):
                assert isinstance(ended, asyncio.CancelledError), ended

    async def _look(self, blind_s: float) -> None:
        await asyncio.sleep(blind_s)
        follower = ToyFollower(self.l1)
        while True:
            async for change in follower.changes():
                if isinstance(change, Rewound):
                    self.derivation.rewind(change.number)
                else:
                    self.derivation.add(change)
                await asyncio.sleep(0)
            await asyncio.sleep(0.1)


def _read(slots: SlotLog, log: MemoryLog) -> Recovered:
    """What a log says of superbatches; the slots, whose items are nobody's concern here, stand beside it."""
    bare = [replace(slot, decisions=(), causes={}) for slot in slots.slots]
    records = orjson.loads(orjson.dumps([{"kind": "slot", "slot": slot} for slot in bare]))
    return recover([*records, *log.records()])


def _hold(press: Press, *, complete: bool) -> None:
    """What must be true of L1 and the log at any time."""
    derivation = Derivation(RULES)
    counted = [event for block in press.l1.blocks for event in derivation.add(block)]
    slots = [event.slot for event in counted if isinstance(event, DerivedSlot)]
    assert [slot_hash(slot) for slot in press.slots.slots[: len(slots)]] == [slot_hash(s) for s in slots]
    if complete:
        assert len(press.slots.slots) == len(slots) == press.publisher.published_slots
    signed = [record["superbatch"] for record in press.log.written if record["kind"] == "superbatch"]
    for superbatch in signed:
        sent = decode_transaction(from_hex(superbatch["raw"]))
        held = decode_superbatch(sent.data)
        assert (superbatch["nonce"], L1_CHAIN, from_hex(BATCH_INBOX)) == (sent.nonce, sent.chain_id, sent.to)
        assert (superbatch["number"], superbatch["hash"]) == (held.number, superbatch_hash(sent.data))
        assert list(range(superbatch["first"], superbatch["last"] + 1)) == [
            slot.number for slot in held.slots
        ]
    assert set(press.l1.sent) <= {from_hex(superbatch["raw"]) for superbatch in signed}, (
        "other bytes than those in the log"
    )
    _published(press)


def _published(press: Press) -> list[int]:
    """Numbers of the superbatches that were noted to count, in order; none is noted twice."""
    signed = [record["superbatch"] for record in press.log.written if record["kind"] == "superbatch"]
    numbers = {superbatch["l1_hash"]: superbatch["number"] for superbatch in signed}
    noted = [record["l1_tx"] for record in press.log.written if record["kind"] == "published"]
    assert len(set(noted)) == len(noted)
    return [numbers[digest] for digest in noted]


def test_slots_reach_l1_in_order_and_are_noted_once() -> None:
    """The plain course: slots gather, one superbatch holds them, the journal hears of it once it counts."""

    async def main() -> None:
        press = Press()
        async with press.running():
            for _ in range(3):
                await press.add_slot(b"leg")
            await asyncio.sleep(1.5)
            assert (0, 0, []) == (
                press.publisher.published_slots,
                press.publisher.counting,
                _published(press),
            )
            press.l1.mine()
            await asyncio.sleep(1.0)
            assert (3, 1) == (press.publisher.published_slots, press.publisher.counting)
            await press.add_slot(b"leg")
            await asyncio.sleep(1.5)
            press.l1.mine()
            await asyncio.sleep(1.0)
        assert [0, 1] == _published(press)
        committed = [slot.decisions[0].id for slot in press.slots.slots]
        published = [event for event in press.journal.events if event.event == "bundle.published"]
        assert committed == [event.bundle_id for event in published]
        assert [("sequencer/1/0",), 0, 1] == [
            published[0].cause,
            published[0].attrs["superbatch"],
            published[0].attrs["l1_block"],
        ]
        paid = next(event for event in press.journal.events if event.event == "superbatch.published")
        assert (3, 21_000, 42_000) == (paid.attrs["slots"], paid.attrs["gas"], paid.attrs["wei"])
        _hold(press, complete=True)

    run_virtual(main())


STEPS = st.lists(
    st.one_of(
        st.just(("slot", 0)),
        st.just(("mine", 0)),
        st.just(("restart", 0)),
        st.just(("steal", 0)),
        st.tuples(st.just("before"), st.integers(1, 4)),
        st.tuples(st.just("after"), st.integers(1, 4)),
        st.tuples(st.just("go back"), st.integers(1, 4)),
        st.tuples(st.just("go back and keep"), st.integers(1, 4)),
        st.tuples(st.just("switch"), st.integers(0, 3)),
        st.tuples(st.just("wait"), st.integers(1, 30)),
        st.tuples(st.just("yield"), st.integers(1, 6)),
    ),
    max_size=30,
)


def _steal(l1: ToyL1) -> None:
    """Somebody with the batcher's key uses the next nonce for something else."""
    nonce = int(l1.eth_getTransactionCount(BATCHER, "latest"), 16)
    unsigned = UnsignedTransaction(
        chain_id=L1_CHAIN,
        nonce=nonce,
        max_fee=10**9,
        priority_fee=0,
        gas=21_000,
        to=b"\x22" * 20,
        data=b"",
        value=len(l1.sealed),
    )
    l1.pool[BATCHER, nonce] = sign_transaction(unsigned, BATCHER_KEY)


class Branches:
    """L1 chains that were left, to which L1 may return."""

    def __init__(self) -> None:
        self.left: list[list[object]] = []

    def switch(self, l1: ToyL1, back: int) -> None:
        """Leave the present chain for one that was left before."""
        if self.left:
            chain = self.left[-1 - back % len(self.left)]
            self.left.append(list(l1.sealed))
            l1.sealed = list(chain)  # type: ignore[arg-type]


async def _happens(press: Press, branches: Branches, kind: str, count: int) -> None:
    """One step of the random schedule."""
    match kind:
        case "slot":
            await press.add_slot(b"leg")
        case "mine":
            press.l1.mine()
        case "steal":
            _steal(press.l1)
        case "before" | "after":
            press.l1.failures += [kind] * count
        case "go back" | "go back and keep":
            branches.left.append(list(press.l1.sealed))
            press.l1.go_back(count, keep=kind.endswith("keep"))
        case "switch":
            branches.switch(press.l1, count)
        case "wait":
            await asyncio.sleep(count / 10)
        case _:
            for _ in range(count):
                await asyncio.sleep(0)


@given(STEPS)
@settings(max_examples=300, deadline=None)
def test_every_slot_is_published_exactly_once_over_any_failures(steps: Sequence[tuple[str, int]]) -> None:
    """Lost requests and answers, blocks lost and found again, stolen nonces, restarts: L1 holds a true beginning, in the end all."""

    async def main() -> None:
        press, branches, term = Press(), Branches(), 1
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(press.running())
            for kind, count in steps:
                if kind == "restart":
                    await stack.aclose()
                    term += 1
                    press = Press(press.l1, press.log, press.slots, term)
                    await stack.enter_async_context(press.running())
                else:
                    await _happens(press, branches, kind, count)
                _hold(press, complete=False)
            press.l1.failures.clear()
            await press.add_slot(b"last")  # a publisher that rests looks at L1 again
            for _ in range(40):
                await asyncio.sleep(1.0)
                press.l1.mine()
            _hold(press, complete=True)

    run_virtual(main())


def test_nothing_is_discarded_before_l1_was_read() -> None:
    """Its nonce is taken and nobody has looked yet whether it counts: that is no reason to sign its slots again."""

    async def main() -> None:
        press = Press()
        async with press.running(blind_s=10.0):
            await press.add_slot()
            await asyncio.sleep(1.5)
            press.l1.mine()
            await asyncio.sleep(5.0)
            assert ["superbatch"] == [record["kind"] for record in press.log.written]
            await asyncio.sleep(6.0)
        assert ["superbatch", "published"] == [record["kind"] for record in press.log.written]
        _hold(press, complete=True)

    run_virtual(main())


@pytest.mark.parametrize("grown", [True, False])
@pytest.mark.parametrize("returns", [True, False])
def test_a_discarded_superbatch_leaves_no_trace(returns: bool, grown: bool) -> None:
    """L1 took its nonce for something else, then was reorganised: whether it counts now or its nonce is free again, all goes on."""

    async def main() -> None:
        press = Press()
        async with press.running():
            await press.add_slot()
            await asyncio.sleep(1.5)
            kept = list(press.l1.sealed)
            pooled = dict(press.l1.pool)
            _steal(press.l1)
            if grown:
                await press.add_slot()
            press.l1.mine()
            await asyncio.sleep(3.0)
            press.l1.mine()
            await asyncio.sleep(1.0)
            first, second = (decode_transaction(raw).nonce for raw in dict.fromkeys(press.l1.sent))
            assert (0, 1, [0]) == (first, second, _published(press))
            assert 1 + grown == press.publisher.published_slots
            press.l1.sealed, press.l1.pool = kept, pooled if returns else {}
            for _ in range(3):
                press.l1.mine()
                await press.add_slot()
                await asyncio.sleep(3.0)
            press.l1.mine()
            await asyncio.sleep(3.0)
        assert 4 + grown == len(press.slots.slots)
        _hold(press, complete=True)

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
            assert [0, 1, 2] == _published(again)
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
    """It counts before its receipt is there: publishing is noted as soon as the receipt is, and L1 does not wait for it."""

    async def main() -> None:
        press = Press()
        found = press.l1.eth_getTransactionReceipt
        monkeypatch.setattr(press.l1, "eth_getTransactionReceipt", lambda _: None)
        async with press.running():
            await press.add_slot()
            await asyncio.sleep(1.5)
            press.l1.mine()
            await asyncio.sleep(3.0)
            assert ([], 1) == (_published(press), press.publisher.published_slots)
            monkeypatch.setattr(press.l1, "eth_getTransactionReceipt", found)
            await asyncio.sleep(1.0)
            assert [0] == _published(press)

    run_virtual(main())


@pytest.mark.parametrize("data", [b"", b"\x00" * 100, b"\x01" * 100, bytes(50) + b"\x07" * 50])
def test_gas_covers_calldata_and_its_floor(data: bytes) -> None:
    """EIP-2028 prices and EIP-7623's floor: what L1 charges for a transaction that only carries data."""
    tokens = sum(4 if byte else 1 for byte in data)
    assert max(21_000 + 4 * tokens, 21_000 + 10 * tokens) == calldata_gas(data)
    assert availability.FEE_HEADROOM >= 2
