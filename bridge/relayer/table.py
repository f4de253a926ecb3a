"""A table of the relayer's file whose rows are objects: some columns to look for, the rest of them as JSON, their data as it is.

Withdrawals and messages between rollups are kept alike: their state, how often something failed, whose they are and in which block they are.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Table(Generic[Row]):
    """One table; it has the columns ``state``, ``dead``, ``block``, ``hash``, ``fields`` and ``data``, and one for the rollup."""

    database: sqlite3.Connection
    name: str
    rollup: str
    """Column of the chain id by which rows are counted and listed."""
    states: tuple[str, ...]
    """All states that there are."""
    columns: Callable[[Row], tuple[Any, ...]]
    """Of a row, in the table's order."""
    row: Callable[[bytes, bytes], Row]
    """From ``fields`` and ``data``."""

    def put(self, rows: Iterable[Row]) -> None:
        """Keep rows as they are now; within a transaction."""
        values = [self.columns(row) for row in rows]
        if values:
            marks = ", ".join("?" * len(values[0]))
            self.database.executemany(f"INSERT OR REPLACE INTO {self.name} VALUES ({marks})", values)  # noqa: S608 - names are ours

    def find(self, condition: str, values: tuple[Any, ...] = ()) -> list[Row]:
        """Rows of a condition.

        Raises:
            ValueError: the database can't look for it.
        """
        query = f"SELECT fields, data FROM {self.name} WHERE {condition}"  # noqa: S608 - conditions are ours
        try:
            return [self.row(fields, data) for fields, data in self.database.execute(query, values)]
        except sqlite3.OperationalError as exc:
            raise ValueError(f"cannot look for {condition}: {exc}") from exc

    def page(self, filters: Mapping[str, Any], limit: int, offset: int) -> list[Row]:
        """Rows by rollup and block; filters are columns and their values."""
        condition = " AND ".join(f"{column} = ?" for column in filters) or "1"
        end = f"{condition} ORDER BY {self.rollup}, block, hash LIMIT ? OFFSET ?"
        return self.find(end, (*filters.values(), limit, offset))

    def counts(self) -> dict[int, dict[str, int]]:
        """How many rows are in which state, by rollup; ``dead`` counts dead letters among them."""
        found: dict[int, dict[str, int]] = {}
        query = (
            f"SELECT {self.rollup}, state, count(*), sum(dead) FROM {self.name} GROUP BY {self.rollup}, state"  # noqa: S608 - names are ours
        )
        for chain_id, state, count, dead in self.database.execute(query):
            counts = found.setdefault(chain_id, dict.fromkeys((*self.states, "dead"), 0))
            counts[state] = count
            counts["dead"] += dead
        return found
