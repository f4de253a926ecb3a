"""What an account on L1 must not forget: which bytes it signed for which nonce, written before they are sent.

Everything else (what was mined, what it cost) is L1's to say. Only what is final on L1 is kept here too, so that a restart doesn't ask
for the receipts of a lifetime.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.l1.database import open_database, transaction
from bridge.l1.errors import DatabaseUnusable

_VERSION = 1
_SCHEMA = """
CREATE TABLE owner (address TEXT NOT NULL, chain_id INTEGER NOT NULL);
CREATE TABLE purpose (
    nonce INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    recipient BLOB NOT NULL,
    data BLOB NOT NULL,
    value TEXT NOT NULL,
    gas INTEGER NOT NULL,
    receipt BLOB
);
CREATE INDEX purpose_key ON purpose (key, nonce);
CREATE INDEX purpose_open ON purpose (nonce) WHERE receipt IS NULL;
CREATE TABLE attempt (
    id INTEGER PRIMARY KEY,
    nonce INTEGER NOT NULL,
    hash TEXT NOT NULL,
    raw BLOB NOT NULL,
    max_fee TEXT NOT NULL,
    priority_fee TEXT NOT NULL,
    cancels INTEGER NOT NULL
);
CREATE INDEX attempt_nonce ON attempt (nonce, id)
"""


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a nonce is for."""

    nonce: int
    key: str
    """The caller's name for it."""
    to: bytes
    """20 bytes."""
    data: bytes
    value: int
    """Wei."""
    gas: int
    """Gas limit."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Signed bytes that were, or are about to be, sent under a nonce."""

    hash: str
    raw: bytes
    max_fee: int
    """Wei per gas."""
    priority_fee: int
    """Wei per gas."""
    cancels: bool
    """Whether it only uses the nonce up."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a nonce."""

    hash: str
    """Of the transaction that was mined; empty if it was none of ours."""
    block_number: int
    block_hash: str
    success: bool
    gas_used: int
    wei: int
    """What the gas cost."""
    logs: tuple[dict[str, Any], ...]
    """As JSON-RPC gives them."""


@dataclass(frozen=True, slots=True)
class Stored:
    """All that is kept about a nonce."""

    purpose: Purpose
    attempts: tuple[Attempt, ...]
    """Oldest first, at least one."""
    receipt: Receipt | None
    """Present once it was final on L1."""


class AccountStore:
    """The file of one account; its methods block for as long as an fsync takes, and may be called from any thread.

    Args:
        path: the file; created when missing.
        address: of the account, 0x-hex.
        chain_id: of its L1.

    Raises:
        DatabaseUnusable: locked, damaged, or of another account.
    """

    def __init__(self, path: Path, address: str, chain_id: int) -> None:
        self.address = address
        self._turn = threading.Lock()
        self._database = open_database(path, _SCHEMA, _VERSION)
        owner = self._database.execute("SELECT address, chain_id FROM owner").fetchone()
        if owner is None:
            self._database.execute("INSERT INTO owner VALUES (?, ?)", (address, chain_id))
        elif owner != (address, chain_id):
            self._database.close()
            raise DatabaseUnusable(
                f"{path} is of account {owner[0]} on chain {owner[1]}, not of {address} on {chain_id}; "
                "remove it to start anew"
            )

    def close(self) -> None:
        """Close the file; safe to run twice."""
        with self._turn:
            self._database.close()

    def add(self, purpose: Purpose, attempt: Attempt) -> None:
        """Give a nonce its purpose, for good."""
        with self._transaction() as database:
            row = (purpose.nonce, purpose.key, purpose.to, purpose.data, str(purpose.value), purpose.gas)
            database.execute("INSERT INTO purpose VALUES (?, ?, ?, ?, ?, ?, NULL)", row)
            _insert_attempt(database, purpose.nonce, attempt)

    def add_attempt(self, nonce: int, attempt: Attempt) -> None:
        """Add other bytes for the same nonce."""
        with self._transaction() as database:
            _insert_attempt(database, nonce, attempt)

    def settle(self, receipts: Iterable[tuple[int, Receipt]]) -> None:
        """Keep receipts, by nonce, that are final."""
        with self._transaction() as database:
            database.executemany(
                "UPDATE purpose SET receipt = ? WHERE nonce = ?",
                [(orjson.dumps(receipt), nonce) for nonce, receipt in receipts],
            )

    def reopen(self, nonce: int) -> list[Stored]:
        """Everything from a nonce on, no longer final."""
        with self._transaction() as database:
            database.execute("UPDATE purpose SET receipt = NULL WHERE nonce >= ?", (nonce,))
        return self._read("nonce >= ?", nonce)

    def pending(self) -> list[Stored]:
        """Everything that is not final, by nonce."""
        return self._read("receipt IS NULL")

    def find(self, key: str) -> list[Stored]:
        """Everything that was sent under a key."""
        return self._read("key = ?", key)

    def settled_by(self, digest: str) -> Receipt | None:
        """What is final and was done by a transaction; None if none of ours was."""
        query = (
            "SELECT receipt FROM purpose WHERE receipt IS NOT NULL "
            "AND nonce IN (SELECT nonce FROM attempt WHERE hash = ?)"
        )
        with self._turn:
            rows = self._database.execute(query, (digest,)).fetchall()
        found = [_receipt(receipt) for (receipt,) in rows]
        return next((receipt for receipt in found if receipt.hash == digest), None)

    def next_nonce(self) -> int:
        """One more than the highest nonce with a purpose."""
        with self._turn:
            (highest,) = self._database.execute("SELECT max(nonce) FROM purpose").fetchone()
        return 0 if highest is None else int(highest) + 1

    def _read(self, condition: str, *values: Any) -> list[Stored]:
        query = f"SELECT * FROM purpose WHERE {condition} ORDER BY nonce"  # noqa: S608 - conditions are ours
        with self._turn:
            return [
                Stored(
                    Purpose(nonce, key, to, data, int(value), gas),
                    self._attempts(nonce),
                    None if receipt is None else _receipt(receipt),
                )
                for nonce, key, to, data, value, gas, receipt in self._database.execute(
                    query, values
                ).fetchall()
            ]

    def _attempts(self, nonce: int) -> tuple[Attempt, ...]:
        query = "SELECT hash, raw, max_fee, priority_fee, cancels FROM attempt WHERE nonce = ? ORDER BY id"
        return tuple(
            Attempt(digest, raw, int(max_fee), int(priority_fee), bool(cancels))
            for digest, raw, max_fee, priority_fee, cancels in self._database.execute(query, (nonce,))
        )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All statements of the block, or none; nobody else's in between, and no closing."""
        with self._turn, transaction(self._database) as database:
            yield database


def _insert_attempt(database: sqlite3.Connection, nonce: int, attempt: Attempt) -> None:
    fees = (str(attempt.max_fee), str(attempt.priority_fee))
    database.execute(
        "INSERT INTO attempt (nonce, hash, raw, max_fee, priority_fee, cancels) VALUES (?, ?, ?, ?, ?, ?)",
        (nonce, attempt.hash, attempt.raw, *fees, int(attempt.cancels)),
    )


def _receipt(data: bytes) -> Receipt:
    fields = orjson.loads(data)
    return Receipt(**{**fields, "logs": tuple(fields["logs"])})
