"""What happens to an order that comes in: refused, matched against the other side by price and time, and what is left rests or goes.

Rules, in the order in which they apply:

1. Prices are whole ticks and quantities whole lots; an order outside of 1 to 2^63 - 1 is refused.
2. Post-only is refused if the best order of the other side stands at its price or better; fill-or-kill if the book hasn't enough.
3. While the other side's best price is as good as the limit: its oldest order is the *maker*. If it belongs to the same account,
   self-trade prevention decides. Otherwise both trade what the smaller has, at the maker's price, once ``check_maker`` lets it: a
   maker that may trade less than that trades so much, what is left of it is cancelled, and the match goes on.
4. What is left of a GTC order rests; of an IOC order it is cancelled. A fill-or-kill order that makers failed is refused, and the
   book is what it was.

After every operation the best bid is below the best ask: what could cross was matched, or an order at its price is gone.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from rollup_node.engines.options.book.book import Book, BookSide
from rollup_node.engines.options.book.orders import (
    MOST,
    NEVER,
    REDUCE_ONLY,
    Accepted,
    Fill,
    Level,
    Outcome,
    Reason,
    Refused,
    Removal,
    Resting,
    SelfTrade,
    Side,
    TimeInForce,
)
from rollup_node.engines.options.state.journal import undo

CheckMaker: TypeAlias = Callable[[Resting, int, int], int]
"""Maker, price and quantity of a match that is about to be: how much of the quantity may trade (``True`` all, ``False`` none).

Called once for each match, after all earlier ones, so it can also settle what it allows; the book does what it says. It must not touch
the book. If it raises, the caller undoes to before the order. A refused fill-or-kill order may have called it: its caller
undoes too.
"""


_IOC: Final = TimeInForce.IOC
_FOK: Final = TimeInForce.FOK
_POST_ONLY: Final = TimeInForce.POST_ONLY
"""By themselves: looking a member up in its enumeration costs more than comparing it."""
_blank = object.__new__
_new = tuple.__new__
"""Makes a NamedTuple for a third less than calling it."""


def submit(  # noqa: C901, PLR0912, PLR0915 - see its docstring
    book: Book,
    account: int,
    side: Side,
    price: int,
    quantity: int,
    time_in_force: TimeInForce = TimeInForce.GTC,
    expiry: int = NEVER,
    reducible: int | None = None,
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    check_maker: CheckMaker | None = None,
    under: int | None = None,
) -> Accepted:
    """Match an order and let the rest of it rest, as its time in force says.

    Orders are added to the book here and nowhere else, in one function, for a call more would cost a tenth of all operations.

    Args:
        book: of the series.
        account: whose it is.
        side: buy or sell.
        price: limit, ticks.
        quantity: lots.
        time_in_force: see :class:`TimeInForce`.
        expiry: unix seconds from which :meth:`Book.expire` takes it out; :data:`NEVER` otherwise.
        reducible: given for a reduce-only order: the most it may trade, the account's position if this side reduces it, else 0. The
            quantity is cut to that; for as long as it rests ``check_maker`` sees to the same.
        self_trade: see :class:`SelfTrade`.
        check_maker: see :data:`CheckMaker`; None lets every maker trade.
        under: the id that it comes in under, of an order that is out of the book; by default its own.

    Returns:
        What became of it; the order itself, if nothing did but that it rests.

    Raises:
        Refused: the book is what it was.
    """
    if not 0 < price <= MOST:
        raise Refused(Reason.BAD_PRICE)
    if not 0 < quantity <= MOST:
        raise Refused(Reason.BAD_QUANTITY)
    flags = cancelled = 0
    reason = None
    fills: tuple[Fill, ...] = ()
    removed: tuple[Removal, ...] = ()
    if reducible is not None:
        if reducible <= 0:
            raise Refused(Reason.NOT_REDUCING)
        flags = REDUCE_ONLY
        if quantity > reducible:
            quantity, cancelled, reason = reducible, quantity - reducible, Reason.NOT_REDUCING
    if side:
        own, other, rank, limit = book.asks, book.bids, price, -price
    else:
        own, other, rank, limit = book.bids, book.asks, -price, price
    sequence = book.sequence
    order = sequence if under is None else under

    if time_in_force or other.best <= limit:
        if time_in_force is _FOK or time_in_force is _POST_ONLY:
            _require(time_in_force, other, limit, quantity, cancelled)
        mark = len(book.journal)
        left, gone, fills, removed = _match(book, other, limit, account, quantity, self_trade, check_maker)
        if gone:
            cancelled, reason = cancelled + gone, Reason.SELF_TRADE
        if left and (time_in_force is _IOC or time_in_force is _FOK):
            cancelled, left, reason = cancelled + left, 0, reason or Reason.UNFILLED
        if cancelled and time_in_force is _FOK:
            undo(book.journal, mark)
            raise Refused(Reason.CANNOT_FILL, sum(fill.quantity for fill in fills))
        if not left:
            book.skip_number()
            return _new(Outcome, (order, 0, cancelled, reason, fills, removed))
        quantity = left

    level = own.levels.get(rank)
    if level is None:
        own.open(level := Level(book, own.side, price, rank))
    resting = _blank(Resting)
    resting.id = order
    resting.sequence = sequence
    resting.account = account
    resting.quantity = quantity
    resting.expiry = expiry
    resting.flags = flags
    resting.level = level
    resting.next = ring = level.ring
    resting.previous = last = ring.previous
    last.next = ring.previous = resting
    book.sequence = sequence + 1
    book.accounts[account][order] = resting
    if expiry:
        book.expiring.add((expiry, order, account))
    book.journal.append(resting)
    if cancelled or fills or removed:
        return _new(Outcome, (order, quantity, cancelled, reason, fills, removed))
    return resting


def replace(
    book: Book,
    account: int,
    order: int,
    price: int,
    quantity: int,
    *,
    post_only: bool = False,
    expiry: int | None = None,
    self_trade: SelfTrade = SelfTrade.CANCEL_NEWEST,
    check_maker: CheckMaker | None = None,
) -> Outcome:
    """Give a resting order another price, quantity or expiry under the same id.

    It keeps its place in time if nothing but its quantity changes, and that not upwards. Otherwise it is taken out and comes in as new,
    and may match; if it is refused then, it rests as it did.

    Args:
        book: of the series.
        account: whose it is.
        order: its id.
        price: new limit, ticks.
        quantity: lots it shall have left.
        post_only: refuse it if it would be filled at once.
        expiry: new one; None keeps the old.
        self_trade: see :class:`SelfTrade`.
        check_maker: see :data:`CheckMaker`.

    Raises:
        Refused: as :func:`submit`, or there is no such order; the book is what it was.
    """
    resting = book.find(account, order)
    if not 0 < price <= MOST:
        raise Refused(Reason.BAD_PRICE)
    if not 0 < quantity <= MOST:
        raise Refused(Reason.BAD_QUANTITY)
    before = resting.quantity
    if price == resting.price and quantity <= before and expiry in {None, resting.expiry}:
        if quantity < before:
            book.resize(resting, quantity)
        lost = _removal(resting, before - quantity, Reason.REPLACED)
        return Outcome(order, quantity, removed=(lost,) if lost.quantity else ())
    mark = len(book.journal)
    taken = _removal(resting, before, Reason.REPLACED)
    book.cancel(account, order)
    try:
        outcome = submit(
            book,
            account,
            resting.side,
            price,
            quantity,
            time_in_force=TimeInForce.POST_ONLY if post_only else TimeInForce.GTC,
            expiry=resting.expiry if expiry is None else expiry,
            reducible=quantity if resting.reduce_only else None,
            self_trade=self_trade,
            check_maker=check_maker,
            under=order,
        )
    except Refused:
        undo(book.journal, mark)
        raise
    return Outcome(
        order, outcome.resting, outcome.cancelled, outcome.reason, outcome.fills, (taken, *outcome.removed)
    )


def _require(time_in_force: TimeInForce, other: BookSide, limit: int, quantity: int, cut: int) -> None:
    """Raise :class:`Refused` for an order whose condition the book doesn't meet, before anything is changed."""
    if time_in_force is _POST_ONLY and other.best <= limit:
        raise Refused(Reason.WOULD_CROSS, other.levels[other.best].price)
    if time_in_force is _FOK:
        available = _available(other, limit, quantity)
        if cut or available < quantity:
            raise Refused(Reason.CANNOT_FILL, available)


