"""What an options engine keeps on disk, so that a SIGKILL or a power cut at any moment costs nothing that was acknowledged.

::

    blocks.log             records, each synced before its block counts: a block, or the order to forget the blocks after a number
    checkpoint-N.state     the whole state after block N; written aside, synced, renamed, so it is there whole or not at all
    checkpoint.new         one that isn't finished; no reader looks at it
    blocks.damaged-AT      what stood in the log from a damaged record on, moved there

    record       header | payload;   header = length (4) kind (1) number (8) CRC-32 of the payload (4) CRC-32 of all that (4)
    checkpoint   magic (8) | number (8) | CRC-32 of the state (4) | CRC-32 of the block's payload (4) | state

Recovery is the newest checkpoint whose block the log holds, and the blocks after it, for the engine to execute again. A crash can leave a
record half-written at the end, and nothing else: such an end is cut off. Anything else that isn't as it was written is *damage*: it
is told, what follows it doesn't count and is moved aside, and the node gets those blocks again from where it got them first.
"""

import contextlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

from bridge.wire.disk import DISK, Disk

KEPT_CHECKPOINTS: Final = 2
"""The one before the last is for the case that the last is damaged, or that its block is gone back from."""
_HEADER: Final = Struct(">IBQI")
_HEADER_SIZE: Final = _HEADER.size + 4
_CHECKPOINT: Final = Struct(">8sQII")
_MAGIC: Final = b"optstat\1"
_BLOCK, _REWIND = 0, 1


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """A block as it was appended."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class StoredState:
    """The state after a block."""

    number: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a node comes back with."""

    checkpoint: StoredState | None
    """None: begin with the genesis."""
    blocks: tuple[StoredBlock, ...]
    """To be executed on it, in order."""
    damage: tuple[str, ...]
    """What wasn't as it was written; empty after any crash. For the journal: who, what, and what was done about it."""


class StoreFailed(Exception):  # noqa: N818 - says what it is
    """The disk refuses; the node must stop, for it can't promise anything any more."""


