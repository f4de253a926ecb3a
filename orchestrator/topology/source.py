"""The file: the only place where reading a topology touches the disk.

A path that a user types may name anything: a directory, a named pipe that nobody writes to, ``/dev/zero``, a log of
fifty megabytes. Each ends in one clear problem at once: the file is opened without blocking, its kind is asked of the
descriptor (so nobody can swap it in between), and never more than the limit is read.
"""

import os
import stat
from pathlib import Path

from orchestrator.topology.errors import InvalidTopology, Problem, visible

MAX_BYTES = 256 * 1024
"""A topology of 64 rollups with every key written out takes about 12 KiB; parsing this much takes half a second."""

_LONGEST_NAME = 300

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def read_source(path: Path) -> bytes:
    """The bytes of a topology file.

    Raises:
        InvalidTopology: the path names no readable regular file of at most ``MAX_BYTES``.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise _refuse(path, "no such file", _nearest_file(path)) from None
    except OSError as exc:
        raise _refuse(path, f"can't be opened: {exc.strerror}") from exc
    except ValueError as exc:
        raise _refuse(path, f"is no file name: {exc}") from exc
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
            raise _refuse(path, f"is {kind}, not a file", "name the YAML file itself")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as exc:
        raise _refuse(path, f"can't be read: {exc.strerror}") from exc
    finally:
        os.close(descriptor)
    if len(data) > MAX_BYTES:
        size = max(status.st_size, len(data))
        raise _refuse(path, f"is too large for a topology: {size} bytes, at most {MAX_BYTES}")
    return data


def file_name(path: Path) -> str:
    """The path as problems show it."""
    return visible(str(path), _LONGEST_NAME)


def _refuse(path: Path, message: str, hint: str = "") -> InvalidTopology:
    return InvalidTopology([Problem(file_name(path), line=0, column=0, path="", message=message, hint=hint)])


def _nearest_file(path: Path) -> str:
    """People name a topology without its folder or ending; say where it is if it is at hand."""
    wanted = path.name if path.suffix else f"{path.name}.yaml"
    for candidate in (path.parent / wanted, Path("topologies") / wanted):
        if candidate != path and candidate.is_file():
            return f"did you mean {candidate}?"
    return "see topologies/ for ready-to-run files"
