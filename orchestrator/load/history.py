"""The history of a load: what clients asked for, when they meant to, and what they learned of its end.

One JSON line per event in ``history.jsonl`` of the run directory, each one unbuffered ``write``, so SIGKILL of the load loses
nothing that was noted. After Jepsen every operation is *invoked* and ends in one of three ways:

::

    invoke ─► (acknowledged) ─► ok     its durable end is known: committed, aborted, expired, included, dropped, …
                             ─► fail   it certainly had no effect: nobody took it
                             ─► info   nobody knows: it may take effect, now or later

An operation without an end (its load was killed) counts as ``info``. *Sightings* stand between them: what a node served at a moment,
as an onlooker saw it. A checker can hold them against what the node says in the end.

Longer than other files: who writes the format and who reads it stand together.
"""

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, Literal, Self, TypeAlias

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from orchestrator.errors import RollnetError

FILE_NAME = "history.jsonl"
"""In the run directory."""


class UnreadableHistory(RollnetError):  # noqa: N818 - states what is so
    """A history that no load wrote."""

    exit_code = 2


class Kind(StrEnum):
    """What an operation is."""

    BUNDLE = "bundle"
    """An atomic bundle at a sequencer."""
    TRANSACTION = "transaction"
    """A single transaction on one rollup."""
    WITHDRAWAL = "withdrawal"
    """A transaction on one rollup that sends ether to L1; it ends when it is in a block."""
    DEPOSIT = "deposit"
    """A transaction on L1 that sends ether to a rollup; acknowledged when L1 has it, ends when the rollup has executed it."""


class Result(StrEnum):
    """What the client knows of an operation's end."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Leg:
    """One signed transaction of an operation."""

    chain: str
    """A rollup's name, or ``l1``."""
    transaction: str
    """Its hash."""
    sender: str
    """0x-hex, lower case; so is ``to``."""
    nonce: int
    to: str
    value: int = 0
    """Wei."""
    trade: tuple[str, int, int] | None = None
    """Series (0x-hex), signed quantity (1e-4 units) and limit (1e-6 USD) of a trade on the options market."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """A client begins to send."""

    op: int
    kind: Kind
    id: str
    """Bundle hash, or hash of the transaction."""
    legs: tuple[Leg, ...]
    intended_ns: int
    """When the schedule wanted it sent, ``time.monotonic_ns()``; so are all times here. Latency counts from this."""
    at_ns: int
    attrs: Mapping[str, Any] = field(default_factory=dict)
    """Details, such as the name of the strategy."""
    line: Literal["invoke"] = "invoke"


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """A node answered that it has it."""

    op: int
    at_ns: int
    l1_block: int | None = None
    """Of a deposit: the L1 block that held it."""
    line: Literal["acknowledged"] = "acknowledged"


@dataclass(frozen=True, slots=True)
class End:
    """What the client learned last."""

    op: int
    result: Result
    at_ns: int
    outcome: str = ""
    """Of one that is ok: ``committed``, ``aborted``, ``expired``, ``included``, ``dropped``, ``executed`` or ``reverted``."""
    reason: str = ""
    attempts: int = 1
    """How often it was sent."""
    slot: int | None = None
    """The slot that decided it, as its sequencer said; None if none did."""
    line: Literal["end"] = "end"


@dataclass(frozen=True, slots=True)
class SlotSeen:
    """A slot as the sequencer served it."""

    number: int
    hash: str
    """Digest of its whole content, decisions included."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a node served when an onlooker asked."""

    node: str
    asked_ns: int
    answered_ns: int
    error: str = ""
    """Why there is no answer; empty if there is one."""
    heads: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """Number and hash of a chain's heads: ``latest``, ``safe``, ``finalized``."""
    slots: tuple[SlotSeen, ...] = ()
    """Of a sequencer: slots not asked for before."""
    waiting: int | None = None
    """Of a sequencer: acknowledged items without an end."""
    read: Mapping[str, int] = field(default_factory=dict)
    """Of the relayer: the block up to which it has read each rollup."""
    line: Literal["sighting"] = "sighting"


