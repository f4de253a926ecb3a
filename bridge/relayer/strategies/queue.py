"""Strategies about which something may be left to do or to tell: in memory as on disk, and told to the journal."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from bridge.relayer.store import Checkpoint
from bridge.relayer.strategies.store import Kept, StrategyStore
from bridge.wire.crash_points import crash_point
from bridge.wire.journal import Journal


class StrategyQueue:
    """All strategies that L1 knows, and some that it knew.

    Args:
        store: keeps them.
        journal: told of each stage.
    """

    def __init__(self, store: StrategyStore, journal: Journal) -> None:
        self._store, self._journal = store, journal
        self._all = {each.id: each for each in store.all()}
        self.read = store.read()
        """The block up to which L1 was read."""
        self.noticed: dict[tuple[str, int], int] = {}
        """When rollups' votes were first seen, monotonic nanoseconds, by strategy and chain id; whoever tells of a leg says then."""

    @property
    def open(self) -> list[Kept]:
        """Those that aren't finished."""
        return [each for each in self._all.values() if not each.finished]

    @property
    def finished(self) -> int:
        """How many are."""
        return sum(each.finished for each in self._all.values())

    def known(self, strategy: str) -> Kept | None:
        """One of them."""
        return self._all.get(strategy)

    def leg_of(self, strategy: str, chain_id: int) -> int | None:
        """A rollup's place among a strategy's participants; None if it isn't known."""
        kept = self._all.get(strategy)
        return kept.chains.index(chain_id) if kept and chain_id in kept.chains else None

    def found(self, strategies: Iterable[Kept], until: Checkpoint | None) -> None:
        """L1 was read up to a block; None says that it has to be read again from its beginning."""
        fresh = []
        for each in strategies:
            known = self._all.get(each.id)
            fresh.append(each if known is None else replace(known, block=each.block, finished=False))
        self._store.save(fresh, until or Checkpoint(-1, ""))
        crash_point("relayer.strategy.found")
        self._all |= {each.id: each for each in fresh}
        self.read = until

    def look_again(self) -> None:
        """L1 was reorganised: what was finished may not be, and what was opened may be gone."""
        self.keep([replace(each, finished=False) for each in self._all.values()])

    def keep(self, strategies: Sequence[Kept]) -> None:
        """Make changes durable."""
        changed = [each for each in strategies if self._all.get(each.id) != each]
        if changed:
            self._store.save(changed)
            self._all |= {each.id: each for each in changed}

    def emit(
        self,
        event: str,
        strategy: str,
        *causes: str,
        leg: int | None = None,
        at_ns: int | None = None,
        **attributes: Any,
    ) -> str:
        """Tell the journal; gives the event's id."""
        cause = tuple(dict.fromkeys(filter(None, causes)))
        return self._journal.emit(event, bundle_id=strategy, leg=leg, cause=cause, at_ns=at_ns, **attributes)
