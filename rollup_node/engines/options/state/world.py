"""The whole state of an options rollup: tables, books, messages; one journal under all, so that any part of the past is a mark away.

::

    tables, books, messages ──change──► journal ──mark, undo──► the state before
                                           │
    root(): what the journal names since the last root ─► leaves ─► Tree ─► state root
    seal(number): a block ends here ─► rewind(number), as far back as blocks are kept

Hashing is left for the end of a block: an order that came and went in the meantime never touches a tree. Undoing what is hashed already
marks it as stale; the next root hashes it again. After any way there and back the root is the same, byte for byte.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from rollup_node.engines.options.book.book import Accounts, Book, Numbered
from rollup_node.engines.options.book.orders import SERIES_SHIFT, Resized, Resting, Side
from rollup_node.engines.options.book.root import BookRoot, OrderProof
from rollup_node.engines.options.risk.rows import RiskRow
from rollup_node.engines.options.state import journal as journals
from rollup_node.engines.options.state.combos import Combos
from rollup_node.engines.options.state.journal import Change, Journal
from rollup_node.engines.options.state.leaves import (
    Account,
    Amm,
    Auction,
    BookLeaf,
    Breaker,
    Earnings,
    Globals,
    Kind,
    Letter,
    Messages,
    Oracle,
    Owner,
    Post,
    Series,
    encode,
    index_of,
)
from rollup_node.engines.options.state.tables import Table, Written
from rollup_node.engines.options.state.tree import LeafProof, Tree
from rollup_node.engines.options.state.trie import EMPTY_ROOT, Trie

KEPT_BLOCKS: Final = 128
"""How many sealed blocks can be rewound, and read by number: what the field's nodes keep the state of."""
_SENT: Final = b"\1"
"""RLP of true: what the message passer's storage has for a message."""
_NO_EARNINGS: Final = Earnings()


class TooFarBack(LookupError):  # noqa: N818 - says what it is
    """A block that isn't kept, or isn't sealed yet."""


@dataclass(frozen=True, slots=True)
class Proven:
    """A leaf and its proof."""

    leaf: bytes | None
    """Its encoding; None: there is none."""
    proof: LeafProof


