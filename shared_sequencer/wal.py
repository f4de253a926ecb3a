"""The write-ahead log: the one place where "acknowledged" and "decided" become true.

The problem: an acknowledgement or a decision must survive SIGKILL and power loss, but an fsync costs a millisecond or more, and many clients
wait at once. The choice is *group commit*: appends queue up, one thread writes and fsyncs whatever has gathered, and all their
callers wake together. So the cost is one fsync per group, however many items it holds.

Format: records of ``length (4 bytes, little-endian) · crc32 (4 bytes) · JSON``. A crash can only tear the end: on boot a tail
that is not whole is cut off (nobody was told of it), while damage before the end, which no crash explains, stops the sequencer.
After a failed write or fsync the log is poisoned: the kernel may have dropped the pages, so nothing can be promised any more.
Rejected: SQLite (an fsync per transaction, or group commit by hand all the same) and one file per slot (a directory fsync each).
"""

import asyncio
import struct
import threading
import zlib
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.crash_points import crash_point, crash_within
from bridge.wire.disk import DISK, Disk
from shared_sequencer.errors import WalDamaged, WalFailed, WalLocked

_FRAME = struct.Struct("<II")
MAX_RECORD_BYTES = 256 * 1024 * 1024
"""No record is longer; a longer length field is damage."""


class WriteAheadLog:
    """An append-only log with group commit.

    Args:
        path: the file; created when missing.
        disk: where it is.

    Raises:
        WalLocked: another process has it open.
    """

    def __init__(self, path: Path, disk: Disk = DISK) -> None:
        created = not disk.exists(path)
        self._fd = disk.open(path)
        try:
            disk.lock(self._fd)
        except OSError as exc:
            disk.close(self._fd)
            raise WalLocked(f"{path} belongs to a running sequencer") from exc
        if created:
            crash_point("sequencer.wal.created")
            disk.sync_folder(path.parent)
        self._path, self._disk = path, disk
        self._queue: list[tuple[bytes, asyncio.Future[None]]] = []
        self._queued = asyncio.Event()
        self._failure: WalFailed | None = None
        self._writing = threading.Lock()

    def records(self) -> Generator[Any, None, None]:
        """Every record in order; cuts off a torn tail. Records that are being appended meanwhile may be among them or not.

        Raises:
            WalDamaged: a record before the end is broken.
        """
        offset = 0
        with self._writing, self._disk.reader(self._path) as log:
            size = self._disk.size(self._path)
            while offset < size:
                frame = log.read(_FRAME.size)
                length, checksum = (
                    _FRAME.unpack(frame) if len(frame) == _FRAME.size else (MAX_RECORD_BYTES + 1, 0)
                )
                end = offset + _FRAME.size + length
                # a length of zero is what a file system leaves that lost the end's data but not its size
                body = log.read(length) if length <= MAX_RECORD_BYTES and end <= size else b""
                if not body or len(body) != length or zlib.crc32(body) != checksum:
                    self._cut_tail(offset, size)
                    return
                offset = end
                yield orjson.loads(body)

    async def append(self, records: Sequence[Any]) -> None:
        """Return once the records are on disk.

        Raises:
            WalFailed: they may or may not be; the sequencer must stop. Also for a record too long to be read again.
        """
        if self._failure is not None:
            raise self._failure
        bodies = [orjson.dumps(record) for record in records]
        if any(len(body) > MAX_RECORD_BYTES for body in bodies):
            raise WalFailed(f"{self._path}: a record is longer than {MAX_RECORD_BYTES} bytes")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        frames = b"".join(_FRAME.pack(len(body), zlib.crc32(body)) + body for body in bodies)
        self._queue.append((frames, done))
        self._queued.set()
        await asyncio.shield(done)

    async def run(self) -> None:
        """The committer: writes whatever has gathered, for ever.

        Raises:
            WalFailed: the disk refused; every waiting append is told the same.
        """
        while True:
            await self._queued.wait()
            self._queued.clear()
            group, self._queue = self._queue, []
            if not group:
                continue
            try:
                await asyncio.to_thread(self._write, b"".join(frames for frames, _ in group))
            except OSError as exc:
                self._failure = WalFailed(f"{self._path}: {exc}; free the disk and restart the sequencer")
                for _, done in group + self._queue:
                    if not done.done():
                        done.set_exception(self._failure)
                        done.exception()  # seen here, whether or not the caller still waits
                raise self._failure from exc
            for _, done in group:
                if not done.done():
                    done.set_result(None)

    def close(self) -> None:
        """Release the file and its lock, after a write that is under way."""
        with self._writing:
            self._disk.close(self._fd)
            self._fd = -1

    def _write(self, data: bytes) -> None:
        with self._writing:
            crash_point("sequencer.wal.writing")
            crash_within("sequencer.wal.torn", lambda part: self._disk.write(self._fd, part), data)
            self._disk.append(self._fd, data)
            crash_point("sequencer.wal.written")
            self._disk.sync(self._fd)
            crash_point("sequencer.wal.synced")

    def _cut_tail(self, offset: int, size: int) -> None:
        if self._whole_record_follows(offset):
            raise WalDamaged(
                f"{self._path}: record at byte {offset} of {size} is damaged, whole records follow it"
            )
        self._disk.cut(self._fd, offset)
        crash_point("sequencer.wal.cut")
        self._disk.sync_all(self._fd)

    def _whole_record_follows(self, offset: int) -> bool:
        """Whether a later record is whole: then the damage at ``offset`` is not the torn end of a crash.

        The damaged record's own length cannot be trusted, so every ``{`` is tried as the beginning of a record.
        """
        with self._disk.reader(self._path) as log:
            log.seek(offset)
            rest = log.read()
        begin = rest.find(b"{", _FRAME.size + 1)
        while begin > 0:
            length, checksum = _FRAME.unpack_from(rest, begin - _FRAME.size)
            if 0 < length <= len(rest) - begin and zlib.crc32(rest[begin : begin + length]) == checksum:
                return True
            begin = rest.find(b"{", begin + 1)
        return False
