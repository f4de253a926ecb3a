"""Which processes are ours, and ending those whose devnet is gone.

Three nets, because each has a hole. The kernel's parent-death signal (set in ``process``) ends a node at once, but not the
node's own children. The *guard*, this file run as a script, waits on a pipe that only the supervising process holds;
when that closes unannounced, the supervisor has died, and the guard ends every process that carries its run's mark.
Should the guard have been killed too, ``rollnet gc`` does the same later, from the registry or by the marks alone.

The mark is three environment variables that children inherit. A process is ours only if its mark says so, read from
``/proc`` *after* a pidfd on it was opened: the signal then reaches that very process or nobody, never a stranger that
was given the same number. A child that wipes its environment escapes the guard and the sweep (not a node's own ``kill``,
which goes to the process group).

Only the standard library is used: the guard starts in isolation, without site packages, and costs 13 MB.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Self

RUN_MARK = "ROLLNET_RUN"
"""Run id; unique for each devnet that ever ran."""
HOME_MARK = "ROLLNET_HOME"
"""State home of the run; a sweep of one home leaves the others alone."""
OWNER_MARK = "ROLLNET_OWNER"
"""The supervising process, as :meth:`ProcessId.text`."""

_PROC = Path("/proc")
_DEAD = frozenset("ZX")
_NEVER_OURS = frozenset({0, 1})


@cache
def namespace() -> str:
    """Which boot of which machine, and which process-id namespace in it, this process counts its pids in."""
    boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{(_PROC / 'self/ns/pid').readlink()}"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """One process for all times: pids are given out again, pids with a start time are not."""

    pid: int
    start_time: int
    """Clock ticks from boot to the start of the process (``/proc/PID/stat``, field 22)."""
    namespace: str
    """See :func:`namespace`."""

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """Identify a running process; ``None`` when there is none, or only its unreaped remains."""
        stat = _stat(pid)
        return None if stat is None or stat.state in _DEAD else cls(pid, stat.start_time, namespace())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read :meth:`text` back.

        Raises:
            ValueError: it is something else.
        """
        pid, start_time, space = text.split(":", 2)
        return cls(int(pid), int(start_time), space)

    def text(self) -> str:
        """One line, for an environment variable."""
        return f"{self.pid}:{self.start_time}:{self.namespace}"

    def alive(self) -> bool:
        """Whether this very process still runs. One in a foreign pid namespace can't be seen and counts as alive."""
        ours = namespace()
        if self.namespace != ours:
            return self.namespace.partition("/")[0] == ours.partition("/")[0]
        return ProcessId.of(self.pid) == self


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A living process that carries our mark."""

    pid: int
    run_id: str
    home: str
    owner: ProcessId | None
    """``None`` when the mark is malformed."""
    command: str

    def __str__(self) -> str:
        return f"process {self.pid} of run {self.run_id}: {self.command}"


def marked_processes() -> Iterator[MarkedProcess]:
    """All processes with a mark that this user may see, in this pid namespace, this process left out."""
    for pid in _pids():
        if pid != os.getpid() and (found := _marked(pid)) is not None:
            yield found


def group_members(group: int) -> list[int]:
    """Living processes of a process group."""
    return [
        pid
        for pid in _pids()
        if (stat := _stat(pid)) is not None and stat.group == group and stat.state not in _DEAD
    ]


def is_frozen(pid: int) -> bool:
    """Whether a process is stopped by a signal, or gone."""
    stat = _stat(pid)
    return stat is None or stat.state in _DEAD | {"T"}


def end_marked(ours: Callable[[MarkedProcess], bool], patience_s: float = 5.0) -> list[MarkedProcess]:
    """Kill every marked process that ``ours`` accepts, and look again until none is left, since they may be forking.

    Blocks for a few milliseconds, at most ``patience_s`` if the kernel is slow to end one.

    Returns:
        The processes that were killed.
    """
    ended: dict[int, MarkedProcess] = {}
    deadline = time.monotonic() + patience_s
    while True:
        found = [process for process in marked_processes() if ours(process)]
        for process in found:
            if _kill_exactly(process.pid, ours):
                ended[process.pid] = process
        if not found or time.monotonic() > deadline:
            return list(ended.values())
        time.sleep(0.002)  # the end of a process that is no child of ours can only be polled for


@dataclass(frozen=True, slots=True)
class _Stat:
    state: str
    group: int
    start_time: int


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The command stands in parentheses and may itself hold any: fields are counted from the last one.
    fields = text.rpartition(")")[2].split()
    return _Stat(fields[0], int(fields[2]), int(fields[19]))


def _pids() -> Iterator[int]:
    for name in os.listdir(_PROC):  # noqa: PTH208 - pathlib builds an object for each of hundreds of entries
        if name.isdigit():
            yield int(name)


def _marked(pid: int) -> MarkedProcess | None:
    try:
        folder = _PROC / str(pid)
        raw = (folder / "environ").read_bytes()
        if f"{RUN_MARK}=".encode() not in raw or pid in _NEVER_OURS:
            return None
        command = (folder / "cmdline").read_bytes()
    except OSError:
        return None
    variables = dict(item.partition("=")[::2] for item in os.fsdecode(raw).split("\0"))
    if RUN_MARK not in variables:
        return None
    stat = _stat(pid)
    if stat is None or stat.state in _DEAD:
        return None
    owner = None
    with suppress(ValueError):
        owner = ProcessId.parse(variables.get(OWNER_MARK, ""))
    return MarkedProcess(
        pid=pid,
        run_id=variables[RUN_MARK],
        home=variables.get(HOME_MARK, ""),
        owner=owner,
        command=os.fsdecode(command).replace("\0", " ").strip(),
    )


def _kill_exactly(pid: int, ours: Callable[[MarkedProcess], bool]) -> bool:
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        process = _marked(pid)
        if process is None or not ours(process):
            return False
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def _guard(run_id: str) -> None:
    """Wait on stdin: one byte means all is well and done, its end means that the supervisor has died."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if not os.read(0, 1):
        end_marked(lambda process: process.run_id == run_id)


if __name__ == "__main__":
    _guard(sys.argv[1])
