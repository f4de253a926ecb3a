"""Strategies over the bridge that are over, or can't be had: what is left of them, what they cost, and what they keep from being done meanwhile."""

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.reads.bridge import BRIDGE_VIEWS
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transactions.interfaces import ESCROW, MESSENGER
from rollup_node.engines.options.transition import escrow, reservations
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.escrow import Lock
from rollup_node.engines.options.transition.margins import Risks, shortfall
from rollup_node.engines.options.transition.messenger import alias
from rollup_node.engines.options.transition.promises import ABORTED, COMMITTED, PREPARED
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    MARKET,
    Desk,
    address,
    call_data,
    errors_of,
    order,
)
from rollup_node.engines.options.transition.testing_messages import (
    ENDS,
    LINKED,
    Counterpart,
    events,
    passed,
)
from rollup_node.engines.options.transition.testing_strategies import AMM, ANY_PRICE, BOOK, Strategies
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT
COMBO_OF = next(answer for *_, name, _, _, answer in BRIDGE_VIEWS if name == "comboOf")
QUOTED = replace(LINKED, markets={1: replace(MARKET, amm_limit=AMM_LIMIT)}, step_roots=False)


def _combo_of(world: World, name: bytes) -> tuple[Any, ...]:
    ((*found,),) = COMBO_OF(cast("Any", SimpleNamespace(world=world)), name)
    return tuple(found)


def test_what_has_ended_is_told_for_ever_and_kept_no_longer() -> None:
    """Of five strategies one stays locked: the state has its combo alone; of the others it says who and how, and no word of L1 moves them again."""
    floor = Strategies()
    alice = floor.desk.account("alice")
    for _ in range(5):
        floor.lock("alice", ((0, 100, True),), 10)
    names = sorted(floor.known)
    assert {(alice, PREPARED)} == {_combo_of(floor.world, name)[1:3] for name in names}
    before, whole = floor.world.mark(), floor.world.root()
    floor.decide(0, commit=True)
    floor.decide(1, commit=False)
    floor.wait(20)
    floor.refund(2)
    floor.decide(3, commit=True)
    floor.check()  # the combos of the state are those of what is locked
    ends = [COMMITTED, ABORTED, ABORTED, COMMITTED]
    assert [(place, alice, state, 0, (), ()) for place, state in enumerate(ends, 1)] == [
        _combo_of(floor.world, name) for name in names[:4]
    ]
    assert (5, alice, PREPARED) == _combo_of(floor.world, names[4])[:3]
    for place, name in enumerate(names[:4]):
        floor.decide(place, commit=True)
        floor.decide(place, commit=False)
        floor.order(name, floor.known[name])
    floor.check()
    again = load(dump(floor.world))
    assert [_combo_of(floor.world, name) for name in names] == [_combo_of(again, name) for name in names]
    floor.world.undo(before)
    assert whole == floor.world.root()
    assert set(names) == {combo.name for combo in floor.world.combos.values()}


def _ended(desk: Desk, l1: Counterpart, first: int, count: int, series: int) -> None:
    """So many strategies of Alice's that were locked and given up, ten in a block."""
    for start in range(first, first + count, 10):
        names = [number.to_bytes(32, "big") for number in range(start, min(start + 10, first + count))]
        legs = ((series.to_bytes(32, "big"), AMM, 100, ANY_PRICE),)
        times = (desk.timestamp + 50, desk.timestamp + 100)
        desk.block(*(l1.lock(name, address("alice"), times, legs) for name in names), seconds=0)
        desk.block(*(l1.decide(name, commit=False) for name in names), seconds=0)
        assert {Lock.RELEASED} == {escrow.lock_of(desk.world, name).state for name in names}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_thousands_that_have_ended_slow_no_block() -> None:
    """A block in which somebody with a strategy of her own trades takes as long after 5,000 strategies as before them, but for what clocks differ by."""
    desk = Desk(QUOTED)
    l1 = Counterpart(desk)
    call, _ = desk.open_market({"alice": 50_000})
    desk.block(desk.send("alice", "transfer", desk.account("alice"), 1, 20_000 * DOLLAR))
    legs = ((call.to_bytes(32, "big"), AMM, 100, ANY_PRICE),)
    times = (desk.timestamp + 50, desk.timestamp + 100)
    desk.block(l1.lock(b"\xff" * 32, address("alice"), times, legs))
    before = _block_seconds(desk, call)
    _ended(desk, l1, 1, 5_000, call)
    assert 1 == len(desk.world.combos)
    assert _block_seconds(desk, call) < 2 * before


def _block_seconds(desk: Desk, series: int) -> float:
    """The least of many blocks with a trade each; the state stays as it was."""
    found, alice, mark = [], desk.account("alice"), desk.world.mark()
    for _ in range(40):
        raw = desk.send("alice", "tradeAmm", alice, series, True, 100, 2**64 - 1)
        begun = time.process_time()
        executed = desk.block(raw, seconds=0)
        found.append(time.process_time() - begun)
        assert [""] == errors_of(executed)
        desk.world.undo(mark)
    return min(found)


