"""Rules of the book, one by one, and that a crowd of orders stays fast enough to count on."""

import time
from typing import Any

import pytest

from rollup_node.engines.options.book.book import Book
from rollup_node.engines.options.book.matching import replace, submit
from rollup_node.engines.options.book.orders import (
    MOST,
    Fill,
    Outcome,
    Reason,
    Refused,
    Removal,
    Resting,
    SelfTrade,
    Side,
    TimeInForce,
)

BUY, SELL = Side
ALICE, BOB, CAROL = 1, 2, 3


@pytest.fixture
def book() -> Book:
    """Of series 1, empty."""
    return Book(1, [])


def shown(book: Book) -> list[tuple[int, str, int, int]]:
    """Account, side, price and quantity of every order, in the order of matching."""
    return [(order.account, order.side.name, order.price, order.quantity) for order in book]


def refusal(action: Any) -> Reason:
    """Why it was refused."""
    with pytest.raises(Refused) as caught:
        action()
    return caught.value.reason


def test_price_comes_before_time_and_time_before_size(book: Book) -> None:
    """The best price first, at one price the oldest, and each at its own price."""
    for account, price, quantity in ((ALICE, 102, 9), (BOB, 101, 1), (CAROL, 101, 5)):
        submit(book, account, SELL, price, quantity)
    outcome = submit(book, 4, BUY, 102, 8)
    base = 1 << 32
    fills = (Fill(base + 2, BOB, 101, 1), Fill(base + 3, CAROL, 101, 5), Fill(base + 1, ALICE, 102, 2))
    assert Outcome(base + 4, resting=0, fills=fills) == outcome
    assert [(ALICE, "SELL", 102, 7)] == shown(book)


def test_a_limit_order_rests_with_what_it_could_not_fill(book: Book) -> None:
    """It takes what is at its limit or better and stands there with the rest."""
    submit(book, ALICE, SELL, 100, 3)
    submit(book, ALICE, SELL, 101, 3)
    assert (2, 0) == submit(book, BOB, BUY, 100, 5)[1:3]
    assert [(BOB, "BUY", 100, 2), (ALICE, "SELL", 101, 3)] == shown(book)


def test_post_only_is_refused_where_it_would_take_and_rests_where_not(book: Book) -> None:
    """At or through the other side's best it is refused, a tick away it rests."""
    submit(book, ALICE, SELL, 100, 3)
    post = TimeInForce.POST_ONLY
    assert Reason.WOULD_CROSS == refusal(lambda: submit(book, BOB, BUY, 100, 1, post))
    assert 1 == submit(book, BOB, BUY, 99, 1, post).resting


def test_immediate_or_cancel_never_rests(book: Book) -> None:
    """What it can't fill at once is cancelled, all of it if there is nothing."""
    submit(book, ALICE, SELL, 100, 3)
    ioc = TimeInForce.IOC
    assert (0, 2, Reason.UNFILLED) == submit(book, BOB, BUY, 100, 5, ioc)[1:4]
    assert (0, 5, Reason.UNFILLED) == submit(book, BOB, BUY, 100, 5, ioc)[1:4]
    assert [] == shown(book)


def test_fill_or_kill_fills_all_or_changes_nothing(book: Book) -> None:
    """Too little in the book, a maker that fails, its own order in the way: refused, and every order stands as it did."""
    submit(book, ALICE, SELL, 100, 3)
    submit(book, BOB, SELL, 101, 3)
    fok, before, number = TimeInForce.FOK, shown(book), book.sequence
    assert Reason.CANNOT_FILL == refusal(lambda: submit(book, CAROL, BUY, 100, 4, fok))
    assert Reason.CANNOT_FILL == refusal(
        lambda: submit(
            book, CAROL, BUY, 101, 6, fok, check_maker=lambda maker, price, quantity: maker.account != BOB
        )
    )
    assert Reason.CANNOT_FILL == refusal(lambda: submit(book, BOB, BUY, 101, 6, fok))
    assert (before, number) == (shown(book), book.sequence)
    assert (0, 0) == submit(book, CAROL, BUY, 101, 6, fok)[1:3]


