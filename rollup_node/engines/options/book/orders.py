"""What an order is, what can become of it, and why one is refused."""

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from rollup_node.engines.options.book.book import Book

NEVER: Final = 0
"""Expiry of an order that rests until it is filled or cancelled."""
REDUCE_ONLY: Final = 1
"""Flag of a resting order: it only ever brings its account's position nearer to zero."""
SERIES_SHIFT: Final = 32
"""An order id is its series shifted by so much, plus a number that counts up in that series."""
MOST: Final = 2**63 - 1
"""The largest price and quantity."""


class Side(IntEnum):
    """Of an order."""

    BUY = 0
    SELL = 1


class TimeInForce(IntEnum):
    """How long an order wants to live."""

    GTC = 0
    """Good till cancelled, or till its expiry: what isn't filled rests."""
    IOC = 1
    """Immediate or cancel: what isn't filled at once is cancelled."""
    FOK = 2
    """Fill or kill: all of it at once, or it is refused."""
    POST_ONLY = 3
    """As GTC, but refused if any of it would be filled at once."""


class SelfTrade(IntEnum):
    """What happens instead of a trade of an account with itself; the newer order says which."""

    CANCEL_NEWEST = 0
    """What is left of the newer order is cancelled; the default, because it takes nothing away that others rely on."""
    CANCEL_OLDEST = 1
    """The resting order is cancelled; matching goes on."""
    CANCEL_BOTH = 2
    """Both are cancelled."""
    DECREMENT = 3
    """Both lose the smaller quantity, and the one that was smaller is gone; matching goes on."""


class Reason(IntEnum):
    """Why an order is refused, or a quantity left the book without a trade."""

    CANCELLED = 0
    """Its account asked for it."""
    EXPIRED = 1
    """Its time was over."""
    UNFILLED = 2
    """The rest of an immediate order."""
    SELF_TRADE = 3
    """It would have traded with an order of the same account."""
    MAKER_FAILED = 4
    """``check_maker`` let none, or not all, of it trade."""
    REPLACED = 5
    """A new order of the same id took its place, or it was made smaller."""
    WOULD_CROSS = 6
    """Post-only, and an order stands against it. It is refused, never moved to another price: a price is what was signed."""
    CANNOT_FILL = 7
    """Fill or kill, and the book can't."""
    UNKNOWN_ORDER = 8
    """There is no such resting order of this account."""
    BAD_PRICE = 9
    """Not a whole number of ticks from 1 to :data:`MOST`."""
    BAD_QUANTITY = 10
    """Not a whole number of lots from 1 to :data:`MOST`."""
    NOT_REDUCING = 11
    """Reduce-only, and there is no position that it would reduce."""


class Refused(Exception):  # noqa: N818 - names what happened to the order
    """An order, a cancel or a replacement is refused; the book is what it was.

    Args:
        reason: which rule.
        found: what the book has instead: the best price that the order would have crossed, ticks, or the lots that could have been filled.
    """

    def __init__(self, reason: Reason, found: int = 0) -> None:
        super().__init__(reason.name.lower().replace("_", " "))
        self.reason, self.found = reason, found


class Fill(NamedTuple):
    """One match, at the maker's price."""

    maker: int
    """Order id."""
    account: int
    """The maker's."""
    price: int
    """Ticks."""
    quantity: int
    """Lots."""


class Removal(NamedTuple):
    """A quantity that other orders lost to one that came in, without a trade."""

    order: int
    account: int
    side: Side
    price: int
    """Ticks."""
    quantity: int
    """Lots that are gone."""
    reason: Reason


class Outcome(NamedTuple):
    """What became of one accepted order: its quantity is that of ``fills`` + ``resting`` + ``cancelled``.

    Of an order that did nothing but come to rest, the order itself says the same (see :data:`Accepted`).
    """

    order: int
    """Its id, also if none of it rests."""
    resting: int
    """Lots in the book now."""
    cancelled: int = 0
    """Lots that were neither filled nor rest."""
    reason: Reason | None = None
    """Why they were cancelled."""
    fills: tuple[Fill, ...] = ()
    """In the order of matching."""
    removed: tuple[Removal, ...] = ()
    """What other orders lost on the way, by a failed check or self-trade prevention."""


class Resting:
    """An order in the book: a member of its level's ring.

    Mutable, no dataclass and without an ``__init__``: the book makes and links a million a second, in one place. Outside of the book it is
    for reading. Once removed it keeps its neighbours, so that undoing the newest change first puts every order back exactly where it was.
    In a journal an order stands for its own coming or going, whichever it was: undoing turns it round. As it comes in it is its own
    outcome, see :class:`Outcome`, until it changes.
    """

    __slots__ = ("account", "expiry", "flags", "id", "level", "next", "previous", "quantity", "sequence")

    id: int
    """Its series, and a number in it; see :data:`SERIES_SHIFT`."""
    sequence: int
    """Its place in time among those of its price; that of the id, unless the order was replaced."""
    account: int
    quantity: int
    """Lots left."""
    expiry: int
    """Unix seconds, or :data:`NEVER`."""
    flags: int
    level: "Level"
    previous: "Resting"
    next: "Resting"
    cancelled: ClassVar[int] = 0
    reason: ClassVar[None] = None
    fills: ClassVar[tuple[Fill, ...]] = ()
    removed: ClassVar[tuple[Removal, ...]] = ()

    @property
    def order(self) -> int:
        """Its id, as an outcome has it."""
        return self.id

    @property
    def resting(self) -> int:
        """Its quantity, as an outcome has it."""
        return self.quantity

    @property
    def rests(self) -> bool:
        """Whether it is in the book: then, and only then, is it its neighbour's neighbour."""
        return self.previous.next is self

    @property
    def side(self) -> Side:
        """Whether it buys or sells."""
        return self.level.side

    @property
    def price(self) -> int:
        """Ticks."""
        return self.level.price

    @property
    def reduce_only(self) -> bool:
        """Whether it may only bring its account nearer to no position."""
        return bool(self.flags & REDUCE_ONLY)

    def undo(self) -> None:
        """Take its coming or going back."""
        self.level.book.turn_round(self)

    def __repr__(self) -> str:
        word = "buy" if self.side is Side.BUY else "sell"
        return f"<order {self.id}: account {self.account}, {word} {self.quantity} at {self.price}>"


Accepted: TypeAlias = Outcome | Resting
"""What became of an accepted order."""


class Resized(NamedTuple):
    """A change: an order that had more before."""

    order: Resting
    before: int
    """Lots."""

    def undo(self) -> None:
        """Give it back what it had."""
        self.order.quantity = self.before


class Level:
    """All orders at one price of one side: a ring in the order of time, in which ``ring``, an order of nobody, stands between last and first."""

    __slots__ = ("book", "price", "rank", "ring", "side")

    def __init__(self, book: "Book", side: Side, price: int, rank: int) -> None:
        self.book = book
        self.side = side
        self.price = price
        self.rank = rank
        self.ring = ring = Resting()
        ring.next = ring.previous = ring
