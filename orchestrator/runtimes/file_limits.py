"""A full disk for some processes, by the kernel's limit on the size of files (``RLIMIT_FSIZE``): writes beyond it fail.

Needs no rights but to be the same user. The error is ``EFBIG`` (File too large), not ``ENOSPC``, and a process that has not asked to ignore
``SIGXFSZ``, as Python does, is ended by it. Imports the standard library alone, because it is also run as a program where processes have
numbers of their own, in a container: ``file_limits.py stop SPARE``, ``hold LIMIT`` or ``lift`` for all processes of the node; it prints
one line of JSON, the fields of :class:`Limited`.
"""

import contextlib
import json
import os
import resource
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

_LOOKS = 50
"""Most looks for processes that were born meanwhile."""
_FIELD = "Max file size"

Processes = Callable[[], Iterable[int]]


class Limited(NamedTuple):
    """What the kernel says of the processes afterwards."""

    limit: int
    """Bytes beyond which no file grows; negative for no limit."""
    held: int
    """Processes that have this limit."""
    free: int
    """Processes that have another one."""
    full: int
    """Open files that may not grow by a byte."""
    roomy: int
    """Open files that may still grow."""


def stop(processes: Processes, spare: int) -> Limited:
    """Let all files that the processes have open grow by ``spare`` bytes together, and no further; 0 forbids every write."""
    sizes = sorted(set(_open_files(processes())))
    return hold(processes, water_level([size for _, size in sizes if size > 0], spare) if spare else 0)


def hold(processes: Processes, level: int) -> Limited:
    """Let no file of the processes grow beyond so many bytes."""
    _set_all(processes, level)
    return _seen(processes, level)


def lift(processes: Processes) -> Limited:
    """Give the processes the limit that this process has itself, which they were born with."""
    return hold(processes, resource.getrlimit(resource.RLIMIT_FSIZE)[0])


def limit_of(pid: int) -> int | None:
    """The limit that ``/proc`` says a process has; negative for none, ``None`` if it is gone."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/limits") as lines:  # noqa: PTH123 - pathlib is slow to import
        for line in lines:
            if line.startswith(_FIELD):
                soft = line[len(_FIELD) :].split()[0]
                return -1 if soft == "unlimited" else int(soft)
    return None


def water_level(sizes: Iterable[int], spare: int) -> int:
    """The highest level to which all that lie below it can be filled with ``spare`` bytes together."""
    level, filled, below = spare, 0, 0
    for size in sorted(sizes):
        if below and level <= size:
            break
        below, filled = below + 1, filled + size
        level = (filled + spare) // below
    return level


def _set_all(processes: Processes, level: int) -> None:
    for _ in range(_LOOKS):
        others = [pid for pid in processes() if limit_of(pid) not in {level, None}]
        if not others:
            return
        for pid in others:
            with contextlib.suppress(OSError):
                hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (level, hard))


def _seen(processes: Processes, level: int) -> Limited:
    limits = [limit for pid in processes() if (limit := limit_of(pid)) is not None]
    sizes = {(file, size) for file, size in _open_files(processes())}
    full = sum(1 for _, size in sizes if 0 <= level <= size)
    held = limits.count(level)
    return Limited(level, held, len(limits) - held, full, len(sizes) - full)


def _open_files(pids: Iterable[int]) -> Iterable[tuple[tuple[int, int], int]]:
    """Identity and size of each regular file that is open for writing."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for descriptor in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - as above
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{descriptor}")  # noqa: PTH116 - as above
                    if stat.S_ISREG(found.st_mode) and _writes(pid, descriptor):
                        yield (found.st_dev, found.st_ino), found.st_size


def _writes(pid: int, descriptor: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{descriptor}") as lines:  # noqa: PTH123 - as above
        flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return flags & os.O_ACCMODE != os.O_RDONLY


def _first_and_its_children() -> Sequence[int]:
    """Process 1 and all that come from it: in a container the node; what others run there besides comes from nobody."""
    parents = {int(name): _parent(name) for name in os.listdir("/proc") if name.isdigit()}  # noqa: PTH208 - as above
    found = [1]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _parent(pid: str) -> int | None:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as file:  # noqa: PTH123 - as above
        return int(file.read().rpartition(")")[2].split()[1])
    return None


if __name__ == "__main__":
    ours, verb = _first_and_its_children, sys.argv[1]
    done = lift(ours) if verb == "lift" else (stop if verb == "stop" else hold)(ours, int(sys.argv[2]))
    sys.stdout.write(json.dumps(done._asdict()) + "\n")
