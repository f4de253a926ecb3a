"""One node on this host over all its lives: what was asked of it, what it is, and when it is ready.

Everything that changes a node runs under its lock, so that calls take effect one after the other. Two things stay outside:
waiting for readiness, which may take long and must not hold up a ``kill``; and the first blow of a ``kill``, which cuts short a
polite stop that is still in its grace.
"""

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from signal import SIGKILL, SIGTERM

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import ALIVE, ExitListener, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.errors import NodeExitedError, NodeNotReadyError, NodeStateError, PlanError
from orchestrator.runtimes.life import Launch, Life
from orchestrator.runtimes.logfile import CappedLog
from orchestrator.runtimes.ports import LOOPBACK
from orchestrator.runtimes.readiness import Readiness

_SHOWN_LINES = 12

Address = Callable[[str, str], str]
"""Node and endpoint name to address."""


class HostNode:
    """Starts, ends, freezes and describes one node.

    Args:
        spec: what it is.
        run: where its log and data go.
        ports: the reserved port of each of its endpoints.
        marks: environment variables that tell whose it is.
        address: addresses of all nodes, for placeholders.
        tied: die with this process.
        on_exit: told of each end.
    """

    def __init__(
        self,
        spec: NodeSpec,
        run: RunDirectory,
        *,
        ports: Mapping[str, int],
        marks: Mapping[str, str],
        address: Address,
        tied: bool,
        on_exit: ExitListener,
    ) -> None:
        self.spec = spec
        self._run, self._ports, self._marks = run, dict(ports), dict(marks)
        self._address, self._tied, self._on_exit = address, tied, on_exit
        self._log = CappedLog(run.log_of(spec.name), spec.log_cap_bytes)
        self._lock = asyncio.Lock()
        self._life: Life | None = None
        self._readiness: Readiness | None = None
        self._watch: asyncio.Task[None] | None = None
        """Ends when the current life has answered; cancelled when that life ends first."""
        self._ready = False
        self._boot = 0
        self._since = time.time()
        self._retired = False

    @property
    def state(self) -> NodeState:
        """Where the node is in its life, from what is known this moment."""
        match self._life:
            case None:
                return NodeState.PLANNED
            case Life(over=True, asked=asked):
                return asked or NodeState.EXITED
            case Life(paused=True):
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

    async def pause(self) -> None:
        """See :meth:`Runtime.pause`."""
        async with self._lock:
            life = self._living("paused")
            if not life.paused:
                await life.freeze()
                self._living("paused")
                self._changed()

    async def resume(self) -> None:
        """See :meth:`Runtime.resume`."""
        async with self._lock:
            life = self._living("resumed")
            if life.paused:
                life.thaw()
                self._changed()

    async def restart(self) -> None:
        """See :meth:`Runtime.restart`."""
        async with self._lock:
            await self._stop()
            life = await self._launch()
        await self._until_ready(life)

    def retire(self) -> None:
        """Refuse every further start: the devnet is being taken down."""
        self._retired = True

    async def close(self) -> None:
        """Close the log; the node must be down."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait({self._watch})
        self._log.close()

    def endpoint(self, port: str) -> str:
        """See :meth:`Runtime.endpoint`."""
        if port not in self._ports:
            known = ", ".join(self._ports) or "none"
            raise PlanError(f"{self.spec.name} has no endpoint {port!r}", f"it has: {known}")
        return f"{self.spec.ports[port]}://{LOOPBACK}:{self._ports[port]}"

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
            exit_code=life.exit_code if life is not None else None,
            signal=life.exit_signal if life is not None else None,
            expected=not unexpected,
            endpoints={port: self.endpoint(port) for port in self._ports},
            last_lines=self.logs(_SHOWN_LINES) if unexpected else (),
        )

    async def _launch(self) -> Life:
        if self._life is not None:
            await self._life.gone()  # children of the life before may still hold a port
        # From here nothing awaits: a cancelled caller leaves either no process or one that is known.
        if self._retired:
            raise NodeStateError(f"{self.spec.name} can't be started: the devnet is being taken down")
        name = self.spec.name
        folder = self._run.data_of(name)
        folder.mkdir(parents=True, exist_ok=True)
        env = {key: ordering.fill(value, self._placeholder) for key, value in self.spec.env.items()}
        launch = Launch(
            node=name,
            argv=[ordering.fill(word, self._placeholder) for word in self.spec.command],
            # Unbuffered, so that a killed Python node's last words are in its log.
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env, **self._marks},
            folder=folder,
            tied=self._tied,
        )
        self._log.write(f"--- rollnet: {name}, boot {self._boot + 1} ---\n".encode())
        self._life = life = Life(launch, self._log, self._ended)
        self._boot, self._ready = self._boot + 1, False
        self._changed()
        if self.spec.readiness is not None:
            self._readiness = Readiness(self.spec.readiness, self.endpoint)
            self._watch = asyncio.create_task(self._await_answer(self._readiness), name=f"ready-{name}")
        return life

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

    def _strike(self) -> None:
        if self._life is not None:
            self._life.ask(NodeState.KILLED, SIGKILL)

    async def _await_answer(self, readiness: Readiness) -> None:
        await readiness.answered()
        self._ready = True
        self._changed()

    async def _until_ready(self, life: Life) -> None:
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

    def _placeholder(self, words: tuple[str, ...]) -> str:
        match words:
            case ("host",):
                return LOOPBACK
            case ("data",):
                return str(self._run.data_of(self.spec.name))
            case ("run",):
                return str(self._run.path)
            case ("port", port):
                return str(self._ports[port])
            case _:
                return self._address(words[1], words[2])

    def _living(self, what: str) -> Life:
        if self._life is None or self._life.over:
            raise NodeStateError(f"{self.spec.name} can't be {what}: it is {self.state}", "start it first")
        return self._life

    def _changed(self) -> None:
        self._since = time.time()

    def _ended(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._changed()
        self._on_exit(self.status())
