"""Recovery: no crash, and no cut of the log, loses an item or decides it twice."""

import random
from collections import Counter
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.slot import Slot
from bridge.wire.testing import Op, run_virtual, signed
from bridge.wire.transaction import Transaction
from shared_sequencer import sequencer as module
from shared_sequencer.errors import WalDamaged
from shared_sequencer.mempool import Item
from shared_sequencer.recovery import recover
from shared_sequencer.testing import MemoryLog, ToySet, bundle_item, transaction_item
from shared_sequencer.testing_life import Life, drain, effects, hashes

CHAINS = (901, 902)


class Crash(Exception):  # noqa: N818 - what happens, not an error of anybody's
    """The sequencer dies here."""


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that the test sets."""
    fake = SimpleNamespace(now=1_000.0)
    fake.time = fake.monotonic = lambda: fake.now
    monkeypatch.setattr(module, "time", fake)
    return fake


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
    assert not effects(toys)
    log.after = log.before = None
    second = await Life(log, toys).begin()
    assert 2 == second.term
    assert durable == (item.id in second.mempool.ended)
    assert durable == (item.id not in second.mempool.waiting)
    if durable:
        assert ["bundle.decided"] == second.journal.of(item.id)
        assert {"recovered": True, "decision": "commit", "slot": 0} == second.journal.events[-1].attrs
    await drain(second)
    assert Counter([*hashes(item), *hashes(single)]) == effects(toys)
    assert 1 == len(second.slots.slots)


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
    found = recover(log.records())
    seen = effects(toys)
    for item in admitted:
        waits, ends = item.id in found.mempool.waiting, item.id in found.mempool.ended
        assert waits != ends, "forgotten, or both waiting and ended"
        took = [seen[digest] for digest in hashes(item)]
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
        await drain(life)
        _hold(log, toys, admitted)
        for item in admitted:
            end = life.mempool.ended.get(item.id)
            took = [effects(toys)[digest] for digest in hashes(item)]
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
                await drain(await Life(prefix, toys).begin())
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
    for path, wrong in ((("blocks", 0, "number"), 3), (("parent",), "0x" + "11" * 32), (("number",), 7)):
        changed = MemoryLog(log.written).written
        inner = changed[places[1]]["slot"]
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = wrong
        broken.append(changed)
    for records in broken:
        with pytest.raises(WalDamaged):
            recover(MemoryLog(records).records())


async def test_a_transaction_that_comes_again_after_it_expired_runs_once(clock: SimpleNamespace) -> None:
    """Admitted, expired, admitted again, included: in this life and after any restart it is included, and once."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    early, later = transaction_item(signed(901, 0, 0), 999), transaction_item(signed(901, 0, 0), 5_000)
    await life.admit(early)
    await life.sequencer.slot()
    assert "expired" == (await life.rpc.handle("rollnet_getStatus", [early.id]))["status"]
    await life.admit(later)
    second = await Life(log, toys).begin()
    assert "pending" == (await second.rpc.handle("rollnet_getStatus", [early.id]))["status"]
    await drain(second)
    third = await Life(log, toys).begin()
    assert "included" == (await third.rpc.handle("rollnet_getStatus", [early.id]))["status"]
    assert Counter(hashes(early)) == effects(toys)


async def test_a_restart_after_a_dropped_transaction_came_again(clock: SimpleNamespace) -> None:
    """The last slot dropped it, it was admitted anew, and waits: the next life begins, says the drop again, and it waits on."""
    toys, log = ToySet(CHAINS), MemoryLog()
    life = await Life(log, toys).begin()
    toys.nodes[901].state.nonces[signed(901, 0, 0).sender] = 1
    item = transaction_item(signed(901, 0, 0))
    await life.admit(item)
    await life.sequencer.slot()
    assert "dropped" == (await life.rpc.handle("rollnet_getStatus", [item.id]))["status"]
    await life.admit(item)
    again = await Life(log, toys).begin()
    assert "pending" == (await again.rpc.handle("rollnet_getStatus", [item.id]))["status"]
    assert ["bundle.decided"] == again.journal.of(item.id)
