"""Breakers: how far a market is from normal, by figures alone; and how a level rises at once and falls step by step. Pure.

The levels are cumulative: each allows less than the one before. Three deviations, as in Panoptic's safe mode, each count one: the price
against the one before, against its fast average, and the fast average against the slow one. A jump counts twice at once, and once for as
long as the fast average is behind; a drift counts once for a long time.
"""

from enum import IntEnum

from rollup_node.engines.options.values import PARTS, truncated


class Level(IntEnum):
    """What is allowed."""

    NORMAL = 0
    REDUCE_ONLY = 1
    """What reduces risk; initial margin is higher."""
    CANCEL_ONLY = 2
    """Of orders, only cancelling."""
    WITHDRAWALS_CAPPED = 3
    """A share of what L1 holds leaves in each window of time."""
    FROZEN = 4
    """Nothing but what L1 forces."""


def followed(average: int, price: int, seconds: int, period: int) -> int:
    """A moving average once a price has held for some seconds; after a whole period it is the price."""
    return average + truncated((price - average) * min(seconds, period), period)


def deviates(price: int, reference: int, ppm: int) -> bool:
    """Whether a price is further from another than so many parts per million of that."""
    return abs(price - reference) * PARTS > reference * ppm


def by_deviations(price: int, previous: int, fast: int, slow: int, ppm: int) -> Level:
    """The level that three deviations ask for: as many as are too large."""
    return Level(
        deviates(price, previous, ppm) + deviates(price, fast, ppm) + deviates(fast, slow, ppm),
    )


def by_age(age: int, heartbeat: int, longest: int) -> Level:
    """The level that a silent feed asks for; seconds."""
    if age <= heartbeat:
        return Level.NORMAL
    return Level.REDUCE_ONLY if age <= longest else Level.CANCEL_ONLY


def by_confidence(confidence: int, least: int) -> Level:
    """The level that a feed that is unsure asks for."""
    if confidence >= least:
        return Level.NORMAL
    return Level.REDUCE_ONLY if 2 * confidence >= least else Level.CANCEL_ONLY


def by_deficit(deficit: int, insurance: int, bearable: int | None) -> Level:
    """The level that accounts which owe more than they have ask for.

    Args:
        deficit: What they owe beyond what they have.
        insurance: What the fund can pay.
        bearable: What else may be missing before all is frozen; None: that never happens.
    """
    if deficit <= insurance:
        return Level.NORMAL
    frozen = bearable is not None and deficit - insurance > bearable
    return Level.FROZEN if frozen else Level.WITHDRAWALS_CAPPED


def moved(level: int, held: int, demand: int, now: int, cool_off: int) -> tuple[int, int]:
    """The next level, and since when nothing has asked for it.

    Args:
        level: Of the block before.
        held: When something last asked for it, or it was reached; unix seconds.
        demand: What is asked for now.
        now: Unix seconds.
        cool_off: Seconds without a demand before it falls, by one.
    """
    if demand > level or (demand == level and level):
        return demand, now
    if level and demand < level and now - held >= cool_off:
        return level - 1, now
    return level, held
