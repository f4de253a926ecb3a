"""What the positions of a group of series ask for, of many accounts at once: an underlying's in portfolio mode, an expiry's in standard mode. Pure.

Sums of products, and then what the mode makes of them. Every figure is a whole number of micro-USD times quantity and no larger than the
account's swing in the group, sum of ``abs(quantity) * largest``: while that is below 2**53 doubles are exact, in any order.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from rollup_node.engines.options.risk.margin import Mode
from rollup_node.engines.options.risk.rows import SeriesRisk
from rollup_node.engines.options.values import INT64_MAX

Figures = npt.NDArray[Any]
"""Whole numbers, as doubles or as 64-bit integers."""


@dataclass(frozen=True, slots=True)
class Group(ABC):
    """Series whose positions are weighed together."""

    columns: slice | list[int]
    """Where they are in the table."""
    largest: npt.NDArray[np.float64]
    """What a contract adds to a swing, by series."""
    gains: Figures
    """Of a contract, a column per series: the mark, then what the mode weighs positions by."""
    short: Figures
    """What a short contract asks for by itself."""

    @abstractmethod
    def asked(self, held: Figures, gained: Figures, alone: Figures) -> Figures:
        """What is asked of each account, not below zero.

        Args:
            held: Quantities, a row per series and a column per account.
            gained: Sums of ``gains``.
            alone: What all shorts ask for, each by itself.
        """


class Scenarios(Group):
    """Portfolio mode: the worst scenario, or the floor of the shorts."""

    __slots__ = ()

    def asked(self, held: Figures, gained: Figures, alone: Figures) -> Figures:  # noqa: ARG002 - of sums alone
        """See ``portfolio``."""
        worst: Figures = np.maximum(-gained[1:].min(axis=0), alone)
        return worst


@dataclass(frozen=True, slots=True)
class Expiry(Group):
    """Standard mode: all shorts by themselves, or the most that can be lost at any price; calls sold beyond those held count on top.

    Payoffs are taken at zero and at every strike of the group, not only at an account's own: between its own and below them that finds no
    lower one. Above them it would, where calls are naked; those accounts are done again without the strikes beyond their last.
    """

    levels: Figures
    """By series: which of the prices its strike is."""
    calls: Figures
    """By series: what a short call asks for by itself, zero of a put."""

    def asked(self, held: Figures, gained: Figures, alone: Figures) -> Figures:
        """See ``standard``."""
        slope, paid = gained[1], gained[2:]
        lost = np.maximum(-paid.min(axis=0), 0)
        naked = np.flatnonzero(slope < 0)
        if naked.size:
            own, some = held[:, naked], paid[:, naked]
            last = (self.levels[:, None] * (own != 0)).max(axis=0)
            dearest = (self.calls[:, None] * (own < 0)).max(axis=0)
            within = np.where(np.arange(len(some))[:, None] <= last, some, some[0])
            lost[naked] = np.maximum(-within.min(axis=0), 0) - slope[naked] * dearest
        least: Figures = np.minimum(alone, lost)
        return least


def groups(risks: Sequence[SeriesRisk], mode: Mode, kind: type[Any]) -> list[Group]:
    """The groups of a table's series, with numbers of a kind.

    A number past 64 bits is replaced by the largest of these: who holds such a series has a swing that is past it as well.
    """
    key, made = _MADE[mode]
    found: dict[tuple[int, ...], list[int]] = {}
    for column, risk in enumerate(risks):
        found.setdefault(key(risk), []).append(column)
    return [made(_together(columns), [risks[one] for one in columns], kind) for columns in found.values()]


def _together(columns: list[int]) -> slice | list[int]:
    """A slice, where there are no others between them: taking it costs nothing."""
    return slice(columns[0], columns[-1] + 1) if columns[-1] - columns[0] == len(columns) - 1 else columns


def _scenarios(columns: slice | list[int], risks: Sequence[SeriesRisk], kind: type[Any]) -> Group:
    figures = [(risk.mark, *risk.row.changes) for risk in risks]
    floors = [risk.short_floor for risk in risks]
    largest = [float(max(floor, *map(abs, some))) for floor, some in zip(floors, figures, strict=True)]
    return Scenarios(columns, np.array(largest), _array(figures, kind).T, _array(floors, kind))


def _expiry(columns: slice | list[int], risks: Sequence[SeriesRisk], kind: type[Any]) -> Group:
    prices = sorted({0, *(risk.terms.strike for risk in risks)})
    marks = [risk.mark for risk in risks]
    alone = [risk.mark + risk.isolated_maintenance for risk in risks]
    payoffs = [[risk.terms.payoff(price) for price in prices] for risk in risks]
    calls = [one if risk.terms.is_call else 0 for risk, one in zip(risks, alone, strict=True)]
    gains = [
        (mark, risk.terms.is_call, *paid) for mark, risk, paid in zip(marks, risks, payoffs, strict=True)
    ]
    return Expiry(
        columns=columns,
        largest=np.full(
            len(risks), float(max(marks) + max(alone) + max(map(max, payoffs)))
        ),  # one naked call asks for another's figure
        gains=_array(gains, kind).T,
        short=_array(alone, kind),
        levels=np.array([prices.index(risk.terms.strike) for risk in risks]),
        calls=_array(calls, kind),
    )


def _array(numbers: Sequence[Any], kind: type[Any]) -> Figures:
    clipped: Figures = np.clip(np.array(numbers, object), -INT64_MAX, INT64_MAX).astype(kind)
    return clipped


def _by_underlying(risk: SeriesRisk) -> tuple[int, ...]:
    return (risk.underlying,)


def _by_expiry(risk: SeriesRisk) -> tuple[int, ...]:
    return risk.underlying, risk.terms.expiry


_MADE: Final[dict[Mode, tuple[Callable[[SeriesRisk], tuple[int, ...]], Callable[..., Group]]]] = {
    Mode.PORTFOLIO: (_by_underlying, _scenarios),
    Mode.STANDARD: (_by_expiry, _expiry),
}
