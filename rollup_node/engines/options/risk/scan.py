"""Who is below maintenance margin: every account at once, and exactly what ``portfolio`` says of each.

Doubles are used as integers: sums of products are exact in any order while they stay below 2**53. Whether
they do is known beforehand from one bound per account, sum of ``abs(quantity)`` times the largest figure of
the series. Accounts past that bound (a gross swing of some 900,000 dollars) are done in 64-bit integers, and
those past 2**62 one by one in Python's. So no account's size makes another's slow, and no result depends on
the machine.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rollup_node.engines.options.risk import portfolio
from rollup_node.engines.options.risk.parameters import DEFAULT_PARAMETERS
from rollup_node.engines.options.risk.rows import SeriesRisk
from rollup_node.engines.options.values import INT64_MAX, INT64_MIN, PARTS, QUANTITY_UNIT

Integers = npt.NDArray[np.int64]

_DOUBLE: Final = 2.0**53 * (1 - 1e-9)
"""The bound is itself a sum of doubles; its error is far below this reserve."""
_WORD: Final = 2.0**62
_BLOCK: Final = 240
"""Accounts per product: too few for the matrix library to call threads in, which cost more than they bring."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """Of each account, micro-USD; numpy integers, or Python's where one doesn't fit 64 bits."""

    equity: npt.NDArray[Any]
    maintenance: npt.NDArray[Any]
    owing: npt.NDArray[np.bool_]
    """Whether it may come to owe: it has a short option or a debt."""

    def below(self) -> list[int]:
        """Rows of the accounts to liquidate, in the order that the block's rule asks for.

        Those with the largest share of maintenance margin missing come first, then the lowest rows.
        """
        rows = np.flatnonzero(self.owing & (self.equity < self.maintenance))
        figures = [(int(row), int(self.equity[row]), int(self.maintenance[row])) for row in rows]
        return [row for row, *_ in sorted(figures, key=lambda one: (-missing(one[1], one[2]), one[0]))]


def missing(equity: int, maintenance: int) -> int:
    """The share of maintenance margin that an account lacks, parts per million, rounded down."""
    return (maintenance - equity) * PARTS // max(maintenance, 1)


def scan(cash: Sequence[int] | Integers, quantities: Integers, risks: Sequence[SeriesRisk]) -> Scanned:
    """Equity and maintenance margin of every account in portfolio mode.

    Args:
        cash: Micro-USD by account, less reserved fees and what locked legs require.
        quantities: 1e-4 contracts, a row per account and a column per series.
        risks: Of each column's series.
    """
    value, maintenance, swings = _dense(quantities, risks, np.float64)
    large = np.flatnonzero(swings >= _DOUBLE)
    if large.size:
        value[large], maintenance[large], _ = _dense(quantities[large], risks, np.int64)
    owing = (quantities < 0).any(axis=1)
    try:
        money = np.asarray(cash, np.int64)
    except OverflowError:
        owing |= np.array([one < 0 for one in cash])
        everyone = np.arange(len(cash))
        return Scanned(*_one_by_one(cash, quantities, risks, value, maintenance, everyone), owing)
    owing |= money < 0
    vast = np.flatnonzero((swings >= _WORD) | (money > INT64_MAX // 2) | (money < INT64_MIN // 2))
    if vast.size:
        return Scanned(*_one_by_one(cash, quantities, risks, value, maintenance, vast), owing)
    return Scanned(money + value, maintenance, owing)


def may_miss(cash: Integers, quantities: Integers, risks: Sequence[SeriesRisk]) -> npt.NDArray[np.bool_]:
    """Whether an account in standard mode may be below maintenance margin; who isn't named here is not.

    No maximum loss asks for more than all shorts alone do, and equity falls short of cash by no more than their marks. The reserve covers
    the roundings of both, and those of doubles.

    Args:
        cash: Micro-USD by account.
        quantities: 1e-4 contracts, a row per account and a column per series.
        risks: Of each column's series.
    """
    alone = np.array([risk.mark + risk.isolated_maintenance for risk in risks], np.float64)
    asked = -(np.minimum(quantities, 0).astype(np.float64) @ alone)
    named: npt.NDArray[np.bool_] = cash < asked * (1 + 1e-9) / QUANTITY_UNIT + 3
    return named


def _largest(risk: SeriesRisk) -> int:
    return min(max(risk.mark, risk.short_floor, *map(abs, risk.row.changes)), INT64_MAX)


def _dense(
    quantities: Integers, risks: Sequence[SeriesRisk], kind: type[Any]
) -> tuple[Integers, Integers, npt.NDArray[np.float64]]:
    """Marks and maintenance margin, exact where numbers of this kind are; and what tells whether doubles are."""
    parts = _parts(risks, kind)
    value, total = np.zeros(len(quantities), kind), np.zeros(len(quantities), kind)
    swings = np.zeros(len(quantities))
    with np.errstate(all="ignore"):  # rows that don't fit this kind are overwritten by the next one
        for start in range(0, len(quantities), _BLOCK):
            block = slice(start, start + _BLOCK)
            for columns, gains, shorts in parts:
                held = quantities[block, columns].astype(kind)
                sold = np.minimum(held, 0)
                gained, short = held @ gains, sold @ shorts
                value[block] += gained[:, 0]
                swings[block] += gained[:, 1] - 2 * short[:, 1]  # abs(q) is q - 2 min(q, 0)
                total[block] += np.maximum(-gained[:, 2:].min(axis=1), -short[:, 0])
        return value.astype(np.int64) // QUANTITY_UNIT, -(-total.astype(np.int64) // QUANTITY_UNIT), swings


def _parts(
    risks: Sequence[SeriesRisk], kind: type[Any]
) -> list[tuple[Any, npt.NDArray[Any], npt.NDArray[Any]]]:
    """Per underlying: its columns; mark, largest figure and changes of a contract; floor and largest of a short."""
    parts = []
    for underlying in sorted({risk.underlying for risk in risks}):
        columns = [column for column, risk in enumerate(risks) if risk.underlying == underlying]
        some = [risks[column] for column in columns]
        gains = np.array([(risk.mark, _largest(risk), *risk.row.changes) for risk in some], kind)
        shorts = np.array([(risk.short_floor, _largest(risk)) for risk in some], kind)
        parts.append((slice(None) if len(columns) == len(risks) else columns, gains, shorts))
    return parts


def _one_by_one(
    cash: Sequence[int] | Integers,
    quantities: Integers,
    risks: Sequence[SeriesRisk],
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
        found = portfolio.requirement(positions, named, (), DEFAULT_PARAMETERS)
        equity[row] = int(cash[row]) + found.value // QUANTITY_UNIT
        required[row] = found.maintenance
    return equity, required
