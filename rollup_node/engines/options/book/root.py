"""Merkle roots over resting orders in the order of matching: one of bids, one of asks, brought up to date at the end of a block.

The problem: L1 must be able to see that an order is in the book, that it is the *first* of its side (else a match could pass over a better
one), and that one is not in it; and a block changes a few orders out of many. A plain Merkle tree over the sorted list moves
every leaf when one comes in. The choice: a binary trie over the sort key in which each branch names the highest bit that differs below it
(a crit-bit tree). Its shape follows from the keys alone, so equal books have equal roots whatever their history; a change touches
about log2(n) branches; read from left to right its leaves stand in the order of matching, so the first is the one with only left turns.

::

    key (128 bits)   rank + 2^63 (64 bits) | sequence (64 bits);  rank = price of an ask, minus the price of a bid
    leaf             keccak(0x00 | record)
    branch           keccak(0x01 | bit (1 byte) | left | right);  below left the key has 0 at that bit, below right 1
    root             32 zero bytes of an empty side
"""

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.book.orders import MOST, REDUCE_ONLY, Resting, Side

EMPTY: Final = bytes(32)
"""Root of a side without orders."""
_FORM: Final = Struct(">BQQIBqqQB")
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Record:
    """A resting order as the tree holds it, as checkpoints keep it, and as proofs show it."""

    id: int
    sequence: int
    account: int
    side: Side
    price: int
    """Ticks."""
    quantity: int
    """Lots left."""
    expiry: int
    flags: int

    @classmethod
    def of(cls, order: Resting) -> "Record":
        """What an order is now."""
        level = order.level
        return cls(
            order.id,
            order.sequence,
            order.account,
            level.side,
            level.price,
            order.quantity,
            order.expiry,
            order.flags,
        )

    @property
    def key(self) -> int:
        """Less is matched earlier."""
        rank = self.price if self.side else -self.price
        return (rank + MOST + 1) << 64 | self.sequence

    def encode(self) -> bytes:
        """47 bytes; no two records share theirs."""
        return _FORM.pack(
            _VERSION,
            self.id,
            self.sequence,
            self.account,
            self.side,
            self.price,
            self.quantity,
            self.expiry,
            self.flags,
        )

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """The inverse of :meth:`encode`.

        Raises:
            Malformed: not the bytes of a record.
        """
        if len(data) != _FORM.size:
            raise Malformed(f"a resting order has {_FORM.size} bytes, got {len(data)}")
        version, identity, sequence, account, side, price, quantity, expiry, flags = _FORM.unpack(data)
        if version != _VERSION or side > 1 or price < 1 or quantity < 1 or flags > REDUCE_ONLY:
            raise Malformed("not a resting order: its version, side, price, quantity or flags")
        return cls(identity, sequence, account, Side(side), price, quantity, expiry, flags)


class Step(NamedTuple):
    """A branch between an order and the root."""

    bit: int
    sibling: bytes
    """Hash of the other side."""


@dataclass(frozen=True, slots=True)
class OrderProof:
    """That an order is in a tree, and where."""

    record: Record
    steps: tuple[Step, ...]
    """From the order up."""

    def root(self) -> bytes | None:
        """Of the tree that this is a proof of; None if it is one of no tree."""
        key, digest, below = self.record.key, _leaf_hash(self.record), -1
        for bit, sibling in self.steps:
            if not below < bit < 128 or len(sibling) != 32:
                return None
            below = bit
            digest = (
                _branch_hash(bit, sibling, digest) if key >> bit & 1 else _branch_hash(bit, digest, sibling)
            )
        return digest


def verify_included(root: bytes, proof: OrderProof) -> bool:
    """Whether the order is in the tree of this root."""
    return proof.root() == root


def verify_first(root: bytes, proof: OrderProof) -> bool:
    """Whether the order is the best of its side: included, and nothing stands left of it."""
    return verify_included(root, proof) and not any(proof.record.key >> step.bit & 1 for step in proof.steps)


def verify_absent(root: bytes, key: int, closest: OrderProof | None) -> bool:
    """Whether no order of this key is in the tree.

    Args:
        root: of the side.
        key: see :attr:`Record.key`.
        closest: proof of the order where the search for the key ends; None in an empty tree.
    """
    if closest is None:
        return root == EMPTY
    found = closest.record.key
    follows = all((found ^ key) >> step.bit & 1 == 0 for step in closest.steps)
    return verify_included(root, closest) and follows and found != key


