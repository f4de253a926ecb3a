"""One node over all its lives, whatever a life is: what was asked of it, what it is, and when it is ready.

::

    ManagedNode ── one per node: calls in order, states, readiness, log
       └─ Place ── where it runs: fills placeholders, knows its addresses, begins lives
            └─ NodeLife ── from one start to one end: a process group, or a container being run

Everything that changes a node runs under its lock, so that calls take effect one after the other. Two things stay outside:
waiting for readiness, which may take long and must not hold up a ``kill``; and the first blow of a ``kill``, which cuts short a
polite stop that is still in its grace.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from signal import SIGKILL, SIGTERM

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import ALIVE, ExitListener, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.errors import (
    DevnetError,
    NodeExitedError,
    NodeNotReadyError,
    NodeStartError,
    NodeStateError,
    PlanError,
)
from orchestrator.runtimes.logfile import CappedLog
from orchestrator.runtimes.node_life import Change, NodeLife, Place
from orchestrator.runtimes.readiness import Readiness

_SHOWN_LINES = 12


async def _nothing(node: str) -> None:
    del node


class ManagedNode:
    """Starts, ends, freezes and describes one node.

    Args:
        spec: what it is.
        run: where its log goes.
        place: where it runs.
        on_exit: told of each end.
        came_back: awaited when a life has begun, before it counts as ready: faults are applied again.
    """

    def __init__(
        self,
        spec: NodeSpec,
        run: RunDirectory,
        place: Place,
        on_exit: ExitListener,
        came_back: Callable[[str], Awaitable[None]] = _nothing,
    ) -> None:
        self.spec = spec
        self._run, self._place, self._on_exit, self._came_back = run, place, on_exit, came_back
        self._renewed = asyncio.Event()
        self._confirmed: str | None = None
        self._log = CappedLog(run.log_of(spec.name), spec.log_cap_bytes)
        self._lock = asyncio.Lock()
        self._life: NodeLife | None = None
        self._readiness: Readiness | None = None
        self._watch: asyncio.Task[None] | None = None
        """Ends when the current life has answered; cancelled when that life ends first."""
        self._ready = False
        self._boot = 0
        self._since = time.time()
        self._retired = False
        self._returning: asyncio.Task[None] | None = None

    @property
    def state(self) -> NodeState:
        """Where the node is in its life, from what is known this moment."""
        life = self._life
        if life is None:
            return NodeState.PLANNED
        if life.over:
            return life.asked or NodeState.EXITED
        if life.paused:
            return NodeState.PAUSED
        if self.spec.readiness is None:
            return NodeState.RUNNING
        return NodeState.READY if self._ready else NodeState.STARTING

    async def start(self) -> None:
        """See :meth:`Runtime.start`."""
        async with self._lock:
            if self.state in ALIVE:
                raise NodeStateError(
                    f"{self.spec.name} can't be started: it is {self.state}", "restart or resume it"
                )
            life = await self._launch()
        await self._until_ready(life)

    async def stop(self) -> None:
        """See :meth:`Runtime.stop`."""
        async with self._lock:
            await self._stop()

    async def kill(self) -> None:
        """See :meth:`Runtime.kill`."""
        self._strike()
        async with self._lock:
            # Again: a restart that held the lock has started the next life since.
            self._strike()
            if self._life is not None:
                await self._life.gone()
                await self._confirm(self._life, Change.END)

    async def pause(self) -> None:
        """See :meth:`Runtime.pause`."""
        async with self._lock:
            life = self._living("paused")
            if not life.paused:
                await life.freeze()
                self._living("paused")
                self._changed()
                await self._confirm(life, Change.FREEZE)

    async def resume(self) -> None:
        """See :meth:`Runtime.resume`."""
        async with self._lock:
            life = self._living("resumed")
            if life.paused:
                await life.thaw()
                self._changed()
                await self._confirm(life, Change.THAW)

    async def restart(self) -> None:
        """See :meth:`Runtime.restart`."""
        async with self._lock:
            await self._stop()
            life = await self._launch()
        await self._until_ready(life)

    def came_back_by_itself(self) -> None:
        """Told when somebody else has brought it back: it runs, so it is one of its lives, as any other."""
        if not self._retired:
            self._returning = asyncio.create_task(self._take_over(), name=f"return-{self.spec.name}")

    def retire(self) -> None:
        """Refuse every further start: the devnet is being taken down."""
        self._retired = True

    async def close(self) -> None:
        """Close the log; the node must be down."""
        for task in (self._watch, self._returning):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        self._log.close()

    def endpoint(self, port: str) -> str:
        """See :meth:`Runtime.endpoint`."""
        address = self._place.address(port)
        if address is None:
            known = ", ".join(self._endpoints()) or "none"
            raise PlanError(f"{self.spec.name} has no endpoint {port!r}", f"it has: {known}")
        return address

    def logs(self, lines: int) -> tuple[str, ...]:
        """See :meth:`Runtime.logs`."""
        return self._log.tail(lines)

    def status(self) -> NodeStatus:
        """See :meth:`Runtime.status`."""
        state, life = self.state, self._life
        unexpected = state is NodeState.EXITED
        return NodeStatus(
            name=self.spec.name,
            role=self.spec.role,
            state=state,
            boot=self._boot,
            since=self._since,
            pid=life.pid if life is not None and not life.over else None,
            container=self._place.container_name,
            exit_code=life.exit_code if life is not None else None,
            signal=life.exit_signal if life is not None else None,
            expected=not unexpected,
            endpoints=self._endpoints(),
            last_lines=self.logs(_SHOWN_LINES) if unexpected else (),
            confirmed=self._confirmed,
        )

    async def _launch(self, how: str = "") -> NodeLife:
        if self._life is not None:
            await self._life.gone()  # what is left of the life before may still hold a port
        # From here to the first wait for the new life, nothing awaits: a cancelled caller leaves no life, or one that is known.
        if self._retired:
            raise NodeStateError(f"{self.spec.name} can't be started: the devnet is being taken down")
        told = f"boot {self._boot + 1}{', ' if how else ''}{how}"
        self._log.write(f"--- rollnet: {self.spec.name}, {told} ---\n".encode())
        self._life = life = self._place.begin(self._log, self._ended)
        self._boot, self._ready = self._boot + 1, False
        self._renewed.clear()
        self._changed()
        if self.spec.readiness is not None:
            self._readiness = Readiness(self.spec.readiness, self.endpoint)
            self._watch = asyncio.create_task(
                self._await_answer(self._readiness), name=f"ready-{self.spec.name}"
            )
        try:
            await life.begun()
            await self._confirm(life, Change.START)
            await self._came_back(self.spec.name)
        except NodeStartError:
            self._give_up_waiting()
            raise
        finally:
            self._renewed.set()
        return life

    async def _take_over(self) -> None:
        async with self._lock:
            if self.state not in ALIVE and not self._retired:
                with contextlib.suppress(DevnetError):  # gone again; its state tells
                    await self._launch("somebody else has started it")

    async def _stop(self) -> None:
        life = self._life
        if life is None:
            return
        life.ask(NodeState.STOPPED, SIGTERM)
        try:
            async with asyncio.timeout(self.spec.stop_grace_s):
                await life.ended()
        except TimeoutError:
            life.ask(life.asked or NodeState.STOPPED, SIGKILL)
        await life.gone()
        await self._confirm(life, Change.END)

    def _strike(self) -> None:
        if self._life is not None:
            self._life.ask(NodeState.KILLED, SIGKILL)

    async def _await_answer(self, readiness: Readiness) -> None:
        await readiness.answered()
        await self._renewed.wait()
        self._ready = True
        self._since = time.time()

    async def _until_ready(self, life: NodeLife) -> None:
        watch, readiness, name = self._watch, self._readiness, self.spec.name
        if watch is None or readiness is None:
            return
        await asyncio.wait({watch}, timeout=self.spec.ready_timeout_s)
        hint = f"its log: {self._run.log_of(name)}"
        if life.over and (watch.cancelled() or not watch.done()):
            how = life.exit_signal or f"exit code {life.exit_code}"
            asked = f", as it was asked to ({life.asked})" if life.asked else ""
            raise NodeExitedError(
                name, f"ended with {how} before it was ready{asked}", self.logs(_SHOWN_LINES), hint
            )
        if not watch.done():
            raise NodeNotReadyError(
                name,
                f"is {self.state}, but not ready after {self.spec.ready_timeout_s:g} s; "
                f"last answer: {readiness.last_answer}",
                self.logs(_SHOWN_LINES),
                f"{hint}; a slow machine needs a longer ready_timeout_s",
            )
        watch.result()

    def _endpoints(self) -> dict[str, str]:
        found = {port: self._place.address(port) for port in self.spec.ports}
        return {port: address for port, address in found.items() if address is not None}

    def _living(self, what: str) -> NodeLife:
        if self._life is None or self._life.over:
            raise NodeStateError(f"{self.spec.name} can't be {what}: it is {self.state}", "start it first")
        return self._life

    def _changed(self) -> None:
        self._since, self._confirmed = time.time(), None

    async def _confirm(self, life: NodeLife, change: Change) -> None:
        self._confirmed = await life.witnessed(change)

    def _ended(self) -> None:
        self._give_up_waiting()
        self._changed()
        self._on_exit(self.status())

    def _give_up_waiting(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
