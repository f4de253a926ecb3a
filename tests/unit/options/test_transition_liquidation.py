"""Liquidation within the block, before any user's order; expiry and settlement."""

from dataclasses import replace

import pytest

from rollup_node.engines.options.transition.liquidation import bounded_price
from rollup_node.engines.options.transition.margins import LIQUIDATING
from rollup_node.engines.options.transition.testing import (
    CALL,
    DOLLAR,
    EXPIRY,
    ONE,
    PARAMETERS,
    PUT,
    Desk,
    address,
    errors_of,
    event_names,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.trading import position_of
from rollup_node.engines.options.values import WAD


@pytest.fixture
def desk() -> Desk:
    """Alice and Bob can afford anything, Carol little; a call and a put at 3,000, worth about 240."""
    desk = Desk()
    assert [CALL, PUT] == desk.open_market({"alice": 100_000, "bob": 100_000, "carol": 500})
    return desk


def test_a_shock_liquidates_the_under_margined_before_any_user_order(desk: Desk) -> None:
    """Three accounts fall below maintenance: the same block closes a part of each, worst first, before a user's order; no fund pays."""
    shorts = ["dan", "eve", "fay"]
    cash = {"dan": 1_000, "eve": 900, "fay": 950}
    desk.block(*(desk.deposit(name, dollars * DOLLAR) for name, dollars in cash.items()))
    bob, alice = desk.account("bob"), desk.account("alice")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, 3 * ONE)),
        *(
            desk.send(name, "placeOrder", order(desk.account(name), CALL, 240 * DOLLAR, -ONE))
            for name in shorts
        ),
    )
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 760 * DOLLAR, -30 * ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 650 * DOLLAR, -ONE)),
    )
    insurance = desk.world.globals.insurance
    executed = desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 800 * DOLLAR, ONE)),
        desk.update(3_600 * DOLLAR, volatility=WAD * 9 // 10),
    )
    names = [event_names(one) for one in executed.receipts]
    assert ["OracleUpdated"] == names[0]
    assert ["RiskUpdated"] == names[1]
    liquidated = [name for name in names[2:5] if "LiquidationFlagged" in name and "Liquidated" in name]
    assert 3 == len(liquidated)
    assert "Trade" in names[5]  # bob's order, though the sequencer wrote it first
    flagged = [int.from_bytes(one.logs[0].topics[1], "big") for one in executed.receipts[2:5]]
    assert [desk.account(name) for name in ("eve", "fay", "dan")] == flagged
    for name in shorts:
        account = desk.world.accounts[desk.account(name)]
        assert -ONE < position_of(account, CALL) < 0
    assert insurance <= desk.world.globals.insurance
    assert [] == violations(desk.world)


def test_insurance_pays_what_is_missing_and_no_more_and_losses_are_shared(desk: Desk) -> None:
    """An account that is worth less than nothing once all is closed: the fund first, then all who withdraw."""
    desk.block(desk.deposit("dan", 850 * DOLLAR))
    bob, alice, dan = (desk.account(name) for name in ("bob", "alice", "dan"))
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
        desk.send("dan", "placeOrder", order(dan, CALL, 240 * DOLLAR, -ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 6_000 * DOLLAR, -4 * ONE)),
    )
    fund = desk.world.globals.insurance
    assert 0 < fund < DOLLAR
    desk.block(desk.update(9_000 * DOLLAR))
    for _ in range(12):
        desk.block(desk.update(9_000 * DOLLAR))
    account, now = desk.world.accounts[dan], desk.world.globals
    assert ((), 0, 0) == (account.positions, account.cash, account.flags & LIQUIDATING)
    assert now.shared_loss > 4_000 * DOLLAR
    assert [] == violations(desk.world)
    total = now.vault // 10**12
    executed = desk.block(
        desk.send("carol", "withdraw", desk.account("carol"), address("carol"), 500 * DOLLAR)
    )
    assert [""] == errors_of(executed)
    paid = total - desk.world.globals.vault // 10**12
    assert 500 * DOLLAR * total // (total + now.shared_loss) == paid
    assert [] == violations(desk.world)