class _Leaf:
    __slots__ = ("digest", "key", "record")

    def __init__(self, key: int, record: Record) -> None:
        self.key = key
        self.record = record
        self.digest: bytes | None = None


class _Branch:
    __slots__ = ("bit", "digest", "left", "right")

    def __init__(self, bit: int, left: "_Node", right: "_Node") -> None:
        self.bit = bit
        self.left = left
        self.right = right
        self.digest: bytes | None = None


_Node: TypeAlias = _Leaf | _Branch


class SideRoot:
    """The tree of bids or of asks. Hashes are made when the root is asked for, each branch once however much changed below it."""

    def __init__(self) -> None:
        self._top: _Node | None = None

    def put(self, record: Record) -> None:
        """Add an order, or give it what it is now."""
        key, top = record.key, self._top
        if top is None:
            self._top = _Leaf(key, record)
            return
        difference = self._closest(top, key) ^ key
        if not difference:
            leaf = self._descend(key, -1)[1]
            assert isinstance(leaf, _Leaf)
            leaf.record, leaf.digest = record, None
            return
        bit = difference.bit_length() - 1
        parent, node = self._descend(key, bit)
        new = _Leaf(key, record)
        branch = _Branch(bit, node, new) if key >> bit & 1 else _Branch(bit, new, node)
        self._attach(parent, key, branch)

    def drop(self, key: int) -> None:
        """Take an order out, if it is there."""
        if self._top is None or self._closest(self._top, key) != key:
            return
        parent, grandparent = None, None
        node = self._top
        while isinstance(node, _Branch):
            node.digest = None
            grandparent, parent = parent, node
            node = node.right if key >> node.bit & 1 else node.left
        if parent is None:
            self._top = None
        else:
            self._attach(grandparent, key, parent.left if key >> parent.bit & 1 else parent.right)

    def root(self) -> bytes:
        """Of the orders as they are now."""
        return EMPTY if self._top is None else _digest(self._top)

    def prove(self, key: int) -> OrderProof | None:
        """The order of this key, or the one where the search for it ends; None of an empty tree."""
        self.root()
        node, steps = self._top, []
        while isinstance(node, _Branch):
            here, there = (node.right, node.left) if key >> node.bit & 1 else (node.left, node.right)
            steps.append(Step(node.bit, _digest(there)))
            node = here
        return None if node is None else OrderProof(node.record, tuple(reversed(steps)))

    def prove_first(self) -> OrderProof | None:
        """The best order; None of an empty tree."""
        return self.prove(0)

    def _closest(self, node: _Node, key: int) -> int:
        while isinstance(node, _Branch):
            node = node.right if key >> node.bit & 1 else node.left
        return node.key

    def _descend(self, key: int, bit: int) -> tuple[_Branch | None, _Node]:
        """To the first node that doesn't branch above ``bit``; what is passed has to be hashed again."""
        parent, node = None, self._top
        while isinstance(node, _Branch) and node.bit > bit:
            node.digest = None
            parent, node = node, node.right if key >> node.bit & 1 else node.left
        assert node is not None
        return parent, node

    def _attach(self, parent: _Branch | None, key: int, node: _Node) -> None:
        if parent is None:
            self._top = node
        elif key >> parent.bit & 1:
            parent.right = node
        else:
            parent.left = node


class BookRoot:
    """Both trees of a book."""

    def __init__(self) -> None:
        self.bids, self.asks = SideRoot(), SideRoot()

    def update(self, orders: Iterable[Resting]) -> tuple[bytes, bytes]:
        """Take in every order that came, went or changed since the last time (others do no harm); gives the roots of bids and asks."""
        # those that are gone come first: after an undo another order may rest with the same number
        for order in sorted(orders, key=lambda one: one.rests):
            record = Record.of(order)
            side = self.asks if record.side else self.bids
            if order.rests:
                side.put(record)
            else:
                side.drop(record.key)
        return self.bids.root(), self.asks.root()


def _digest(node: _Node) -> bytes:
    if node.digest is None:
        if isinstance(node, _Leaf):
            node.digest = _leaf_hash(node.record)
        else:
            node.digest = _branch_hash(node.bit, _digest(node.left), _digest(node.right))
    return node.digest


def _leaf_hash(record: Record) -> bytes:
    return keccak256(b"\0" + record.encode())


def _branch_hash(bit: int, left: bytes, right: bytes) -> bytes:
    return keccak256(b"\1%c%b%b" % (bit, left, right))
