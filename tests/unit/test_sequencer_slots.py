"""The slot loop and its recovery: nothing is visible before it is durable, and no crash loses or repeats a decision."""

import random
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.keccak import to_hex
from bridge.wire.slot import GENESIS_PARENT, Slot, slot_hash
from bridge.wire.testing import MemoryJournal, Op, run_virtual, signed
from bridge.wire.transaction import Transaction
from shared_sequencer import sequencer as module
from shared_sequencer.admission import Admission
from shared_sequencer.errors import WalDamaged
from shared_sequencer.mempool import Item
from shared_sequencer.node import _place, _repeat_last_decisions, recover
from shared_sequencer.ordering import FirstComeFirstServed
from shared_sequencer.rpc import SequencerRpc
from shared_sequencer.sequencer import Sequencer
from shared_sequencer.testing import MemoryLog, ToySet, bundle_item, transaction_item

CHAINS = (901, 902)


class Crash(Exception):  # noqa: N818 - what happens, not an error of anybody's
    """The sequencer dies here."""


class Life:
    """One life of a sequencer on a log and a set of nodes that outlive it."""

    def __init__(self, log: MemoryLog, toys: ToySet, block_time_s: float = 10**9) -> None:
        self.log, self.toys = log, toys
        found = recover(log)
        self.mempool, self.slots, self.term, self.publishing = (
            found.mempool,
            found.slots,
            found.term + 1,
            found.publishing,
        )
        self.journal = MemoryJournal("sequencer", "sequencer")
        _repeat_last_decisions(found, self.journal, {})
        self.rollups = toys.rollups(block_time_s, up=False)
        for rollup in self.rollups.values():
            rollup.number, rollup.hash, rollup.head = 0, None, {}
        _place(list(self.rollups.values()), found.slots)
        self.sequencer = Sequencer(
            term=self.term,
            slot_s=0.2,
            rollups=list(self.rollups.values()),
            mempool=self.mempool,
            slots=self.slots,
            wal=log,
            journal=self.journal,
            policy=FirstComeFirstServed(),
        )
        self.admission = Admission(list(self.rollups.values()), self.mempool, log, self.journal, 1_000)
        self.rpc = SequencerRpc(
            sequencer=self.sequencer,
            admission=self.admission,
            mempool=self.mempool,
            slots=self.slots,
            publisher=SimpleNamespace(superbatches=[], published_slots=0),  # type: ignore[arg-type]
            rollups=list(self.rollups.values()),
        )

    async def begin(self) -> "Life":
        """What the node does before its loop: a term of its own, greetings, and nodes that fetch what they missed."""
        await self.log.append([{"kind": "term", "term": self.term}])
        await self.greet()
        return self

    async def greet(self) -> None:
        """Greet whoever is not up; nodes follow the log in between."""
        for chain, rollup in self.rollups.items():
            if not rollup.up:
                await rollup._greet(self.term)
                if rollup.state == "behind":
                    await self.follow(chain)
                    await rollup._greet(self.term)

    async def follow(self, chain: int) -> None:
        """A node asks for the blocks that it missed."""
        node = self.toys.nodes[chain]
        for message in await self.rpc.handle("rollnet_getBlocks", [chain, node.gate["number"] + 1, 100]):
            node.commit(orjson.loads(orjson.dumps(message)))

    async def admit(self, item: Item) -> None:
        """Acknowledge an item (its checks are another file's matter)."""
        await self.log.append([item.to_record()])
        self.mempool.add(item)


def _effects(toys: ToySet) -> Counter[str]:
    return Counter(digest for node in toys.nodes.values() for digest in node.visible())


def _hashes(item: Item) -> list[str]:
    return [to_hex(leg.hash) for leg in item.legs]


