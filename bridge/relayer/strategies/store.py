"""What the keeper must not forget: which strategies there are, what the journal was told of each, and how far L1 was read.

How far a strategy is, is not here: that the chains say. A file of its own, because nothing in it has to agree with what is known of
withdrawals. Calls run on the event loop, as those of ``bridge.relayer.store`` do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import orjson

from bridge.l1.database import open_database, transaction
from bridge.relayer.store import Checkpoint

_VERSION = 1
_SCHEMA = """
CREATE TABLE strategy (
    id TEXT PRIMARY KEY,
    finished INTEGER NOT NULL,
    block INTEGER NOT NULL,
    chains BLOB NOT NULL,
    told BLOB NOT NULL
);
CREATE INDEX strategy_open ON strategy (id) WHERE NOT finished;
CREATE TABLE read (number INTEGER NOT NULL, hash TEXT NOT NULL)
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """One strategy as it is remembered."""

    id: str
    """0x-hex."""
    block: int
    """L1 block in which it was opened."""
    chains: tuple[int, ...]
    """The rollups that take part, in their order."""
    told: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the journal was told, and the event's id."""
    finished: bool = False
    """Nothing is left to do or to tell, as long as L1 stays what it is."""


class StrategyStore:
    """The keeper's file.

    Args:
        path: created when missing.

    Raises:
        DatabaseUnusable: locked or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, _SCHEMA, _VERSION)

    def close(self) -> None:
        """Close the file; safe to run twice."""
        self._database.close()

    def all(self) -> list[Kept]:
        """Every strategy that was ever seen."""
        rows = self._database.execute("SELECT id, block, chains, told, finished FROM strategy")
        return [
            Kept(name, block, tuple(orjson.loads(chains)), orjson.loads(told), bool(finished))
            for name, block, chains, told, finished in rows
        ]

    def read(self) -> Checkpoint | None:
        """The block up to which L1 was read."""
        row = self._database.execute("SELECT number, hash FROM read").fetchone()
        return Checkpoint(*row) if row else None

    def save(self, strategies: Iterable[Kept], until: Checkpoint | None = None) -> None:
        """Keep strategies as they are now, and how far L1 was read; all or nothing."""
        rows = [
            (
                each.id,
                int(each.finished),
                each.block,
                orjson.dumps(each.chains),
                orjson.dumps(dict(each.told)),
            )
            for each in strategies
        ]
        with transaction(self._database) as database:
            database.executemany("INSERT OR REPLACE INTO strategy VALUES (?, ?, ?, ?, ?)", rows)
            if until is not None:
                database.execute("DELETE FROM read")
                database.execute("INSERT INTO read VALUES (?, ?)", (until.number, until.hash))
