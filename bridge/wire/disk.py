"""The disk as logs use it: files that grow at their end, are synced, and are cut there. One place, so that a simulation can put another.

Only what the durability of a node rests on goes through here; a log that asks for nothing else can be run on a disk in memory that
forgets, at a crash, what was not synced (``orchestrator.simulation``).
"""

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
