"""Orders, quotes and the market maker: positions, premiums, fees, and margin on both sides."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rollup_node.engines.options.state.leaves import MOST_POSITIONS
from rollup_node.engines.options.transactions.refusals import selector_of
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks, margin_of
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    EXPIRY,
    PARAMETERS,
    START,
    SYMBOL,
    Desk,
    address,
    errors_of,
    event_names,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.trading import position_of
from rollup_node.engines.options.values import PRICE_UNIT, WAD

DOLLAR = PRICE_UNIT
ONE = 10_000
"""A contract."""
CALL, PUT = 1, 2


@pytest.fixture
def desk() -> Desk:
    """Alice and Bob can afford anything, Carol little; a call and a put at 3,000, worth about 240."""
    desk = Desk()
    assert [CALL, PUT] == desk.open_market({"alice": 100_000, "bob": 100_000, "carol": 500})
    return desk


def _margin(desk: Desk, name: str) -> Any:
    context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
    return margin_of(desk.world, context, desk.account(name))


def test_a_trade_moves_position_premium_and_fees(desk: Desk) -> None:
    """The maker's price counts; both pay their fee; the buyer's premium is the seller's."""
    alice, bob = desk.account("alice"), desk.account("bob")
    executed = desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -2 * ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 250 * DOLLAR, ONE)),
    )
    assert [["OrderRested"], ["Trade"], ["FeesSwept"]] == [event_names(one) for one in executed.receipts]
    a, b = desk.world.accounts[alice], desk.world.accounts[bob]
    assert (-ONE, ONE) == (position_of(a, CALL), position_of(b, CALL))
    assert 100_240 * DOLLAR - 240 * DOLLAR // 1_000 == a.cash
    assert 99_760 * DOLLAR - 3 * 240 * DOLLAR // 1_000 == b.cash
    assert 4 * 240 * DOLLAR // 1_000 == desk.world.globals.insurance + desk.world.globals.sequencer_fees
    assert [] == violations(desk.world)


def test_cancels_and_post_only_orders_come_before_takers(desk: Desk) -> None:
    """A maker's cancel that the sequencer wrote after a taker's order still saves the maker; the payload's results keep its order."""
    alice, bob, carol = (desk.account(name) for name in ("alice", "bob", "carol"))
    desk.block(desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE, time_in_force=3)))
    (resting,) = desk.world.orders_of(alice)
    executed = desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 250 * DOLLAR, ONE, time_in_force=1)),
        desk.send("alice", "cancelOrder", alice, resting.id),
        desk.send("carol", "placeOrder", order(carol, CALL, 1 * DOLLAR, ONE, time_in_force=3)),
    )
    assert ["success"] * 3 == [result.status for result in executed.results]
    assert [["OrderCancelled"], ["OrderRested"], ["OrderCancelled"]] == [
        event_names(one) for one in executed.receipts
    ]
    assert 0 == position_of(desk.world.accounts[bob], CALL)


