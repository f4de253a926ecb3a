"""One rollup's messages that something may still have to be done about: in memory as on disk, and told to the journal.

Whoever finds something out about a message changes it here; whoever does something about messages asks here which are due.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from bridge.relayer.lifecycle import State
from bridge.relayer.store import Checkpoint, Message, Store
from bridge.relayer.subjects import Subject, itself
from bridge.wire.journal import Journal


class Queue:
    """The open messages of one rollup.

    Args:
        name: of the rollup.
        chain_id: of the rollup.
        store: keeps them.
        journal: told of each stage.
        subject: what the journal is told that a withdrawal is about.
    """

    def __init__(
        self, name: str, chain_id: int, store: Store, journal: Journal, subject: Subject = itself
    ) -> None:
        self.name, self.chain_id = name, chain_id
        self._store, self._journal, self._subject = store, journal, subject
        self.open = {message.hash: message for message in store.unfinished(chain_id)}
        self.due = set(self.open)
        """Hashes of those to be looked at whatever their state says."""
        self.working: set[str] = set()
        """Hashes of those with a step under way: nothing else is done about them."""
        self.stirred = asyncio.Event()
        """Set when there may be something to do before the next poll."""

    def known(self, digest: str) -> Message | None:
        """A message, open or not."""
        return self.open.get(digest) or self._store.get(self.chain_id, digest)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """All that is made durable within, or none of it."""
        with self._store.together():
            yield

    def stir(self, digest: str) -> None:
        """Have a message looked at soon."""
        self.due.add(digest)
        self.stirred.set()

    def found(self, messages: Sequence[Message], until: Checkpoint) -> None:
        """The rollup was read up to a block."""
        self._store.scanned(self.chain_id, messages, until)
        self._hold(messages)
        for message in messages:
            if message.hash in self.open:
                self.stir(message.hash)

    def lost(self, messages: Sequence[Message], to: int) -> None:
        """The rollup's blocks after a number are gone, and so are these."""
        self._store.rewound(self.chain_id, messages, to)
        self._hold(messages)

    def keep(self, messages: Sequence[Message], l1: Checkpoint | None = None) -> None:
        """Make changes durable, with the L1 head that they were read at."""
        changed = [message for message in messages if self.open.get(message.hash) != message]
        if changed:
            self._store.save(changed, l1)
        self._hold(messages)

    def take_back_finalized(self) -> None:
        """Look again at all that was finished on L1."""
        for message in self._store.finalized(self.chain_id):
            self.open.setdefault(message.hash, message)

    def emit(self, event: str, message: Message, **attributes: Any) -> str:
        """Tell the journal, behind what it was told of the message before; gives the event's id."""
        cause = (message.cause,) if message.cause else ()
        return self._journal.emit(
            event,
            cause=cause,
            rollup=self.name,
            chain_id=self.chain_id,
            **self._subject(message.withdrawal, self.chain_id),
            **attributes,
        )

    def emit_plain(self, event: str, **attributes: Any) -> None:
        """Tell the journal of something that is about no one message."""
        self._journal.emit(event, rollup=self.name, chain_id=self.chain_id, **attributes)

    def _hold(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.state in (State.FINALIZED, State.DROPPED):
                self.open.pop(message.hash, None)
                self.due.discard(message.hash)
            else:
                self.open[message.hash] = message
