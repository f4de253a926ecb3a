"""Blocks that were executed, for reading: heads in memory, receipts on disk. Nothing that must be decided rests on it.

::

    blocks.archive   frames, one a block:  number (8) sizes of head and receipts (4, 4) their CRC-32 (4, 4) | head | receipts

The node's own store has every payload durably, so what is lost here is executed again. That is why a block is written without
waiting for the disk; only a checkpoint, which spares the execution of what is before it, syncs the file first. A block that is
rewound is cut off. After a crash the end may be torn, and is cut as well.
"""

import zlib
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from struct import Struct
from typing import Final

from bridge.wire.crash_points import crash_point, crash_within
from bridge.wire.disk import DISK, Disk
from bridge.wire.errors import Malformed
from rollup_node.engines.options.blocks import Head, decode_receipts, encode_receipts
from rollup_node.engines.options.transactions.receipts import Receipt

RECENT: Final = 64
"""Blocks whose receipts are at hand without reading the disk."""
_FRAME: Final = Struct(">QIIII")


class NotKept(LookupError):  # noqa: N818 - says what it is
    """A block of the chain that isn't at hand: it was executed on another machine, or the disk has lost it."""


class Archive:
    """The blocks of one chain, from genesis to its head.

    Args:
        path: of the file.
        genesis: head of block 0.
        disk: where the file is.
    """

    def __init__(self, path: Path, genesis: Head, disk: Disk = DISK) -> None:
        self._path, self._genesis, self._disk = path, genesis, disk
        self._file = disk.open(path)
        crash_point("options.archive.opened")
        self._heads: dict[int, Head] = {}
        self._places: dict[
            int, tuple[int, int, int]
        ] = {}  # where a block's receipts are: offset, size, CRC-32
        self._recent: dict[int, tuple[Receipt, ...]] = {}
        self._numbers: dict[bytes, int] = {}
        self._transactions: dict[bytes, tuple[int, int]] = {}
        self._end = 0
        self.begin([])

    @property
    def head(self) -> Head:
        """The last block."""
        return self._heads[self._last]

    def begin(self, heads: Iterable[Head]) -> None:
        """Forget all blocks but genesis and these, of which nothing but their heads is known; the last is the chain's head."""
        for known in (self._heads, self._places, self._recent, self._numbers, self._transactions):
            known.clear()
        self._end = 0
        for head in (self._genesis, *heads):
            self._note(head)

    def adopt(self, number: int, digest: bytes, heads: Sequence[Head]) -> bool:
        """Take over what an earlier life has written, up to a block; whether that block is there.

        Args:
            number: of the block.
            digest: its hash.
            heads: the last ones up to it: what is known if the file hasn't them.
        """
        self.begin([])
        for head, place, end in self._read():
            follows = head.number not in self._heads and self._follows(head)
            if head.number > number or not follows:
                break
            self._places[head.number] = place
            self._note(head)
            self._end = end
        if self._last == number and self.head.hash == digest:
            missing = [one for one in heads if one.number not in self._heads]
            for head in missing:
                self._heads[head.number] = head
                self._numbers[head.hash] = head.number
            return True
        self.begin(heads)
        return False

    def append(self, head: Head, receipts: tuple[Receipt, ...]) -> None:
        """Keep one more block.

        Raises:
            OSError: the disk refuses; the block isn't kept.
        """
        first, second = head.encode(), encode_receipts(receipts)
        frame = _FRAME.pack(head.number, len(first), len(second), zlib.crc32(first), zlib.crc32(second))
        if self._disk.size(self._path) != self._end:
            self._disk.cut(self._file, self._end)
            crash_point("options.archive.cut")
        written = frame + first + second
        crash_within("options.archive.torn", partial(self._disk.append, self._file), written)
        self._disk.append(self._file, written)
        crash_point("options.archive.appended")
        start = self._end + len(frame) + len(first)
        self._places[head.number] = (start, len(second), zlib.crc32(second))
        self._end = start + len(second)
        self._recent[head.number] = receipts
        self._recent.pop(head.number - RECENT, None)
        self._note(head)

    def cut(self, number: int) -> None:
        """Blocks after this one are no more; the file follows when something is written."""
        while self._last > number:
            head = self._heads.pop(self._last)
            del self._numbers[head.hash]
            self._recent.pop(head.number, None)
            place = self._places.pop(head.number, None)
            if place is not None:
                self._end = place[0] - len(head.encode()) - _FRAME.size
            for digest in head.transactions:
                if self._transactions.get(digest, (0, 0))[0] == head.number:
                    del self._transactions[digest]
            self._last -= 1

    def sync(self) -> None:
        """Return once all of it outlives the machine.

        Raises:
            OSError: the disk refuses.
        """
        self._disk.cut(self._file, self._end)
        self._disk.sync_all(self._file)
        crash_point("options.archive.synced")

    def close(self) -> None:
        """Close the file."""
        self._disk.close(self._file)

    def head_of(self, number: int) -> Head | None:
        """The head of a block; None if there is none, or none that is known any more."""
        return self._heads.get(number)

    def number_of(self, digest: bytes) -> int | None:
        """Number of the block of this hash."""
        return self._numbers.get(digest)

    def place_of(self, transaction: bytes) -> tuple[int, int] | None:
        """Block of a transaction, and its place in it."""
        return self._transactions.get(transaction)

    def receipts(self, number: int) -> tuple[Receipt, ...]:
        """Of a block.

        Raises:
            NotKept: they aren't at hand.
        """
        found = self._recent.get(number)
        if found is not None or number == 0:
            return found or ()
        place = self._places.get(number)
        if place is None:
            raise NotKept(
                f"block {number} was executed before this node's checkpoint: its receipts aren't kept here"
            )
        offset, size, checksum = place
        with self._disk.reader(self._path) as file:
            file.seek(offset)
            data = file.read(size)
        if zlib.crc32(data) != checksum:
            raise NotKept(
                f"{self._path}: block {number} isn't as it was written; remove the node's data to execute it again"
            )
        return decode_receipts(data)

    def messages(self, number: int) -> list[bytes]:
        """Slots of all messages up to the end of a block, in their order.

        Raises:
            NotKept: a block before it isn't at hand.
        """
        heads = [self._heads.get(one) for one in range(number + 1)]
        if None in heads:
            raise NotKept(f"of the blocks up to {number} not all are kept here")
        return [slot for head in heads if head is not None for slot in head.messages]

    def _note(self, head: Head) -> None:
        self._last = head.number
        self._heads[head.number] = head
        self._numbers[head.hash] = head.number
        for index, digest in enumerate(head.transactions):
            self._transactions[digest] = (head.number, index)

    def _follows(self, head: Head) -> bool:
        """Whether a block of the file can stand where it does: on the one before it, or first."""
        before = self._heads.get(head.number - 1)
        return head.sealed.parent == before.hash if before is not None else not self._places

    def _read(self) -> Iterable[tuple[Head, tuple[int, int, int], int]]:
        """Heads of the file with the places of their receipts and where their frames end, until something isn't whole."""
        size, at = self._disk.size(self._path), 0
        with self._disk.reader(self._path) as file:
            while True:
                file.seek(at)
                frame = file.read(_FRAME.size)
                if len(frame) < _FRAME.size:
                    return
                _, first, second, checksum, of_receipts = _FRAME.unpack(frame)
                data, start = file.read(first), at + _FRAME.size + first
                if zlib.crc32(data) != checksum or start + second > size:
                    return
                try:
                    head = Head.decode(data)
                except Malformed:
                    return
                at = start + second
                yield head, (start, second, of_receipts), at
