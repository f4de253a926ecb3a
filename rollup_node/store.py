"""What a rollup node keeps across its deaths: committed blocks, checkpoints, and the highest term it has seen.

The sequencer's log is the truth; this store makes recovery quick and lets a node come back (for reads) while the sequencer is
down. So it is not fsynced: a torn tail costs a few blocks that are fetched again. Each line carries a checksum, and
reading stops at the first line that is not whole.

::

    blocks.log              one line per committed block, return to an earlier one, slot with bundles that have no effect,
                            height up to which blocks were judged: crc32, space, JSON
    checkpoint-N-H.state    engine state at block N with hash H, written to a temporary name and renamed
    term                    highest term seen; the one file that is durable when it is answered
    safe, finalized         last block that L1, and that finalized L1, was seen to hold

A machine that dies takes the log's end with it and may leave the small files. So they count only up to the height that the *log* says
was judged: that line follows whatever judging changed (blocks that went, bundles without effect, blocks that came), and a log that lost
any of it has lost the line too. A promise of the sequencer's that L1 contradicted is then a promise again, never safe or final.

The log says which checkpoints count: one of a block that it doesn't hold (any more) is of no use, because nobody could say what L1
confirms of the blocks below it.
"""

import contextlib
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.crash_points import crash_point, crash_within
from bridge.wire.disk import DISK, Disk
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

    def __init__(self, folder: Path, disk: Disk = DISK) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._disk = folder, disk
        self._log_path = folder / "blocks.log"
        self._log = disk.open(self._log_path)
        self._end = disk.size(self._log_path)
        """Bytes of whole lines."""
        self._places: dict[int, int] = {}
        """Where the line of each block that counts begins, by number; known once blocks were read."""
        self.term = self._read_number("term")
        self.safe = self._read_number("safe")
        self.finalized = self._read_number("finalized")
        self.claims: dict[int, str] = {}
        """Digests of the payloads that L1 holds for blocks which turned out otherwise, by number; known once blocks were read."""
        self.dropped: dict[tuple[str, str], frozenset[str]] = {}
        """Bundles without effect, by hash of the L1 block and of the slot that holds them; known once blocks were read."""
        self.judged = 0
        """The last block that was held against L1 as it stands in the log; known once blocks were read."""
        self.settled = 0
        """The last block of which the journal was told that it is settled; known once blocks were read."""

    def close(self) -> None:
        """Close the log."""
        self._disk.close(self._log)

    def append(self, block: Block, claim: str | None = None) -> None:
        """Remember a committed block.

        Args:
            block: the new head.
            claim: digest of the payload that it was derived from, if the block's own is another one.
        """
        self._forget(block.number)
        self._places[block.number] = self._end
        if claim is None:
            self._write(orjson.dumps(block))
        else:
            self.claims[block.number] = claim
            self._write(orjson.dumps({"block": block, "claim": claim}))

    def note_dropped(self, l1_block: str, slot: str, bundles: frozenset[str]) -> None:
        """Remember which bundles of a slot were found to have no effect."""
        self.dropped[l1_block, slot] = bundles
        self._write(orjson.dumps({"dropped": sorted(bundles), "l1_block": l1_block, "slot": slot}))

    def note_judged(self, number: int) -> None:
        """Remember that L1 holds the blocks up to this one as they stand here."""
        if number > self.judged:
            self._write(orjson.dumps({"judged": number}))
            self.judged = number

    def note_told(self, number: int) -> None:
        """Remember that the journal was told of everything up to a block that it is settled."""
        self._write(orjson.dumps({"settled": number}))
        self.settled = number

    def rewind(self, number: int) -> None:
        """Blocks after ``number`` count no more; checkpoints of them go."""
        self._forget(number + 1)
        self._write(orjson.dumps({"rewind": number}))
        crash_point("rollup.rewind.stored")
        for checkpoint in self.checkpoints():
            if checkpoint.number > number:
                checkpoint.path.unlink(missing_ok=True)
        crash_point("rollup.rewind.cleared")
        self.note_settled(min(self.safe, number), min(self.finalized, number))

    def blocks(self) -> list[Block]:
        """Every block that counts, in order; what follows the first damaged line is cut off, for it will be fetched again."""
        good = 0
        kept: list[Block] = []
        self.claims, self.dropped, self.judged, self.settled, self._places = {}, {}, 0, 0, {}
        with self._disk.reader(self._log_path) as log:
            for line in log:
                body = _body(line)
                if body is None:
                    break
                begin, good = good, good + len(line)
                if "dropped" in body:
                    self.dropped[body["l1_block"], body["slot"]] = frozenset(body["dropped"])
                    continue
                if "judged" in body:
                    self.judged = body["judged"]
                    continue
                if "settled" in body:
                    self.settled = body["settled"]
                    continue
                if "rewind" in body:
                    self._drop(kept, body["rewind"] + 1)
                    continue
                block = Block.from_json(body.get("block", body))
                self._drop(kept, block.number)  # after damage blocks come again
                kept.append(block)
                self._places[block.number] = begin
                if "claim" in body:
                    self.claims[block.number] = body["claim"]
        self._disk.cut(self._log, good)
        self._end = good
        crash_point("rollup.boot.read")
        return kept

    def block(self, number: int) -> Block:
        """One block that counts, read again from the log.

        Raises:
            KeyError: there is none of this number.
        """
        with self._disk.reader(self._log_path) as log:
            log.seek(self._places[number])
            body = _body(log.readline())
        return Block.from_json(body.get("block", body))

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
            self._write_number("term", term, durable=True)
            crash_point("rollup.term.raised")
            self.term = term

    def note_settled(self, safe: int, finalized: int) -> None:
        """Remember how far L1 holds the chain, so that a restart does not let these heads go back."""
        if safe != self.safe:
            self._write_number("safe", safe)
            crash_point("rollup.safe.noted")
            self.safe = safe
        if finalized != self.finalized:
            self._write_number("finalized", finalized)
            self.finalized = finalized

    def _drop(self, blocks: list[Block], first: int) -> None:
        while blocks and blocks[-1].number >= first:
            blocks.pop()
        self._forget(first)

    def _forget(self, first: int) -> None:
        """Blocks from here on are others, or none: what was noted of them is of others."""
        for number in [number for number in self.claims if number >= first]:
            del self.claims[number]
        number = first
        while self._places.pop(number, None) is not None:
            number += 1
        self.judged, self.settled = min(self.judged, first - 1), min(self.settled, first - 1)

    def _write(self, body: bytes) -> None:
        line = b"%08x %s\n" % (zlib.crc32(body), body)
        crash_within("rollup.block.torn", lambda part: self._disk.append(self._log, part), line)
        try:
            self._disk.append(self._log, line)
        except OSError:
            self._disk.cut(self._log, self._end)  # else half a line would take all that follows it with it
            raise
        self._end += len(line)

    def _write_number(self, name: str, number: int, *, durable: bool = False) -> None:
        temporary, target = self._folder / f"{name}.tmp", self._folder / name
        if durable:
            self._disk.save(temporary, str(number).encode())
        else:
            temporary.write_text(str(number))
        crash_point("rollup.note.written")
        temporary.replace(target)
        if durable:
            self._disk.sync_folder(self._folder)

    def _read_number(self, name: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self._folder / name).read_text())
        return 0


def _body(line: bytes) -> Any:
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        whole = line.endswith(b"\n") and body and int(checksum, 16) == zlib.crc32(body)
    except ValueError:
        return None
    return orjson.loads(body) if whole else None