async def _drain(life: Life, limit: int = 30) -> None:
    for _ in range(limit):
        await life.greet()
        if await life.sequencer.slot() is None:
            return


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets."""
    fake = SimpleNamespace(now=1_000.0)
    fake.time = fake.monotonic = lambda: fake.now
    monkeypatch.setattr(module, "time", fake)
    return fake


async def test_nothing_is_visible_before_the_decision_is_durable(clock: SimpleNamespace) -> None:
    """Up to the return of the log's append: no block is served, no status changes, no node is told, no event says decided."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    good = bundle_item([signed(901, 0, 0), signed(902, 0, 0)])
    bad = bundle_item([signed(901, 1, 0, ((Op.NEED, 0, 1),)), signed(902, 1, 0)])
    for item in (good, bad):
        await life.admit(item)
    looked: list[bool] = []

    async def look(_: Sequence[Any]) -> None:
        assert not _effects(toys)
        assert {"pending"} == {
            (await life.rpc.handle("rollnet_getStatus", [i.id]))["status"] for i in (good, bad)
        }
        assert not [call for node in toys.nodes.values() for call in node.calls if call[0] == "rollup_commit"]
        assert "bundle.decided" not in [event.event for event in life.journal.events]
        assert [] == await life.rpc.handle("rollnet_getSlots", [0])
        assert [] == await life.rpc.handle("rollnet_getBlocks", [901, 1, 10])
        looked.append(True)

    log.before = log.after = look
    slot = await life.sequencer.slot()
    assert [True, True] == looked
    assert slot is not None
    assert Counter(_hashes(good)) == _effects(toys)
    status = await life.rpc.handle("rollnet_getStatus", [good.id])
    assert ("committed", 0, [1, 1]) == (
        status["status"],
        status["slot"],
        [leg["blockNumber"] for leg in status["legs"]],
    )
    status = await life.rpc.handle("rollnet_getStatus", [bad.id])
    assert ("aborted", 0, "toy failed") == (
        status["status"],
        status["reason"]["leg"],
        status["reason"]["message"],
    )
    assert [None, None] == [leg["blockNumber"] for leg in status["legs"]]
    assert ["bundle.sequenced", "bundle.decided"] == life.journal.of(good.id)


@pytest.mark.parametrize("durable", [True, False])
async def test_a_crash_around_the_append_is_redone_or_forgotten(
    clock: SimpleNamespace, durable: bool
) -> None:
    """Died after the append: the slot is true and everybody learns it. Died before: it never was, and the items wait."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    item = bundle_item([signed(901, 0, 0), signed(902, 0, 0)])
    single = transaction_item(signed(901, 1, 0))
    for waiting in (item, single):
        await life.admit(waiting)

    async def die(_: Sequence[Any]) -> None:
        raise Crash

    setattr(log, "after" if durable else "before", die)
    with pytest.raises(Crash):
        await life.sequencer.slot()
    assert not _effects(toys)
    log.after = log.before = None
    second = await Life(log, toys).begin()
    assert 2 == second.term
    assert durable == (item.id in second.mempool.ended)
    assert durable == (item.id not in second.mempool.waiting)
    if durable:
        assert ["bundle.decided"] == second.journal.of(item.id)
        assert {"recovered": True, "decision": "commit", "slot": 0} == second.journal.events[-1].attrs
    await _drain(second)
    assert Counter([*_hashes(item), *_hashes(single)]) == _effects(toys)
    assert 1 == len(second.slots.slots)


async def test_a_node_that_missed_the_commit_catches_up_and_takes_part_again(clock: SimpleNamespace) -> None:
    """The decision stands without it; it gets the block from the log, and the next slot includes it."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    item = bundle_item([signed(901, 0, 0), signed(902, 0, 0)])
    await life.admit(item)

    async def deaf(_: Sequence[Any]) -> None:
        toys.nodes[902].unreachable = True

    log.after = deaf
    await life.sequencer.slot()
    log.after = None
    assert ("down", [1, 0]) == (life.rollups[902].state, [len(node.blocks) for node in toys.nodes.values()])
    assert "committed" == (await life.rpc.handle("rollnet_getStatus", [item.id]))["status"]
    toys.nodes[902].unreachable = False
    following = bundle_item([signed(902, 0, 1)])
    await life.admit(following)
    assert await life.sequencer.slot() is None
    await _drain(life)
    assert Counter([*_hashes(item), *_hashes(following)]) == _effects(toys)