def _match(
    book: Book,
    other: BookSide,
    limit: int,
    account: int,
    quantity: int,
    self_trade: SelfTrade,
    check_maker: CheckMaker | None,
) -> tuple[int, int, tuple[Fill, ...], tuple[Removal, ...]]:
    """Down to the limit, the best and oldest first.

    Returns:
        What is left of the order, what self-trade prevention took from it, its fills, and what others lost.
    """
    gone = 0
    fills: list[Fill] = []
    removed: list[Removal] = []
    while quantity and other.best <= limit:
        level = other.levels[other.best]
        maker = level.ring.next
        held = maker.quantity
        traded = held if held < quantity else quantity  # noqa: FURB136 - calling min costs more than the line
        if maker.account == account:
            if self_trade is SelfTrade.CANCEL_NEWEST:
                quantity, gone = 0, gone + quantity
                break
            lost = traded if self_trade is SelfTrade.DECREMENT else held
            removed.append(_removal(maker, lost, Reason.SELF_TRADE))
            _lessen(book, maker, lost)
            if self_trade is SelfTrade.DECREMENT:
                quantity, gone = quantity - lost, gone + lost
            if self_trade is SelfTrade.CANCEL_BOTH:
                quantity, gone = 0, gone + quantity
            continue
        if check_maker is not None:
            answer = check_maker(maker, level.price, traded)
            if answer is not True and answer != traded:
                assert 0 <= answer < traded, f"check_maker let {answer} of {traded} trade"
                removed.append(_removal(maker, held - answer, Reason.MAKER_FAILED))
                if answer:
                    fills.append(Fill(maker.id, maker.account, level.price, answer))
                    book.resize(maker, held - answer)
                book.cancel(maker.account, maker.id)
                quantity -= answer
                continue
        fills.append(_new(Fill, (maker.id, maker.account, level.price, traded)))
        if held == traded:
            book.cancel(maker.account, maker.id)
        else:
            book.resize(maker, held - traded)
        quantity -= traded
    return quantity, gone, tuple(fills), tuple(removed) if removed else ()


def _lessen(book: Book, order: Resting, lost: int) -> None:
    if lost == order.quantity:
        book.cancel(order.account, order.id)
    else:
        book.resize(order, order.quantity - lost)


def _removal(order: Resting, lost: int, reason: Reason) -> Removal:
    return Removal(order.id, order.account, order.side, order.price, lost, reason)


def _available(other: BookSide, limit: int, quantity: int) -> int:
    """So much of the quantity is there in orders up to the limit."""
    found = 0
    for order in other:
        if found >= quantity or order.level.rank > limit:
            break
        found += order.quantity
    return min(found, quantity)
