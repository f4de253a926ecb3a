"""The whole state as bytes and back: what a checkpoint holds. Pure.

::

    RLP [version, root, [[index, leaf], ...], [[series, sequence, [order, ...]], ...], [message slot, ...]]

Leaves of books and messages are left out, for they follow from orders and slots. What is read back is hashed, and refused if its root is not the
one that it names: a checkpoint can be damaged, but never quietly.
"""

from typing import Any, Final

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import REDUCE_ONLY, Refused
from rollup_node.engines.options.book.root import Record
from rollup_node.engines.options.state.leaves import ID_BITS, Globals, Kind, decode, index_of
from rollup_node.engines.options.state.world import KEPT_BLOCKS, World

VERSION: Final = 1


def dump(world: World) -> bytes:
    """Everything that the state's root commits to, sorted: equal states give equal bytes."""
    root = world.root()
    leaves = sorted((index_of(table.kind, key), table.kind, key) for table in world.tables for key in table)
    books = [
        [book.series, book.sequence, [Record.of(order).encode() for order in book]]
        for _, book in sorted(world.books.items())
        if not book.untouched
    ]
    return rlp.encode(
        [
            VERSION,
            root,
            [[index, world.leaf(kind, key)] for index, kind, key in leaves],
            books,
            sorted(world.messages),
        ]
    )


def load(data: bytes, kept_blocks: int = KEPT_BLOCKS) -> World:
    """A world that has the state and no past: it can't be undone beyond this.

    Raises:
        Malformed: not such bytes, or not the state of the root that they name.
    """
    version, root, leaves, books, messages = rlp.items(rlp.decode(data), 5)
    if rlp.integer(version) != VERSION:
        raise Malformed(f"a snapshot of version {rlp.integer(version)}; this node reads version {VERSION}")
    values = [_leaf(entry) for entry in rlp.items(leaves)]
    initial = next((value for kind, _, value in values if kind is Kind.GLOBALS), None)
    world = World(initial if isinstance(initial, Globals) else None, kept_blocks)
    tables = {table.kind: table for table in world.tables}
    for kind, number, value in values:
        if kind not in tables:
            raise Malformed(f"a snapshot doesn't hold leaves of {kind.name}")
        tables[kind][number] = value
    for entry in rlp.items(books):
        _fill(world, entry)
    for slot in rlp.items(messages):
        world.pass_message(rlp.string(slot, [32]))
    if world.root() != root:
        raise Malformed(f"the snapshot's state has root {world.root().hex()}, not the one that it names")
    world.forget_past()
    return world


def _leaf(entry: rlp.Item) -> tuple[Kind, int, Any]:
    index, leaf = rlp.items(entry, 2)
    kind, value = decode(rlp.string(leaf))
    number = rlp.bounded(index, 32) - (kind << ID_BITS)
    if not 0 <= number < 1 << ID_BITS:
        raise Malformed(f"a leaf of {kind.name} doesn't stand at index {rlp.integer(index)}")
    return kind, number, value


def _fill(world: World, entry: rlp.Item) -> None:
    series, sequence, orders = rlp.items(entry, 3)
    book = world.book(rlp.bounded(series, 32))
    for order in rlp.items(orders):
        record = Record.decode(rlp.string(order))
        book.skip_number(record.sequence)
        reducible = record.quantity if record.flags & REDUCE_ONLY else None
        try:
            outcome = submit(
                book,
                record.account,
                record.side,
                record.price,
                record.quantity,
                expiry=record.expiry,
                reducible=reducible,
                under=record.id,
            )
        except Refused as exc:
            raise Malformed(f"a snapshot's order is refused: {exc}") from exc
        if outcome.resting != record.quantity:
            raise Malformed(f"order {record.id} of a snapshot doesn't rest: the book would be crossed")
    book.skip_number(rlp.uint64(sequence))