async def test_slots_chain_and_time_never_goes_back(clock: SimpleNamespace) -> None:
    """Parents are hashes, numbers count, timestamps are monotone over clock jumps and restarts, terms grow."""
    toys, log = ToySet(CHAINS), MemoryLog()
    for nonce, now in enumerate([2_000.9, 1_500.0, 1_999.0, 2_100.0, 10.0]):
        clock.now = now
        life = await Life(log, toys).begin()
        await life.admit(bundle_item([signed(901, 0, nonce)]))
        await life.sequencer.slot()
    slots = life.slots.slots
    assert [0, 1, 2, 3, 4] == [slot.number for slot in slots]
    assert [GENESIS_PARENT, *(slot_hash(slot) for slot in slots[:-1])] == [slot.parent for slot in slots]
    assert [2_000, 2_000, 2_000, 2_100, 2_100] == [slot.timestamp for slot in slots]
    assert [1, 2, 3, 4, 5] == [slot.term for slot in slots]
    assert slot_hash(slots[-1]) == life.slots.head


async def test_deadlines_expire_with_a_reason_and_for_good(clock: SimpleNamespace) -> None:
    """A gap, a rollup that was down, no room: each is named; an expired item stays expired after a restart."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    gap = bundle_item([signed(901, 0, 5)], 1_001)
    down = bundle_item([signed(901, 1, 0), signed(902, 1, 0)], 1_001)
    alive = bundle_item([signed(901, 2, 0)], 1_002)
    life.rollups[902].state = "down"
    for item in (gap, down, alive):
        await life.admit(item)
    clock.now = 1_002.0
    await life.sequencer.slot()
    reasons = {
        item.id: (await life.rpc.handle("rollnet_getStatus", [item.id]))["reason"] for item in (gap, down)
    }
    assert "nonce 5 on rollup-901 never became next (next is 0)" in reasons[gap.id]["message"]
    assert "rollup rollup-902 was down" in reasons[down.id]["message"]
    assert ["bundle.expired"] == life.journal.of(gap.id)
    assert "committed" == (await life.rpc.handle("rollnet_getStatus", [alive.id]))["status"]
    second = await Life(log, toys).begin()
    clock.now = 900.0
    await _drain(second)
    assert "expired" == (await second.rpc.handle("rollnet_getStatus", [down.id]))["status"]
    assert Counter(_hashes(alive)) == _effects(toys)


async def test_no_work_means_no_slot_and_a_due_block_means_one(clock: SimpleNamespace) -> None:
    """Idle rollups get a block every block time, and the log nothing in between."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys, block_time_s=2.0).begin()
    assert await life.sequencer.slot() is not None
    before = len(log.written)
    assert await life.sequencer.slot() is None
    clock.now += 1.9
    assert await life.sequencer.slot() is None
    assert before == len(log.written)
    clock.now += 0.2
    slot = await life.sequencer.slot()
    assert slot is not None
    assert (CHAINS, ()) == (tuple(block.chain_id for block in slot.blocks), slot.decisions)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, Any]]:
    """A schedule: admissions (bundles and singles that may fail), slots, nodes that come and go, crashes, time."""
    nonces: Counter[tuple[int, int]] = Counter()

    def leg() -> Transaction:
        chain, account = draw(st.sampled_from(CHAINS)), draw(st.integers(0, 2))
        nonce = nonces[chain, account]
        nonces[chain, account] += 1
        fails = draw(st.sampled_from([False, False, False, True]))
        return signed(chain, account, nonce, ((Op.NEED, 0, 9),) if fails else ((Op.ADD, 1, 1),))

    steps: list[tuple[str, Any]] = []
    for _ in range(draw(st.integers(1, 10))):
        kind = draw(
            st.sampled_from(["bundle", "bundle", "single", "slot", "slot", "lose", "tick", "die", "die-late"])
        )
        match kind:
            case "bundle":
                deadline = draw(st.sampled_from([10**9, 10**9, 1_003]))
                steps.append(
                    ("admit", bundle_item([leg() for _ in range(draw(st.integers(1, 3)))], deadline))
                )
            case "single":
                steps.append(("admit", transaction_item(leg(), 10**9)))
            case "lose":
                steps.append((kind, draw(st.sampled_from(CHAINS))))
            case _:
                steps.append((kind, None))
    return steps


async def _play(
    steps: list[tuple[str, Any]], log: MemoryLog, toys: ToySet, clock: SimpleNamespace
) -> list[Item]:
    """Live through a schedule; returns the acknowledged items."""
    admitted: list[Item] = []
    life = await Life(log, toys).begin()

    async def die(_: Sequence[Any]) -> None:
        raise Crash

    for kind, what in steps:
        try:
            match kind:
                case "admit":
                    await life.admit(what)
                    admitted.append(what)
                case "slot":
                    await life.greet()
                    await life.sequencer.slot()
                case "lose":
                    toys.nodes[what].unreachable = not toys.nodes[what].unreachable
                case "tick":
                    clock.now += 1.5
                case _:
                    setattr(log, "after" if kind == "die-late" else "before", die)
                    await life.greet()
                    await life.sequencer.slot()
        except Crash:
            log.after = log.before = None
            life = await Life(log, toys).begin()
        log.after = log.before = None
    return admitted


