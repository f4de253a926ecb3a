"""Durations that follow from others: what a file left open, and how many blocks a time is.

Rules judge these and plans hold them, so both ask here. Pure.
"""

import math
from decimal import Decimal

from orchestrator.topology.spec import RollupSpec, TopologySpec

DEFAULT_BLOCK_TIME_S = 2.0
DEFAULT_PUBLISH_EVERY_S = 1.0
DEFAULT_PROPOSAL_INTERVAL_S = 10.0
DEFAULT_SEQUENCING_WINDOW_S = 60.0

FEWEST_WINDOW_BLOCKS = 4
"""The shortest sequencing window, L1 blocks."""

_INCLUSION_BLOCKS = 4
"""L1 blocks from when a batch is due to where it stands: its origin was the newest for up to one, the slot may straddle one, the
transaction waits for the next, and one to spare."""


def block_time(spec: TopologySpec, rollup: RollupSpec) -> float:
    """Longest time without a block on a rollup, seconds, before the L1's own beat."""
    if rollup.block_time is None:
        return max(DEFAULT_BLOCK_TIME_S, spec.messaging.slot)
    return rollup.block_time


def publish_every(spec: TopologySpec) -> float:
    """Longest time a decided slot waits for its superbatch, seconds."""
    if spec.messaging.publish_every is None:
        return max(DEFAULT_PUBLISH_EVERY_S, spec.messaging.slot)
    return spec.messaging.publish_every


def idle_gap(spec: TopologySpec, rollup: RollupSpec) -> float:
    """Time between two blocks of a rollup without work, seconds: every L1 block opens an epoch, but blocks come in slots."""
    return max(min(block_time(spec, rollup), spec.l1.block_time), spec.messaging.slot)


def proposal_interval(spec: TopologySpec, rollup: RollupSpec) -> float:
    """Time between two outputs of a rollup, seconds."""
    if rollup.settlement.proposal_interval is None:
        return max(DEFAULT_PROPOSAL_INTERVAL_S, block_time(spec, rollup))
    return rollup.settlement.proposal_interval


def sequencing_window(spec: TopologySpec) -> int:
    """L1 blocks within which a batch must follow its origin."""
    wanted = spec.messaging.sequencing_window
    if wanted is None:
        return max(in_blocks(DEFAULT_SEQUENCING_WINDOW_S, spec.l1.block_time), shortest_window(spec))
    return max(FEWEST_WINDOW_BLOCKS, in_blocks(wanted, spec.l1.block_time))


def shortest_window(spec: TopologySpec) -> int:
    """L1 blocks that a healthy sequencer may need: with fewer, its own batches would come too late."""
    waiting = in_blocks(publish_every(spec), spec.l1.block_time)
    return max(FEWEST_WINDOW_BLOCKS, spec.l1.confirmations + waiting + _INCLUSION_BLOCKS)


def in_blocks(seconds: float, block_s: float) -> int:
    """The blocks that cover a time; exact where the file's decimals are (0.3 s are three blocks of 0.1 s, not four)."""
    return math.ceil(Decimal(repr(seconds)) / Decimal(repr(block_s)))
