"""Waiting for triggers: one loop that looks at journals and chains, for all faults that wait.

Journals are read as files, so that nobody is asked and nothing is slowed down; heights are asked only while a fault waits for one.
Clock and sleep are the event loop's, so tests run under virtual time.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from bridge.wire.journal import Event
from orchestrator.chaos.plan import AtEvent, AtHeight, AtTime, Trigger
from orchestrator.chaos.triggers import Countdown, Moment

LOOK_S = 0.002
"""Between two looks: a fault must come while what it waited for is still under way."""
IDLE_S = 0.02
"""The same while nobody waits for an event."""
HEIGHT_S = 0.05
"""Between two questions for heights."""


class Feed(Protocol):
    """What a devnet tells while it runs."""

    def events(self) -> Sequence[Event]:
        """What was journalled since the last call."""

    async def heights(self, chains: Sequence[str]) -> Mapping[str, int]:
        """Where chains stand; those that do not answer are left out."""


class Lookout:
    """Tells waiting faults when their moment has come.

    Args:
        feed: where events and heights come from.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._waiting: dict[Countdown, asyncio.Future[Moment]] = {}
        self._began = 0.0

    async def run(self) -> None:
        """Look for ever."""
        loop = asyncio.get_running_loop()
        asked = -HEIGHT_S
        while True:
            events = self._feed.events()
            chains = self._chains()
            if chains and loop.time() - asked >= HEIGHT_S:
                asked = loop.time()
                heights = await self._feed.heights(chains)
            else:
                heights = {}
            for countdown, future in tuple(self._waiting.items()):
                for event in events:
                    countdown.event(event)
                countdown.height(heights)
                moment = countdown.moment(loop.time() - self._began)
                if moment is not Moment.NOT_YET and not future.done():
                    future.set_result(moment)
            await asyncio.sleep(self._pause(loop.time() - self._began))

    def begin(self) -> None:
        """The baseline is over: time counts from now; events and blocks count for each trigger from the moment it waits."""
        self._feed.events()
        self._began = asyncio.get_running_loop().time()

    async def wait(self, trigger: Trigger) -> tuple[Moment, Countdown]:
        """Wait for a trigger's moment: ``NOW`` or ``NEVER``."""
        countdown = Countdown(trigger)
        self._waiting[countdown] = asyncio.get_running_loop().create_future()
        try:
            return await self._waiting[countdown], countdown
        finally:
            del self._waiting[countdown]

    def _pause(self, elapsed_s: float) -> float:
        """Until the next look: at once after an event that somebody waits for, exactly when a time comes, and rarely otherwise."""
        triggers = [countdown.trigger for countdown in self._waiting]
        if any(isinstance(trigger, AtEvent) for trigger in triggers):
            return LOOK_S
        times = [trigger.after_s - elapsed_s for trigger in triggers if isinstance(trigger, AtTime)]
        return max(0.0, min([IDLE_S, *times]))

    def _chains(self) -> tuple[str, ...]:
        wanted: dict[str, None] = {}
        for countdown in self._waiting:
            if isinstance(countdown.trigger, AtHeight):
                wanted |= dict.fromkeys(chain for chain, _ in countdown.trigger.blocks)
        return tuple(wanted)
