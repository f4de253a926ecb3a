"""Cuts: L1 takes back what the log rests on, or forces blocks against it; no item is lost, none takes effect twice."""

import asyncio
import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bridge.wire.keccak import to_hex
from bridge.wire.slot import GENESIS_PARENT, Block, Origin, Payload, Slot
from bridge.wire.testing import signed
from shared_sequencer.errors import CutNeeded, WalDamaged
from shared_sequencer.mempool import Item
from shared_sequencer.recovery import recover
from shared_sequencer.slot_log import Cut, SlotLog
from shared_sequencer.testing_life import Life
from shared_sequencer.testing_world import WINDOW, Crash, World, both, cuts, single


async def _lose_an_origin(world: World) -> list[Item]:
    """Slot 0 stands on epoch 0; slots 1 and 2, with a bundle each, on an L1 block that is then replaced."""
    items = [await world.admit(both(0))]
    await world.slot()
    world.toys.l1.mine({901: [7]})
    await world.look()
    for item in (both(1), both(0, 1)):
        items.append(await world.admit(item))
        await world.slot()
    items.append(await world.admit(both(2, 1)))  # its nonce is not yet next
    assert (3, 1) == (len(world.life.slots.slots), len(world.life.mempool))
    world.toys.l1.go_back(1)
    world.toys.l1.mine({901: [8], 902: [7]})
    return items


def test_a_lost_origin_takes_back_what_stands_on_it() -> None:
    """Slots on the lost L1 block count no more; their items wait in their old order and then take effect once."""

    async def main(world: World) -> None:
        items = await _lose_an_origin(world)
        old = world.life
        await world.look(nodes=False)
        assert ([(1, 0)], old.term + 1) == (cuts(world.log), world.life.term)
        assert [item.id for item in items[1:]] == list(world.life.mempool.waiting)
        assert [1, 1] == [node.gate["number"] for node in world.toys.nodes.values()], "not told to go back"
        assert not world.life.view.over
        await world.settle()
        world.committed_once(*items[:3])
        world.deposits_once()
        assert [(1, 0)] == cuts(world.log)

    World().run(main)


@pytest.mark.parametrize("where", ["before the cut", "after the cut", "before the term", "after the term"])
def test_a_crash_around_a_cut_changes_nothing(where: str) -> None:
    """Whichever record it dies before or after: the next life is where the cut leads, and everything ends once."""

    async def main(world: World) -> None:
        items = await _lose_an_origin(world)
        when, kind = where.split(" the ")

        async def die(records: Sequence[Any]) -> None:
            if [kind] == [record["kind"] for record in records]:
                raise Crash

        setattr(world.log, when, die)
        with pytest.raises(Crash):
            await world.look()
        await world.again()
        assert [(1, 0)] == cuts(world.log)
        assert [item.id for item in items[1:]] == list(world.life.mempool.waiting)
        await world.settle()
        world.committed_once(*items[:3])
        world.deposits_once()

    World().run(main)


def test_a_crash_while_l1_changes_is_noticed_by_the_next_life() -> None:
    """L1 was reorganised while nobody looked: the next life cuts before it decides anything."""

    async def main(world: World) -> None:
        items = await _lose_an_origin(world)
        await world.again()
        assert [(1, 0)] == cuts(world.log)
        await world.settle()
        world.committed_once(*items[:3])

    World().run(main)


def test_two_reorganisations_in_a_row() -> None:
    """The second comes while the first is being dealt with, and goes deeper: both cuts stand, everything ends once."""

    async def main(world: World) -> None:
        items = [await world.admit(both(n)) for n in range(3)]
        for n in range(3):
            world.toys.l1.mine({902: [7]})
            await world.look()
            await world.slot()
            items.append(await world.admit(single(n, 1)))
        world.toys.l1.go_back(1)
        world.toys.l1.mine()
        await world.look(nodes=False)
        world.toys.l1.go_back(3)
        for _ in range(4):
            world.toys.l1.mine({901: [8]})
        await world.look()
        assert [(2, 0), (0, 0)] == cuts(world.log)
        await world.settle()
        world.committed_once(*items)
        world.deposits_once()

    World().run(main)


