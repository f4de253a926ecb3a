"""Who is below maintenance margin: every account at once, and exactly what ``portfolio`` and ``standard`` say of each.

Doubles are used as integers: sums of products are exact in any order while they stay below 2**53. Whether
they do is known beforehand from one bound per account, its swing (see ``scan_groups``). Accounts past that
bound (a gross swing of some 900,000 dollars) are done in 64-bit integers, and those past 2**62 one by one in
Python's. So no account's size makes another's slow, and no result depends on the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rollup_node.engines.options.risk import portfolio, standard
from rollup_node.engines.options.risk.margin import Mode
from rollup_node.engines.options.risk.parameters import DEFAULT_PARAMETERS
from rollup_node.engines.options.risk.rows import SeriesRisk
from rollup_node.engines.options.risk.scan_groups import groups
from rollup_node.engines.options.values import INT64_MAX, INT64_MIN, PARTS, QUANTITY_UNIT

Integers = npt.NDArray[np.int64]

_DOUBLE: Final = 2.0**53 * (1 - 1e-9)
"""The bound is itself a sum of doubles; its error is far below this reserve."""
_WORD: Final = 2.0**62
_PRODUCTS: Final = 200_000
"""Multiplications of one product of matrices: too few for the library to call threads in, which cost more than they bring."""
_RULE: Final = {Mode.PORTFOLIO: portfolio.requirement, Mode.STANDARD: standard.requirement}


@dataclass(frozen=True, slots=True)
class Scanned:
    """Of each account, micro-USD; numpy integers, or Python's where one doesn't fit 64 bits."""

    equity: npt.NDArray[Any]
    maintenance: npt.NDArray[Any]
    owing: npt.NDArray[np.bool_]
    """Whether it may come to owe: it has a short option or a debt."""

    def short_of(self) -> list[tuple[int, int]]:
        """Rows of the accounts below maintenance margin, each with the parts per million that it lacks."""
        rows = np.flatnonzero(self.owing & (self.equity < self.maintenance))
        figures = zip(self.equity[rows].tolist(), self.maintenance[rows].tolist(), strict=True)
        return [(row, missing(*one)) for row, one in zip(rows.tolist(), figures, strict=True)]

    def below(self) -> list[int]:
        """Rows of the accounts to liquidate, in the order that the block's rule asks for.

        Those with the largest share of maintenance margin missing come first, then the lowest rows.
        """
        return [row for row, _ in sorted(self.short_of(), key=lambda one: (-one[1], one[0]))]


def missing(equity: int, maintenance: int) -> int:
    """The share of maintenance margin that an account lacks, parts per million, rounded down."""
    return (maintenance - equity) * PARTS // max(maintenance, 1)


def scan(
    cash: Sequence[int] | Integers,
    quantities: Integers,
    risks: Sequence[SeriesRisk],
    mode: Mode = Mode.PORTFOLIO,
) -> Scanned:
    """Equity and maintenance margin of every account.

    Args:
        cash: Micro-USD by account, less reserved fees.
        quantities: 1e-4 contracts, a row per account and a column per series.
        risks: Of each column's series.
        mode: Of all of them.
    """
    value, maintenance, swings, owing = _dense(quantities, risks, mode, np.float64)
    large = np.flatnonzero(swings >= _DOUBLE)
    if large.size:
        value[large], maintenance[large], *_ = _dense(quantities[large], risks, mode, np.int64)
    try:
        money = np.asarray(cash, np.int64)
    except OverflowError:
        owing |= np.array([one < 0 for one in cash])
        everyone = np.arange(len(cash))
        return Scanned(*_one_by_one(cash, quantities, risks, mode, value, maintenance, everyone), owing)
    owing |= money < 0
    vast = np.flatnonzero((swings >= _WORD) | (money > INT64_MAX // 2) | (money < INT64_MIN // 2))
    if vast.size:
        return Scanned(*_one_by_one(cash, quantities, risks, mode, value, maintenance, vast), owing)
    return Scanned(money + value, maintenance, owing)


def _dense(
    quantities: Integers, risks: Sequence[SeriesRisk], mode: Mode, kind: type[Any]
) -> tuple[Integers, Integers, npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Marks and maintenance margin, exact where numbers of this kind are; what tells whether doubles are; who is short of anything."""
    count = len(quantities)
    value, total = np.zeros(count, kind), np.zeros(count, kind)
    swings, owing = np.zeros(count), np.zeros(count, np.bool_)
    with np.errstate(all="ignore"):  # rows that don't fit this kind are overwritten by the next one
        for group in groups(risks, mode, kind):
            step = max(_PRODUCTS // group.gains.size, 1)
            for start in range(0, count, step):
                block = slice(start, start + step)
                held = quantities[block, group.columns].T.astype(kind)
                sold = np.minimum(held, 0)
                gained, alone = group.gains @ held, -(group.short @ sold)
                value[block] += gained[0]
                total[block] += group.asked(held, gained, alone)
                swings[block] += group.largest @ np.abs(held)
                owing[block] |= sold.any(axis=0)
        worth, asked = value.astype(np.int64), total.astype(np.int64)
        if mode is Mode.STANDARD:  # that is asked for in cash, and equity has the marks in it
            asked = np.maximum(asked + worth, 0)
    return worth // QUANTITY_UNIT, -(-asked // QUANTITY_UNIT), swings, owing


def _one_by_one(
    cash: Sequence[int] | Integers,
    quantities: Integers,
    risks: Sequence[SeriesRisk],
    mode: Mode,
    value: Integers,
    maintenance: Integers,
    rows: Integers,
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The same with these rows in Python's integers."""
    equity, required = (np.array(column, object) for column in (value, maintenance))
    named = dict(enumerate(risks))
    for row in range(len(equity)):
        equity[row] += int(cash[row])
    for row in map(int, rows):
        positions = [(column, int(quantity)) for column, quantity in enumerate(quantities[row]) if quantity]
        found = _RULE[mode](positions, named, (), DEFAULT_PARAMETERS)
        equity[row] = int(cash[row]) + found.value // QUANTITY_UNIT
        required[row] = found.maintenance
    return equity, required
