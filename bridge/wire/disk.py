"""The disk as logs use it: files that grow at their end, are synced, and are cut there. One place, so that a simulation can put another.

A system call may take less than it was given (a disk that runs full, a signal, a quota): whoever writes something that must be whole uses
:meth:`Disk.append`. Only what the durability of a node rests on goes through here; a log that asks for nothing else can be run on a disk in memory that
forgets, at a crash, what was not synced (``orchestrator.simulation``).
"""

import contextlib
import errno
import fcntl
import os
from pathlib import Path
from typing import BinaryIO


class Disk:
    """The real one; every method is one or two system calls."""

    def open(self, path: Path) -> int:
        """A descriptor for reading and appending; the file and its folder are made when they are missing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def exists(self, path: Path) -> bool:
        """Whether there is such a file."""
        return path.exists()

    def sync_folder(self, folder: Path) -> None:
        """Return once the names of new files outlive the machine."""
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def lock(self, descriptor: int) -> None:
        """Make the file this process's own until it is closed.

        Raises:
            OSError: it is another's.
        """
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append; returns how many bytes were taken.

        Raises:
            OSError: the disk refuses.
        """
        return os.write(descriptor, data)

    def append(self, descriptor: int, data: bytes) -> None:
        """Append all of it, in as many writes as that takes.

        Raises:
            OSError: the disk refuses; the beginning may be there.
        """
        view = memoryview(data)
        while view:
            taken = self.write(descriptor, view)
            if taken <= 0:
                raise OSError(errno.EIO, "the disk takes nothing, and does not say why")
            view = view[taken:]

    def save(self, path: Path, data: bytes) -> None:
        """Make a file that is this and nothing else, durable but for its name. Raises as :meth:`append`."""
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        descriptor = self.open(path)
        try:
            self.append(descriptor, data)
            self.sync_all(descriptor)
        finally:
            self.close(descriptor)

    def sync(self, descriptor: int) -> None:
        """Return once everything that was appended outlives the machine. Raises as :meth:`write`."""
        os.fdatasync(descriptor)

    def cut(self, descriptor: int, size: int) -> None:
        """Keep the first ``size`` bytes. Durable once :meth:`sync_all` has returned."""
        os.ftruncate(descriptor, size)

    def sync_all(self, descriptor: int) -> None:
        """As :meth:`sync`, the file's size included whichever way it changed."""
        os.fsync(descriptor)

    def size(self, path: Path) -> int:
        """Bytes in the file."""
        return path.stat().st_size

    def reader(self, path: Path) -> BinaryIO:
        """The file from its beginning."""
        return path.open("rb")

    def close(self, descriptor: int) -> None:
        """Give the descriptor, and the lock, back."""
        os.close(descriptor)


DISK = Disk()
"""What nodes use."""