def test_slots_that_were_taken_back_are_restored_when_l1_returns_to_them() -> None:
    """They were published on the branch that is true again: they count, with their items, and what took their place does not."""

    async def main(world: World) -> None:
        first = await _published_and_cut(world)
        second = await world.admit(both(1))
        await world.slot()
        assert {first.id, second.id} >= set(world.life.mempool.waiting)
        world.toys.l1.come_back()
        for _ in range(3):
            world.toys.l1.mine()
        await world.look()
        assert 1 == len([record for record in world.log.written if record["kind"] == "restore"])
        assert "commit" == world.life.mempool.ended[first.id].decision.outcome
        world.hold()
        await world.settle()
        assert {first.id, second.id} == set(world.life.mempool.ended)

    World().run(main)


def test_a_crash_around_a_restoration_changes_nothing() -> None:
    """Whether the record was written or not, the next life reads L1 and the log and comes to the same."""

    async def main(world: World, *, late: bool) -> None:
        first = await _published_and_cut(world)
        world.toys.l1.come_back()
        world.toys.l1.mine()

        async def die(records: Sequence[Any]) -> None:
            if any(record["kind"] == "restore" for record in records):
                raise Crash

        setattr(world.log, "after" if late else "before", die)
        with pytest.raises(Crash):
            await world.look()
        await world.again()
        await world.settle()
        assert "commit" == world.life.mempool.ended[first.id].decision.outcome

    for late in (False, True):
        World().run(functools.partial(main, late=late))


def test_a_log_that_is_older_than_what_l1_holds_stops_the_sequencer() -> None:
    """It never had the slot that counts: going on would contradict L1, a human must look."""

    async def main(world: World) -> None:
        world.toys.l1.mine()
        await world.look()
        await world.admit(both(0))
        await world.slot()
        await world.publish()
        world.log.written[:] = [record for record in world.log.written if record["kind"] != "slot"]
        world.log.written[:] = [record for record in world.log.written if record["kind"] != "superbatch"]
        world.toys.l1.mine()
        with pytest.raises(WalDamaged, match="which this log does not have"):
            await world.again()

    World().run(main)


def test_an_item_that_expired_meanwhile_is_committed_all_the_same() -> None:
    """L1 leads: its slot counts again, whatever the clock said while it didn't."""

    async def main(world: World) -> None:
        first = await _published_and_cut(world)
        await world.log.append([{"kind": "end", "id": first.id, "reason": "late"}])
        await world.again()
        assert "expire" == world.life.mempool.ended[first.id].decision.outcome
        world.toys.l1.come_back()
        world.toys.l1.mine()
        await world.look()
        assert "commit" == world.life.mempool.ended[first.id].decision.outcome
        await world.settle()

    World().run(main)


async def _published_and_cut(world: World) -> Item:
    """A bundle whose slot was on L1, until L1 was reorganised and the log cut."""
    world.toys.l1.mine()
    await world.look()
    item = await world.admit(both(0))
    await world.slot()
    await world.publish()
    world.toys.l1.mine()
    await world.look()
    world.toys.l1.go_back(2)
    left = list(world.toys.l1.left)
    for _ in range(3):
        world.toys.l1.mine()
    await world.look()
    world.toys.l1.left = left
    assert [(0, 0)] == cuts(world.log)
    return item


def test_nothing_is_decided_while_l1_is_shorter_than_what_is_used() -> None:
    """An origin is gone and nothing stands in its place yet: no slot, and no cut, until L1 says which."""

    async def main(world: World) -> None:
        await _lose_an_origin(world)
        world.toys.l1.go_back(1)
        await world.look()
        await world.admit(both(3))
        assert (None, []) == (await world.slot(), cuts(world.log))
        world.toys.l1.mine()
        await world.look()
        assert [(1, 0)] == cuts(world.log)
        assert await world.slot() is not None

    World().run(main)


def test_a_reorganisation_below_the_confirmations_cuts_nothing() -> None:
    """A sequencer that waits for two L1 blocks on top of an origin does not notice when two are replaced."""

    async def main(world: World) -> None:
        for turn in range(4):
            world.toys.l1.mine({901: [7]})
            await world.look()
            await world.admit(both(turn))
            await world.slot()
            await world.publish()
        assert 2 == world.life.slots.heads[901].origin.number
        world.toys.l1.go_back(2)
        world.toys.l1.mine({901: [8]})
        await world.look()
        await world.publish()
        await world.settle()
        world.committed_once(*world.admitted)
        world.deposits_once()
        assert [] == cuts(world.log)

    World(confirmations=2).run(main)


