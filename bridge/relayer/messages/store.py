"""What the relayer must not forget of messages between rollups: which there are, what their logs said, how often something failed.

In the same file as the withdrawals that carry them, so that a block's withdrawals, what they carry, and that the block was read are written
together. Calls run on the event loop, as those of ``bridge.relayer.store`` do.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from bridge.relayer.messages.envelope import Envelope
from bridge.relayer.messages.lifecycle import State
from bridge.relayer.messages.sightings import Sighting, Sign
from bridge.relayer.retrying import Retry
from bridge.relayer.store import Message, Store
from bridge.relayer.table import Table
from bridge.wire.keccak import to_hex

_WIDE = ("nonce", "value")
"""Numbers of an envelope that have 256 bits."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """One message on its way between two rollups."""

    hash: str
    envelope: Envelope
    withdrawal: str
    """Hash of the withdrawal that carries it to L1."""
    block: int
    """Of the source."""
    transaction: str
    """Hash of the source's transaction."""
    state: State = State.SENT
    open: bool = True
    """Whether something may still have to be done or told about it."""
    told: tuple[State, ...] = ()
    """What the journal was told."""
    cause: str = ""
    """Id of the last event in the journal."""
    retry: Retry = field(default_factory=Retry)

    def to_json(self) -> dict[str, Any]:
        """For users; numbers that don't fit JSON's are hexadecimal."""
        fields = _fields(self)
        fields |= fields.pop("retry")
        for internal in ("told", "cause", "open"):
            del fields[internal]
        fields["envelope"]["data"] = to_hex(self.envelope.data)
        return fields


class CrossingStore:
    """The part of the relayer's file that is about messages between rollups."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._crossings = Table(
            store.database, "crossing", "source", tuple(map(str, State)), _columns, _crossing
        )

    def carriers(self, sightings: Iterable[Sighting]) -> list[Message]:
        """The withdrawals that such sightings are of."""
        signs = (Sign.FORWARDING, Sign.RETURNING)
        found = [
            self._store.carrying(each.chain_id, each.block, each.data)
            for each in sightings
            if each.sign in signs
        ]
        return [each for each in found if each is not None]

    def save(self, crossings: Iterable[Crossing]) -> None:
        """Keep messages as they are now, all or none."""
        with self._store.together():
            self._crossings.put(crossings)

    def get(self, digest: str) -> Crossing | None:
        """One message."""
        found = self._crossings.find("hash = ?", (digest,))
        return found[0] if found else None

    def unfinished(self) -> list[Crossing]:
        """All that something may still have to be done about."""
        return self._crossings.find("open")

    def page(self, filters: Mapping[str, Any], limit: int, offset: int) -> list[Crossing]:
        """Messages by source and block; filters are columns and their values."""
        return self._crossings.page(filters, limit, offset)

    def counts(self) -> dict[int, dict[str, int]]:
        """How many messages are in which state, by source; ``dead`` counts dead letters among them."""
        return self._crossings.counts()

    def see(self, sightings: Iterable[Sighting]) -> None:
        """Keep what logs said; the same again changes nothing."""
        with self._store.together() as database:
            rows = [
                (each.chain_id, each.block, each.index, each.name, each.sign, each.transaction, each.data)
                for each in sightings
            ]
            database.executemany("INSERT OR REPLACE INTO sighting VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def lose(self, chain_id: int, to: int) -> set[str]:
        """A chain has lost its blocks after a number: forget what they said; gives whom it was about."""
        with self._store.together() as database:
            place = (chain_id, to)
            names = database.execute("SELECT name FROM sighting WHERE chain_id = ? AND block > ?", place)
            found = {name for (name,) in names}
            database.execute("DELETE FROM sighting WHERE chain_id = ? AND block > ?", place)
        return found

    def sightings(self, name: str) -> tuple[Sighting, ...]:
        """What was said of a message, in the order of the chains' blocks."""
        query = (
            "SELECT name, sign, chain_id, block, digest, log, data FROM sighting "
            "WHERE name = ? ORDER BY chain_id, block, log"
        )
        rows = self._store.database.execute(query, (name,))
        return tuple(Sighting(name, Sign(sign), *rest) for name, sign, *rest in rows)


def _fields(crossing: Crossing) -> dict[str, Any]:
    fields = asdict(crossing)
    for name in _WIDE:
        fields["envelope"][name] = hex(fields["envelope"][name])
    return fields


def _columns(crossing: Crossing) -> tuple[Any, ...]:
    fields, envelope = _fields(crossing), crossing.envelope
    data = fields["envelope"].pop("data")
    return (
        crossing.hash,
        envelope.source,
        envelope.destination,
        crossing.state.value,
        int(crossing.retry.dead),
        int(crossing.open),
        crossing.block,
        orjson.dumps(fields),
        data,
    )


def _crossing(body: bytes, data: bytes) -> Crossing:
    fields = orjson.loads(body)
    envelope = fields["envelope"]
    for name in _WIDE:
        envelope[name] = int(envelope[name], 16)
    fields["envelope"] = Envelope(**envelope, data=data)
    fields["state"] = State(fields["state"])
    fields["told"] = tuple(State(each) for each in fields["told"])
    fields["retry"] = Retry(**fields["retry"])
    return Crossing(**fields)
