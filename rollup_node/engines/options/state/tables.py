"""Maps that write what they were into the journal; reading them is reading a dictionary."""

from typing import Any, NamedTuple, NoReturn, TypeVar

from rollup_node.engines.options.state.journal import Journal
from rollup_node.engines.options.state.leaves import Kind

V = TypeVar("V")
_new = tuple.__new__
_put = dict.__setitem__
"""By themselves: a trade writes half a dozen entries."""


class Table(dict[int, V]):
    """One kind of leaf, by id. Iterates in the order of insertion, which may differ between nodes: sort where it matters.

    Args:
        kind: of its leaves.
        journal: where changes are noted.
    """

    __slots__ = ("_journal", "kind")

    def __init__(self, kind: Kind, journal: Journal) -> None:
        super().__init__()
        self.kind = kind
        self._journal = journal

    def __setitem__(self, key: int, value: V) -> None:
        self._journal.append(_new(Written, (self, key, self.get(key))))
        _put(self, key, value)

    def __delitem__(self, key: int) -> None:
        self._journal.append(_new(Written, (self, key, self[key])))
        super().__delitem__(key)

    def restore(self, key: int, value: V | None) -> None:
        """Put back what was, without a note."""
        if value is None:
            super().__delitem__(key)
        else:
            super().__setitem__(key, value)

    def _unjournalled(self, *_: object, **__: object) -> NoReturn:
        raise TypeError(
            f"a table of state is written entry by entry, so that it can be undone: {self.kind.name}"
        )

    update = clear = pop = popitem = setdefault = __ior__ = _unjournalled


class Written(NamedTuple):
    """A change: an entry was something else, or wasn't there (None)."""

    table: Table[Any]
    key: int
    before: Any

    def undo(self) -> None:
        """Put it back."""
        self.table.restore(self.key, self.before)
