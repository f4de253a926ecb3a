"""A node's log: everything it wrote, the newest kept, never more bytes than agreed.

The node writes into a pipe (1 MiB where the kernel allows it) that the event loop drains. So a node blocks only when the loop
lags by a whole pipe, and it goes on when the loop does; its output is never lost to a reader that is merely late. Two
files of half the cap each hold it: ``NODE.log`` and, before that, ``NODE.log.1``. Writing the file directly was rejected:
nothing would say when it has grown too large.
"""

import asyncio
import contextlib
import fcntl
import os
from collections import deque
from pathlib import Path

_PIPE_BYTES = 1024 * 1024
_CHUNK_BYTES = 256 * 1024
_TAIL_BYTES = 64 * 1024


class CappedLog:
    """An append-only log of at most ``cap_bytes``, over two files; cuts at line ends where it can."""

    def __init__(self, path: Path, cap_bytes: int) -> None:
        self._path, self._older = path, path.with_name(path.name + ".1")
        self._half = cap_bytes // 2
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        self._size = self._file.tell()
        self.lost_bytes = 0
        """Bytes that could not be written, because the disk is full."""

    def write(self, data: bytes) -> None:
        """Append, and drop the oldest when the cap is reached; a full disk loses ``data`` but never raises."""
        try:
            while data:
                room = self._half - self._size
                if len(data) <= room:
                    self._append(data)
                    return
                # Cut after the last line that fits; a line longer than a whole file is cut where it must be.
                cut = data.rfind(b"\n", 0, max(room, 0)) + 1
                if cut == 0 and self._size == 0:
                    cut = self._half
                self._append(data[:cut])
                data = data[cut:]
                self._rotate()
        except OSError:
            self.lost_bytes += len(data)

    def tail(self, lines: int) -> tuple[str, ...]:
        """The last ``lines`` lines, at most 64 KiB of them, oldest first."""
        kept: deque[str] = deque(maxlen=max(lines, 0))
        text = b""
        for path in (self._older, self._path):
            with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                text += file.read(_TAIL_BYTES)
        kept.extend(text[-_TAIL_BYTES:].decode(errors="replace").splitlines())
        return tuple(kept)

    def close(self) -> None:
        """Close the file; safe to call twice."""
        self._file.close()

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = self._file.write(view) or 0
            self._size += written
            view = view[written:]

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # moved by an earlier try that then could not open
            self._path.replace(self._older)
        fresh = self._path.open("ab", buffering=0)
        self._file.close()
        self._file, self._size = fresh, 0


class Drain:
    """Moves what one life of a node writes from its pipe into its log. Needs a running event loop."""

    def __init__(self, log: CappedLog) -> None:
        self._log = log
        self._reader, self.writer = os.pipe()
        """``writer`` becomes the node's stdout and stderr; close it here with :meth:`handed_over` once the node has it."""
        with contextlib.suppress(
            OSError
        ):  # an unprivileged user may have used up the allowance for large pipes
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.set_blocking(self._reader, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._reader, self._read)
        self._open = True

    def handed_over(self) -> None:
        """Close our copy of the writing end, so that the last writer's end is seen as the end."""
        os.close(self.writer)

    def finish(self) -> None:
        """Take what is left in the pipe and close it, even if some strayed child still holds it. Safe to call twice."""
        taken = 0
        # Bounded, so that a stray that writes without end can't keep us here.
        while self._open and taken < 2 * _PIPE_BYTES:
            got = self._read()
            if got == 0:
                break
            taken += got
        self._close()

    def _read(self) -> int:
        try:
            data = os.read(self._reader, _CHUNK_BYTES)
        except BlockingIOError:
            return 0
        if data:
            self._log.write(data)
        else:
            self._close()
        return len(data)

    def _close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._reader)
            os.close(self._reader)
