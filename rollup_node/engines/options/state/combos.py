"""The table of combos, with what each account has to do with: margin asks for that at every trade, and other people's combos are none of its business.

The index follows every way in which the table changes, undoing among them, so there is nothing that could forget it.
"""

from collections import defaultdict

from rollup_node.engines.options.state.journal import Journal
from rollup_node.engines.options.state.leaves import Combo, Kind
from rollup_node.engines.options.state.tables import Table


class Combos(Table[Combo]):
    """Combos by number, and by the accounts that they are of or that have promised them trades.

    Args:
        journal: where changes are noted.
    """

    __slots__ = ("_by_account",)

    def __init__(self, journal: Journal) -> None:
        super().__init__(Kind.COMBO, journal)
        self._by_account: defaultdict[int, set[int]] = defaultdict(set)

    def of(self, account: int) -> list[tuple[int, Combo]]:
        """Those that an account has a part in, the oldest first."""
        return [(number, self[number]) for number in sorted(self._by_account.get(account, ()))]

    def __setitem__(self, key: int, value: Combo) -> None:
        self._forget(key)
        super().__setitem__(key, value)
        self._note(key, value)

    def __delitem__(self, key: int) -> None:
        self._forget(key)
        super().__delitem__(key)

    def restore(self, key: int, value: Combo | None) -> None:
        """Put back what was, without a note."""
        self._forget(key)
        super().restore(key, value)
        if value is not None:
            self._note(key, value)

    def _note(self, key: int, combo: Combo) -> None:
        for account in _accounts(combo):
            self._by_account[account].add(key)

    def _forget(self, key: int) -> None:
        known = self.get(key)
        for account in () if known is None else _accounts(known):
            left = self._by_account[account]
            left.discard(key)
            if not left:
                del self._by_account[account]


def _accounts(combo: Combo) -> set[int]:
    return {combo.account} | {maker for _, _, maker, *_ in combo.fills}
