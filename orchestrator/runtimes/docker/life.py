"""One life of a container: from its start to its end, as ``runtimes.life`` is for a process group.

Its thread attaches before it starts the container, so that not a word is lost, copies what it writes into the log, and reports the
end after the last word. Signals go through the engine; where none of them found the container alive, its death stays one that
nobody asked for.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError, EngineUnreachableError
from orchestrator.runtimes.docker.events import EngineEvent, in_words
from orchestrator.runtimes.errors import NodeStartError, NodeStuckError
from orchestrator.runtimes.logfile import CappedLog
from orchestrator.runtimes.node_life import Change

_PATIENCE_S = 60.0
"""Longest time between a forced end and its confirmation, seconds; a busy engine takes several."""
_BY_SIGNAL = 128
"""Exit statuses above this tell the signal that ended a container."""


class ContainerLife:
    """A container being started, running, or ended. Made in a running event loop. Fulfils ``NodeLife``.

    Args:
        engine: runs it.
        node: name of its node.
        container: its id.
        log: where its output goes.
        on_end: called once, when it has ended; not if it could not be started.
        on_return: called when it has ended and somebody else has started the container again, as ``docker restart`` does.
        found: it runs already: somebody else has started it.
    """

    def __init__(
        self,
        engine: Engine,
        node: str,
        container: str,
        log: CappedLog,
        on_end: Callable[[], None],
        on_return: Callable[[], None] = lambda: None,
        *,
        found: bool = False,
    ) -> None:
        self._engine, self._node, self._container, self._log = engine, node, container, log
        self._on_end, self._on_return = on_end, on_return
        self._started: asyncio.Future[EngineError | None] = asyncio.get_running_loop().create_future()
        self._ended = asyncio.Event()
        self._signals: set[asyncio.Task[None]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._struck = False
        """Whether something that was to end it found it alive."""
        self._foreseen = False
        self._watch = engine.events
        self._mark = 0
        if self._watch is not None:
            self._mark = self._watch.mark_of_start(container) if found else self._watch.mark(container)
        self._began, self._returned = found, False
        if self._watch is not None:
            self._watch.listen(container, self._heard)
        self.pid: int | None = None
        self.paused = False
        self.asked: NodeState | None = None
        self.exit_code: int | None = None
        self.exit_signal: str | None = None
        engine.live(container, _Listener(self, asyncio.get_running_loop(), log), found=found)

    @property
    def over(self) -> bool:
        """Whether it has ended and that was taken note of."""
        return self._ended.is_set()

    async def begun(self) -> None:
        """Wait until the container runs.

        Raises:
            NodeStartError: the engine can't start it.
        """
        error = await asyncio.shield(self._started)
        if error is not None:
            raise NodeStartError(self._node, error.message, hint=error.hint) from error

    def ask(self, how: NodeState, number: signal.Signals) -> None:
        """Send a signal that is meant to end it; see ``NodeLife``."""
        if not self.over:
            self.asked = how
            self._task(self._signal(number), self._signals)

    def foresee(self, how: NodeState | None) -> None:
        """An end that comes now was asked for in this way, though by no signal of ours; ``None`` takes it back."""
        if not self.over:
            self.asked = how
            self._struck = self._foreseen = how is not None

    async def witnessed(self, change: Change) -> str | None:
        """The engine's events, with its times; see ``NodeLife``."""
        if self._watch is None or (self._started.done() and self._started.result() is not None):
            return None
        found = await self._watch.life(self._container, self._mark, change)
        return in_words(found, change) if found else None

    async def freeze(self) -> None:
        """Freeze it; the engine answers when nothing in it runs. Returns as well if it ends instead."""
        await asyncio.shield(self._task(self._freeze()))

    async def thaw(self) -> None:
        """Let it run again."""
        await asyncio.shield(self._task(self._thaw()))

    async def ended(self) -> None:
        """Wait for its end."""
        await self._ended.wait()

    async def gone(self) -> None:
        """Wait for its end, which is that of every process in it.

        Raises:
            NodeStuckError: the engine does not bring it about.
        """
        try:
            async with asyncio.timeout(_PATIENCE_S):
                await self._ended.wait()
        except TimeoutError as exc:
            raise NodeStuckError(
                f"{self._node}: the Docker engine has not ended its container within {_PATIENCE_S:g} s",
                f"see `docker inspect {self._container[:12]}` and the engine's log",
            ) from exc

    def has_started(self, error: EngineError | None) -> None:
        """Told by its thread, in the event loop."""
        self._started.set_result(error)
        if error is not None:
            self._ended.set()

    def has_ended(self, status: int | None) -> None:
        """Told by its thread, in the event loop."""
        self._task(self._conclude(status))

    async def _signal(self, number: signal.Signals) -> None:
        if await asyncio.shield(self._started) is not None:
            return
        with contextlib.suppress(EngineError):  # an engine that is gone is noticed by the life's thread
            if await self._engine.signal(self._container, number.name):
                self._struck = True
            if self.paused:
                await self._thaw()  # it hears a polite signal only when it runs

    async def _freeze(self) -> None:
        if await self._engine.pause(self._container):
            self.paused = not self.over
            return
        found = await self._engine.inspect_container(self._container)
        if found["State"]["Paused"]:  # by somebody else
            self.paused = True
        else:
            await self.gone()

    async def _thaw(self) -> None:
        await self._engine.unpause(self._container)
        self.paused = False

    async def _conclude(self, status: int | None) -> None:
        if self._signals:
            await asyncio.wait(self._signals)
        if not self._struck:
            self.asked = None
        if status is None:
            self._note(await self._why_unknown())
        elif status > _BY_SIGNAL:
            self.exit_signal = _signal_name(status - _BY_SIGNAL)
            if (self.asked is None or self._foreseen) and await self._out_of_memory():
                self._note("killed by the kernel: out of memory")
        else:
            self.exit_code = status
        self.paused = False
        self._ended.set()
        self._on_end()
        if self._returned:
            self._on_return()

    def _heard(self, event: EngineEvent) -> None:
        """Whoever freezes and thaws it, this is its state; what the life before did comes before its start, and a second start is another's."""
        if event.action == "start":
            self._returned, self._began = self._began, True
            if self._returned and self.over:
                self._on_return()
        if self._began and not self.over and event.action in {"pause", "unpause"}:
            self.paused = event.action == "pause"

    async def _why_unknown(self) -> str:
        """Why nobody can say how it ended."""
        try:
            await self._engine.inspect_container(self._container)
        except EngineUnreachableError:
            return "the Docker engine went away"
        except EngineError:
            return "somebody else has removed its container"
        return "the Docker engine does not say how it ended"

    async def _out_of_memory(self) -> bool:
        with contextlib.suppress(EngineError):
            found = await self._engine.inspect_container(self._container)
            return bool(found["State"]["OOMKilled"])
        return False

    def _note(self, text: str) -> None:
        self._log.write(f"--- rollnet: {self._node}: {text} ---\n".encode())

    def _task(
        self, work: Coroutine[Any, Any, None], kept: set[asyncio.Task[None]] | None = None
    ) -> asyncio.Task[None]:
        tasks = self._tasks if kept is None else kept
        task = asyncio.create_task(work, name=f"container-{self._node}")
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return task


class _Listener:
    """Hears a life's thread, and tells its event loop."""

    def __init__(self, life: ContainerLife, loop: asyncio.AbstractEventLoop, log: CappedLog) -> None:
        self._life, self._loop, self._log = life, loop, log

    def on_start(self, error: EngineError | None) -> None:
        self._tell(self._life.has_started, error)

    def on_output(self, data: bytes) -> None:
        self._log.write(data)

    def on_end(self, exit_code: int | None) -> None:
        self._tell(self._life.has_ended, exit_code)

    def _tell(self, hearer: Callable[[Any], None], what: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(hearer, what)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
