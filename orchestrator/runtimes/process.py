"""The process runtime: every node a process group of this host. Linux only: it reads ``/proc`` and uses pidfds.

Besides the nodes it keeps one guard (see ``orphans``), so that nothing outlives a supervisor that dies without closing.
The kernel's parent-death signal fires when the *thread* that started a node ends, so run the event loop in a thread that
lives as long as the devnet.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes import ordering, orphans
from orchestrator.runtimes.base import Capability, ExitListener, NodeSpec, NodeStatus
from orchestrator.runtimes.errors import NodeStuckError, PlanError, UnknownNodeError, UnsupportedError
from orchestrator.runtimes.host_node import HostNode
from orchestrator.runtimes.ports import PortReservations

_GUARD_PATIENCE_S = 2.0


def _unheard(status: NodeStatus) -> None:
    del status


class ProcessRuntime:
    """Runs nodes as processes; an async context manager, closed at the end of its block. Fulfils :class:`Runtime`.

    Args:
        run: where logs and data go; its run id marks all processes.
        home: the state home under which a sweep of orphans finds them.
        on_exit: told of each end of a node.
        tied: nodes die with this process. Switch it off only to test the sweep.
        close_grace_s: longest time for all polite stops together when closing, seconds; what is left is killed.

    Raises:
        UnsupportedError: this is not Linux.
    """

    def __init__(
        self,
        run: RunDirectory,
        home: Path,
        *,
        on_exit: ExitListener = _unheard,
        tied: bool = True,
        close_grace_s: float = 10.0,
    ) -> None:
        if not sys.platform.startswith("linux"):
            raise UnsupportedError("the process runtime needs Linux (pidfd, /proc)", "choose runtime: docker")
        owner = orphans.ProcessId.of(os.getpid())
        assert owner is not None, "this process runs"
        self._marks = {
            orphans.RUN_MARK: run.run_id,
            orphans.HOME_MARK: str(home.absolute()),
            orphans.OWNER_MARK: owner.text(),
        }
        self._run, self._on_exit, self._tied, self._close_grace_s = run, on_exit, tied, close_grace_s
        self._nodes: dict[str, HostNode] = {}
        self._ports = PortReservations()
        self._guard: subprocess.Popen[bytes] | None = None
        self._closing: asyncio.Task[None] | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but ``EXEC`` and ``NETWORK_FAULTS``: a process shares this host's shell and network."""
        return frozenset(Capability) - {Capability.EXEC, Capability.NETWORK_FAULTS}

    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """Reserve all ports; see :class:`Runtime`."""
        if self._nodes or self._closing is not None:
            raise PlanError(
                "this runtime has had its nodes already", "make another runtime for another devnet"
            )
        ordering.check(specs)
        if self._tied:
            self._guard = _post_guard(self._run.run_id)
        for spec in specs:
            self._nodes[spec.name] = HostNode(
                spec,
                self._run,
                ports={name: self._ports.reserve() for name in spec.ports},
                marks=self._marks,
                address=self.endpoint,
                tied=self._tied,
                on_exit=self._on_exit,
            )

    async def start(self, name: str) -> None:
        """See :class:`Runtime`."""
        await self._node(name).start()

    async def stop(self, name: str) -> None:
        """``SIGTERM`` to the node, after its grace ``SIGKILL`` to its group; see :class:`Runtime`."""
        await self._node(name).stop()

    async def kill(self, name: str) -> None:
        """``SIGKILL`` to the group; see :class:`Runtime`."""
        await self._node(name).kill()

    async def pause(self, name: str) -> None:
        """``SIGSTOP`` to the group, confirmed from ``/proc``; see :class:`Runtime`."""
        await self._node(name).pause()

    async def resume(self, name: str) -> None:
        """``SIGCONT`` to the group; see :class:`Runtime`."""
        await self._node(name).resume()

    async def restart(self, name: str) -> None:
        """Stop and start on the same ports; see :class:`Runtime`."""
        await self._node(name).restart()

    def endpoint(self, name: str, port: str) -> str:
        """See :class:`Runtime`."""
        return self._node(name).endpoint(port)

    def logs(self, name: str, lines: int = 50) -> tuple[str, ...]:
        """See :class:`Runtime`."""
        return self._node(name).logs(lines)

    def status(self) -> tuple[NodeStatus, ...]:
        """See :class:`Runtime`."""
        return tuple(node.status() for node in self._nodes.values())

    async def close(self) -> None:
        """Stop everything, dependents first, and give the ports back; see :class:`Runtime`.

        Raises:
            NodeStuckError: a process survives ``SIGKILL``; everything else is done all the same.
        """
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="runtime-close")
        cancelled: asyncio.CancelledError | None = None
        while not self._closing.done():
            try:
                await asyncio.wait({self._closing})
            except asyncio.CancelledError as exc:
                cancelled = exc  # finish first: a half-closed devnet helps nobody
        if cancelled is not None:
            raise cancelled
        self._closing.result()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _node(self, name: str) -> HostNode:
        try:
            return self._nodes[name]
        except KeyError:
            raise UnknownNodeError(name, self._nodes) from None

    async def _close(self) -> None:
        for node in self._nodes.values():
            node.retire()
        waves = ordering.start_waves([node.spec for node in self._nodes.values()])
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._close_grace_s):
                for wave in reversed(waves):
                    await _each(self.stop, wave)
        stuck = await _each(self.kill, self._nodes)
        # What left its group for a session of its own is found by the mark.
        await asyncio.to_thread(orphans.end_marked, lambda found: found.run_id == self._run.run_id)
        for node in self._nodes.values():
            await node.close()
        self._ports.close()
        if self._guard is not None:
            await asyncio.to_thread(_dismiss, self._guard)
        if stuck:
            raise stuck[0]


async def _each(act: Callable[[str], Awaitable[None]], names: Iterable[str]) -> list[NodeStuckError]:
    stuck: list[NodeStuckError] = []

    async def one(name: str) -> None:
        try:
            await act(name)
        except NodeStuckError as exc:
            stuck.append(exc)

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    return stuck


def _post_guard(run_id: str) -> subprocess.Popen[bytes]:
    # Not to be found by any mark, nor by the terminal's Ctrl-C: a session of its own, outside the run.
    env = {key: value for key, value in os.environ.items() if not key.startswith("ROLLNET_")}
    return subprocess.Popen(
        [sys.executable, "-I", "-S", orphans.__file__, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=env,
        cwd="/",
        start_new_session=True,
    )


def _dismiss(guard: subprocess.Popen[bytes]) -> None:
    try:
        guard.communicate(b".", timeout=_GUARD_PATIENCE_S)
    except (BrokenPipeError, subprocess.TimeoutExpired):  # somebody ended or froze the guard
        guard.kill()
        guard.wait()