def test_a_liquidation_without_a_market_waits(desk: Desk) -> None:
    """No order stands within the bound: nothing is sold for a song; the account can only reduce, and is free again when it has cash."""
    desk.block(desk.deposit("dan", 850 * DOLLAR))
    bob, dan = desk.account("bob"), desk.account("dan")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
        desk.send("dan", "placeOrder", order(dan, CALL, 240 * DOLLAR, -ONE)),
        desk.send("dan", "placeOrder", order(dan, PUT, 1 * DOLLAR, ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 5_000 * DOLLAR, -ONE)),
    )
    desk.block(desk.update(3_800 * DOLLAR))
    account = desk.world.accounts[dan]
    assert (-ONE, LIQUIDATING, 0) == (
        position_of(account, CALL),
        account.flags & LIQUIDATING,
        desk.world.count_orders(dan),
    )
    executed = desk.block(desk.send("dan", "placeOrder", order(dan, PUT, 1 * DOLLAR, ONE)))
    assert ["AccountFrozen"] == errors_of(executed)
    desk.block(desk.deposit("dan", 5_000 * DOLLAR))
    assert 0 == desk.world.accounts[dan].flags & LIQUIDATING


def test_the_bound_of_a_liquidation_is_ticks_away_from_the_mark() -> None:
    """Never nothing, never below a tick, always on the grid."""
    assert (110, 90) == tuple(bounded_price(100, 10, 100_000, buy=buy) for buy in (True, False))
    assert (10, 10) == tuple(bounded_price(0, 10, 100_000, buy=buy) for buy in (True, False))
    assert (1_100, 910) == tuple(bounded_price(1_007, 10, 100_000, buy=buy) for buy in (True, False))


def test_expiry_pays_everyone_out_at_the_average_of_the_last_minutes(desk: Desk) -> None:
    """The price is the average spot over the window, exercise is automatic, orders go, and the series ends empty."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, 3 * ONE)),
    )
    desk.timestamp = EXPIRY - 101
    desk.block(desk.update(3_000 * DOLLAR))  # holds for the window's first 40 s
    desk.timestamp = EXPIRY - 21
    desk.block(desk.update(3_300 * DOLLAR))  # and this for its last 20 s
    before = {name: desk.world.accounts[desk.account(name)].cash for name in ("alice", "bob")}
    desk.timestamp = EXPIRY + 4
    executed = desk.block(desk.update(9_999 * DOLLAR))
    assert 3_100 * DOLLAR == desk.world.series[CALL].settlement
    paid = {name: desk.world.accounts[desk.account(name)].cash - before[name] for name in ("alice", "bob")}
    assert {"alice": -100 * DOLLAR, "bob": 100 * DOLLAR} == paid
    settled = [name for one in executed.receipts for name in event_names(one)]
    assert {"SeriesSettled", "PositionSettled", "OrderCancelled"} <= set(settled)
    assert (0, ()) == (len(desk.world.book(CALL)), desk.world.accounts[bob].positions)
    assert [] == violations(desk.world)
    executed = desk.block(desk.send("bob", "placeOrder", order(bob, CALL, DOLLAR, ONE)))
    assert ["SeriesExpired"] == errors_of(executed)


def test_a_silent_feed_does_not_hold_up_settlement(desk: Desk) -> None:
    """After the longest age of its word, the last word settles; until then a series that has expired is only not traded."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)),
    )
    desk.timestamp = EXPIRY
    desk.block()
    assert 0 == desk.world.series[CALL].status
    desk.timestamp = EXPIRY + PARAMETERS.max_oracle_age
    desk.block()
    assert (2, 3_000 * DOLLAR) == (desk.world.series[CALL].status, desk.world.series[CALL].settlement)
    assert [] == violations(desk.world)


def test_settlement_in_small_steps_is_settlement_in_one(desk: Desk) -> None:
    """Accounts at a time: the same cash for everybody, and the dust in the fund, whatever the size of a step."""
    cash = []
    for size in (1, 2, 256):
        desk = Desk(replace(PARAMETERS, settlement_accounts=size))
        desk.open_market({"alice": 100_000, "bob": 100_000, "carol": 100_000})
        alice, bob, carol = (desk.account(name) for name in ("alice", "bob", "carol"))
        desk.block(
            desk.send("alice", "placeOrder", order(alice, CALL, 240_010_000, -300)),
            desk.send("bob", "placeOrder", order(bob, CALL, 240_010_000, 100)),
            desk.send("carol", "placeOrder", order(carol, CALL, 240_010_000, 200)),
        )
        desk.timestamp = EXPIRY
        desk.block(desk.update(3_000 * DOLLAR + 333))
        desk.timestamp += 1
        desk.block()
        assert [] == violations(desk.world)
        cash.append([desk.world.accounts[one].cash for one in (alice, bob, carol)])
        assert 2 == desk.world.series[CALL].status
    assert cash[0] == cash[1] == cash[2]
