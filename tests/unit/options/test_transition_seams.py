"""Where the transition's parts meet: nothing that one of them allows breaks what another has promised, and nothing stops the chain."""

from dataclasses import replace

import pytest

from rollup_node.engines.options.transition import accounts
from rollup_node.engines.options.transition.context import WEI_PER_CASH
from rollup_node.engines.options.transition.letters import post
from rollup_node.engines.options.transition.messenger import alias
from rollup_node.engines.options.transition.orders import MATCH_GAS
from rollup_node.engines.options.transition.testing import (
    EXPIRY,
    PARAMETERS,
    Desk,
    address,
    errors_of,
    order,
)
from rollup_node.engines.options.transition.testing_combos import Rollups
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_messages import (
    ENDS,
    LINKED,
    Counterpart,
    envelope,
    events,
    linked,
)
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT
STRATEGY = b"\x5a" * 32
BOOK = bytes(20)
ANY_PRICE = 2**255
FREE = replace(PARAMETERS, taker_fee_ppm=0, maker_fee_ppm=0)


def _short_and_friend() -> tuple[Desk, int, int, int]:
    """A desk whose first user is short what the second is long, with just the margin for it; and the series."""
    desk = Desk(FREE)
    call, _ = desk.open_market({"short": 4_000, "friend": 50_000})
    short, friend = desk.account("short"), desk.account("friend")
    price = desk.world.risk[call].mark // 10_000 * 10_000
    desk.block(
        desk.send("friend", "placeOrder", order(friend, call, price, 70_000)),
        desk.send("short", "placeOrder", order(short, call, price, -70_000)),
    )
    return desk, call, short, friend


def test_a_relief_leaves_nobody_else_a_loss() -> None:
    """Who is short may not buy its position back from a friend for more than its account is worth; at the mark it may."""
    desk, call, short, friend = _short_and_friend()
    desk.block(desk.update(3_175 * DOLLAR))
    assert not desk.world.accounts[short].flags
    cash, mark = desk.world.accounts[short].cash, desk.world.risk[call].mark // 10_000 * 10_000
    dear = (cash + 700 * DOLLAR) // 7 // 10_000 * 10_000
    start = desk.world.mark()
    for price, position in ((dear, -70_000), (mark, 0)):
        sell = desk.send("friend", "placeOrder", order(friend, call, price, -70_000))
        buy = desk.send("short", "placeOrder", order(short, call, price, 70_000, reduce_only=True))
        desk.block(sell, buy)
        held = dict(desk.world.accounts[short].positions).get(call, 0)
        assert position == held, f"bought back at {price}"
        assert desk.world.accounts[short].cash >= 0
        desk.world.undo(start)


def _settled_to_a_debt(**parameters: int) -> tuple[Desk, int]:
    """A desk just before the block of a settlement whose winner is owed more than its loser has; and the winner."""
    desk = Desk(replace(FREE, **parameters))
    call, _ = desk.open_market({"winner": 5_000, "loser": 5_000, "saver": 20_000})
    winner, loser = desk.account("winner"), desk.account("loser")
    desk.timestamp = EXPIRY - 200
    desk.block(desk.update(3_000 * DOLLAR))
    desk.block(
        desk.send("loser", "placeOrder", order(loser, call, 100 * DOLLAR, -40_000)),
        desk.send("winner", "placeOrder", order(winner, call, 100 * DOLLAR, 40_000)),
    )
    for before in (61, 3):
        desk.timestamp = EXPIRY - before
        desk.block(desk.update(20_000 * DOLLAR))
    desk.timestamp = EXPIRY - 1
    return desk, winner


