"""The state tree: a sparse Merkle tree of depth 32 over keccak, hashed once at the end of a block.

::

    leaf at index i (32 bits)   keccak(encoding), or 32 zero bytes if there is none
    node                        keccak(left | right), or 32 zero bytes if both are
    root                        32 levels up

That an empty part is zero at every height keeps proofs short and the verifier simple: on L1 it is one comparison. It gives no
room for a forgery: every proof has 32 steps, so no node passes for a leaf, and nothing that is hashed has the hash zero.

A block changes few leaves of many. Nodes on shared paths are hashed once, level by level, not once for each leaf.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256

DEPTH: Final = 32
EMPTY: Final = bytes(32)
"""An absent leaf, and every node above nothing else."""


@dataclass(frozen=True, slots=True)
class LeafProof:
    """What stands beside the path from one leaf to the root: the same for a leaf that is there and for one that isn't."""

    index: int
    siblings: tuple[bytes, ...]
    """32 hashes, from the leaf up; :data:`EMPTY` beside which there is nothing."""

    def root(self, digest: bytes) -> bytes:
        """Of the tree in which the leaf has this digest."""
        place = self.index
        for sibling in self.siblings:
            digest = _node(sibling, digest) if place & 1 else _node(digest, sibling)
            place >>= 1
        return digest

    def encode(self) -> bytes:
        """Index, a bit for each sibling that isn't empty (the leaf's is the lowest), and those."""
        present = sum(1 << height for height, sibling in enumerate(self.siblings) if sibling != EMPTY)
        kept = b"".join(sibling for sibling in self.siblings if sibling != EMPTY)
        return self.index.to_bytes(4, "big") + present.to_bytes(4, "big") + kept

    @classmethod
    def decode(cls, data: bytes) -> "LeafProof":
        """The inverse of :meth:`encode`.

        Raises:
            Malformed: not the bytes of a proof.
        """
        present = int.from_bytes(data[4:8], "big")
        if len(data) != 8 + 32 * present.bit_count():
            raise Malformed(
                "the proof of a leaf is its index, its bit map and a hash for each bit that is set"
            )
        siblings, at = [], 8
        for height in range(DEPTH):
            there = present >> height & 1
            siblings.append(data[at : at + 32] if there else EMPTY)
            at += 32 * there
        if any(present >> height & 1 and sibling == EMPTY for height, sibling in enumerate(siblings)):
            raise Malformed("the proof of a leaf writes out a hash that is empty")
        return cls(int.from_bytes(data[:4], "big"), tuple(siblings))


def verify(root: bytes, proof: LeafProof, leaf: bytes | None) -> bool:
    """Whether the tree of this root has this leaf.

    Args:
        root: of the tree.
        proof: names the leaf's index.
        leaf: its encoding; None: that it isn't there.
    """
    if not 0 <= proof.index < 1 << DEPTH or list(map(len, proof.siblings)) != [32] * DEPTH:
        return False
    return proof.root(EMPTY if leaf is None else keccak256(leaf)) == root


class Tree:
    """All nodes that aren't empty, by height and place."""

    def __init__(self) -> None:
        self._nodes: list[dict[int, bytes]] = [{} for _ in range(DEPTH + 1)]

    @property
    def root(self) -> bytes:
        """Of the leaves as they are."""
        return self._nodes[DEPTH].get(0, EMPTY)

    def __len__(self) -> int:
        return len(self._nodes[0])

    def update(self, leaves: Mapping[int, bytes | None]) -> bytes:
        """Set leaves by index to their encodings, or remove them; gives the new root."""
        below = self._nodes[0]
        touched = set()
        for index, leaf in leaves.items():
            assert 0 <= index < 1 << DEPTH, f"no leaf has the index {index}"
            touched.add(index >> 1)
            if leaf is None:
                below.pop(index, None)
            else:
                below[index] = keccak256(leaf)
        for above in self._nodes[1:]:
            for place in touched:
                left, right = below.get(place << 1), below.get(place << 1 | 1)
                if left is not None or right is not None:
                    above[place] = keccak256((left or EMPTY) + (right or EMPTY))
                else:
                    above.pop(place, None)
            below, touched = above, {place >> 1 for place in touched}
        return self.root

    def prove(self, index: int) -> LeafProof:
        """That the leaf of this index is what it is, or isn't there."""
        siblings = (self._nodes[height].get(index >> height ^ 1, EMPTY) for height in range(DEPTH))
        return LeafProof(index, tuple(siblings))


def _node(left: bytes, right: bytes) -> bytes:
    return EMPTY if left == EMPTY == right else keccak256(left + right)