@dataclass(frozen=True, slots=True)
class Continuation:
    """Somebody writes on behind what may have been cut off: a line that is torn right before this one lost its writer, or its write failed."""

    at_ns: int
    line: Literal["continued"] = "continued"


Line: TypeAlias = Annotated[
    Invocation | Acknowledgement | End | Sighting | Continuation, Field(discriminator="line")
]
_LINE: TypeAdapter[Line] = TypeAdapter(Line)
_LINES: TypeAdapter[list[Line]] = TypeAdapter(list[Line])


@dataclass(frozen=True, slots=True)
class Operation:
    """Everything that is known of one operation."""

    op: int
    kind: Kind
    id: str
    legs: tuple[Leg, ...]
    intended_ns: int
    invoked_ns: int
    acknowledged_ns: int | None = None
    ended_ns: int | None = None
    """None if its load was killed before."""
    result: Result = Result.INFO
    outcome: str = ""
    reason: str = ""
    attempts: int = 1
    attrs: Mapping[str, Any] = field(default_factory=dict)
    slot: int | None = None
    """The slot that decided it, as its client was told."""
    l1_block: int | None = None
    """Of a deposit: the L1 block that held it when it was acknowledged."""

    @property
    def acknowledged(self) -> bool:
        """Whether somebody promised it an end."""
        return self.acknowledged_ns is not None

    @property
    def took_effect(self) -> bool | None:
        """Whether it did, as far as its client knows; None if it does not."""
        if self.result is Result.INFO:
            return None
        return self.result is Result.OK and self.outcome in EFFECTIVE

    @property
    def latency_ns(self) -> int | None:
        """From the intended time to its end; None unless it is ok."""
        if self.result is not Result.OK or self.ended_ns is None:
            return None
        return self.ended_ns - self.intended_ns


EFFECTIVE = frozenset({"committed", "included", "executed", "reverted"})
"""Outcomes of an operation whose transactions are in blocks."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A history as it was read."""

    operations: tuple[Operation, ...] = ()
    """By number."""
    sightings: tuple[Sighting, ...] = ()
    """In the order of the file."""
    torn: int = 0
    """Lines that are only a beginning."""
    damaged: int = 0
    """Of those the ones that no writer's end explains: others were written behind them without a word, so the file was changed or lost a part."""


class History:
    """Appends to the history of a run; numbers go on where an earlier load stopped.

    Args:
        path: the file; created when missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.read_bytes() if path.exists() else b""
        self._next = known.count(b'"line":"invoke"')
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._torn = bool(known)  # the load before may have been killed in the middle of a line

    def invoke(self, kind: Kind, identity: str, legs: Sequence[Leg], intended_ns: int, **attrs: Any) -> int:
        """An operation is about to be sent for the first time; returns its number."""
        number, self._next = self._next, self._next + 1
        self._write(Invocation(number, kind, identity, tuple(legs), intended_ns, time.monotonic_ns(), attrs))
        return number

    def acknowledge(self, op: int, *, l1_block: int | None = None) -> None:
        """A node took it; of a deposit, with the L1 block that holds it."""
        self._write(Acknowledgement(op, time.monotonic_ns(), l1_block))

    def ok(
        self, op: int, outcome: str, *, reason: str = "", attempts: int = 1, slot: int | None = None
    ) -> None:
        """Its durable end is known, and the slot that decided it if one did."""
        self._write(End(op, Result.OK, time.monotonic_ns(), outcome, reason, attempts, slot))

    def fail(self, op: int, reason: str, *, attempts: int = 1) -> None:
        """It certainly had no effect, and never will."""
        self._write(End(op, Result.FAIL, time.monotonic_ns(), "", reason, attempts))

    def info(self, op: int, reason: str, *, attempts: int = 1) -> None:
        """Nobody knows."""
        self._write(End(op, Result.INFO, time.monotonic_ns(), "", reason, attempts))

    def sighting(self, seen: Sighting) -> None:
        """What a node served."""
        self._write(seen)

    def close(self) -> None:
        """Close the file; safe to run twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: Line) -> None:
        """Append one line, whole.

        Raises:
            OSError: it could not be written; a piece of it may be in the file, and is told apart by the next line.
        """
        whole = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        if self._torn:
            behind = orjson.dumps(Continuation(time.monotonic_ns()), option=orjson.OPT_APPEND_NEWLINE)
            whole = b"\n" + behind + whole
        left = memoryview(whole)
        self._torn = True
        while left:  # a write that is interrupted, or finds little room, takes a part and says how much
            left = left[os.write(self._fd, left) :]
        self._torn = False