def test_who_withdraws_in_the_block_of_a_settlement_bears_the_loss_like_all_others() -> None:
    """The debt is covered, and what is missing shared, before any user's transaction: at once or three blocks later, a saver is left the same."""
    left = []
    for waits in (0, 3):
        desk, winner = _settled_to_a_debt()
        taking = desk.send("winner", "withdraw", winner, address("winner"), 30_000 * DOLLAR)
        blocks = [[desk.update(20_000 * DOLLAR)] for _ in range(waits + 1)]
        blocks[-1].append(taking)
        for transactions in blocks:
            executed = desk.block(*transactions)
        assert "" == errors_of(executed)[-1]
        now = desk.world.globals
        assert now.shared_loss > 0
        assert not violations(desk.world)
        left.append((now.vault, now.shared_loss))
    assert left[0] == left[1]


def test_nobody_takes_out_what_l1_does_not_hold() -> None:
    """While only a block's limit keeps the fund from covering a debt, winners are owed more than there is: what is there can be withdrawn, and blocks go on."""
    desk, winner = _settled_to_a_debt(max_insurance_loss=1)
    now, fund = desk.world.globals, DOLLAR
    desk.world.globals = replace(now, insurance=fund, vault=now.vault + fund * WEI_PER_CASH)
    desk.block(desk.update(20_000 * DOLLAR))
    assert any(account.cash < 0 for account in desk.world.accounts.values())
    there, cash = desk.world.globals.vault // WEI_PER_CASH, desk.world.accounts[winner].cash
    assert cash > there
    taking = [desk.send("winner", "withdraw", winner, address("winner"), amount) for amount in (cash, there)]
    assert ["WithdrawalCapped", ""] == errors_of(desk.block(*taking))
    assert 0 == desk.world.globals.vault
    assert not violations(desk.world)


def _promised() -> tuple[Desk, int, int, Counterpart]:
    """A desk whose first user has room for one position, which is promised; its put has a bid."""
    desk = linked(replace(LINKED, max_positions=1))
    l1 = Counterpart(desk)
    call, put = desk.open_market({"alice": 10_000, "maker": 100_000})
    maker = desk.account("maker")
    desk.block(
        desk.send("maker", "placeOrder", order(maker, call, 250 * DOLLAR, -500)),
        desk.send("other", "openAccount"),
    )
    leg = (call.to_bytes(32, "big"), BOOK, 100, ANY_PRICE)
    times = (desk.timestamp + 50, desk.timestamp + 100)
    desk.block(l1.lock(STRATEGY, address("alice"), times, (leg,)))
    desk.block(desk.deposit("bidder", 10_000 * DOLLAR))
    desk.block(
        desk.send("bidder", "placeOrder", order(desk.account("bidder"), put, 200 * DOLLAR, 500)),
    )
    return desk, desk.account("alice"), put, l1


def test_who_cannot_trade_costs_no_maker_its_order() -> None:
    """An order whose own account has no room is refused; those that it would have met stay in the book."""
    desk, alice, put, _ = _promised()
    resting = [(one.account, one.price, one.quantity) for one in desk.world.book(put)]
    assert len(resting) == 1
    sell = desk.send("alice", "placeOrder", order(alice, put, DOLLAR, -100_000, time_in_force=1))
    assert ["TooMany"] == errors_of(desk.block(sell))
    assert resting == [(one.account, one.price, one.quantity) for one in desk.world.book(put)]