def test_a_rollup_that_lags_is_forced_and_goes_on_from_there() -> None:
    """902 is gone for longer than the window: L1 gives it its blocks, nothing is cut, and bundles wait for it."""

    async def main(world: World) -> None:
        first = await world.admit(both(0))
        await world.slot()
        world.toys.nodes[902].unreachable = True
        waiting, alone = await world.admit(both(1)), await world.admit(single(2))
        for _ in range(WINDOW + 3):
            world.clock.now += 1
            world.toys.l1.mine({902: [7]})
            await world.look(nodes=False)
            await world.slot()
            await world.publish()
        assert [902] * (WINDOW + 2) == [block.chain_id for _, block in world.life.slots.forced]
        assert ("down", 1 + WINDOW + 2) == (world.life.rollups[902].state, world.life.rollups[902].number)
        assert [waiting.id] == list(world.life.mempool.waiting)
        await world.again()
        assert 1 + WINDOW + 2 == world.life.rollups[902].number
        world.toys.nodes[902].unreachable = False
        await world.life.greet()
        assert "behind" == world.life.rollups[902].state
        await world.settle()
        world.committed_once(first, waiting, alone)
        world.deposits_once()
        assert [] == cuts(world.log)

    World().run(main)


@pytest.mark.parametrize("signed_before", [True, False])
def test_blocks_that_were_not_published_in_time_give_way_to_forced_ones(signed_before: bool) -> None:
    """Decided and never on L1: the end of the window takes their numbers, the items wait and are decided once more."""

    async def main(world: World) -> None:
        items = [await world.admit(both(n)) for n in range(2)]
        await world.slot()
        await world.publish()
        world.toys.l1.mine()
        await world.look()
        assert 1 == world.life.publisher.published_slots
        items += [await world.admit(item) for item in (single(0, 1), both(2))]
        await world.slot()
        if signed_before:
            world.toys.l1.failures = ["after"] * 3
            await world.publish(1.2)
            world.toys.l1.failures, world.toys.l1.pool = [], {}
        for _ in range(WINDOW + 1):
            world.toys.l1.mine({901: [7]})
        await world.look(nodes=False)
        assert [(1, 0)] == cuts(world.log)
        assert [item.id for item in items[2:]] == list(world.life.mempool.waiting)
        assert {901, 902} == {block.chain_id for _, block in world.life.slots.forced}
        assert [] == [s for s in world.life.publisher.superbatches if s.last > 0]
        await world.settle()
        world.committed_once(*items)
        world.deposits_once()
        assert [(1, 0)] == cuts(world.log)

    World().run(main)


