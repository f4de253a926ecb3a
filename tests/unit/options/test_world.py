"""The state and its journal against deep copies: after any way there and back it is the same, and so is its root."""

import contextlib
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.book.matching import replace as replace_order
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import Refused, Side, TimeInForce
from rollup_node.engines.options.book.root import Record, verify_first
from rollup_node.engines.options.risk.rows import RiskRow
from rollup_node.engines.options.state.leaves import (
    Account,
    Auction,
    BookLeaf,
    Globals,
    Kind,
    Oracle,
    Owner,
    Series,
    decode,
)
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.tree import verify
from rollup_node.engines.options.state.trie import verify as verify_entry
from rollup_node.engines.options.state.world import TooFarBack, World

numbers = st.integers(0, 5)
amounts = st.integers(-(2**80), 2**80)


def copied(world: World) -> Any:
    """All of it, as values that share nothing with it."""
    return (
        [dict(table) for table in world.tables],
        {
            series: (book.sequence, [Record.of(order) for order in book])
            for series, book in world.books.items()
            if not book.untouched
        },
        sorted(world.messages),
    )


def rebuilt(world: World) -> World:
    """Another world with the same state and no past, written from nothing."""
    fresh = World(world.globals)
    for table, mine in zip(world.tables, fresh.tables, strict=True):
        for key, value in table.items():
            mine[key] = value
    for series, book in world.books.items():
        for record in sorted((Record.of(order) for order in book), key=lambda record: record.sequence):
            fresh.book(series).skip_number(record.sequence)
            reducible = record.quantity if record.flags else None
            submit(
                fresh.book(series), record.account, record.side, record.price, record.quantity,
                expiry=record.expiry, reducible=reducible, under=record.id,
            )  # fmt: skip
        if not book.untouched:
            fresh.book(series).skip_number(book.sequence)
    for slot in world.messages:
        fresh.pass_message(slot)
    return fresh


class WorldMachine(RuleBasedStateMachine):
    """Changes of every kind, marks within marks, blocks, and going back."""

    @initialize(kept=st.integers(0, 3))
    def begin(self, kept: int) -> None:
        """Nothing but what there is one of."""
        self.world = World(kept_blocks=kept)
        self.marks: list[tuple[int, Any, bytes]] = []
        self.blocks: list[tuple[int, Any, bytes]] = []
        self.kept, self.number, self.messages = kept, 0, 0

    @rule(number=numbers, amount=amounts)
    def account(self, number: int, amount: int) -> None:
        """One is opened or changed."""
        before = self.world.accounts.get(number, Account(bytes([number]) * 20))
        self.world.accounts[number] = replace(before, cash=amount)

    @rule(
        number=numbers,
        what=st.sampled_from(["addresses", "series", "risk", "oracles", "auctions"]),
        flag=st.booleans(),
    )
    def others(self, number: int, what: str, flag: bool) -> None:
        """A leaf of another kind is written."""
        made: dict[str, Any] = {
            "addresses": (Owner(bytes(20), number, (1, 2) if flag else ()),),
            "series": Series(1, 2, 3, flag, 5, 6),
            "risk": RiskRow(number, (int(flag),) * 16, 1),
            "oracles": Oracle((bytes(20),), sequence=number, forwards=((1, 2),) if flag else ()),
            "auctions": Auction(number, 5),
        }
        getattr(self.world, what)[number] = made[what]

    @rule(number=numbers, what=st.sampled_from(["accounts", "auctions", "oracles"]))
    def remove(self, number: int, what: str) -> None:
        """A leaf goes."""
        table = getattr(self.world, what)
        if number in table:
            del table[number]

    @rule(amount=st.integers(0, 9))
    def shared(self, amount: int) -> None:
        """What there is one of changes."""
        self.world.globals = replace(self.world.globals, insurance=amount)

    @rule(
        series=st.integers(1, 2),
        account=numbers,
        side=st.sampled_from(Side),
        price=st.integers(1, 5),
        quantity=st.integers(1, 5),
        tif=st.sampled_from(TimeInForce),
        expiry=st.sampled_from([0, 50]),
    )
    def order(
        self, series: int, account: int, side: Side, price: int, quantity: int, tif: TimeInForce, expiry: int
    ) -> None:
        """An order comes in."""
        with contextlib.suppress(Refused):
            submit(self.world.book(series), account, side, price, quantity, tif, expiry)

    @rule(account=numbers, price=st.integers(1, 5), quantity=st.integers(1, 5))
    def replaced(self, account: int, price: int, quantity: int) -> None:
        """The first order of an account becomes another."""
        for order in self.world.orders_of(account)[:1]:
            replace_order(self.world.book(order.id >> 32), account, order.id, price, quantity)

    @rule(account=numbers)
    def cancel(self, account: int) -> None:
        """All orders of an account go, in all series."""
        for series in self.world.series_with_orders(account):
            self.world.book(series).cancel_all(account)
        assert 0 == self.world.count_orders(account)

    @rule()
    def message(self) -> None:
        """One is passed to L1."""
        self.messages += 1
        self.world.pass_message(keccak256(self.messages.to_bytes(4, "big")))

    @rule(hashed=st.booleans())
    def mark(self, hashed: bool) -> None:
        """Remember this moment; its root is asked for now, or only after coming back."""
        root = self.world.root() if hashed else b""
        self.marks.append((self.world.mark(), copied(self.world), root or rebuilt(self.world).root()))

    @rule(back=st.integers(1, 3))
    def undo(self, back: int) -> None:
        """Back through as many marks."""
        for _ in range(min(back, len(self.marks))):
            mark, state, root = self.marks.pop()
            self.world.undo(mark)
            assert (state, root) == (copied(self.world), self.world.root())
            sealed = {number for number, _ in self.world._sealed}
            self.blocks = [block for block in self.blocks if block[0] in sealed]

    @rule()
    def seal(self) -> None:
        """A block ends. Marks from before what is kept are no use any more."""
        self.number += 1
        self.world.seal(self.number)
        self.blocks.append((self.number, copied(self.world), self.world.root()))
        del self.blocks[: max(0, len(self.blocks) - self.kept - 1)]
        self.marks = [mark for mark in self.marks if mark[0] >= self.world._base]

    @rule(pick=st.integers(0, 9))
    def rewind(self, pick: int) -> None:
        """Back to a block that is kept."""
        if self.blocks:
            number, state, root = self.blocks[pick % len(self.blocks)]
            self.world.rewind(number)
            assert (state, root) == (copied(self.world), self.world.root())
            self.blocks = [block for block in self.blocks if block[0] <= number]
            self.marks = [mark for mark in self.marks if mark[0] <= self.world.mark()]
            self.number = number

    @rule()
    def snapshot(self) -> None:
        """Written out and read back it is the same state, with the same root and the same bytes."""
        data = dump(self.world)
        again = load(data)
        assert (copied(self.world), self.world.root()) == (copied(again), again.root())
        assert data == dump(again)

    @invariant()
    def same_root(self) -> None:
        """The root is that of the same state written from nothing, whatever happened before.

        Looked at in every other block, so that what is hashed late is seen too.
        """
        if self.number % 2:
            assert rebuilt(self.world).root() == self.world.root()


