"""The process runtime: every node a process group of this host. Linux only: it reads ``/proc`` and uses pidfds.

Besides the nodes it keeps one guard (see ``orphans``), so that nothing outlives a supervisor that dies without closing.
The kernel's parent-death signal fires when the *thread* that started a node ends, so run the event loop in a thread that
lives as long as the devnet.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes import ordering, orphans, process_faults
from orchestrator.runtimes.base import Capability, ExitListener, NodeSpec, NodeStatus
from orchestrator.runtimes.errors import UnsupportedError
from orchestrator.runtimes.host_place import HostPlace
from orchestrator.runtimes.injection import FaultMeans
from orchestrator.runtimes.managed_node import ManagedNode
from orchestrator.runtimes.managed_runtime import ManagedRuntime
from orchestrator.runtimes.ports import PortReservations

_GUARD_PATIENCE_S = 2.0
_LIFECYCLE = frozenset(
    {
        Capability.KILL,
        Capability.STOP,
        Capability.PAUSE,
        Capability.RESTART,
        Capability.LOGS,
        Capability.STABLE_ENDPOINTS,
    }
)


def _unheard(status: NodeStatus) -> None:
    del status


class ProcessRuntime(ManagedRuntime):
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
        super().__init__(close_grace_s)
        owner = orphans.ProcessId.of(os.getpid())
        assert owner is not None, "this process runs"
        self._marks = {
            orphans.RUN_MARK: run.run_id,
            orphans.HOME_MARK: str(home.absolute()),
            orphans.OWNER_MARK: owner.text(),
        }
        self._run, self._on_exit, self._tied = run, on_exit, tied
        self._ports = PortReservations()
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """The lifecycle, and a full disk: a process shares this host's shell, network and memory."""
        return _LIFECYCLE | process_faults.CAPABILITIES

    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """Reserve all ports; see :class:`Runtime`."""
        self._require_fresh()
        ordering.check(specs)
        if self._tied:
            self._guard = _post_guard(self._run.run_id)
        for spec in specs:
            place = HostPlace(
                spec,
                self._run,
                ports={name: self._ports.reserve() for name in spec.ports},
                marks=self._marks,
                others=self.endpoint,
                tied=self._tied,
            )
            self._nodes[spec.name] = ManagedNode(spec, self._run, place, self._on_exit, self._faults.renew)

    def _means(self) -> FaultMeans:
        return process_faults.ProcessMeans(lambda node: self._node(node).status().pid, self.logs)

    async def _give_back(self) -> None:
        # What left its group for a session of its own is found by the mark.
        await asyncio.to_thread(orphans.end_marked, lambda found: found.run_id == self._run.run_id)
        self._ports.close()
        if self._guard is not None:
            await asyncio.to_thread(_dismiss, self._guard)


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
