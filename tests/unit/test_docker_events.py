"""Confirmation by the engine's events: each change needs its own, in its own life, and a missing one is told as missing."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from orchestrator.runtimes.docker import events
from orchestrator.runtimes.docker.events import EventWatch, in_words
from orchestrator.runtimes.node_life import Change

BOX = "c0ffee"


class Engine:
    """Tells events as an engine does: those so far to each who asks, then more, until the stream is closed."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, int]] = []
        self.asked = 0
        self._news = threading.Condition()
        self._broken = False

    def tell(self, *actions: str) -> None:
        """Something happens to the container."""
        with self._news:
            for action in actions:
                self.told.append((BOX, action, 10**9 + len(self.told) * 10**6))
            self._news.notify_all()

    def break_off(self) -> None:
        """The stream ends."""
        with self._news:
            self._broken = True
            self._news.notify_all()

    close = break_off

    def events(self, run: str, began: Callable[[Any], None], hear: Callable[[Any], None]) -> None:
        """As ``FaultCalls.events``."""
        assert "run" == run
        began(self)
        self.asked, index = self.asked + 1, 0
        while True:
            with self._news:
                self._news.wait_for(lambda: self._broken or len(self.told) > index)  # noqa: B023 - called at once
                if self._broken:
                    self._broken = False
                    return
                container, action, at = self.told[index]
            index += 1
            hear(
                {"Action": action, "timeNano": at, "Actor": {"ID": container, "Attributes": {"signal": "9"}}}
            )


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine, and little patience with it."""
    monkeypatch.setattr(events, "PATIENCE_S", 0.2)
    monkeypatch.setattr(events, "_RETRY_S", 0.01)
    return Engine()


@pytest.fixture
async def watch(engine: Engine) -> Any:
    """Follows it."""

    @contextlib.contextmanager
    def calls() -> Iterator[Any]:
        yield engine

    watching = EventWatch("run", calls)
    yield watching
    watching.close()


def actions(found: Sequence[events.EngineEvent]) -> list[str]:
    """Their names."""
    return [event.action for event in found]


async def test_a_change_is_confirmed_by_its_event(engine: Engine, watch: EventWatch) -> None:
    """Whoever waits is told as soon as the event is there, however late; another event is none."""
    engine.tell("start")
    assert ["start"] == actions(await watch.life(BOX, 0, Change.START))
    waiting = asyncio.create_task(watch.life(BOX, 0, Change.END))
    engine.tell("kill")
    await asyncio.sleep(0.05)
    assert not waiting.done()
    engine.tell("die")
    found = await waiting
    assert ["start", "kill", "die"] == actions(found)
    assert "engine: kill 9 at 00:00:01.001000, die 9 +1 ms" == in_words(found, Change.END)


@pytest.mark.parametrize("change", list(Change))
async def test_an_event_that_never_comes_did_not_bite(
    engine: Engine, watch: EventWatch, change: Change
) -> None:
    """An engine that answers yes and tells of nothing has confirmed nothing."""
    if change is not Change.START:
        engine.tell("start")
    assert () == await watch.life(BOX, 0, change)


async def test_the_last_word_on_freezing_counts(engine: Engine, watch: EventWatch) -> None:
    """A pause that was undone is no pause, and the second pause needs an event of its own."""
    engine.tell("start", "pause", "unpause")
    assert () == await watch.life(BOX, 0, Change.FREEZE)
    assert "unpause" == actions(await watch.life(BOX, 0, Change.THAW))[-1]
    engine.tell("pause")
    assert "pause" == actions(await watch.life(BOX, 0, Change.FREEZE))[-1]


async def test_the_life_before_confirms_nothing(engine: Engine, watch: EventWatch) -> None:
    """The end of a life, told late, is not that of the next one."""
    engine.tell("start")
    await watch.life(BOX, 0, Change.START)
    mark = watch.mark(BOX)
    engine.tell("die", "start")
    assert ["start"] == actions(await watch.life(BOX, mark, Change.START))
    assert () == await watch.life(BOX, mark, Change.END)


async def test_a_stream_that_breaks_is_taken_up_again(engine: Engine, watch: EventWatch) -> None:
    """What is told again is counted once, and what came meanwhile is heard."""
    engine.tell("start", "pause")
    await watch.life(BOX, 0, Change.FREEZE)
    engine.break_off()
    engine.tell("unpause")
    assert ["start", "pause", "unpause"] == actions(await watch.life(BOX, 0, Change.THAW))
    assert 2 == engine.asked


async def test_closing_lets_go(engine: Engine, watch: EventWatch) -> None:
    """Nobody waits for events of an engine that is not followed any more."""
    waiting = asyncio.create_task(watch.life(BOX, 0, Change.START))
    await asyncio.sleep(0)
    watch.close()
    assert () == await asyncio.wait_for(waiting, 0.1)