def test_a_maker_that_fails_its_check_is_cancelled_and_the_match_goes_on(book: Book) -> None:
    """The order behind it fills instead; the one that fails is gone whole, with the reason."""
    first = submit(book, ALICE, SELL, 100, 3).order
    submit(book, BOB, SELL, 100, 3)
    outcome = submit(
        book, CAROL, BUY, 100, 3, check_maker=lambda maker, price, quantity: maker.account == BOB
    )
    assert (Removal(first, ALICE, SELL, 100, 3, Reason.MAKER_FAILED),) == outcome.removed
    assert [(BOB, 3)] == [(fill.account, fill.quantity) for fill in outcome.fills]
    assert [] == shown(book)


def test_a_maker_that_may_trade_less_trades_so_much_and_is_cancelled(book: Book) -> None:
    """A resting reduce-only order whose position has shrunk trades what it still reduces."""
    submit(book, ALICE, SELL, 100, 10, reducible=10)
    positions = {ALICE: 4}

    def check(maker: Resting, _price: int, quantity: int) -> int:
        return min(quantity, positions[maker.account]) if maker.reduce_only else quantity

    outcome = submit(book, BOB, BUY, 100, 7, check_maker=check)
    assert ([4], [6]) == ([f.quantity for f in outcome.fills], [r.quantity for r in outcome.removed])
    assert [(BOB, "BUY", 100, 3)] == shown(book)


def test_the_check_is_asked_of_each_match_after_the_earlier_ones(book: Book) -> None:
    """It can settle what it allows: asked in the order of matching, of what is about to trade, at the maker's price."""
    for price in (100, 101, 102):
        submit(book, ALICE, SELL, price, 2)
    asked = []
    submit(
        book,
        BOB,
        BUY,
        102,
        5,
        check_maker=lambda maker, price, quantity: asked.append((price, quantity)) or True,
    )
    assert [(100, 2), (101, 2), (102, 1)] == asked


def test_reduce_only_is_cut_to_what_it_reduces(book: Book) -> None:
    """The rest of its quantity is cancelled; without anything to reduce it is refused."""
    assert (3, 4, Reason.NOT_REDUCING) == submit(book, ALICE, SELL, 100, 7, reducible=3)[1:4]
    assert [True] == [order.reduce_only for order in book]
    assert Reason.NOT_REDUCING == refusal(lambda: submit(book, ALICE, SELL, 100, 7, reducible=0))


@pytest.mark.parametrize(
    ("rule", "left", "filled"),
    [
        (SelfTrade.CANCEL_NEWEST, [(ALICE, "SELL", 100, 3), (BOB, "SELL", 100, 3)], 0),
        (SelfTrade.CANCEL_OLDEST, [(ALICE, "BUY", 100, 2)], 3),
        (SelfTrade.CANCEL_BOTH, [(BOB, "SELL", 100, 3)], 0),
        (SelfTrade.DECREMENT, [(BOB, "SELL", 100, 1)], 2),
    ],
)
def test_an_account_never_trades_with_itself(
    book: Book, rule: SelfTrade, left: list[Any], filled: int
) -> None:
    """Each of the four standard ways leaves what it says."""
    submit(book, ALICE, SELL, 100, 3)
    submit(book, BOB, SELL, 100, 3)
    outcome = submit(book, ALICE, BUY, 100, 5, self_trade=rule)
    assert filled == sum(fill.quantity for fill in outcome.fills)
    assert [] == [fill for fill in outcome.fills if fill.account == ALICE]
    assert left == shown(book)


def test_a_smaller_quantity_keeps_the_place_and_anything_else_loses_it(book: Book) -> None:
    """Shrunk in place, Alice stays first; with more, or back at the same price, she is behind Bob, under her old id."""
    mine = submit(book, ALICE, SELL, 100, 5).order
    submit(book, BOB, SELL, 100, 5)
    replace(book, ALICE, mine, 100, 4)
    assert [(ALICE, "SELL", 100, 4), (BOB, "SELL", 100, 5)] == shown(book)
    replace(book, ALICE, mine, 100, 5)
    assert [(BOB, "SELL", 100, 5), (ALICE, "SELL", 100, 5)] == shown(book)
    assert mine == book.orders_of(ALICE)[0].id