class Store:
    """The files of one engine.

    Args:
        folder: theirs alone; made if it is missing.
        disk: the real one by default.
    """

    def __init__(self, folder: Path, disk: Disk = DISK) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._disk = folder, disk
        self._path = folder / "blocks.log"
        self._log = disk.open(self._path)
        disk.sync_folder(folder)

    def close(self) -> None:
        """Close the log."""
        self._disk.close(self._log)

    def append(self, number: int, payload: bytes) -> None:
        """Keep a block; once this returns it outlives the machine. It replaces all blocks from its number on.

        Raises:
            StoreFailed: the disk refuses.
        """
        self._append(_BLOCK, number, payload)

    def rewind(self, number: int) -> None:
        """Blocks after this one don't count any more. Raises as :meth:`append`."""
        self._append(_REWIND, number, b"")
        for path, its in self._checkpoints():
            if its > number:
                path.unlink(missing_ok=True)

    def checkpoint(self, number: int, payload: bytes, state: bytes) -> None:
        """Keep the state after a block that was appended. Raises as :meth:`append`.

        Args:
            number: of the block.
            payload: the block as it was appended: a checkpoint counts only beside its block.
            state: see :mod:`rollup_node.engines.options.state.snapshot`.
        """
        temporary = self._folder / "checkpoint.new"
        header = _CHECKPOINT.pack(_MAGIC, number, zlib.crc32(state), zlib.crc32(payload))
        try:
            self._disk.save(temporary, header + state)
            temporary.replace(self._folder / f"checkpoint-{number}.state")
            self._disk.sync_folder(self._folder)
        except OSError as exc:
            raise self._failed(exc) from exc
        for path, _ in self._checkpoints()[KEPT_CHECKPOINTS:]:
            path.unlink(missing_ok=True)

    def recover(self) -> Recovered:
        """What counts; a torn end of the log is cut off, damage is moved aside. Call it once, before anything is appended.

        Raises:
            StoreFailed: the disk refuses.
        """
        with self._disk.reader(self._path) as file:
            data = file.read()
        blocks, good, damage = _read(data)
        told = []
        if damage:
            aside = self._folder / f"blocks.damaged-{good}"
            aside.write_bytes(data[good:])
            last = blocks[-1].number if blocks else "none"
            told.append(
                f"{self._path}: {damage} at byte {good}; the last block before it is {last}; "
                f"the {len(data) - good} bytes from there are in {aside.name} and don't count: later blocks have to be fetched again"
            )
        if good < len(data):
            try:
                self._disk.cut(self._log, good)
                self._disk.sync_all(self._log)
            except OSError as exc:
                raise self._failed(exc) from exc
        by_number = {block.number: block for block in blocks}
        for path, number in self._checkpoints():
            state, problem = _read_checkpoint(path.read_bytes(), number, by_number.get(number))
            if problem:
                told.append(f"{path}: {problem}; it is passed over")
                continue
            after = tuple(block for block in blocks if block.number > number)
            return Recovered(StoredState(number, state), after, tuple(told))
        return Recovered(None, tuple(blocks), tuple(told))

    def _append(self, kind: int, number: int, payload: bytes) -> None:
        header = _HEADER.pack(len(payload), kind, number, zlib.crc32(payload))
        record = header + zlib.crc32(header).to_bytes(4, "big") + payload
        try:
            self._disk.append(self._log, record)
            self._disk.sync(self._log)
        except OSError as exc:
            raise self._failed(exc) from exc

    def _failed(self, exc: OSError) -> StoreFailed:
        return StoreFailed(f"{self._path}: the disk refuses: {exc}; free it, then start the node again")

    def _checkpoints(self) -> list[tuple[Path, int]]:
        """Newest first."""
        found = []
        for path in self._folder.glob("checkpoint-*.state"):
            with contextlib.suppress(ValueError):
                found.append((path, int(path.stem.removeprefix("checkpoint-"))))
        return sorted(found, key=lambda one: -one[1])


def _read(data: bytes) -> tuple[list[StoredBlock], int, str]:
    """Blocks that count, where the whole records end, and what is wrong there; nothing is, if it is just torn."""
    blocks: list[StoredBlock] = []
    at = 0
    while at < len(data):
        header = data[at : at + _HEADER_SIZE]
        if len(header) < _HEADER_SIZE:
            return blocks, at, ""
        length, kind, number, checksum = _HEADER.unpack_from(header)
        if int.from_bytes(header[-4:], "big") != zlib.crc32(header[:-4]):
            # a machine that lost power may have kept the file's new length, but not what was to be there
            return blocks, at, "a header that isn't as it was written" if any(data[at:]) else ""
        end = at + _HEADER_SIZE + length
        payload = data[at + _HEADER_SIZE : end]
        if zlib.crc32(payload) != checksum or len(payload) < length:
            return blocks, at, f"block {number} isn't as it was written" if end < len(data) else ""
        keep = number if kind == _REWIND else number - 1
        while blocks and blocks[-1].number > keep:
            blocks.pop()
        if kind == _BLOCK:
            if blocks and blocks[-1].number != number - 1:
                return blocks, at, f"block {number} doesn't follow"
            blocks.append(StoredBlock(number, payload))
        at = end
    return blocks, at, ""


def _read_checkpoint(data: bytes, number: int, block: StoredBlock | None) -> tuple[bytes, str]:
    """The state, and why it can't be used."""
    if len(data) < _CHECKPOINT.size:
        return b"", "it is too short to be a checkpoint"
    magic, its, checksum, of_block = _CHECKPOINT.unpack_from(data)
    state = data[_CHECKPOINT.size :]
    if magic != _MAGIC or its != number or zlib.crc32(state) != checksum:
        return b"", "it isn't as it was written"
    if block is None or zlib.crc32(block.payload) != of_block:
        return b"", f"the log doesn't hold its block {number}"
    return state, ""
