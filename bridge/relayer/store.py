"""What the relayer must not forget: every withdrawal with its state and failures, and how far each chain was read.

Calls take well below a millisecond, but for the fsync of a commit, and run on the event loop: nobody waits for the relayer at that scale, and
a state that is on disk before the next ``await`` is easy to reason about. One commit holds a whole round's changes.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bridge.l1.database import open_database, transaction
from bridge.relayer.lifecycle import State
from bridge.relayer.retrying import Retry
from bridge.relayer.schema import SCHEMA, VERSION
from bridge.relayer.table import Table
from bridge.relayer.withdrawal import Withdrawal
from bridge.wire.keccak import to_hex

KEPT_CHECKPOINTS = 256
"""Per chain; a reorganisation deeper than these reads the chain from its beginning."""

_WIDE = ("nonce", "value", "gas_limit")
"""Numbers of a withdrawal, which have 256 bits."""
_FINISHED = (State.FINALIZED, State.DROPPED)


@dataclass(frozen=True, slots=True)
class Message:
    """One withdrawal of one rollup."""

    chain_id: int
    hash: str
    withdrawal: Withdrawal
    block: int
    """L2 block that it is in."""
    block_hash: str
    transaction: str
    """Hash of the L2 transaction."""
    state: State
    told: State | None = None
    """The furthest state that the journal was told."""
    cause: str = ""
    """Id of the last event in the journal."""
    proof_key: str = ""
    """Under which the relayer's account sent the last proof."""
    ready_at: int = 0
    """Time of an L1 block, unix seconds, before which nothing can be done about it; 0 if it isn't known."""
    retry: Retry = field(default_factory=Retry)
    proven_by: str = ""
    """L1 transaction, where it is known."""
    finalized_by: str = ""
    """L1 transaction, where it is known."""
    success: bool | None = None
    """Whether the call succeeded; None before, and where it isn't known."""

    def to_json(self) -> dict[str, Any]:
        """For users; numbers that don't fit JSON's are hexadecimal."""
        fields = asdict(self)
        fields |= fields.pop("retry")
        for internal in ("told", "cause", "proof_key"):
            del fields[internal]
        withdrawal = fields["withdrawal"]
        for name in _WIDE:
            withdrawal[name] = hex(withdrawal[name])
        withdrawal["data"] = to_hex(withdrawal["data"])
        return fields


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A block up to which a chain was read."""

    number: int
    hash: str


class Store:
    """The relayer's file.

    Args:
        path: created when missing.

    Raises:
        DatabaseUnusable: locked or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, SCHEMA, VERSION)
        self._messages = Table(
            self._database, "message", "chain_id", tuple(map(str, State)), _columns, _message
        )

    def close(self) -> None:
        """Close the file; safe to run twice."""
        self._database.close()

    @property
    def database(self) -> sqlite3.Connection:
        """For who keeps more in the same file."""
        return self._database

    @contextlib.contextmanager
    def together(self) -> Iterator[sqlite3.Connection]:
        """All that is changed within, or none of it; may be nested."""
        if self._database.in_transaction:
            yield self._database
            return
        with transaction(self._database) as database:
            yield database

    def save(self, messages: Iterable[Message], l1: Checkpoint | None = None) -> None:
        """Keep messages as they are now, all or none, and L1's head if they were read there."""
        with self.together() as database:
            self._messages.put(messages)
            if l1 is not None:
                database.execute("DELETE FROM l1")
                database.execute("INSERT INTO l1 VALUES (?, ?)", (l1.number, l1.hash))

    def l1(self) -> Checkpoint | None:
        """L1's head when messages were last read there."""
        row = self._database.execute("SELECT number, hash FROM l1").fetchone()
        return Checkpoint(*row) if row else None

    def scanned(self, chain_id: int, messages: Iterable[Message], until: Checkpoint) -> None:
        """A rollup was read up to a block, and this is what was found."""
        with self.together() as database:
            self._messages.put(messages)
            row = (chain_id, until.number, until.hash)
            database.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?)", row)
            database.execute(
                "DELETE FROM checkpoint WHERE chain_id = ? AND number <= (SELECT number FROM checkpoint "
                "WHERE chain_id = ? ORDER BY number DESC LIMIT 1 OFFSET ?)",
                (chain_id, chain_id, KEPT_CHECKPOINTS),
            )

    def rewound(self, chain_id: int, messages: Iterable[Message], to: int) -> None:
        """A rollup has lost its blocks after a number, and this is what became of its messages."""
        with self.together() as database:
            self._messages.put(messages)
            database.execute("DELETE FROM checkpoint WHERE chain_id = ? AND number > ?", (chain_id, to))

    def checkpoints(self, chain_id: int) -> list[Checkpoint]:
        """Blocks up to which a rollup was read, oldest first."""
        query = "SELECT number, hash FROM checkpoint WHERE chain_id = ? ORDER BY number"
        return [Checkpoint(*row) for row in self._database.execute(query, (chain_id,))]

    def get(self, chain_id: int, digest: str) -> Message | None:
        """One message of one rollup."""
        found = self._messages.find("chain_id = ? AND hash = ?", (chain_id, digest))
        return found[0] if found else None

    def named(self, digest: str) -> list[Message]:
        """All messages of a hash: two rollups can send the same."""
        return self._messages.find("hash = ?", (digest,))

    def carrying(self, chain_id: int, block: int, data: bytes) -> Message | None:
        """The withdrawal of a rollup's block that makes a certain call on L1."""
        found = self._messages.find("chain_id = ? AND block = ? AND data = ?", (chain_id, block, data))
        return found[0] if found else None

    def unfinished(self, chain_id: int) -> list[Message]:
        """All that something may still have to be done about."""
        return self._messages.find("chain_id = ? AND state NOT IN (?, ?)", (chain_id, *_FINISHED))

    def finalized(self, chain_id: int) -> list[Message]:
        """All that were finalized."""
        return self._messages.find("chain_id = ? AND state = ?", (chain_id, State.FINALIZED))

    def page(self, filters: Mapping[str, Any], limit: int, offset: int) -> list[Message]:
        """Messages by rollup and block; filters are columns and their values."""
        return self._messages.page(filters, limit, offset)

    def counts(self) -> dict[int, dict[str, int]]:
        """How many messages are in which state, by rollup; ``dead`` counts dead letters among them."""
        return self._messages.counts()


def _columns(message: Message) -> tuple[Any, ...]:
    fields = asdict(message)
    data = fields["withdrawal"].pop("data")
    for name in _WIDE:
        fields["withdrawal"][name] = hex(fields["withdrawal"][name])
    return (
        message.chain_id,
        message.hash,
        message.state.value,
        int(message.retry.dead),
        message.block,
        orjson.dumps(fields),
        data,
    )


def _message(body: bytes, data: bytes) -> Message:
    fields = orjson.loads(body)
    withdrawal = fields["withdrawal"]
    for name in _WIDE:
        withdrawal[name] = int(withdrawal[name], 16)
    fields["withdrawal"] = Withdrawal(**withdrawal, data=data)
    fields["state"] = State(fields["state"])
    fields["told"] = None if fields["told"] is None else State(fields["told"])
    fields["retry"] = Retry(**fields["retry"])
    return Message(**fields)