def test_the_margins_mode_stays_while_trades_are_set_aside() -> None:
    """A pledge is reckoned in the mode of its moment: with the other one a commit could leave who has it below the requirement, and liquidated."""
    desk = Desk(QUOTED)
    l1 = Counterpart(desk)
    call, put = desk.open_market({"alice": 500})
    alice = desk.account("alice")
    desk.block(desk.deposit("maker", 100_000 * DOLLAR), desk.update(3_000 * DOLLAR))
    desk.block(desk.send("maker", "transfer", desk.account("maker"), 1, 50_000 * DOLLAR))
    legs = tuple((one.to_bytes(32, "big"), AMM, -10_000, 0) for one in (call, put))
    times = (desk.timestamp + 50, desk.timestamp + 100)
    desk.block(l1.lock(b"\1" * 32, address("alice"), times, legs))
    assert 0 < desk.world.accounts[alice].reserved

    def committed() -> int:
        desk.block(l1.decide(b"\1" * 32, commit=True))
        context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
        return shortfall(desk.world, context, alice)

    before = desk.world.mark()
    desk.world.accounts[alice] = replace(desk.world.accounts[alice], portfolio=False)
    assert 0 < committed(), "what the rule is worth: without it she is short of margin"
    desk.world.undo(before)
    executed = desk.block(
        desk.send("alice", "setMode", alice, False), desk.send("alice", "setMode", alice, True)
    )
    assert ["AccountFrozen", ""] == errors_of(executed)
    assert 0 == committed()
    assert [""] == errors_of(desk.block(desk.send("maker", "setMode", desk.account("maker"), False)))


def test_who_fails_to_keep_a_promise_is_paid_for_like_a_match() -> None:
    """A hundred and twenty orders whose time is over stand before a good one: with little gas the order of the registry isn't lost, nor answered, nor is it free."""
    desk, l1, call = _crowded()
    legs = ((call.to_bytes(32, "big"), BOOK, 100, ANY_PRICE),)
    words = (b"\1" * 32, address("alice"), desk.timestamp + 50, desk.timestamp + 100, 900_000, legs)
    said = l1.call(ENDS.registry, ESCROW, call_data("lockLegs", *words))
    start = desk.world.mark()
    executed = desk.block(_deposit(said, 800_000))
    receipt = executed.receipts[0]
    assert ["FailedRelayedMessage"] == [name for name, _ in events(receipt)]
    assert ("success", 800_000, []) == (receipt.status, receipt.gas_used, passed(executed))
    assert (Lock.NONE, {}) == (escrow.lock_of(desk.world, b"\1" * 32).state, dict(desk.world.combos))
    executed = desk.block(desk.send("bob", "relayMessage", *said), seconds=0)
    assert [""] == errors_of(executed)
    assert Lock.LOCKED == escrow.lock_of(desk.world, b"\1" * 32).state
    for gas, mutant in ((2_000_000, 16), (800_000, 10**6)):
        desk.world.undo(start)
        with patched(reservations, "INCLUDED_MATCHES", lambda _, most=mutant: most):
            receipt = desk.block(_deposit(said, gas)).receipts[0]
        assert Lock.LOCKED == escrow.lock_of(desk.world, b"\1" * 32).state
        assert (mutant == 16) == (receipt.gas_used > 1_000_000)


def _crowded() -> tuple[Desk, Counterpart, int]:
    """A book whose best sells, of two makers, are over in the next block, with one behind them that isn't."""
    desk = Desk(replace(LINKED, step_roots=False))
    call, _ = desk.open_market({"alice": 10_000, "maker": 50_000, "other": 50_000, "bob": 10})
    for name in ("maker", "other"):
        account = desk.account(name)
        last = desk.timestamp + 2
        sells = [order(account, call, 250 * DOLLAR, -100, expiry=last) for _ in range(60)]
        desk.block(*(desk.send(name, "placeOrder", one) for one in sells), seconds=0)
    behind = order(desk.account("maker"), call, 260 * DOLLAR, -100)
    executed = desk.block(desk.send("maker", "placeOrder", behind))
    assert [""] == errors_of(executed)
    assert 121 == len(list(desk.world.book(call)))
    desk.timestamp += 1
    return desk, Counterpart(desk), call


def _deposit(said: tuple[Any, ...], gas: int) -> bytes:
    """A call of the messenger, with so much gas."""
    data, sender = call_data("relayMessage", *said), alias(ENDS.messenger)
    return encode_deposit(
        Deposit(keccak256(b"late"), sender, MESSENGER, 0, 0, gas, is_system=False, data=data)
    )
