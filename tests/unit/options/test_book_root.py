"""Roots of the book and their proofs: equal for equal orders whatever happened before, and of the first order no other passes."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.book.book import Book
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import MOST, Side
from rollup_node.engines.options.book.root import (
    EMPTY,
    BookRoot,
    OrderProof,
    Record,
    SideRoot,
    Step,
    verify_absent,
    verify_first,
    verify_included,
)
from rollup_node.engines.options.state.journal import Journal, undo

records = st.builds(
    Record,
    id=st.integers(0, 2**64 - 1),
    sequence=st.integers(0, 2**64 - 1),
    account=st.integers(0, 2**32 - 1),
    side=st.sampled_from(Side),
    price=st.one_of(st.integers(1, MOST), st.integers(1, 20)),
    quantity=st.integers(1, MOST),
    expiry=st.integers(0, 2**64 - 1),
    flags=st.integers(0, 1),
)
sides = st.sampled_from(Side).flatmap(
    lambda side: st.lists(
        records.map(lambda record: replace(record, side=side)),
        max_size=30,
        unique_by=lambda record: record.key,
    )
)


def tree(orders: list[Record]) -> SideRoot:
    """Of these."""
    made = SideRoot()
    for order in orders:
        made.put(order)
    return made


@given(records)
def test_records_survive_their_bytes(record: Record) -> None:
    """Decoding is the inverse of encoding, so no two records share their bytes."""
    assert record == Record.decode(record.encode())


@settings(max_examples=40, deadline=None)
@given(sides, st.randoms(use_true_random=False), st.data())
def test_equal_orders_have_equal_roots_whatever_happened_before(
    orders: list[Record], order: random.Random, data: st.DataObject
) -> None:
    """Another order of coming, others that came and went, sizes that changed, roots asked for in between."""
    expected = tree(orders).root()
    shuffled = order.sample(orders, len(orders))
    made = SideRoot()
    for other in data.draw(sides):
        made.put(other)
    passing = [leaf.key for leaf in data.draw(sides)]
    made.root()
    for record in shuffled:
        made.put(replace(record, quantity=1))
        made.root()
        made.put(record)
    kept = {record.key for record in orders}
    for key in [*passing, *_keys(made)]:
        if key not in kept:
            made.drop(key)
    assert expected == made.root()


def _keys(tree: SideRoot) -> list[int]:
    found, nodes = [], [tree._top]
    while nodes:
        node = nodes.pop()
        if hasattr(node, "key"):
            found.append(node.key)
        elif node is not None:
            nodes += [node.left, node.right]
    return found


@settings(max_examples=50, deadline=None)
@given(sides, records)
def test_every_order_is_proven_and_only_the_first_is_proven_first(
    orders: list[Record], other: Record
) -> None:
    """Inclusion of each, first place of the least key alone, absence of every other key, and nothing of what isn't so."""
    made = tree(orders)
    root, ranked = made.root(), sorted(orders, key=lambda record: record.key)
    assert (root == EMPTY) is (not orders)
    for place, record in enumerate(ranked):
        proof = made.prove(record.key)
        assert proof is not None
        assert (record, True, place == 0) == (
            proof.record,
            verify_included(root, proof),
            verify_first(root, proof),
        )
        assert not verify_absent(root, record.key, proof)
        assert not verify_included(root, replace(proof, record=replace(record, quantity=record.quantity ^ 1)))
    absent = other.key not in {record.key for record in orders}
    assert absent is verify_absent(root, other.key, made.prove(other.key))
    assert (not orders) is verify_absent(root, other.key, None)


@settings(max_examples=40, deadline=None)
@given(sides.filter(bool), st.data())
def test_no_changed_proof_is_taken(orders: list[Record], data: st.DataObject) -> None:
    """A step with another hash or bit, one more, one less, two exchanged: not of this root."""
    made = tree(orders)
    root = made.root()
    proof = made.prove(data.draw(st.sampled_from(orders)).key)
    assert proof is not None
    steps = list(proof.steps)
    changed = [[*steps, Step(data.draw(st.integers(0, 255)), bytes(32))]]
    for place, step in enumerate(steps):
        rest = steps[:place], steps[place + 1 :]
        changed += [
            [*rest[0], *rest[1]],
            [*rest[0], Step(step.bit, bytes(32)), *rest[1]],
            [*rest[0], Step((step.bit + 1) % 128, step.sibling), *rest[1]],
            [*rest[0], step, step, *rest[1]],
        ]
    assert [] == [made for made in changed if verify_included(root, OrderProof(proof.record, tuple(made)))]


def test_an_order_that_came_again_after_an_undo_rests_whatever_is_taken_in_first() -> None:
    """The one that is gone has the same number; which of the two a set names first is chance, and must not reach the root."""
    journal: Journal = []
    book = Book(1, journal)
    submit(book, 1, Side.BUY, 7, 5)
    (gone,) = book
    undo(journal, 0)
    submit(book, 1, Side.BUY, 7, 5)
    (again,) = book
    assert gone is not again
    roots = {BookRoot().update(orders) for orders in ([gone, again], [again, gone], [again])}
    assert 1 == len(roots)
    assert (EMPTY, EMPTY) not in roots
