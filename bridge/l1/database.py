"""SQLite files of nodes: what is committed survives SIGKILL and power loss, and one process at a time has them open.

WAL with ``synchronous=FULL`` is one fsync per commit. The exclusive lock goes with the process, so a killed node's successor
gets it at once, and a second node on the same file is told so instead of sharing a queue with the first.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from bridge.l1.errors import DatabaseUnusable
from bridge.wire.crash_points import crash_point

_WAIT_S = 3.0
"""How long a predecessor may take to die, seconds."""


def open_database(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Open or create a database; statements commit by themselves unless one begins a transaction.

    Args:
        path: the file; its folder is created when missing.
        schema: statements that create the tables.
        version: of the schema.

    Raises:
        DatabaseUnusable: another process has it open, it is damaged, or another version wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Whoever uses it from threads takes turns, so that the module's check would only be in the way.
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("BEGIN EXCLUSIVE")
        (found,) = database.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in filter(str.strip, schema.split(";")):
                database.execute(statement)
            database.execute(f"PRAGMA user_version = {version:d}")
        database.execute("COMMIT")
    except sqlite3.Error as exc:
        database.close()
        raise DatabaseUnusable(f"{path}: {exc}; is another node running on it, or is it damaged?") from exc
    if found not in (0, version):
        database.close()
        raise DatabaseUnusable(f"{path} is of version {found}, not {version}; remove it to start anew")
    return database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """All statements of the block, or none."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
    except BaseException:
        database.execute("ROLLBACK")
        raise
    crash_point("database.committing")
    database.execute("COMMIT")
    crash_point("database.committed")