@pytest.mark.parametrize("deep", [True, False])
def test_a_log_that_rests_on_forced_blocks_is_cut_in_its_turn(deep: bool) -> None:
    """Slots on forced blocks on slots: a forced block takes the last ones back, a reorganisation also forced ones."""

    async def main(world: World) -> None:
        items = [await world.admit(both(0))]
        await world.slot()
        await world.publish()
        for _ in range(WINDOW + 2):
            world.toys.l1.mine({902: [7]})
        await world.look()
        forced = len(world.life.slots.forced)
        assert (1, 2 * (WINDOW + 2)) == (len(world.life.slots.slots), forced)
        for turn in (1, 2):
            items.append(await world.admit(both(turn)))
            await world.slot()
            if turn == 1:
                await world.publish()
        if deep:
            world.toys.l1.go_back(2)
        for _ in range(WINDOW + 1 if deep else WINDOW + 2):
            world.toys.l1.mine({901: [8]})
        await world.look()
        kept = cuts(world.log)
        assert (1, forced // 2 - 2) == kept[0] if deep else (2, forced) == kept[0]
        await world.settle()
        world.committed_once(*items)
        world.deposits_once()

    World().run(main)


def test_a_late_superbatch_has_no_effect_and_its_slots_are_signed_anew() -> None:
    """It was in the pool when the window ended, and is mined after: one word in the log of L1, nothing else."""

    async def main(world: World) -> None:
        world.toys.l1.mine()
        await world.look()
        items = [await world.admit(both(n)) for n in range(2)]
        await world.slot()
        await world.publish(1.2)
        late, world.toys.l1.pool = world.toys.l1.pool, {}
        assert 1 == len(late)
        for _ in range(WINDOW + 2):
            world.toys.l1.mine()
        await world.look()
        world.toys.l1.pool = late
        await world.settle()
        world.committed_once(*items)
        assert [(0, 0)] == cuts(world.log)

    World().run(main)


def test_a_slot_in_the_making_ends_before_the_log_is_cut() -> None:
    """L1 loses the origin of a slot that is being staged: the slot is decided, and then taken back; no slot follows the cut."""

    async def main(world: World) -> None:
        world.toys.l1.mine({901: [7]})
        world.life = await world.life.look()
        item = await world.admit(both(0))
        staging, go_on = asyncio.Event(), asyncio.Event()

        async def hold(method: str, _: Sequence[Any]) -> None:
            if method == "rollup_stage":
                staging.set()
                await go_on.wait()

        world.toys.nodes[901].hook = hold
        working = asyncio.create_task(world.slot())
        await staging.wait()
        next_item = await world.admit(both(0, 1))
        world.toys.l1.go_back(1)
        world.toys.l1.mine({901: [8]})
        old = world.life
        looking = asyncio.create_task(old.view.follow(old.follower, world.toys.l1))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not looking.done()
        following = [asyncio.create_task(world.slot()) for _ in range(2)]
        assert [] == cuts(world.log)
        go_on.set()
        assert await working is not None
        with pytest.raises(CutNeeded):
            await looking
        assert [None, None, None] == [*await asyncio.gather(*following), await world.slot()]
        assert ["slot", "cut"] == [r["kind"] for r in world.log.written if r["kind"] in ("slot", "cut")]
        assert [(0, 0)] == cuts(world.log)
        await world.again()
        assert [item.id, next_item.id] == list(world.life.mempool.waiting)
        await world.settle()
        world.committed_once(item, next_item)
        world.deposits_once()

    World().run(main)


@pytest.mark.parametrize("discarded", [True, False])
def test_a_superbatch_signed_while_the_log_is_cut_is_forgotten(discarded: bool) -> None:
    """The old life's last words come after the cut: slots that are no more are never published."""

    async def main(world: World) -> None:
        items = await _lose_an_origin(world)
        old = world.life
        with pytest.raises(CutNeeded):
            await old.view.follow(old.follower, world.toys.l1)
        await old.publisher._prepare()
        if discarded:
            await world.log.append([{"kind": "discard", "number": 0}])
        assert 3 == len(old.slots.slots)
        await world.again()
        assert [] == world.life.publisher.superbatches
        await world.settle()
        world.committed_once(*items[:3])

    World().run(main)


def test_nonces_are_counted_in_the_order_of_the_chain_after_a_cut() -> None:
    """Deposits and transactions of one account in turn: after a cut its next nonce is what the rollup says."""

    async def main(world: World) -> None:
        sender = signed(901, 5, 0).sender
        for turn in range(3):
            world.toys.l1.mine({901: [5]})
            await world.look()
            await world.slot()
            await world.admit(single(5, 2 * turn + 1))
            await world.slot()
        world.toys.l1.mine()
        await world.look()
        await world.slot()
        world.toys.l1.go_back(1)
        world.toys.l1.mine()
        await world.look()
        assert 1 == len(cuts(world.log))
        assert 6 == recover(world.log.records()).mempool.next_nonce[901, sender]
        assert 6 == world.toys.nodes[901].state.nonces[sender]
        await world.admit(single(5, 6))
        await world.settle()
        world.committed_once(*world.admitted)

    World().run(main)


def test_a_cut_is_told_again_until_a_slot_stands_on_it() -> None:
    """The crash may have come before anybody was told how much of the log stays: the next life finds it at the log's end."""

    async def main(world: World) -> None:
        await _lose_an_origin(world)
        await world.look(nodes=False)
        found = recover(world.log.records()).cut
        assert found is not None
        assert 1 == found.slots
        await world.settle()
        assert recover(world.log.records()).cut is None

    World().run(main)


def test_a_node_with_a_cancelled_head_is_never_built_on() -> None:
    """Longer or shorter than the log, or as long: it goes back to what still stands before it takes part."""

    async def main(world: World) -> None:
        await _lose_an_origin(world)
        held = {chain: list(node.chain) for chain, node in world.toys.nodes.items()}
        await world.look(nodes=False)
        gone = {block.header["hash"] for chain in held.values() for block in chain[2:]}
        for _ in range(3):
            await world.admit(both(10 + len(world.admitted)))
            await world.slot()
        for extra in range(4):
            node, rollup = world.toys.nodes[901], world.life.rollups[901]
            node.chain = [*held[901][: extra + 1]]
            rollup.lose("it was away")
            await rollup._greet(world.life.term, world.life.slots.cancelled)
            assert node.gate["hash"] not in gone
            assert "behind" == rollup.state
        await world.settle()

    World().run(main)


def test_what_a_node_says_before_it_went_back_is_not_remembered() -> None:
    """It holds cancelled blocks, so its nonces are too high; asked for a pending nonce in between, the log's count stays."""

    async def main(world: World) -> None:
        items = await _lose_an_origin(world)
        world.toys.l1.mine()
        life = Life(world.log, world.toys)
        with pytest.raises(CutNeeded):
            await life.view.follow(life.follower, world.toys.l1)
        world.life = Life(world.log, world.toys)
        sender = to_hex(items[1].legs[0].sender)
        await world.life.rpc.handle("rollnet_pendingNonce", [901, sender])
        await world.look()
        await world.settle()
        world.committed_once(*items[:3])

    World().run(main)


@pytest.mark.parametrize("same", [True, False])
def test_a_node_that_has_another_forced_block_waits_until_it_has_the_right_one(same: bool) -> None:
    """Nobody knows a forced block's hash before the node executed it; its payload says whether it is the one that L1 forces."""

    async def main(world: World) -> None:
        for _ in range(WINDOW + 2):
            world.toys.l1.mine()
        world.toys.look_at_l1()
        if not same:
            world.toys.l1.go_back(1)
            world.toys.l1.mine({901: [7], 902: [7]})
        await world.look(nodes=False)
        assert [("up" if same else "behind")] * 2 == [r.state for r in world.life.rollups.values()]
        await world.look()
        assert ["up"] * 2 == [rollup.state for rollup in world.life.rollups.values()]
        await world.settle()
        world.deposits_once()

    World().run(main)


def test_a_block_that_is_decided_again_is_not_cancelled() -> None:
    """The same content on the same parent is the same block, whichever slot holds it: nodes that have it keep it."""
    payload = Payload(1_000, (), (), Origin(1, "0x" + "11" * 32))
    block = Block(901, 1, "0x" + "aa" * 32, "0x" + "bb" * 32, payload)
    slots = SlotLog()
    slots.add(Slot(1, 0, slots.head, 1_000, (block,), (), {}))
    slots.add(Slot(1, 1, slots.head, 1_001, (replace(block, number=2, hash="0x" + "cc" * 32),), (), {}))
    gone = slots.cut(Cut(0, 0, "a test"))
    assert ([0, 1], {block.hash, "0x" + "cc" * 32}) == ([slot.number for slot in gone], slots.cancelled)
    assert ({}, {}, [], GENESIS_PARENT) == (slots.heads, slots.origins, slots.slots, slots.head)
    slots.add(Slot(2, 0, slots.head, 1_000, (block,), (), {}))
    assert {"0x" + "cc" * 32} == slots.cancelled
    assert {1: payload.origin.hash} == slots.origins


def test_without_l1_a_life_waits_for_it() -> None:
    """L1 doesn't answer when a life begins: it is asked again."""

    async def main(world: World) -> None:
        world.toys.l1.failures = ["before", "after", "before"]
        world.life = await Life(world.log, world.toys).begin()
        assert [] == world.toys.l1.failures
        await world.admit(both(0))
        assert await world.slot() is not None

    World().run(main)
