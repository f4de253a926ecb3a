"""Disks of simulated machines: what was synced stays, what was not is lost or torn when the machine dies.

Two kinds of death: ``lose`` for a machine (the bytes after the last sync survive as far as the schedule says, at any byte), and nothing at all for a
process (the page cache stays). Folders are kept simple: names, renames and small files (``term``, ``safe``) are durable at once.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from bridge.wire.disk import Disk
from orchestrator.simulation.loop import SimulatedLoop

SHORT_EVERY = 5
"""Every so many-th write is short."""


@dataclass(slots=True)
class File:
    """One file."""

    content: bytearray = field(default_factory=bytearray)
    synced: int = 0
    """Bytes from the first on that no crash takes."""
    last: int = 0
    """Bytes before the last write."""
    owner: int = 0
    """Descriptor that holds the lock; 0 if none does."""


class SimulatedDisk(Disk):
    """One machine's disk."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.files: dict[str, File] = {}
        self.on_sync: Callable[[File], None] | None = None
        """Told when bytes have become durable."""
        self.full = False
        """Writes are refused."""
        self._open: dict[int, File] = {}
        self._writes = 0
        self._next = 1_000_000
        """Far above real descriptors: one that leaks into a real call fails there."""

    def folder(self) -> Path:
        """Its one folder, as far as nodes use one."""
        return cast("Path", SimulatedPath(self, ""))

    def open(self, path: Path) -> int:
        """See :class:`Disk`."""
        file = self.files.setdefault(path.name, File())
        self._next += 1
        self._open[self._next] = file
        return self._next

    def exists(self, path: Path) -> bool:
        """See :class:`Disk`."""
        return path.name in self.files

    def sync_folder(self, folder: Path) -> None:
        """See :class:`Disk`; names are durable at once."""

    def lock(self, descriptor: int) -> None:
        """See :class:`Disk`."""
        file = self._open[descriptor]
        if file.owner:
            raise OSError(11, "locked")
        file.owner = descriptor

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """See :class:`Disk`; the machine may die before, in the middle and after. Some writes take half of what they are given."""
        file = self._file(descriptor)
        self._loop.boundary()
        if self.full:
            raise OSError(28, "No space left on device")
        self._writes += 1
        taken = data if self._writes % SHORT_EVERY or len(data) < 2 else data[: len(data) // 2]
        file.last = len(file.content)
        file.content += taken
        self._loop.boundary()
        return len(taken)

    def sync(self, descriptor: int) -> None:
        """See :class:`Disk`."""
        file = self._file(descriptor)
        file.synced = len(file.content)
        if self.on_sync is not None:
            self.on_sync(file)
        self._loop.boundary()

    def cut(self, descriptor: int, size: int) -> None:
        """See :class:`Disk`."""
        file = self._file(descriptor)
        del file.content[size:]
        file.synced, file.last = min(file.synced, size), min(file.last, size)

    def sync_all(self, descriptor: int) -> None:
        """See :class:`Disk`."""
        self.sync(descriptor)

    def size(self, path: Path) -> int:
        """See :class:`Disk`."""
        return len(self.files[path.name].content)

    def reader(self, path: Path) -> BinaryIO:
        """See :class:`Disk`."""
        return io.BytesIO(bytes(self.files[path.name].content))

    def close(self, descriptor: int) -> None:
        """See :class:`Disk`."""
        file = self._open.pop(descriptor, None)
        if file is not None and file.owner == descriptor:
            file.owner = 0

    def revoke(self) -> None:
        """Whoever has files open has lost them: the machine's disk is another's now."""
        for descriptor in list(self._open):
            self.close(descriptor)

    def lose(self, share: float) -> None:
        """The machine died: of each file's bytes after its last sync only a share stays."""
        for file in self.files.values():
            unsynced = len(file.content) - file.synced
            del file.content[file.synced + int(unsynced * share) :]

    def tear(self, name: str, share: float) -> None:
        """The last write to a file was cut short."""
        file = self.files.get(name)
        if file is not None:
            del file.content[file.last + int((len(file.content) - file.last) * share) :]

    def _file(self, descriptor: int) -> File:
        if descriptor not in self._open:
            raise OSError(9, "the disk was given to somebody else")
        return self._open[descriptor]


class SimulatedPath:
    """As much of a path as nodes use: one folder with files."""

    def __init__(self, disk: SimulatedDisk, name: str) -> None:
        self._disk, self.name = disk, name

    @property
    def parent(self) -> "SimulatedPath":
        """The folder."""
        return SimulatedPath(self._disk, "")

    def __truediv__(self, name: str) -> "SimulatedPath":
        return SimulatedPath(self._disk, name)

    def mkdir(self, **_: Any) -> None:
        """It is there."""

    def iterdir(self) -> Iterator["SimulatedPath"]:
        """Its files, by name."""
        return iter([SimulatedPath(self._disk, name) for name in sorted(self._disk.files)])

    def replace(self, target: "SimulatedPath") -> None:
        """Take another's name."""
        self._disk.files[target.name] = self._disk.files.pop(self.name)

    def unlink(self, *, missing_ok: bool = False) -> None:  # noqa: ARG002 - as a path has it
        """Be gone."""
        self._disk.files.pop(self.name, None)

    def write_text(self, text: str) -> None:
        """Be this."""
        self.write_bytes(text.encode())

    def read_text(self) -> str:
        """What it is."""
        return self.read_bytes().decode()

    def write_bytes(self, content: bytes) -> None:
        """Be this."""
        self._disk.files[self.name] = File(bytearray(content), len(content), len(content))

    def read_bytes(self) -> bytes:
        """What it is.

        Raises:
            FileNotFoundError: nothing.
        """
        file = self._disk.files.get(self.name)
        if file is None:
            raise FileNotFoundError(self.name)
        return bytes(file.content)