def test_a_replacement_may_match_and_one_that_is_refused_leaves_the_order(book: Book) -> None:
    """Through the other side it trades; post-only, of another account or out of range it is refused and rests as before."""
    mine = submit(book, ALICE, SELL, 105, 5).order
    submit(book, BOB, BUY, 100, 2)
    before = shown(book)
    assert Reason.WOULD_CROSS == refusal(lambda: replace(book, ALICE, mine, 100, 5, post_only=True))
    assert Reason.UNKNOWN_ORDER == refusal(lambda: replace(book, BOB, mine, 104, 5))
    assert Reason.BAD_PRICE == refusal(lambda: replace(book, ALICE, mine, 0, 5))
    assert Reason.BAD_QUANTITY == refusal(lambda: replace(book, ALICE, mine, 104, MOST + 1))
    assert before == shown(book)
    assert [2] == [fill.quantity for fill in replace(book, ALICE, mine, 100, 5).fills]
    assert [(ALICE, "SELL", 100, 3)] == shown(book)


@pytest.mark.parametrize("price", [0, -1, MOST + 1])
def test_prices_and_quantities_out_of_range_are_refused(book: Book, price: int) -> None:
    """Below one tick or lot, or past 63 bits."""
    assert Reason.BAD_PRICE == refusal(lambda: submit(book, ALICE, BUY, price, 1))
    assert Reason.BAD_QUANTITY == refusal(lambda: submit(book, ALICE, BUY, 1, price))
    assert 1 == submit(book, ALICE, BUY, MOST, 1).resting


def test_cancelling_asks_for_the_right_account_and_a_resting_order(book: Book) -> None:
    """Another's order, one that is gone and one that never was are refused alike, and nobody is remembered for asking."""
    mine = submit(book, ALICE, BUY, 100, 1).order
    for account, order in ((BOB, mine), (ALICE, mine + 1)):
        assert Reason.UNKNOWN_ORDER == refusal(
            lambda account=account, order=order: book.cancel(account, order)
        )
    book.cancel(ALICE, mine)
    assert Reason.UNKNOWN_ORDER == refusal(lambda: book.cancel(ALICE, mine))
    assert {} == book.accounts
    other = Book(2, book.journal, book.accounts)
    theirs = submit(other, ALICE, BUY, 100, 1).order
    assert Reason.UNKNOWN_ORDER == refusal(lambda: book.cancel(ALICE, theirs))
    assert ([], [theirs]) == (book.cancel_all(ALICE), [order.id for order in other.orders_of(ALICE)])


def test_orders_expire_when_their_time_has_come(book: Book) -> None:
    """At the second itself, the earliest expiry first; those without one stay."""
    late, early = (
        submit(book, ALICE, BUY, price, 1, expiry=expiry).order for price, expiry in ((100, 20), (99, 10))
    )
    stays = submit(book, ALICE, BUY, 98, 1).order
    assert [] == book.expire(9)
    assert [early, late] == [gone.order for gone in book.expire(20)]
    assert [stays] == [order.id for order in book]


def test_ids_name_their_series_and_are_never_given_twice() -> None:
    """Also orders that don't rest take one, so ids of two orders are never equal, in one book or in two."""
    ids = [
        submit(book, ALICE, BUY, 100, 1, tif).order
        for book in (Book(1, []), Book(2, []))
        for tif in (TimeInForce.IOC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.GTC)
    ]
    assert [1, 1, 1, 1, 2, 2, 2, 2] == [order >> 32 for order in ids]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("spread", [1, 10_000])
def test_ten_thousand_orders_of_one_account_cost_no_more_each_than_a_hundred(spread: int) -> None:
    """At one price or at as many: adding, matching through and cancelling all grow as the number does, not as its square."""

    def seconds(count: int) -> float:
        book = Book(1, [])
        begun = time.process_time()
        for number in range(count):
            submit(book, ALICE, SELL, 1 + number % spread, 2)
        for _ in range(count):
            submit(book, BOB, BUY, spread, 1, TimeInForce.IOC)
        assert count // 2 == len(book.cancel_all(ALICE)) == count - count // 2
        return (time.process_time() - begun) / count

    assert min(seconds(10_000) for _ in range(2)) < 8 * min(seconds(100) for _ in range(20))
