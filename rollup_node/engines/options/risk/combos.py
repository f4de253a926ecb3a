"""Maximum loss of option combos: what locked legs of one strategy are margined at. Pure.

Legs of a combo may lie on several rollups. Margined leg by leg nothing offsets: a short iron condor needs
about thirty times what it needs in one account. The legs of a committed combo that are locked (no leg is
closed alone), whose payoffs are pledged to the rollup of a short leg, and that settle on the same oracle
snapshot can lose no more together than at the worst settlement price. That is required of them, in cash, and
their marks count for nothing.

A combo has a maximum loss (``max_loss``) if all legs are of one underlying and expiry and no more calls are
sold than bought: verticals, condors, butterflies, boxes. A calendar has none: what its far leg is worth when
the near one settles is anyone's guess.

Cash of one rollup doesn't pay on another. With several short legs on several rollups each must hold what its
own leg can lose beyond the payoffs pledged to it (``lock``); together that may be more than the maximum loss,
since a condor's two sides never lose at once but each rollup must be ready.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.values import QUANTITY_UNIT, ceil_divide, int128

Legs = Sequence[tuple[int, Terms]]
"""Signed quantity and series of each leg."""


@dataclass(frozen=True, slots=True)
class Pledge:
    """Of a long leg's payoff so much goes to a short leg's rollup."""

    long: int
    """Place of the leg that pays."""
    short: int
    """Place of the leg that it covers."""
    quantity: int
    """Of the long leg, 1e-4 contracts."""


@dataclass(frozen=True, slots=True)
class Lock:
    """How a committed combo is secured."""

    required: tuple[int, ...]
    """By leg: cash that its rollup requires for it, micro-USD; nothing for a long leg."""
    pledges: tuple[Pledge, ...]


def max_loss(legs: Legs) -> int | None:
    """The most that a combo can lose at settlement, premiums aside; micro-USD, rounded up.

    Returns:
        ``None`` if it has none: several expiries or underlyings, or calls sold beyond those bought.

    Raises:
        Overflow: it doesn't fit 128 bits.
    """
    if len({(terms.underlying, terms.expiry) for _, terms in legs}) > 1:
        return None
    lowest, slope = lowest_payoff(legs)
    return None if slope < 0 else int128(ceil_divide(max(-lowest, 0), QUANTITY_UNIT))


def lock(legs: Legs) -> Lock | None:
    """Pledge long legs to short ones of their kind, and find what each short leg's rollup still has to require.

    The lowest calls cover the lowest, the highest puts the highest. A put that nothing covers requires its
    strike.

    Returns:
        ``None`` if the combo has no maximum loss.

    Raises:
        Overflow: a requirement doesn't fit 128 bits.
    """
    if max_loss(legs) is None:
        return None
    required = [0] * len(legs)
    pledges: list[Pledge] = []
    for is_call in (True, False):
        dearest_first = sorted(
            (place for place, (_, terms) in enumerate(legs) if terms.is_call == is_call),
            key=lambda place: (legs[place][1].strike * (1 if is_call else -1), place),
        )
        free = [(place, legs[place][0]) for place in dearest_first if legs[place][0] > 0][::-1]
        for short in dearest_first:
            left = max(-legs[short][0], 0)
            covered = [(-left, legs[short][1])]
            while left and free:
                long, most = free.pop()
                quantity = min(most, left)
                pledges.append(Pledge(long, short, quantity))
                covered.append((quantity, legs[long][1]))
                left -= quantity
                if most > quantity:
                    free.append((long, most - quantity))
            required[short] = int128(ceil_divide(max(-lowest_payoff(covered)[0], 0), QUANTITY_UNIT))
    return Lock(tuple(required), tuple(pledges))


def required_together(legs: Legs, pledges: Sequence[Pledge], shorts: Collection[int]) -> int:
    """The most that short legs on one rollup can lose at once, with what is pledged to them; micro-USD, rounded up.

    Never more than their ``required`` one by one: a condor whose two short legs share a rollup loses on one side only.

    Args:
        legs: Of the combo.
        pledges: Of its lock.
        shorts: Places of the short legs there.

    Raises:
        Overflow: it doesn't fit 128 bits.
    """
    held = [legs[place] for place in shorts]
    held += [(one.quantity, legs[one.long][1]) for one in pledges if one.short in shorts]
    return int128(ceil_divide(max(-lowest_payoff(held)[0], 0), QUANTITY_UNIT))


def lowest_payoff(legs: Legs) -> tuple[int, int]:
    """The least that legs of one expiry pay at zero or any strike, and how payment grows beyond the last.

    Between strikes a payoff is straight, so its lowest point is at a strike, at zero, or without end: a
    second figure below zero says so.

    Returns:
        Micro-USD times quantity, and quantity of calls bought less sold.
    """
    known = sorted((terms.strike, quantity) for quantity, terms in legs)
    puts = [(quantity, terms.strike) for quantity, terms in legs if not terms.is_call]
    lowest = paid = sum(quantity * strike for quantity, strike in puts)
    slope = -sum(quantity for quantity, _ in puts)
    last = 0
    for strike, quantity in known:
        paid += slope * (strike - last)
        lowest = min(lowest, paid)
        slope += quantity  # a call begins to pay here, a put ceases to
        last = strike
    return lowest, slope
