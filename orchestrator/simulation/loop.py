"""An event loop with a clock that jumps, and processes that can be killed or paused between any two of its steps.

The problem: the nodes' code is asyncio, and it must run as it is, thousands of times a minute, and again in exactly the same order from the same
seed. The choice is a loop of our own of one page: a queue of what is ready, a heap of timers, no selector and no threads. What the code
hands to a thread runs inline after a moment of virtual time. Every callback belongs to the *process* of the task that it wakes, found by its
context, so a crash is one assignment: nothing of a dead process ever runs again, no ``finally`` included. What died is kept until the
schedule is over, because a collected coroutine would run its clean-up in the middle of somebody else's step.

Rejected: real subprocesses (seconds instead of milliseconds), and cancelling the tasks of a process that is killed (a process that is
killed cleans nothing up).
"""

import asyncio
import contextlib
import contextvars
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

THREAD_SECONDS = 0.002
"""Virtual time until what was handed to a thread runs."""
STEPS = 30_000
"""Of one schedule; an honest one takes about a thousand. Whoever spins without ever waiting ends here."""
_ATTEMPTS = 6
"""Times that a coroutine is closed before it is given up: one that waits in its clean-up has to be told again."""

_PROCESS: contextvars.ContextVar["Process"] = contextvars.ContextVar("process")


class Killed(BaseException):
    """The process that runs dies here."""


@dataclass(eq=False, slots=True)
class Process:
    """One life of one node."""

    name: str
    skew: float = 0.0
    """Seconds that its wall clock is ahead."""
    alive: bool = True
    paused: bool = False
    backlog: list["Step"] = field(default_factory=list)
    """What would have run while it was paused."""
    countdown: int = 0
    """Dies at the so many-th boundary from now on; 0 is never."""
    on_death: Callable[[], None] | None = None
    context: contextvars.Context = field(default_factory=contextvars.Context)
    """Every task of it runs in a copy."""

    def __post_init__(self) -> None:
        self.context.run(_PROCESS.set, self)


class Step:
    """A callback that waits for its turn."""

    __slots__ = ("args", "callback", "cancelled_", "context", "process", "when_")

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        process: Process,
    ) -> None:
        self.callback, self.args, self.context, self.process = callback, args, context, process
        self.cancelled_ = False
        self.when_ = 0.0

    def cancel(self) -> None:
        """It never runs."""
        self.cancelled_ = True

    def cancelled(self) -> bool:
        """Whether it never runs."""
        return self.cancelled_

    def when(self) -> float:
        """Virtual time of a timer."""
        return self.when_


class NumberedTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on its address: a group cancels its tasks in the order of its set."""

    def __init__(self, number: int, coro: Any, **options: Any) -> None:
        self.number = number  # before asyncio puts it into its own set
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self.number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs one schedule."""

    def __init__(self) -> None:
        self._ready: deque[Step] = deque()
        self._timers: list[tuple[float, int, Step]] = []
        self._now = 0.0
        self._order = 0
        self._over = False
        self._tasks: list[NumberedTask] = []
        self.world = Process("world")
        """What never dies: the network, L1's blocks, the faults themselves."""
        self.process = self.world
        """Whose step runs."""
        self.steps = 0
        self.failures: list[str] = []
        """What nobody heard of: exceptions of tasks that no one waited for."""

    def time(self) -> float:
        """Virtual seconds since the beginning."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: contextvars.Context | None = None
    ) -> Any:
        """Run a callback in the process whose context it is, else in the present one."""
        process = self.process if context is None else context.get(_PROCESS, self.process)
        step = Step(callback, args, context, process)
        if not self._over:
            self._ready.append(step)
        return step

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        """As :meth:`call_soon`, after a while."""
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., Any],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Any:
        """As :meth:`call_soon`, at a time."""
        process = self.process if context is None else context.get(_PROCESS, self.process)
        return self._timer(when, callback, args, context, process)

    def later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Step:
        """Run a callback of the world, whoever dies meanwhile."""
        return self._timer(self._now + delay, callback, args, None, self.world)

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> NumberedTask:
        """A task of the present process (or of that of ``context``)."""
        # far apart: a set of small neighbouring hashes, from which many were taken, is slow
        number = (len(self._tasks) + 1) * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFF
        task = NumberedTask(number, coro, loop=self, name=name or "task", context=context)
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001 - a killed process leaves tasks pending
        self._tasks.append(task)
        return task

    def spawn(self, process: Process, coro: Coroutine[Any, Any, Any]) -> NumberedTask:
        """A task of another process."""
        return self.create_task(coro, context=process.context.copy())

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002 - there is but one thread
        """Run what was meant for a thread, in a moment."""
        future = self.create_future()

        def run() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as exc:
                future.set_exception(exc)
            else:
                future.set_result(result)

        self.call_later(THREAD_SECONDS, run)
        return future

    def get_debug(self) -> bool:
        """Never."""
        return False

    def is_running(self) -> bool:
        """While there is a schedule."""
        return not self._over

    def is_closed(self) -> bool:
        """Once the schedule is over."""
        return self._over

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what nobody heard of."""
        self.failures.append(f"{context.get('message')}: {context.get('exception')!r}")

    def kill(self, process: Process) -> None:
        """It takes no further step."""
        if process.alive:
            process.alive = False
            process.backlog.clear()
            if process.on_death is not None:
                process.on_death()

    def die(self) -> None:
        """The process that runs dies now.

        Raises:
            Killed: always, to leave the step.
        """
        self.kill(self.process)
        raise Killed

    def boundary(self) -> None:
        """Between two steps that outlive the process: here it dies if its time has come."""
        process = self.process
        if process.countdown:
            process.countdown -= 1
            if not process.countdown:
                self.die()

    def pause(self, process: Process) -> None:
        """It takes no step until :meth:`resume`."""
        process.paused = True

    def resume(self, process: Process) -> None:
        """It goes on, late."""
        process.paused = False
        self._ready.extend(process.backlog)
        process.backlog = []

    def run(self, done: Callable[[], bool], limit: float) -> None:
        """Run until ``done`` (asked whenever time is about to pass) or until virtual time ``limit``."""
        events._set_running_loop(self)  # noqa: SLF001 - what a loop has to do
        ready, timers = self._ready, self._timers
        try:
            while True:
                while ready and self.steps < STEPS:
                    step = ready.popleft()
                    process = step.process
                    if step.cancelled_ or not process.alive:
                        continue
                    if process.paused:
                        process.backlog.append(step)
                        continue
                    self.process = process
                    self.steps += 1
                    try:
                        if step.context is not None:
                            step.context.run(step.callback, *step.args)
                        else:
                            step.callback(*step.args)
                    except Killed:
                        pass
                self.process = self.world
                while timers and timers[0][2].cancelled_:
                    heapq.heappop(timers)
                if not timers or timers[0][0] > limit or self.steps >= STEPS or done():
                    return
                self._now = now = timers[0][0]
                while timers and timers[0][0] <= now:
                    ready.append(heapq.heappop(timers)[2])
        finally:
            self.process = self.world
            events._set_running_loop(None)  # noqa: SLF001 - as above

    def bury(self) -> None:
        """Nothing runs any more: let go of everything in a fixed order, without any effect."""
        self._over = True
        self._ready.clear()
        self._timers.clear()
        for task in reversed(self._tasks):
            # asyncio knows every task by its hash, and those of other schedules have the same ones
            asyncio.tasks._unregister_task(task)  # noqa: SLF001 - as above
            if task.done():
                continue
            coro = task.get_coro()
            for _ in range(_ATTEMPTS):
                try:
                    coro.close()
                except BaseException:  # noqa: S112 - whatever the clean-up of the dead says
                    continue
                break
        with contextlib.suppress(ValueError):
            self._tasks.clear()

    def _timer(
        self,
        when: float,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
        process: Process,
    ) -> Step:
        step = Step(callback, args, context, process)
        step.when_ = when
        self._order += 1
        if not self._over:
            heapq.heappush(self._timers, (when, self._order, step))
        return step


class Clock:
    """``time`` for the nodes' modules: what the clock of the process that runs says."""

    EPOCH = 1_000.0
    """Wall-clock time at the beginning, unix seconds."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop

    def time(self) -> float:
        """Unix seconds, as wrong as the process's clock is."""
        return self.EPOCH + self._loop.time() + self._loop.process.skew

    def monotonic(self) -> float:
        """Seconds."""
        return self._loop.time()
