"""The engine's own word on what happens to a run's containers: its event stream, followed from the first container to the last.

What we ask an engine to do and what it then says it did are two things. A kill counts as confirmed when the ``kill`` and ``die`` events
of that container are here, with the engine's own times; without them it did not bite, however the call was answered.
"""

import asyncio
import contextlib
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.sdk_faults import FaultCalls
from orchestrator.runtimes.node_life import Change

PATIENCE_S = 5.0
"""Longest time from an engine's answer to its event, seconds; mostly the event is first."""
_RETRY_S = 0.5
_MS, _S = 10**6, 10**9
_OF_AN_END = frozenset({"kill", "stop", "oom", "die"})
_WANTED = {Change.START: "start", Change.FREEZE: "pause", Change.THAW: "unpause", Change.END: "die"}
_OF_FREEZING = frozenset({"pause", "unpause"})


@dataclass(frozen=True, slots=True)
class EngineEvent:
    """One event of one container."""

    action: str
    """``start``, ``kill``, ``die``, ``stop``, ``oom``, ``pause`` or ``unpause``."""
    at_ns: int
    """Unix time by the engine's clock, nanoseconds."""
    detail: str
    """Signal or exit code, if it has one."""


class EventWatch:
    """Follows the events of one run. Made in a running event loop.

    Args:
        run: its id.
        calls: lends calls to the engine to a thread, until it gives them back.
    """

    def __init__(self, run: str, calls: Callable[[], contextlib.AbstractContextManager[FaultCalls]]) -> None:
        self._run, self._calls = run, calls
        self._loop = asyncio.get_running_loop()
        self._seen: dict[str, list[EngineEvent]] = defaultdict(list)
        self._news = asyncio.Event()
        self._heard_of: set[tuple[str, EngineEvent]] = set()
        self._listeners: dict[str, Callable[[EngineEvent], None]] = {}
        self._closed = threading.Event()
        self._stream: Any = None
        threading.Thread(target=self._follow, name="events", daemon=True).start()

    def mark(self, container: str) -> int:
        """A place in a container's events: what comes from now on."""
        return len(self._seen[container])

    def mark_of_start(self, container: str) -> int:
        """The place of a container's last start."""
        seen = self._seen[container]
        return next(
            (index for index in reversed(range(len(seen))) if seen[index].action == "start"), len(seen)
        )

    def listen(self, container: str, listener: Callable[[EngineEvent], None]) -> None:
        """Tell of a container's events from now on; whoever listens last is told."""
        self._listeners[container] = listener

    async def life(self, container: str, mark: int, change: Change) -> Sequence[EngineEvent]:
        """A container's events since it was last started after a mark, as soon as they tell of a change; empty if they never do."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while not self._closed.is_set():
                    found = _since_start(self._seen[container][mark:])
                    if _tells(found, change):
                        return found
                    await self._news.wait()
        return ()

    def close(self) -> None:
        """Follow no more; whoever waits is let go."""
        self._closed.set()
        self._wake()
        stream = self._stream
        if stream is not None:
            with contextlib.suppress(Exception):  # the other thread may be at its end
                stream.close()

    def _follow(self) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(EngineError), self._calls() as calls:
                calls.events(self._run, self._began, self._heard)
            self._closed.wait(_RETRY_S)  # an engine that restarts remembers its last events

    def _began(self, stream: Any) -> None:
        self._stream = stream
        if self._closed.is_set():
            stream.close()

    def _heard(self, event: Any) -> None:
        attributes = event["Actor"]["Attributes"]
        detail = attributes.get("signal") or attributes.get("exitCode") or ""
        found = EngineEvent(event["Action"], int(event["timeNano"]), detail)
        container = str(event["Actor"]["ID"])
        if (container, found) not in self._heard_of:  # else it was told again after a break
            self._heard_of.add((container, found))
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                self._loop.call_soon_threadsafe(self._note, container, found)

    def _note(self, container: str, event: EngineEvent) -> None:
        self._seen[container].append(event)
        if container in self._listeners:
            self._listeners[container](event)
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


def in_words(events: Sequence[EngineEvent], change: Change) -> str:
    """What events say of a change, such as ``engine: kill 9 at 15:44:10.123456, die 137 +31 ms``."""
    if change is Change.END:
        shown = [event for event in events if event.action in _OF_AN_END][-4:]
    else:
        shown = [event for event in events if event.action == _WANTED[change]][-1:]
    first = shown[0].at_ns
    at = datetime.fromtimestamp(first / _S, UTC).strftime("%H:%M:%S.%f")
    words = [f"{event.action} {event.detail}".strip() for event in shown]
    later = [
        f"{word} +{(event.at_ns - first) / _MS:.0f} ms" for word, event in zip(words, shown, strict=True)
    ]
    return f"engine: {', '.join([f'{words[0]} at {at}', *later[1:]])}"


def _since_start(events: Sequence[EngineEvent]) -> Sequence[EngineEvent]:
    for index, event in enumerate(events):
        if event.action == "start":
            return tuple(events[index:])
    return ()


def _tells(events: Sequence[EngineEvent], change: Change) -> bool:
    wanted = _WANTED[change]
    if change in {Change.FREEZE, Change.THAW}:
        return [event.action for event in events if event.action in _OF_FREEZING][-1:] == [wanted]
    return any(event.action == wanted for event in events)