class World:
    """State that is executed on.

    Args:
        initial: what there is one of.
        kept_blocks: how many sealed blocks can be rewound.
    """

    def __init__(self, initial: Globals | None = None, kept_blocks: int = KEPT_BLOCKS) -> None:
        self.journal: Journal = []
        self.accounts: Table[Account] = Table(Kind.ACCOUNT, self.journal)
        self.addresses: Table[tuple[Owner, ...]] = Table(Kind.OWNERS, self.journal)
        """By the first 28 bits of an address's hash."""
        self.series: Table[Series] = Table(Kind.SERIES, self.journal)
        self.risk: Table[RiskRow] = Table(Kind.RISK, self.journal)
        """By series."""
        self.oracles: Table[Oracle] = Table(Kind.ORACLE, self.journal)
        """By underlying; so is ``amms``."""
        self.auctions: Table[Auction] = Table(Kind.AUCTION, self.journal)
        """By account."""
        self.amms: Table[Amm] = Table(Kind.AMM, self.journal)
        self.combos = Combos(self.journal)
        self.letters: Table[tuple[Letter, ...]] = Table(Kind.LETTERS, self.journal)
        """By the first 28 bits of a name."""
        self.post: Table[Post] = Table(Kind.POST, self.journal)
        """One at most, at zero: none before the first message."""
        self.breakers: Table[Breaker] = Table(Kind.BREAKER, self.journal)
        """By underlying plus one; zero is the whole rollup's."""
        self._earnings: Table[Earnings] = Table(Kind.EARNINGS, self.journal)
        self._globals: Table[Globals] = Table(Kind.GLOBALS, self.journal)
        self.tables: tuple[Table[Any], ...] = (
            self.accounts, self.addresses, self.series, self.risk, self.oracles, self.auctions, self.amms, self.combos,
            self.breakers, self._earnings, self.letters, self.post, self._globals,
        )  # fmt: skip
        self.books: dict[int, Book] = {}
        """By series; see :meth:`book`."""
        self.messages: dict[bytes, None] = {}
        """Storage slots of all messages that were passed to L1, in their order."""
        self._orders: Accounts = defaultdict(dict)
        self._tree, self._trie = Tree(), Trie()
        self._roots: dict[int, BookRoot] = {}
        self._stale = _Stale()
        self._base = 0  # changes that were dropped from the journal's beginning: marks count them
        self._hashed = 0  # the mark of the last root
        self._sealed: deque[tuple[int, int]] = deque()
        self._kept_blocks = kept_blocks
        self.globals = initial or Globals()
        self._stale.note(self.journal)
        self.journal.clear()

    @property
    def globals(self) -> Globals:
        """What there is one of."""
        return self._globals[0]

    @globals.setter  # noqa: A003 - there is no other word for it
    def globals(self, value: Globals) -> None:
        self._globals[0] = value

    @property
    def earnings(self) -> Earnings:
        """What fees have come to, by kind; nothing is written of it before the first."""
        return self._earnings.get(0) or _NO_EARNINGS

    @earnings.setter
    def earnings(self, value: Earnings) -> None:
        self._earnings[0] = value

    def book(self, series: int) -> Book:
        """A series' book; one that was never used is empty, and no part of the state."""
        found = self.books.get(series)
        if found is None:
            found = self.books[series] = Book(series, self.journal, self._orders)
        return found

    def orders_of(self, account: int) -> list[Resting]:
        """An account's resting orders in all series, the lowest id first."""
        return [order for _, order in sorted(self._orders.get(account, {}).items())]

    def unsorted_orders_of(self, account: int) -> Iterable[Resting]:
        """The same in an order that may differ between nodes: for sums."""
        return self._orders[account].values() if account in self._orders else ()

    def count_orders(self, account: int) -> int:
        """How many that are."""
        return len(self._orders.get(account, ()))

    def series_with_orders(self, account: int) -> list[int]:
        """Series in which an account has resting orders, ascending."""
        return sorted({order >> SERIES_SHIFT for order in self._orders.get(account, ())})

    def has_expired_orders(self, series: int, now: int) -> bool:
        """Whether :meth:`Book.expire` would take any out."""
        book = self.books.get(series)
        first = None if book is None else book.first_expiry
        return first is not None and first <= now

    def pass_message(self, slot: bytes) -> None:
        """Note a message to L1 by the storage slot that the message passer has for it."""
        if slot not in self.messages:
            self.messages[slot] = None
            self.journal.append(Passed(self.messages, slot))

    def mark(self) -> int:
        """This moment, for :meth:`undo`. Marks may be nested; undoing one undoes those within it."""
        return self._base + len(self.journal)

    def undo(self, mark: int) -> None:
        """Go back to a moment.

        Raises:
            TooFarBack: what was changed since isn't kept any more.
        """
        place = mark - self._base
        if place < 0:
            raise TooFarBack("the state can't go back that far: restore a checkpoint, or replay")
        if mark < self._hashed:
            self._stale.note(self.journal[place : self._hashed - self._base])
            self._hashed = mark
        journals.undo(self.journal, place)
        while self._sealed and self._sealed[-1][1] > mark:
            self._sealed.pop()

    def seal(self, number: int) -> None:
        """A block ends here: :meth:`rewind` comes back to it for as long as it is kept."""
        self._sealed.append((number, self.mark()))
        while len(self._sealed) > self._kept_blocks + 1:
            self._sealed.popleft()
        self.root()  # what is dropped must not be needed for hashing
        drop = self._sealed[0][1] - self._base
        del self.journal[:drop]
        self._base += drop

    def forget_past(self) -> None:
        """Nothing before this moment can be undone any more."""
        self.root()
        self._base = self.mark()
        self.journal.clear()
        self._sealed.clear()

    def rewind(self, number: int) -> None:
        """Undo every block after this one, and whatever came after the last.

        Raises:
            TooFarBack: it isn't sealed, or isn't kept any more.
        """
        mark = next((mark for sealed, mark in self._sealed if sealed == number), None)
        if mark is None:
            kept = f"{self._sealed[0][0]} to {self._sealed[-1][0]}" if self._sealed else "none"
            raise TooFarBack(
                f"block {number} can't be gone back to: kept are {kept}; restore a checkpoint, or replay"
            )
        self.undo(mark)
        while self._sealed[-1][0] != number:
            self._sealed.pop()

    def changed(self) -> set[tuple[Kind, int]]:
        """Kind and id of every leaf that may have changed since the last root."""
        self._stale.note(self.journal[self._hashed - self._base :])
        self._hashed = self.mark()
        books = {(Kind.BOOK, series) for series in self._stale.orders}
        messages = {(Kind.MESSAGES, 0)} if self._stale.messages else set()
        return self._stale.entries | books | messages

    def root(self) -> bytes:
        """Of the state as it is; hashes what changed since the last time.

        Raises:
            Overflow: something that was written doesn't fit its leaf.
        """
        changed = self.changed()
        if changed:
            for slot in self._stale.messages:
                self._trie.put(slot, _SENT if slot in self.messages else b"")
            for series, orders in self._stale.orders.items():
                self._roots.setdefault(series, BookRoot()).update(orders)
            self._tree.update({index_of(*place): self.leaf(*place) for place in changed})
            self._stale = _Stale()
        return self._tree.root

    @property
    def storage_root(self) -> bytes:
        """The message passer's, as of the last root."""
        return self._trie.root

    def leaf(self, kind: Kind, number: int) -> bytes | None:
        """The bytes of a leaf; of books and messages as of the last root. None: there is none."""
        value: Any
        if kind is Kind.BOOK:
            book = self.books.get(number)
            tree = self._roots.get(number)
            if book is None or tree is None or book.untouched:
                return None
            value = BookLeaf(tree.bids.root(), tree.asks.root(), book.sequence)
        elif kind is Kind.MESSAGES:
            value = None if self._trie.root == EMPTY_ROOT else Messages(self._trie.root)
        else:
            value = next(table for table in self.tables if table.kind is kind).get(number)
        return None if value is None else encode(kind, value)

    def prove(self, kind: Kind, number: int) -> Proven:
        """That a leaf is what it is, or isn't there, in the state of the root that this brings up to date."""
        self.root()
        return Proven(self.leaf(kind, number), self._tree.prove(index_of(kind, number)))

    def prove_first(self, series: int, side: Side) -> OrderProof | None:
        """A side's best order within its root in the book's leaf; None if it has none."""
        self.root()
        tree = self._roots.get(series)
        return None if tree is None else (tree.asks if side else tree.bids).prove_first()

    def prove_message(self, slot: bytes) -> list[bytes]:
        """The nodes that show a message, or its absence, in the message passer's storage."""
        self.root()
        return self._trie.prove(slot)


class Passed(NamedTuple):
    """A change: a message was passed."""

    messages: dict[bytes, None]
    slot: bytes

    def undo(self) -> None:
        """It wasn't."""
        del self.messages[self.slot]


class _Stale:
    """What has to be hashed again."""

    def __init__(self) -> None:
        self.entries: set[tuple[Kind, int]] = set()
        self.orders: defaultdict[int, set[Resting]] = defaultdict(set)
        """By series; of one whose number alone changed, none."""
        self.messages: set[bytes] = set()

    def note(self, changes: list[Change]) -> None:
        """Take in what changes are about."""
        for change in changes:
            match change:
                case Written():
                    self.entries.add((change.table.kind, change.key))
                case Resting():
                    self.orders[change.level.book.series].add(change)
                case Resized():
                    self.orders[change.order.level.book.series].add(change.order)
                case Numbered():
                    self.orders[change.book.series].update(())
                case Passed():
                    self.messages.add(change.slot)
                case _:
                    raise TypeError(f"the state doesn't know what a {type(change).__name__} changes")
