"""What a rollup node keeps across its deaths: committed blocks, checkpoints, and the highest term it has seen.

The sequencer's log is the truth; this store makes recovery quick and lets a node come back (for reads) while the sequencer is
down. So it is not fsynced: a torn tail costs a few blocks that are fetched again. Each line carries a checksum, and
reading stops at the first line that is not whole.

::

    blocks.log            one line per committed block: crc32, space, JSON
    checkpoint-N.state    engine state at block N, written to a temporary name and renamed
    term                  highest term seen
"""

import contextlib
import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.slot import Block

_CHECKPOINT = re.compile(r"checkpoint-(\d+)-(0x[0-9a-f]{64})\.state")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A stored engine state."""

    number: int
    hash: str
    path: Path


class Store:
    """The files of one node."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._log_path = folder / "blocks.log"
        self._log = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self.term = self._read_term()

    def close(self) -> None:
        """Close the log."""
        os.close(self._log)

    def append(self, block: Block) -> None:
        """Remember a committed block."""
        body = orjson.dumps(block)
        os.write(self._log, b"%08x %s\n" % (zlib.crc32(body), body))

    def blocks(self) -> Iterator[Block]:
        """Every whole line in order; what follows the first damaged line is cut off, for it will be fetched again."""
        good = 0
        with self._log_path.open("rb") as log:
            for line in log:
                body = _body(line)
                if body is None:
                    break
                good += len(line)
                yield Block.from_json(body)
        os.truncate(self._log_path, good)

    def checkpoints(self) -> list[Checkpoint]:
        """Stored engine states, newest first."""
        found = [
            Checkpoint(int(match[1]), match[2], path)
            for path in self._folder.iterdir()
            if (match := _CHECKPOINT.fullmatch(path.name))
        ]
        return sorted(found, key=lambda checkpoint: -checkpoint.number)

    def checkpoint_path(self, number: int, digest: str) -> Path:
        """Where the checkpoint of a block goes; write to :meth:`temporary` and rename."""
        return self._folder / f"checkpoint-{number}-{digest}.state"

    def temporary(self) -> Path:
        """A name that no reader looks at."""
        return self._folder / "checkpoint.tmp"

    def keep_checkpoints(self, count: int) -> None:
        """Delete all but the newest ``count``."""
        for checkpoint in self.checkpoints()[count:]:
            checkpoint.path.unlink(missing_ok=True)

    def raise_term(self, term: int) -> None:
        """Remember a newer term."""
        if term > self.term:
            temporary = self._folder / "term.tmp"
            temporary.write_text(str(term))
            temporary.replace(self._folder / "term")
            self.term = term

    def _read_term(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / "term").read_text())
        return 0


def _body(line: bytes) -> Any:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        whole = line.endswith(b"\n") and body and int(checksum, 16) == zlib.crc32(body)
    except ValueError:
        return None
    return orjson.loads(body) if whole else None
