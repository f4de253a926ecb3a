"""One life of a node on this host: from fork to the last of its children.

Each life is a session and process group of its own, so that signals reach the node and all its children and nothing
else. Its end is read from a pidfd: an event, without threads, child watchers or ``SIGCHLD``. The leader is reaped only
after the rest of its group was killed; until then the kernel can't give its number to anybody, so a group signal never
hits a stranger.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.errors import NodeStartError, NodeStuckError, UnsupportedError
from orchestrator.runtimes.logfile import CappedLog, Drain
from orchestrator.runtimes.node_life import Change
from orchestrator.runtimes.orphans import group_members, is_frozen

_PR_SET_PDEATHSIG = 1
_PATIENCE_S = 5.0
_GLANCE_S = 0.002
"""Between two looks at /proc, for what the kernel announces by no event."""


@dataclass(frozen=True, slots=True)
class Launch:
    """All that is needed to start one life."""

    node: str
    argv: Sequence[str]
    env: Mapping[str, str]
    folder: Path
    """Working directory."""
    tied: bool
    """Die with the thread that starts it (Linux parent-death signal)."""


class Life:
    """A started process group. Made in a running event loop.

    Args:
        launch: what to start.
        log: where its output goes.
        on_end: called once, when the node itself has ended and its children were sent ``SIGKILL``.

    Raises:
        NodeStartError: the program can't be run.
    """

    def __init__(self, launch: Launch, log: CappedLog, on_end: Callable[[], None]) -> None:
        self._node, self._on_end = launch.node, on_end
        self._drain = Drain(log)
        try:
            self._process = subprocess.Popen(
                list(launch.argv),
                env=dict(launch.env),
                cwd=launch.folder,
                stdin=subprocess.DEVNULL,
                stdout=self._drain.writer,
                stderr=self._drain.writer,
                start_new_session=True,
                # Between fork and exec only two system calls run; a launcher program would cost 8 ms per node.
                preexec_fn=tie_to(os.getpid()) if launch.tied else None,  # noqa: PLW1509
            )
        except (OSError, ValueError, subprocess.SubprocessError) as exc:
            self._drain.handed_over()
            self._drain.finish()
            raise NodeStartError(
                launch.node, f"can't run {launch.argv[0]!r}: {exc}", hint="is it installed and executable?"
            ) from exc
        self._drain.handed_over()
        self.pid = self._process.pid
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except OSError:
            self._process.kill()
            self._process.wait()
            self._drain.finish()
            raise
        self.paused = False
        self.asked: NodeState | None = None
        """How the node was told to end, ``STOPPED`` or ``KILLED``; ``None`` as long as nobody has."""
        self.exit_code: int | None = None
        self.exit_signal: str | None = None
        self._ended = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pidfd, self._end)

    @property
    def over(self) -> bool:
        """Whether the node itself has ended and was taken note of."""
        return self._ended.is_set()

    async def begun(self) -> None:
        """Nothing to wait for: whatever can't be run has been refused already."""

    def ask(self, how: NodeState, number: signal.Signals) -> None:
        """Send a signal that is meant to end the node; a death that came before it stays unexpected.

        A polite signal goes to the node alone, which knows how to end its children; ``SIGKILL`` goes to all.
        """
        if self._is_dead():
            return
        self.asked = how
        if number == signal.SIGKILL:
            self.signal_group(number)
        else:
            os.kill(self.pid, number)
            self._thaw()

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the node and all its children; no-op once it is over."""
        if not self.over:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    async def freeze(self) -> None:
        """Stop every process of the group and return when the kernel says that none runs.

        Raises:
            NodeStuckError: one of them still runs; all are thawed again.
        """
        deadline = time.monotonic() + _PATIENCE_S
        self.paused = True
        while not self.over:
            self.signal_group(signal.SIGSTOP)
            # A second look, because a process may have been forking during the first.
            if all(is_frozen(pid) for _ in range(2) for pid in group_members(self.pid)):
                return
            if time.monotonic() > deadline:
                self._thaw()
                raise NodeStuckError(
                    f"{self._node}: could not be frozen within {_PATIENCE_S:g} s",
                    "it may be waiting for a disk; kill it instead",
                )
            await asyncio.sleep(_GLANCE_S)

    async def thaw(self) -> None:
        """Let every process of the group run again."""
        self._thaw()

    async def ended(self) -> None:
        """Wait for the end of the node itself."""
        await self._ended.wait()

    async def witnessed(self, change: Change) -> str | None:
        """The kernel's word: the wait status, or what ``/proc`` says of each process; see ``NodeLife``."""
        if change is Change.END:
            how = self.exit_signal or f"exit code {self.exit_code}"
            return f"wait status: {how}" if self.over else None
        members = group_members(self.pid)
        frozen = [pid for pid in members if is_frozen(pid)]
        if self.over or not members:
            return None
        if change is Change.FREEZE:
            shown = f"/proc: {len(members)} of {len(members)} processes are stopped"
            return shown if frozen == members else None
        return None if frozen else f"/proc: {len(members)} processes, none is stopped"

    async def gone(self) -> None:
        """Wait until neither the node nor any of its children is left, so that their ports and files are free.

        Raises:
            NodeStuckError: one of them survives ``SIGKILL`` for 5 s.
        """
        await self._ended.wait()
        deadline = time.monotonic() + _PATIENCE_S
        while left := group_members(self.pid):
            if time.monotonic() > deadline:
                raise NodeStuckError(
                    f"{self._node}: processes {left} survive SIGKILL",
                    "they wait for the kernel, mostly for a disk",
                )
            await asyncio.sleep(_GLANCE_S)

    def _thaw(self) -> None:
        self.paused = False
        self.signal_group(signal.SIGCONT)

    def _is_dead(self) -> bool:
        # The pidfd's event may be waiting in the loop; ask the kernel, without reaping.
        return self.over or os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _end(self) -> None:
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        self.signal_group(signal.SIGKILL)
        code = self._process.wait()
        if code < 0:
            self.exit_signal = _signal_name(-code)
        else:
            self.exit_code = code
        self._drain.finish()
        self.paused = False
        self._ended.set()
        self._on_end()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have no names of their own
        return f"signal {number}"


def tie_to(parent: int) -> Callable[[], None]:
    """What a child runs between fork and exec so that it dies with the thread that starts it, also by SIGKILL.

    Raises:
        UnsupportedError: not on Linux.
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError) as exc:
        raise UnsupportedError(
            "this system has no prctl, so nodes would outlive a crash of rollnet", "run it on Linux"
        ) from exc
    prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        # The parent may have died before the call above: then nobody would send the signal any more.
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return in_child