def test_what_is_promised_beside_a_lock_is_kept_for_the_commit() -> None:
    """A combo holds five of ten, five are promised to a strategy: the book gets none of them, and the commit has all its legs."""
    rollups = Rollups((901, 902), l1=ENDS, funds={"alice": 50_000, "bob": 100_000, "carol": 50_000})
    desk, call = rollups.desks[901], rollups.series[3_000, True]
    alice, bob, carol = (desk.account(name) for name in ("alice", "bob", "carol"))
    desk.block(
        desk.send("bob", "placeOrder", order(bob, call, 200 * DOLLAR, -100_000)),
        desk.send("alice", "placeOrder", order(alice, call, 200 * DOLLAR, 100_000)),
    )
    legs = rollups.legs(((901, 3_000, True, 5), (902, 3_200, True, -5)))
    lock = desk.send("alice", "lockCombo", legs, rollups.heard, ())
    assert ["", "", ""] == errors_of(desk.block(*desk.bundle(lock)))
    l1 = Counterpart(desk)
    desk.block(desk.send("carol", "placeOrder", order(carol, call, 210 * DOLLAR, 50_000)))
    leg = (call.to_bytes(32, "big"), BOOK, -50_000, 0)
    times = (desk.timestamp + 50, desk.timestamp + 100)
    locked = desk.block(l1.lock(STRATEGY, address("alice"), times, (leg,)))
    assert "LegLocked" == events(locked.receipts[0])[0][0]
    sold = desk.block(
        desk.send("bob", "placeOrder", order(bob, call, 205 * DOLLAR, 50_000)),
        desk.send("alice", "placeOrder", order(alice, call, 205 * DOLLAR, -50_000)),
    )
    assert ["", "LegLocked"] == errors_of(sold)
    decided = desk.block(l1.decide(STRATEGY, commit=True))
    assert ["Trade", "LegCommitted", "RelayedMessage"] == [name for name, _ in events(decided.receipts[0])]
    assert ((call, 50_000),) == desk.world.accounts[alice].positions == desk.world.accounts[alice].locks


def test_a_messenger_that_has_no_place_in_its_bucket_still_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever fills the bucket of its address keeps no message out, and custody is what came."""
    real, messenger, crowd = accounts.bucket_of, alias(ENDS.messenger), address("crowd")
    monkeypatch.setattr(accounts, "bucket_of", lambda one: real(messenger) if one == crowd else real(one))
    desk = linked(replace(LINKED, max_bucket=1))
    desk.block(desk.deposit("crowd", 5))
    executed = desk.block(Counterpart(desk).deliver(envelope(value=7 * WEI_PER_CASH)))
    assert "MessageExecuted" in [name for name, _ in events(executed.receipts[0])]
    assert 0 == post(desk.world).held
    assert not violations(desk.world)


def test_a_spot_that_no_mark_could_have_is_refused() -> None:
    """Signed or not: the settlement price that came of it would be the mark of a series, which has 63 bits."""
    desk = Desk()
    desk.open_market({"alice": 5_000})
    desk.timestamp = EXPIRY - 50
    forwards = ((EXPIRY, 3_000 * DOLLAR),)
    assert ["OutOfRange"] == errors_of(desk.block(desk.update(2**63, forwards=forwards)))
    assert [""] == errors_of(desk.block(desk.update(2**63 - 1, forwards=forwards)))
    desk.timestamp = EXPIRY
    assert [""] == errors_of(desk.block(desk.update(3_000 * DOLLAR)))
    assert {2} == {one.status for one in desk.world.series.values()}


def test_an_order_cannot_make_more_work_than_its_gas_pays_for() -> None:
    """Matches beyond those that an order's fixed gas has paid for cost gas each, and the work stops where the gas does."""
    desk = Desk(replace(FREE, step_roots=False))
    makers = [f"maker {place}" for place in range(4)]
    call, _ = desk.open_market({"alice": 50_000} | dict.fromkeys(makers, 5_000))
    for name in makers:
        bid = order(desk.account(name), call, 10_000, 100)
        desk.block(*(desk.send(name, "placeOrder", bid) for _ in range(64)))
    alice, start = desk.account("alice"), desk.world.mark()
    used = {}
    for matches in (1, 16, 17, 200):
        sell = order(alice, call, 10_000, -100 * matches, time_in_force=1)
        executed = desk.block(desk.send("alice", "placeOrder", sell))
        assert [""] == errors_of(executed)
        used[matches] = executed.receipts[0].gas_used
        desk.world.undo(start)
    assert used[17] - used[16] == pytest.approx(MATCH_GAS, abs=100)
    assert used[200] - used[16] == pytest.approx(184 * MATCH_GAS, abs=100)
    sell = order(alice, call, 10_000, -100 * 256, time_in_force=1)
    assert ["OutOfGas"] == errors_of(desk.block(desk.send("alice", "placeOrder", sell)))
    assert 256 == len(desk.world.book(call))
