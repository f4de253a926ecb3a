"""Watching work until it has ended, by the journals: how far bundles are, and how strategies and messages over the bridge ended."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing import Outcome, analyse, group_events
from orchestrator.tracing.tail import Tail

LOOK_S: Final = 0.5
"""Between two looks at the journals, seconds."""
QUIET_S: Final = 5.0
"""Longest silence towards the human who waits, seconds."""

Tell = Callable[[str], None]
"""Takes one line for the human who waits."""


@dataclass(slots=True)
class Progress:
    """Says how far the bundles are, not at each."""

    wanted: int
    what: str
    tell: Tell
    counts: dict[str, int] = field(default_factory=dict)
    said: float = field(default_factory=time.monotonic)

    def count(self, outcome: str, reason: str | None) -> None:
        """One more has ended."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1
        if reason:
            self.tell(f"{outcome}: {reason}")
        if time.monotonic() > self.said + QUIET_S:
            self.say()

    def say(self) -> None:
        """Say how far it is."""
        self.said = time.monotonic()
        ends = ", ".join(f"{count} {outcome}" for outcome, count in self.counts.items())
        self.tell(f"{sum(self.counts.values())} of {self.wanted} {self.what} ended: {ends}")


class Watch:
    """Reads the journals until everything that was sent has ended.

    Args:
        tail: of the journals that tell of it.
        tell: told of progress, a line at a time.
    """

    def __init__(self, tail: Tail, tell: Tell) -> None:
        self._tail, self._tell = tail, tell
        self._events: dict[str, list[Event]] = {}
        self._touched: set[str] = set()
        self._over: dict[str, Outcome] = {}
        self._wanted: set[str] | None = None
        self.ended = asyncio.Event()
        """Set when all that is waited for has ended."""

    def wait_for(self, keys: Iterable[str]) -> None:
        """Say what all there is."""
        self._wanted = set(keys)
        self._check()

    @property
    def missing(self) -> set[str]:
        """What has not ended."""
        return (self._wanted or set(self._events)) - self._over.keys()

    async def run(self) -> None:
        """Watch until cancelled."""
        said, began = time.monotonic(), time.monotonic()
        while True:
            await asyncio.sleep(LOOK_S)
            self._take(await asyncio.to_thread(self._tail.poll))
            self._check()
            if time.monotonic() > said + QUIET_S and not self.ended.is_set():
                said = time.monotonic()
                known = len(self._wanted or self._events)
                ends = ", ".join(
                    f"{sum(over is outcome for over in self._over.values())} {outcome}"
                    for outcome in dict.fromkeys(self._over.values())
                )
                self._tell(
                    f"{math.floor(said - began)} s: {len(self.missing)} of {known} strategies and messages are under way"
                    + (f"; {ends}" if ends else "")
                )

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if event.bundle_id is None and not event.event.startswith("message."):
                continue
            key = event.bundle_id or event.msg_id
            if key is not None:
                self._events.setdefault(key, []).append(event)
                self._touched.add(key)

    def _check(self) -> None:
        for key in self._touched:
            outcome = _end_of(self._events[key])
            if outcome is not None:
                self._over[key] = outcome
        self._touched.clear()
        if self._wanted is not None and not self.missing:
            self.ended.set()


def _end_of(events: Sequence[Event]) -> Outcome | None:
    """How something ended, once nothing more will be told of it."""
    (trace,) = group_events(events).traces.values()
    found = analyse(trace)
    if found.outcome in (Outcome.UNKNOWN, Outcome.FAILED):
        return None
    freed = {event.leg for event in trace.events if event.event == Stage.LEG_REVERTED}
    if found.outcome is Outcome.ABORTED and len(freed) < found.verdict.legs:
        return None  # some legs may still be locked
    return found.outcome