ORDERS: list[tuple[str, Callable[[int], tuple[Any, ...]]]] = [
    ("TickViolation", lambda a: order(a, CALL, DOLLAR + 1, ONE)),
    ("TickViolation", lambda a: order(a, CALL, 0, ONE)),
    ("LotViolation", lambda a: order(a, CALL, DOLLAR, 101)),
    ("LotViolation", lambda a: order(a, CALL, DOLLAR, 0)),
    ("UnknownSeries", lambda a: order(a, 3, DOLLAR, ONE)),
    ("OutOfRange", lambda a: order(a, CALL, DOLLAR, ONE, time_in_force=4)),
    ("OutOfRange", lambda a: order(a, CALL, DOLLAR, ONE, self_trade=4)),
    ("OrderExpired", lambda a: order(a, CALL, DOLLAR, ONE, expiry=START)),
    ("NotReducing", lambda a: order(a, CALL, DOLLAR, ONE, reduce_only=True)),
    ("NotFillable", lambda a: order(a, CALL, 900 * DOLLAR, ONE, time_in_force=2)),
    ("WouldCross", lambda a: order(a, CALL, 900 * DOLLAR, ONE, time_in_force=3)),
    ("InsufficientMargin", lambda a: order(a, CALL, 240 * DOLLAR, -10 * ONE)),
    ("InsufficientMargin", lambda a: order(a, CALL, 10_000 * DOLLAR, ONE)),
    ("OutOfRange", lambda a: order(a, CALL, (1 << 64) - (1 << 64) % 10_000, ONE)),
    ("OutOfRange", lambda a: order(a, CALL, DOLLAR, (1 << 64) // 100 * 100)),
    ("InsufficientMargin", lambda a: order(a, CALL, (1 << 63) // 10_000 * 10_000, (1 << 63) // 100 * 100)),
]  # fmt: skip


@pytest.mark.parametrize(("error", "make"), ORDERS, ids=[f"{i}-{one[0]}" for i, one in enumerate(ORDERS)])
def test_a_bad_order_is_refused_with_its_error(
    desk: Desk, error: str, make: Callable[[int], tuple[Any, ...]]
) -> None:
    """Tick, lot, series, enumerations, expiry, reduce-only, fill-or-kill, post-only, margin, overflow; nothing but the nonce changes."""
    alice, carol = desk.account("alice"), desk.account("carol")
    desk.block(desk.send("alice", "placeOrder", order(alice, CALL, 800 * DOLLAR, -ONE // 2)))
    before = [(one.id, one.quantity) for one in desk.world.book(CALL)]
    accounts = dict(desk.world.accounts)
    executed = desk.block(desk.send("carol", "placeOrder", make(carol)))
    assert [error] == errors_of(executed)
    assert selector_of(error) == executed.results[0].data[:4]
    assert accounts == dict(desk.world.accounts)
    assert before == [(one.id, one.quantity) for one in desk.world.book(CALL)]


def test_refusals_say_what_the_book_has_instead(desk: Desk) -> None:
    """The best price that a post-only order would cross; so much of a fill-or-kill order as could be filled."""
    alice, carol = desk.account("alice"), desk.account("carol")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 800 * DOLLAR, -ONE // 2)),
        desk.send("alice", "placeOrder", order(alice, CALL, 850 * DOLLAR, -ONE // 4)),
        desk.send("alice", "placeOrder", order(alice, CALL, 950 * DOLLAR, -ONE)),
    )
    executed = desk.block(
        desk.send("carol", "placeOrder", order(carol, CALL, 900 * DOLLAR, ONE, time_in_force=3)),
        desk.send("carol", "placeOrder", order(carol, CALL, 900 * DOLLAR, ONE, time_in_force=2)),
    )
    assert [
        f"WouldCross({900 * DOLLAR}, {800 * DOLLAR})",
        f"NotFillable({ONE}, {ONE * 3 // 4})",
    ] == [result.reason for result in executed.results]


def test_who_is_short_of_margin_can_not_add_risk_but_can_lessen_it(desk: Desk) -> None:
    """Carol sells what her cash allows; after a shock she can't sell more, and can buy back."""
    alice, carol = desk.account("alice"), desk.account("carol")
    desk.block(desk.deposit("carol", 40 * DOLLAR))
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, 20 * ONE)),
        desk.send("carol", "placeOrder", order(carol, CALL, 240 * DOLLAR, -ONE)),
    )
    assert -ONE == position_of(desk.world.accounts[carol], CALL)
    desk.block(desk.update(3_080 * DOLLAR))
    margin = _margin(desk, "carol")
    assert margin.maintenance < margin.equity < margin.initial
    executed = desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 290 * DOLLAR, -ONE)),
        desk.send("carol", "placeOrder", order(carol, CALL, 240 * DOLLAR, -ONE // 10)),
        desk.send("carol", "placeOrder", order(carol, CALL, 290 * DOLLAR, ONE // 2)),
        desk.send("carol", "withdraw", carol, address("carol"), 450 * DOLLAR),
    )
    assert ["", "InsufficientMargin", "", "InsufficientMargin"] == errors_of(executed)
    assert -ONE // 2 == position_of(desk.world.accounts[carol], CALL)
    assert [] == violations(desk.world)


def test_a_maker_without_margin_is_cancelled_and_the_match_goes_on(desk: Desk) -> None:
    """Marks moved since it rested: its order goes, the next maker trades, and the taker gets all."""
    alice, bob, carol = (desk.account(name) for name in ("alice", "bob", "carol"))
    desk.block(desk.deposit("carol", 600 * DOLLAR))
    desk.block(
        desk.send("carol", "placeOrder", order(carol, CALL, 240 * DOLLAR, -ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 241 * DOLLAR, -ONE)),
    )
    executed = desk.block(
        desk.update(3_600 * DOLLAR),
        desk.send("bob", "placeOrder", order(bob, CALL, 250 * DOLLAR, ONE)),
    )
    assert ["Trade", "OrderCancelled"] == event_names(executed.receipts[-2])
    accounts = desk.world.accounts
    assert (0, -ONE, ONE) == tuple(position_of(accounts[one], CALL) for one in (carol, alice, bob))
    assert 0 == len(desk.world.book(CALL))


def test_reduce_only_never_crosses_zero(desk: Desk) -> None:
    """Cut to the position when it comes in, and again when it is matched after the position shrank."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -2 * ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, 2 * ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 230 * DOLLAR, 5 * ONE, reduce_only=True)),
    )
    assert [2 * ONE] == [one.quantity for one in desk.world.orders_of(alice)]
    desk.block(
        desk.send("bob", "placeOrder", order(bob, CALL, 235 * DOLLAR, -ONE)),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, ONE)),
        desk.send("bob", "placeOrder", order(bob, CALL, 230 * DOLLAR, -2 * ONE)),
    )
    assert 0 == position_of(desk.world.accounts[alice], CALL)
    assert [bob] == [one.account for one in desk.world.book(CALL)]  # what of it found no one
    assert [] == violations(desk.world)


def test_an_account_does_not_trade_with_itself(desk: Desk) -> None:
    """The newer order is cancelled where it meets the own one, or the older, as it says."""
    alice = desk.account("alice")
    rest = order(alice, CALL, 240 * DOLLAR, -ONE)
    desk.block(
        desk.send("alice", "placeOrder", rest),
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, ONE)),
    )
    assert [-240 * DOLLAR] == [-one.price for one in desk.world.orders_of(alice)]
    desk.block(desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, ONE, self_trade=1)))
    assert [True] == [one.side == 0 for one in desk.world.orders_of(alice)]
    assert () == desk.world.accounts[alice].positions


def test_orders_expire_at_the_beginning_of_a_block(desk: Desk) -> None:
    """Nobody trades with an order whose time is over, though it rested until then."""
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("alice", "placeOrder", order(alice, CALL, 240 * DOLLAR, -ONE, expiry=desk.timestamp + 3))
    )
    executed = desk.block(desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, ONE)), seconds=2)
    assert ["OrderCancelled"] == event_names(executed.receipts[0])
    assert [bob] == [one.account for one in desk.world.book(CALL)]


def test_replacing_is_all_or_nothing(desk: Desk) -> None:
    """A replacement that is refused leaves the old order where it was."""
    carol = desk.account("carol")
    desk.block(desk.send("carol", "placeOrder", order(carol, CALL, 100 * DOLLAR, ONE)))
    (old,) = desk.world.orders_of(carol)
    bad = desk.block(
        desk.send("carol", "replaceOrder", carol, old.id, order(carol, CALL, 9_000 * DOLLAR, ONE))
    )
    assert ["InsufficientMargin"] == errors_of(bad)
    assert [old.id] == [one.id for one in desk.world.orders_of(carol)]
    good = desk.block(
        desk.send("carol", "replaceOrder", carol, old.id, order(carol, CALL, 110 * DOLLAR, ONE))
    )
    assert ["OrderCancelled", "OrderRested"] == event_names(good.receipts[0])
    assert [110 * DOLLAR] == [one.price for one in desk.world.orders_of(carol)]


def test_one_account_fills_its_room_and_no_more(desk: Desk) -> None:
    """Ten thousand orders from one account: the parameters' number rests, the others are refused."""
    alice = desk.account("alice")
    most = desk.parameters.max_orders
    made = [
        desk.send("alice", "placeOrder", order(alice, CALL, (i + 1) * 10_000, 100)) for i in range(most + 3)
    ]
    executed = desk.block(*made)
    assert [""] * most + ["TooMany"] * 3 == errors_of(executed)
    assert most == desk.world.count_orders(alice)


@pytest.mark.parametrize("most", [40, MOST_POSITIONS])
def test_an_account_holds_as_many_series_as_its_genesis_allows(most: int) -> None:
    """Bought, and sold by orders that rest in all of them: the block with the last one has a root, what is beyond is refused."""
    desk = Desk(replace(PARAMETERS, max_positions=most, step_roots=False))
    strikes = [2_000 + 50 * place for place in range(MOST_POSITIONS // 2)]
    quoted = tuple((EXPIRY, strike * DOLLAR, WAD * 7 // 10) for strike in strikes)
    desk.block(*(desk.deposit(name, 10**6 * DOLLAR) for name in ("alice", "bob")))
    desk.block(desk.update(3_000 * DOLLAR, volatilities=quoted))
    terms = [(EXPIRY, strike * DOLLAR, is_call) for strike in strikes for is_call in (True, False)]
    desk.block(*(desk.send("bob", "listSeries", SYMBOL, *one) for one in terms))
    marks = {one: row.mark // 10_000 * 10_000 + 10_000 for one, row in sorted(desk.world.risk.items())}
    alice, bob = map(desk.account, ("alice", "bob"))
    desk.block(*(desk.send("bob", "placeOrder", order(bob, one, marks[one], -100)) for one in marks))
    takes = (order(alice, one, marks[one], 100, time_in_force=1) for one in marks)
    executed = desk.block(*(desk.send("alice", "placeOrder", take) for take in takes))
    assert [""] * most + ["TooMany"] * (MOST_POSITIONS - most) == errors_of(executed)
    assert [most] * 2 == [len(desk.world.accounts[one].positions) for one in (alice, bob)]
    assert [] == violations(desk.world)


def test_a_quote_trades_all_its_legs_or_none(desk: Desk) -> None:
    """A straddle from a maker's signature: both legs at their prices; used once; and nothing of it if one leg can't be."""
    alice, bob = desk.account("alice"), desk.account("bob")
    legs = [(CALL, 240 * DOLLAR, ONE), (PUT, 239 * DOLLAR, ONE)]
    quote = desk.signed_quote("alice", alice, bob, 1, legs)
    executed = desk.block(desk.send("bob", "fillQuote", *quote), desk.send("bob", "fillQuote", *quote))
    assert ["", "NonceUsed"] == errors_of(executed)
    assert ["Trade", "Trade"] == event_names(executed.receipts[0])
    assert ((CALL, ONE), (PUT, ONE)) == desk.world.accounts[bob].positions
    assert ((CALL, -ONE), (PUT, -ONE)) == desk.world.accounts[alice].positions
    accounts = dict(desk.world.accounts)
    bad = desk.signed_quote("alice", alice, bob, 2, [*legs, (3, DOLLAR, ONE)])
    forged = desk.signed_quote("bob", alice, bob, 3, legs)
    executed = desk.block(
        desk.send("bob", "fillQuote", *bad),
        desk.send("bob", "fillQuote", *forged),
        desk.send("carol", "fillQuote", *quote),
    )
    assert ["UnknownSeries", "NotAuthorized", "NotAuthorized"] == errors_of(executed)
    assert accounts == dict(desk.world.accounts)


def test_the_market_maker_trades_from_the_first_block_and_a_round_trip_gains_nothing() -> None:
    """Buy, sell the same: the trader has lost spread and fees. Its margin and its limit bound it; the limit price bounds the trader."""
    market = replace(PARAMETERS.markets[1], amm_limit=AMM_LIMIT)
    desk = Desk(replace(PARAMETERS, markets={1: market}))
    desk.open_market({"alice": 100_000, "lender": 50_000})
    alice, maker, most = desk.account("alice"), 1, 2**64 - 1
    poor = desk.block(desk.send("alice", "tradeAmm", alice, CALL, True, ONE, most))
    assert ["InsufficientMargin"] == errors_of(poor)  # the maker's
    desk.block(desk.send("lender", "transfer", desk.account("lender"), maker, 50_000 * DOLLAR))
    before = desk.world.accounts[alice].cash
    executed = desk.block(
        desk.send("alice", "tradeAmm", alice, CALL, True, ONE, 200 * DOLLAR),
        desk.send("alice", "tradeAmm", alice, CALL, True, ONE, most),
        desk.send("alice", "tradeAmm", alice, CALL, False, ONE, most),
        desk.send("alice", "tradeAmm", alice, CALL, False, ONE, 0),
        desk.send("alice", "tradeAmm", alice, CALL, True, 10_000 * ONE, most),
        desk.send("alice", "tradeAmm", alice, CALL, True, 50, most),
    )
    assert ["LimitExceeded", "", "LimitExceeded", "", "NotQuoted", "LotViolation"] == errors_of(executed)
    assert () == desk.world.accounts[alice].positions == desk.world.accounts[maker].positions
    assert before - desk.world.accounts[alice].cash > 2 * DOLLAR // 2
    assert desk.world.accounts[maker].cash > 50_000 * DOLLAR
    assert [] == violations(desk.world)


def test_a_market_without_a_maker_says_so(desk: Desk) -> None:
    """The topology chooses."""
    executed = desk.block(desk.send("alice", "tradeAmm", desk.account("alice"), CALL, True, ONE, 2**64 - 1))
    assert ["NotQuoted"] == errors_of(executed)
