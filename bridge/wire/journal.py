"""The event journal: one JSON line per fact, written so that SIGKILL loses nothing that was said.

Each event is one unbuffered ``write`` on a descriptor opened for appending (more, where the disk takes less): once :meth:`Journal.emit` returns, the line
is in the page cache and survives the death of the process (not of the machine; what must survive that is in
the write-ahead log). Latency uses ``mono_ns``, which is one clock for all processes of a Linux host; ``cause`` makes
the happens-before graph exact.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from bridge.wire.disk import DISK, Disk


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a journal."""

    event: str
    """The stage, or a node's own event such as ``node.started``."""
    msg_id: str | None
    """Hash of the message, 0x-hex, 32 bytes."""
    bundle_id: str | None
    """Bundle hash, 0x-hex, 32 bytes."""
    leg: int | None
    """Index of the leg in its bundle, from 0."""
    node: str
    """Name of the node that wrote the line."""
    role: str
    """``client``, ``sequencer``, ``rollup``, ``l1`` or ``maker``."""
    boot: str
    """Which life of the node: start time in nanoseconds, hexadecimal; tells restarts apart."""
    seq: int
    """Counter within one boot, from 0; a gap means lost lines."""
    mono_ns: int
    """``CLOCK_MONOTONIC`` in nanoseconds."""
    wall_ns: int
    """Unix time in nanoseconds, for humans and to detect skew."""
    cause: tuple[str, ...]
    """Ids of the events that had to happen first."""
    attrs: dict[str, Any]
    """Details: slot, block, transaction, status, reason, …"""

    @property
    def id(self) -> str:
        """``node/boot/seq``, unique in a run."""
        return f"{self.node}/{self.boot}/{self.seq}"

    @classmethod
    def from_json(cls, line: bytes) -> Self:
        """Read one line.

        Raises:
            ValueError: the line is torn or no event (the last line of a killed node may be).
        """
        try:
            fields = orjson.loads(line)
            return cls(**{**fields, "cause": tuple(fields["cause"])})
        except (orjson.JSONDecodeError, TypeError, KeyError) as exc:
            raise ValueError(f"not a journal line: {line[:80]!r}") from exc


class Journal:
    """Appends events of one node to its own file; cheap enough for every leg (about 10 µs a line)."""

    def __init__(self, path: Path, node: str, role: str, disk: Disk = DISK) -> None:
        self._disk, self._fd = disk, disk.open(path)
        self._torn = _torn(path)
        """Whether the file ends in the middle of a line: a life was killed there, or the disk was full."""
        self._node, self._role = node, role
        self._boot = format(time.time_ns(), "x")
        self._seq = 0

    def reserve(self) -> str:
        """The id of an event that will be emitted with ``reserved`` once it has happened; others may come in between."""
        self._seq += 1
        return f"{self._node}/{self._boot}/{self._seq - 1}"

    def emit(
        self,
        event: str,
        *,
        reserved: str | None = None,
        bundle_id: str | None = None,
        msg_id: str | None = None,
        leg: int | None = None,
        cause: Sequence[str] = (),
        at_ns: int | None = None,
        **attrs: Any,
    ) -> str:
        """Append one event and return its id.

        Args:
            event: the stage, or a node's own event.
            reserved: an id from :meth:`reserve`.
            bundle_id: as in :class:`Event`; so are ``msg_id``, ``leg`` and ``cause``.
            msg_id: hash of the message.
            leg: index of the leg.
            cause: ids of the events that had to happen first.
            at_ns: when it happened, ``time.monotonic_ns()`` of then, for a fact whose name is known only later (a message's
                hash comes with the receipt of the transaction that sends it); now by default.
            attrs: details.

        Raises:
            ValueError: ``at_ns`` lies in the future: what has not happened is no fact.
            OSError: the disk refuses; what was written of the line is left out by readers.
        """
        now_ns, wall_ns = time.monotonic_ns(), time.time_ns()
        ago_ns = 0 if at_ns is None else now_ns - at_ns
        if ago_ns < 0:
            raise ValueError(f"{event} can't be noted {-ago_ns} ns before it happens")
        seq = int((reserved or self.reserve()).rpartition("/")[2])
        record = Event(
            event=event,
            msg_id=msg_id,
            bundle_id=bundle_id,
            leg=leg,
            node=self._node,
            role=self._role,
            boot=self._boot,
            seq=seq,
            mono_ns=now_ns - ago_ns,
            wall_ns=wall_ns - ago_ns,
            cause=tuple(cause),
            attrs=attrs,
        )
        line = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        begun, self._torn = self._torn, True
        self._disk.append(self._fd, b"\n" + line if begun else line)
        self._torn = False
        return record.id

    def close(self) -> None:
        """Close the file; emitting afterwards is an error."""
        self._disk.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _torn(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if size == 0:
            return False
        file.seek(size - 1)
        return file.read(1) != b"\n"


def subject(kind: str, identity: str) -> dict[str, Any]:
    """Which field of an event names its message: bundles by ``bundle_id``, single transactions by ``msg_id``."""
    return {"bundle_id" if kind == "bundle" else "msg_id": identity}


def read_journal(path: Path) -> list[Event]:
    """All whole lines of one journal; torn lines, the mark of a killed writer or a full disk, are left out.

    Raises:
        ValueError: a whole line is no event.
    """
    events = []
    for line in filter(None, path.read_bytes().split(b"\n")):
        try:
            orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        events.append(Event.from_json(line))
    return events