WorldMachine.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestWorld = WorldMachine.TestCase


def busy(seed: int, steps: int) -> World:
    """Some state."""
    chance, world = random.Random(seed), World()
    for number in range(steps):
        world.accounts[chance.randrange(50)] = Account(bytes(20), cash=number)
        submit(world.book(1), chance.randrange(50), chance.choice(list(Side)), chance.randrange(1, 30), 3)
        if number % 10 == 0:
            world.pass_message(keccak256(number.to_bytes(4, "big")))
    return world


def test_leaves_orders_and_messages_are_proven_against_the_roots() -> None:
    """A leaf that is there, one that isn't, a book's best order by way of its leaf, a message by way of the storage root."""
    world = busy(1, 100)
    root = world.root()
    account, absent, book = (
        world.prove(Kind.ACCOUNT, 3),
        world.prove(Kind.ACCOUNT, 999),
        world.prove(Kind.BOOK, 1),
    )
    assert (Kind.ACCOUNT, world.accounts[3]) == decode(account.leaf or b"")
    assert verify(root, account.proof, account.leaf)
    assert absent.leaf is None
    assert verify(root, absent.proof, None)
    assert verify(root, book.proof, book.leaf)
    _, leaf = decode(book.leaf or b"")
    assert isinstance(leaf, BookLeaf)
    for side, tree in ((Side.BUY, leaf.bids), (Side.SELL, leaf.asks)):
        first = world.prove_first(1, side)
        assert first is not None
        assert verify_first(tree, first)
        assert next(iter(world.book(1).asks if side else world.book(1).bids)).id == first.record.id
    slot = next(iter(world.messages))
    assert b"\1" == verify_entry(world.storage_root, slot, world.prove_message(slot))
    assert verify_entry(world.storage_root, bytes(32), world.prove_message(bytes(32))) is None
    shown = world.prove(Kind.MESSAGES, 0)
    assert verify(root, shown.proof, shown.leaf)
    assert world.storage_root in (shown.leaf or b"")


def test_a_block_that_is_not_kept_can_not_be_gone_back_to() -> None:
    """Refused with what is kept; the state stays as it is."""
    world = World(kept_blocks=2)
    for number in range(5):
        world.globals = Globals(number=number)
        world.seal(number)
    for number in (1, 9):
        with pytest.raises(TooFarBack, match=f"block {number} .* kept are 2 to 4"):
            world.rewind(number)
    with pytest.raises(TooFarBack):
        world.undo(0)
    world.rewind(2)
    assert 2 == world.globals.number


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_a_damaged_snapshot_is_never_read_as_a_state(place: int, change: int) -> None:
    """Whichever byte is another: refused."""
    damaged = bytearray(SNAPSHOT)
    damaged[place % len(damaged)] ^= change
    with pytest.raises(Malformed):
        load(bytes(damaged))


SNAPSHOT = dump(busy(2, 30))


def test_tables_are_only_written_entry_by_entry() -> None:
    """A way past the journal is an error, not a change that can't be undone."""
    for name, arguments in (
        ("update", ({},)),
        ("clear", ()),
        ("pop", (1,)),
        ("setdefault", (1, 2)),
        ("popitem", ()),
    ):
        with pytest.raises(TypeError, match="entry by entry"):
            getattr(World().accounts, name)(*arguments)
