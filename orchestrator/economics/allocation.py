"""Whose a superbatch is, and how a cost is split without a wei lost. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.slot import slot_items
from bridge.wire.superbatch import decode_superbatch

BLOCKS = 4
"""Place of a slot's blocks among its items."""


def weights_of(data: bytes, rollups: Mapping[int, str]) -> dict[str, int]:
    """Bytes that each rollup has in a superbatch before compression; zeros if it holds no block, or is none.

    Args:
        data: what the L1 transaction, or its blobs, hold.
        rollups: names by chain id.
    """
    weights = dict.fromkeys(rollups.values(), 0)
    try:
        superbatch = decode_superbatch(data)
    except Malformed:
        return weights
    for slot in superbatch.slots:
        for block, items in zip(slot.blocks, slot_items(slot)[BLOCKS], strict=True):
            if block.chain_id in rollups:
                weights[rollups[block.chain_id]] += len(rlp.encode(items))
    return weights


def split(amount: int, weights: Mapping[str, int]) -> dict[str, int]:
    """An amount by weights, in whole units that sum to it; evenly if nothing weighs anything.

    Each share is within a unit of the exact one: shares end where the exact ones, one after the other, end, rounded down.
    """
    names: Sequence[str] = sorted(weights)
    parts = [weights[name] for name in names]
    total = sum(parts)
    if not total:
        parts, total = [1] * len(names), len(names)
    ends, reached = [0], 0
    for part in parts:
        reached += part
        ends.append(amount * reached // total)
    return {name: end - start for name, (start, end) in zip(names, pairwise(ends), strict=True)}
