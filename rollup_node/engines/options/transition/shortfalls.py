"""Which accounts are below maintenance margin: all that are in the world, found with numpy, exactly as ``margins`` says of each.

A block in which marks move looks at everybody. Of accounts in portfolio mode the scan knows the figures themselves; in standard mode
it says who can't be short of margin, and the rule is asked about the others; so is it about cash that doesn't fit 64 bits.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, compress
from typing import Final

import numpy as np

from rollup_node.engines.options.risk.scan import Integers, may_miss, missing, scan
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of
from rollup_node.engines.options.values import INT64_MAX

_AT_ONCE: Final = 16_384
"""Accounts in one table: with all series of a full market it takes a few megabytes."""

_Found = Iterable[tuple[int, int]]
_Held = Sequence[tuple[int, Account]]


def below_maintenance(world: World, context: Context) -> list[tuple[int, int]]:
    """Every account that is to be liquidated and isn't flagged yet, with the parts per million of its margin that it misses."""
    by_figures: list[tuple[int, Account]] = []
    by_bound: list[tuple[int, Account]] = []
    by_rule: list[tuple[int, Account]] = []
    least, most = -INT64_MAX, INT64_MAX
    for one in world.accounts.items():
        account = one[1]
        if account.flags & LIQUIDATING:
            continue
        if not account.positions:
            if account.cash < 0:
                by_rule.append(one)
        elif account.locks or account.due or not least <= account.cash - account.reserved <= most:
            by_rule.append(one)
        elif account.portfolio:
            by_figures.append(one)
        else:
            by_bound.append(one)
    found: list[tuple[int, int]] = []
    for start in range(0, len(by_figures), _AT_ONCE):
        found += _scanned(context, by_figures[start : start + _AT_ONCE])
    for start in range(0, len(by_bound), _AT_ONCE):
        by_rule += _suspects(context, by_bound[start : start + _AT_ONCE])
    for number, _ in by_rule:
        found += _asked(world, context, number)
    return found


def _asked(world: World, context: Context, number: int) -> _Found:
    margin = margin_of(world, context, number)
    if margin.liquidatable:
        yield number, missing(margin.equity, margin.maintenance)


def _scanned(context: Context, held: _Held) -> _Found:
    cash, series, quantities = _table([account for _, account in held])
    figures = scan(cash, quantities, [context.risks[one] for one in series])
    for row in figures.below():
        yield held[row][0], missing(int(figures.equity[row]), int(figures.maintenance[row]))


def _suspects(context: Context, held: _Held) -> Iterable[tuple[int, Account]]:
    cash, series, quantities = _table([account for _, account in held])
    return compress(held, may_miss(cash, quantities, [context.risks[one] for one in series]).tolist())


def _table(accounts: Sequence[Account]) -> tuple[Integers, list[int], Integers]:
    """Cash by account; the series that anyone holds; quantities, a row for each account and a column for each series."""
    count = len(accounts)
    cash = np.fromiter((account.cash - account.reserved for account in accounts), np.int64, count)
    held = [account.positions for account in accounts]
    counts = np.fromiter(map(len, held), np.int64, count)
    pairs = chain.from_iterable(chain.from_iterable(held))
    numbers = np.fromiter(pairs, np.int64, 2 * int(counts.sum()))
    named = numbers[::2]
    held_by_any = np.zeros(
        int(named.max()) + 1, np.bool_
    )  # series count up from one: marking them takes less than sorting
    held_by_any[named] = True
    series = np.flatnonzero(held_by_any)
    columns = (np.cumsum(held_by_any) - 1)[named]
    quantities = np.zeros((count, len(series)), np.int64)
    quantities[np.repeat(np.arange(count), counts), columns] = numbers[1::2]
    return cash, series.tolist(), quantities
