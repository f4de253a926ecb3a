"""Messages between rollups that something may still have to be done or told about: in memory as on disk, and told to the journal.

Whatever a chain's log says of a message has it looked at; nothing else has to be asked for again and again.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bridge.relayer.carried import Carried, Forward, Places, carried
from bridge.relayer.messages.lifecycle import Call
from bridge.relayer.messages.sightings import Sighting, Sign, calls_of, of_withdrawal
from bridge.relayer.messages.store import Crossing, CrossingStore
from bridge.relayer.retrying import Retry
from bridge.relayer.store import Message
from bridge.relayer.withdrawal import Passed
from bridge.wire.journal import Journal


class CrossingQueue:
    """The open messages between all rollups.

    Args:
        store: keeps them.
        journal: told of each stage.
        places: where rollups' withdrawals go on L1, by chain id.
        first: failures of a message that is new.
    """

    def __init__(
        self, store: CrossingStore, journal: Journal, places: Mapping[int, Places], first: Retry
    ) -> None:
        self.store, self._journal, self._places, self._first = store, journal, places, first
        self.open: dict[str, Crossing] = {}
        self.due: set[str] = set()
        """Hashes of those to be looked at."""
        self.working: set[str] = set()
        """Hashes of those with a step under way: nothing else is done about them."""
        self.stirred = asyncio.Event()
        """Set when there may be something to do before the next poll."""
        self._calls: dict[str, str] = {}
        """Of open messages, by the messengers' names of their calls."""
        self._hold(store.unfinished())
        self.due.update(self.open)

    def known(self, digest: str) -> Crossing | None:
        """A message, open or not."""
        return self.open.get(digest) or self.store.get(digest)

    def sightings(self, digest: str) -> tuple[Sighting, ...]:
        """What was said of a message."""
        return self.store.sightings(digest)

    def calls(self, digest: str) -> tuple[Call, ...]:
        """Calls of a message that messengers pass on, as far as they are known."""
        return calls_of(self.store.sightings(digest))

    def carriers(self, digest: str, sign: Sign | None = None) -> list[Message]:
        """The withdrawals that carry a message, or what comes back of it; of one sign, or all."""
        return self.store.carriers(each for each in self.sightings(digest) if sign in (None, each.sign))

    def carried_by(self, message: Message) -> Carried | None:
        """What a withdrawal carries."""
        return carried(message.withdrawal, self._places[message.chain_id])

    def stir(self, digest: str) -> None:
        """Have a message looked at soon."""
        self.due.add(digest)
        self.stirred.set()

    def seen(self, chain_id: int, passed: Iterable[Passed], sightings: Sequence[Sighting]) -> None:
        """A chain's blocks were read, and this is what their logs say; durable with whatever is written beside it."""
        kept = [each for each in sightings if each.sign is not Sign.HELD]
        named: dict[str, Crossing] = {}
        for each in passed:
            places = self._places[chain_id]
            sighting = of_withdrawal(each, places)
            if sighting is None:
                continue
            kept.append(sighting)
            match carried(each.withdrawal, places):
                case Forward(envelope):
                    known = self.known(sighting.name)
                    fresh = known or Crossing(sighting.name, envelope, "", 0, "", retry=self._first)
                    digest = each.withdrawal.hash
                    named[sighting.name] = replace(
                        fresh, withdrawal=digest, block=each.block, transaction=each.transaction
                    )
        self.store.see(kept)
        for sighting in kept:
            crossing = named.get(sighting.name) or self.known(sighting.name)
            if crossing is not None:
                named[sighting.name] = crossing
        self._look_again(named.values())
        for sighting in sightings:
            if sighting.sign is Sign.HELD and sighting.name in self._calls:
                self.stir(self._calls[sighting.name])

    def lost(self, chain_id: int, to: int) -> None:
        """A chain's blocks after a number are gone; durable with whatever is written beside it."""
        found = [self.known(name) for name in sorted(self.store.lose(chain_id, to))]
        self._look_again([each for each in found if each is not None])

    def keep(self, crossings: Sequence[Crossing]) -> None:
        """Make changes durable."""
        changed = [each for each in crossings if self.open.get(each.hash) != each]
        if changed:
            self.store.save(changed)
        self._hold(crossings)

    def emit(self, event: str, crossing: Crossing, *causes: str, **attributes: Any) -> str:
        """Tell the journal, behind what it was told of the message before; gives the event's id."""
        cause = tuple(dict.fromkeys(filter(None, (crossing.cause, *causes))))
        return self._journal.emit(event, msg_id=crossing.hash, cause=cause, **attributes)

    def _look_again(self, crossings: Iterable[Crossing]) -> None:
        again = [replace(each, open=True) for each in crossings]
        if again:
            self.keep(again)
        for each in again:
            self.stir(each.hash)

    def _hold(self, crossings: Sequence[Crossing]) -> None:
        for crossing in crossings:
            if crossing.open:
                self.open[crossing.hash] = crossing
                self._calls |= {call.hash: crossing.hash for call in self.calls(crossing.hash)}
            elif self.open.pop(crossing.hash, None) is not None:
                self.due.discard(crossing.hash)
                for call in self.calls(crossing.hash):
                    self._calls.pop(call.hash, None)