def _hold(log: MemoryLog, toys: ToySet, admitted: list[Item]) -> None:
    """The invariants of a log at rest."""
    decided: Counter[str] = Counter()
    for record in log.written:
        if record["kind"] == "slot":
            decided.update(decision.id for decision in Slot.from_json(record["slot"]).decisions)
        elif record["kind"] == "end":
            decided[record["id"]] += 1
    assert not [identity for identity, count in decided.items() if count > 1], "decided twice"
    found = recover(log)
    effects = _effects(toys)
    for item in admitted:
        waits, ends = item.id in found.mempool.waiting, item.id in found.mempool.ended
        assert waits != ends, "forgotten, or both waiting and ended"
        took = [effects[digest] for digest in _hashes(item)]
        if ends and found.mempool.ended[item.id].decision.outcome in ("commit", "include"):
            assert all(count <= 1 for count in took)
        else:
            assert not any(took), "an undecided or aborted item has an effect"


@given(histories())
@settings(max_examples=120, deadline=None)
def test_whatever_happens_every_item_ends_once_and_whole(steps: list[tuple[str, Any]]) -> None:
    """Over any schedule of work, losses and crashes: no item is forgotten or decided twice; at rest effects are all or nothing."""
    clock = SimpleNamespace(now=1_000.0)
    clock.time = clock.monotonic = lambda: clock.now

    async def main() -> None:
        log, toys = MemoryLog(), ToySet(CHAINS)
        admitted = await _play(steps, log, toys, clock)
        _hold(log, toys, admitted)
        for node in toys.nodes.values():
            node.unreachable = False
        life = await Life(log, toys).begin()
        await _drain(life)
        _hold(log, toys, admitted)
        for item in admitted:
            end = life.mempool.ended.get(item.id)
            took = [_effects(toys)[digest] for digest in _hashes(item)]
            committed = end is not None and end.decision.outcome in ("commit", "include")
            assert [int(committed)] * len(took) == took

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        run_virtual(main())


@given(histories(), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_every_prefix_of_the_log_recovers(steps: list[tuple[str, Any]], choice: random.Random) -> None:
    """Cut the log at any record: recovery keeps every item whose record is there, decides none again, and can go on."""
    clock = SimpleNamespace(now=1_000.0)
    clock.time = clock.monotonic = lambda: clock.now

    async def main() -> None:
        log = MemoryLog()
        await _play(steps, log, ToySet(CHAINS), clock)
        for cut in range(len(log.written) + 1):
            prefix, toys = MemoryLog(log.written[:cut]), ToySet(CHAINS)
            known = [Item.from_record(r) for r in prefix.written if r["kind"] in ("bundle", "transaction")]
            _hold(prefix, toys, known)
            if choice.random() < 0.3:
                await _drain(await Life(prefix, toys).begin())
                _hold(prefix, toys, known)
                assert log.written[:cut] == prefix.written[:cut]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "time", clock)
        run_virtual(main())


async def test_a_log_that_contradicts_itself_is_refused(clock: SimpleNamespace) -> None:
    """A slot out of its place, a missing slot, a block out of its place, an unknown record: each stops recovery."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    for nonce in range(3):
        await life.admit(bundle_item([signed(901, 0, nonce)]))
        await life.sequencer.slot()
    places = [place for place, record in enumerate(log.written) if record["kind"] == "slot"]
    without = [record for place, record in enumerate(log.written) if place != places[1]]
    twice = [*log.written, log.written[places[0]]]
    foreign = [*log.written, {"kind": "certificate"}]
    broken = [without, twice, foreign]
    for path, wrong in ((("blocks", 0, "number"), 2), (("parent",), "0x" + "11" * 32), (("number",), 7)):
        changed = MemoryLog(log.written).written
        inner = changed[places[1]]["slot"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        broken.append(changed)
    for records in broken:
        with pytest.raises(WalDamaged):
            recover(MemoryLog(records))
