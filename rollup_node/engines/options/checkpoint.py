"""What a checkpoint holds: the state after a block, and the heads of the last blocks. Pure.

::

    magic (8) | CRC-32 of what follows (4) | RLP [version, genesis hash, [head, ...], state]
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from rollup_node.engines.options.blocks import Head
from rollup_node.engines.options.state import snapshot
from rollup_node.engines.options.state.world import World

HEADS: Final = 256
"""How many blocks back a head is known on a machine that has nothing but the checkpoint."""
_MAGIC: Final = b"optchk\0\1"
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A chain at a block."""

    heads: tuple[Head, ...]
    """The last is the block's."""
    world: World


def encode(genesis: bytes, heads: Sequence[Head], world: World) -> bytes:
    """The inverse of :func:`decode`; the world stands at the last head."""
    body = rlp.encode([_VERSION, genesis, [head.encode() for head in heads], snapshot.dump(world)])
    return _MAGIC + zlib.crc32(body).to_bytes(4, "big") + body


def decode(data: bytes, genesis: bytes) -> Checkpoint:
    """What :func:`encode` gave.

    Args:
        data: the checkpoint.
        genesis: hash of this chain's block 0.

    Raises:
        Malformed: damaged, of another chain, or not one state's.
    """
    body = data[12:]
    if data[:8] != _MAGIC or zlib.crc32(body) != int.from_bytes(data[8:12], "big"):
        raise Malformed("it isn't as it was written")
    version, of, heads, state = rlp.items(rlp.decode(body), 4)
    if rlp.integer(version) != _VERSION or of != genesis:
        raise Malformed(f"it is of version {rlp.integer(version)} and of the chain {rlp.string(of).hex()}")
    known = tuple(Head.decode(rlp.string(head)) for head in rlp.items(heads))
    if not known:
        raise Malformed("it names no block")
    for before, after in pairwise(known):
        if after.sealed.parent != before.hash or after.number != before.number + 1:
            raise Malformed(f"block {after.number} doesn't follow")
    world = snapshot.load(rlp.string(state))
    if world.root() != known[-1].sealed.state_root:
        raise Malformed(f"its state isn't that of its block {known[-1].number}")
    return Checkpoint(known, world)
