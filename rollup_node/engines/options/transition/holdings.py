"""What all accounts hold, as numpy reads it: a table that is kept beside the world and brought up to date, row by row.

Building it takes longer than margining everybody in it, and from one block to the next few accounts change. It is no part of the state,
and nothing that changes the state has to tell it: accounts are values that never change, so a row is up to date exactly if the account
that stands in its place is the very object that the row was read from. That holds however the world came to be as it is: by trades, by
undoing, rewinding, restoring. Rows keep their objects alive, so that no other can take an identity over.

It takes eight bytes for every account and series that anyone holds: 3 MB for 10,000 accounts in 42 series.
"""

from collections.abc import Sequence
from itertools import chain, compress, count
from operator import is_not
from typing import Final
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt

from rollup_node.engines.options.risk.margin import Mode
from rollup_node.engines.options.risk.scan import Integers
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.margins import LIQUIDATING
from rollup_node.engines.options.values import INT64_MAX

NOBODY: Final = 0
"""Can't be short of margin, or is being liquidated already."""
PORTFOLIO: Final = 1
STANDARD: Final = 2
RULE: Final = 3
"""Its margin follows from more than cash and positions, or its cash doesn't fit 64 bits."""
MODES: Final = {PORTFOLIO: Mode.PORTFOLIO, STANDARD: Mode.STANDARD}
"""Of those whose margin the scan finds."""


class Holdings:
    """Rows stand as the world's accounts do; so their places last no longer than until the next change."""

    def __init__(self) -> None:
        self.series: Integers = np.zeros(0, np.int64)
        """What anyone holds, ascending: a column each."""
        self.quantities: Integers = np.zeros((0, 0), np.int64)
        """1e-4 contracts."""
        self.cash: Integers = np.zeros(0, np.int64)
        """Micro-USD, less what is reserved; of those that the rule is asked about, nothing."""
        self.kinds: npt.NDArray[np.int8] = np.zeros(0, np.int8)
        """How each is to be margined."""
        self._accounts: list[Account] = []

    def update(self, accounts: list[Account]) -> None:
        """Bring every row up to date."""
        before, self._accounts = self._accounts, []  # until all is done no row counts as read
        changed = list(compress(count(), map(is_not, accounts, before)))
        changed += range(min(len(before), len(accounts)), len(accounts))
        if len(accounts) != len(self.cash):
            self._lay_out(len(accounts), self.series)
        if changed:
            self._read(np.array(changed), [accounts[row] for row in changed])
        held = self.quantities.any(axis=0)
        if not held.all():  # a series that nobody holds may not even be listed any more
            self._lay_out(len(accounts), self.series[held])
        self._accounts = accounts

    def _read(self, rows: Integers, accounts: Sequence[Account]) -> None:
        kinds = [_kind(account) for account in accounts]
        self.kinds[rows] = kinds
        self.cash[rows] = [
            account.cash - account.reserved if kind in MODES else 0
            for kind, account in zip(kinds, accounts, strict=True)
        ]
        held = [account.positions for account in accounts]
        counts = np.fromiter(map(len, held), np.int64, len(held))
        pairs = chain.from_iterable(chain.from_iterable(held))
        numbers = np.fromiter(pairs, np.int64, 2 * int(counts.sum()))
        named, amounts = numbers[::2], numbers[1::2]
        # series count up from one: marking them takes less than sorting
        places = np.zeros(1 + max(int(named.max(initial=0)), int(self.series.max(initial=0))), np.int64)
        places[named] = places[self.series] = 1
        everything = np.flatnonzero(places)
        if len(everything) > len(self.series):
            self._lay_out(len(self.cash), everything)
        places[self.series] = np.arange(len(self.series))
        self.quantities[rows] = 0
        self.quantities[np.repeat(rows, counts), places[named]] = amounts

    def _lay_out(self, count: int, series: Integers) -> None:
        """Other rows or columns; what is new is empty, what isn't there any more is forgotten."""
        kept, stays = min(count, len(self.cash)), np.isin(self.series, series)
        quantities = np.zeros((count, len(series)), np.int64)
        quantities[:kept, np.searchsorted(series, self.series[stays])] = self.quantities[:kept, stays]
        self.series, self.quantities = series, quantities
        self.cash, self.kinds = np.resize(self.cash, count), np.resize(self.kinds, count)


_KEPT: WeakKeyDictionary[World, Holdings] = WeakKeyDictionary()


def holdings(world: World) -> Holdings:
    """Of a world as it is now; the next call may change them."""
    found = _KEPT.setdefault(world, Holdings())
    found.update(list(world.accounts.values()))
    return found


def _kind(account: Account) -> int:
    if account.flags & LIQUIDATING:
        return NOBODY
    if not account.positions:
        return RULE if account.cash < 0 else NOBODY
    if account.locks or account.locked or account.due:
        return RULE
    if not -INT64_MAX <= account.cash - account.reserved <= INT64_MAX:
        return RULE
    return PORTFOLIO if account.portfolio else STANDARD
