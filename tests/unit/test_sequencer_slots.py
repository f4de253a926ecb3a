"""The slot loop: nothing is visible before it is durable, slots chain, time goes forward, deadlines end with a reason."""

from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from bridge.wire.errors import INVALID_PARAMS
from bridge.wire.jsonrpc import answer
from bridge.wire.keccak import to_hex
from bridge.wire.slot import GENESIS_PARENT, slot_hash
from bridge.wire.testing import Op, signed
from shared_sequencer import sequencer as module
from shared_sequencer.testing import MemoryLog, ToySet, bundle_item
from shared_sequencer.testing_life import Life, drain, effects, hashes

CHAINS = (901, 902)


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
        assert not effects(toys)
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
    assert Counter(hashes(good)) == effects(toys)
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
    assert ("down", [1, 0]) == (life.rollups[902].state, [len(node.payloads) for node in toys.nodes.values()])
    assert "committed" == (await life.rpc.handle("rollnet_getStatus", [item.id]))["status"]
    toys.nodes[902].unreachable = False
    following = bundle_item([signed(902, 0, 1)])
    await life.admit(following)
    assert await life.sequencer.slot() is None
    await drain(life)
    assert Counter([*hashes(item), *hashes(following)]) == effects(toys)


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
    await drain(second)
    assert "expired" == (await second.rpc.handle("rollnet_getStatus", [down.id]))["status"]
    assert Counter(hashes(alive)) == effects(toys)


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


BAD_REQUESTS: list[tuple[str, list[Any]]] = [
    ("eth_sendBundle", ["0x"]),
    ("eth_sendBundle", [{"txs": "0x", "maxTimestamp": 5}]),
    ("eth_sendBundle", [{"txs": []}]),
    ("eth_sendBundle", [{"txs": [], "maxTimestamp": 5}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": True}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": 1.5}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": -1}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": hex(2**64)}]),
    ("eth_sendBundle", [{"txs": [5], "maxTimestamp": 5}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": 5, "salt": "0x00"}]),
    ("eth_sendBundle", [{"txs": ["0x"], "maxTimestamp": 5, "minTimestamp": 5}]),
    ("eth_sendRawTransaction", [5]),
    ("eth_sendRawTransaction", [to_hex(signed(901, 0, 0).raw), {"not": "an event"}]),
    ("eth_sendRawTransaction", [to_hex(signed(901, 0, 0).raw), "x" * 100_000]),
    ("rollnet_waitForEnd", ["0x00", "nan"]),
    ("rollnet_waitForEnd", ["0x00", None]),
    ("rollnet_getSlot", ["latest"]),
    ("rollnet_getSlots", [-1]),
    ("rollnet_getSlots", [0, 0.5]),
    ("rollnet_pendingNonce", [901, "0x12"]),
]


@pytest.mark.parametrize(("method", "params"), BAD_REQUESTS)
async def test_bad_parameters_are_the_callers_mistake(method: str, params: list[Any]) -> None:
    """Each is refused as invalid, nothing is remembered, and no internal error is logged."""
    life = await Life(MemoryLog(), ToySet(CHAINS)).begin()
    body = orjson.dumps({"id": 1, "method": method, "params": params})
    told = orjson.loads(await answer(body, life.rpc.handle))
    assert INVALID_PARAMS == told["error"]["code"], told
    assert 0 == len(life.mempool)