def slot_digest(slot: Mapping[str, Any]) -> str:
    """Name of everything in a slot as ``rollnet_getSlots`` serves it, decisions included; causes are nobody's business."""
    content = {key: value for key, value in slot.items() if key != "causes"}
    return hashlib.blake2b(orjson.dumps(content, option=orjson.OPT_SORT_KEYS), digest_size=16).hexdigest()


def read_history(path: Path) -> Recorded:
    """Read a history, also while it is written and after its writer was killed; a missing file is an empty history.

    Raises:
        UnreadableHistory: whole lines that are no history.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Recorded()
    raws = [raw for raw in content.split(b"\n") if raw]
    try:
        # all at once is three times as fast as line by line, and almost always enough
        return assembled(_LINES.validate_json(b"[" + b",".join(raws) + b"]"))
    except ValidationError:
        return _one_by_one(path, raws)


def _one_by_one(path: Path, raws: Sequence[bytes]) -> Recorded:
    lines: list[Line] = []
    torn = damaged = 0
    for number, raw in enumerate(raws, start=1):
        try:
            lines.append(_LINE.validate_json(raw))
        except ValidationError as exc:
            if not _is_torn(raw):
                fault = exc.errors(include_url=False)[0]
                raise UnreadableHistory(
                    f"{path}, line {number} is no line of a history: {fault['msg']}",
                    "check an undamaged run, or one that this version recorded",
                ) from exc
            torn += 1
            damaged += number < len(raws) and not _goes_on(raws[number])
    return assembled(lines, torn, damaged)


def assembled(lines: Sequence[Line], torn: int = 0, damaged: int = 0) -> Recorded:
    """Put the lines of each operation together. Pure; the first end counts, and ends of unknown operations count for nothing."""
    acknowledged: dict[int, Acknowledgement] = {}
    ends: dict[int, End] = {}
    for line in lines:
        if isinstance(line, Acknowledgement):
            acknowledged.setdefault(line.op, line)
        elif isinstance(line, End):
            ends.setdefault(line.op, line)
    operations = tuple(
        _operation(line, acknowledged.get(line.op), ends.get(line.op))
        for line in lines
        if isinstance(line, Invocation)
    )
    sightings = tuple(line for line in lines if isinstance(line, Sighting))
    return Recorded(operations, sightings, torn, damaged)


def _operation(begun: Invocation, acknowledged: Acknowledgement | None, end: End | None) -> Operation:
    ended = end or End(begun.op, Result.INFO, 0, "", "its load ended before it did")
    return Operation(
        op=begun.op,
        kind=begun.kind,
        id=begun.id,
        legs=begun.legs,
        intended_ns=begun.intended_ns,
        invoked_ns=begun.at_ns,
        acknowledged_ns=None if acknowledged is None else acknowledged.at_ns,
        ended_ns=None if end is None else end.at_ns,
        result=ended.result,
        outcome=ended.outcome,
        reason=ended.reason,
        attempts=ended.attempts,
        attrs=begun.attrs,
        slot=ended.slot,
        l1_block=None if acknowledged is None else acknowledged.l1_block,
    )


def _goes_on(raw: bytes) -> bool:
    """Whether a line was written by somebody who knew that the one before may be torn."""
    try:
        return isinstance(_LINE.validate_json(raw), Continuation)
    except ValidationError:
        return False


def _is_torn(raw: bytes) -> bool:
    """Whether a line is the beginning of one: what is whole is JSON, whoever wrote it."""
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw.startswith(b"{")
    return False
