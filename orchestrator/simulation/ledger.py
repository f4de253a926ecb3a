"""The sequencer's log as a stranger reads it: only what is durable, by nothing but the description of the format.

It is the yardstick of the checkers, so it shares no code with ``shared_sequencer.wal`` and ``shared_sequencer.recovery``.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import orjson

from bridge.wire.bundle import decode_bundle
from bridge.wire.transaction import decode_transaction
from orchestrator.simulation.accounts import transaction_hash

Account = tuple[int, bytes]


@dataclass(slots=True)
class Entry:
    """An item of the log."""

    kind: str
    raws: tuple[bytes, ...]
    order: int
    """Of admission."""
    max_timestamp: int
    outcome: str | None = None
    """None while it waits."""
    slot: int | None = None
    """That decided it."""


@dataclass(slots=True)
class Ledger:
    """What is durable."""

    items: dict[str, Entry] = field(default_factory=dict)
    slots: list[dict[str, Any]] = field(default_factory=list)
    forced: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """Blocks that L1 forced, each with the number of slots before it."""
    decided: set[str] = field(default_factory=set)
    """Hashes of the transactions of every slot that ever was durable."""
    blocks: set[str] = field(default_factory=set)
    """Hashes of the blocks of every slot that ever was durable."""
    history: list[tuple[float, str]] = field(default_factory=list)
    """For people: when what became durable."""
    cuts: int = 0
    problems: list[str] = field(default_factory=list)
    """Where the log contradicts itself, or tears a bundle."""
    _read: int = 0
    _admissions: int = 0

    def read(self, content: bytes | bytearray, now: float) -> None:
        """Bytes have become durable; whole records that are new are taken in."""
        while self._read + 8 <= len(content):
            length, checksum = struct.unpack_from("<II", content, self._read)
            body = bytes(content[self._read + 8 : self._read + 8 + length])
            if len(body) < length or zlib.crc32(body) != checksum:
                break
            self._read += 8 + length
            self._take(orjson.loads(body), now)

    def _take(self, record: dict[str, Any], now: float) -> None:
        kind = record["kind"]
        match kind:
            case "bundle" | "transaction":
                self._admit(record, now)
            case "slot":
                self.history.append((now, f"slot {record['slot']['number']} is durable"))
                self._add(record["slot"])
            case "end":
                self._end(record["id"], "expire", None)
                self.history.append((now, f"{record['id'][:10]} expires"))
            case "forced":
                self.forced.append((len(self.slots), record["block"]))
            case "cut":
                self._back(record["slots"])
                self.forced = self.forced[: record["forced"]]
                self.history.append((now, f"the log is cut to {record['slots']} slots"))
            case "restore":
                self._back(record["slots"])
                self.forced = [self.forced[place] for place in record["forced"]]
                for slot in record["restored"]:
                    for decision in slot["decisions"]:
                        self.items[decision["id"]].outcome = None
                    self._add(slot)
                self.history.append((now, f"the log is restored to {len(self.slots)} slots"))
            case "term":
                self.history.append((now, f"term {record['term']} begins"))

    def _admit(self, record: dict[str, Any], now: float) -> None:
        raws = tuple(bytes.fromhex(raw[2:]) for raw in record["raws"])
        key = identity(record, raws)
        known = self.items.get(key)
        if known is not None and known.outcome is None:
            return
        if known is not None and (known.outcome not in ("drop", "expire") or known.kind == "bundle"):
            self.problems.append(f"{key[:10]} was admitted again after it had ended: {known.outcome}")
        self.items[key] = Entry(record["kind"], raws, self._admissions, record["max_timestamp"])
        self._admissions += 1
        self.history.append((now, f"{record['kind']} {key[:10]} is durable"))

    def _end(self, key: str, outcome: str, slot: int | None) -> None:
        item = self.items.get(key)
        if item is None:
            self.problems.append(f"{key[:10]} ends, but it was never admitted")
        elif item.outcome is not None:
            self.problems.append(f"{key[:10]} ends twice: {item.outcome} and {outcome}")
        else:
            item.outcome, item.slot = outcome, slot

    def _add(self, slot: dict[str, Any]) -> None:
        if slot["number"] != len(self.slots):
            self.problems.append(f"slot {slot['number']} in the place of {len(self.slots)}")
        self.slots.append(slot)
        held: dict[str, set[bytes]] = {}
        for block in slot["blocks"]:
            self.blocks.add(block["hash"])
            payload = block["payload"]
            for raw in payload["transactions"]:
                self.decided.add(transaction_hash(bytes.fromhex(raw[2:])))
            for part in payload["bundles"]:
                raws = {bytes.fromhex(raw[2:]) for raw in part["transactions"]}
                self.decided.update(map(transaction_hash, raws))
                held.setdefault(part["bundle"], set()).update(raws)
        for decision in slot["decisions"]:
            self._end(decision["id"], decision["outcome"], slot["number"])
        committed = {d["id"] for d in slot["decisions"] if d["outcome"] == "commit"}
        for bundle in sorted(committed | held.keys()):
            item = self.items.get(bundle)
            whole = set(item.raws) if item is not None else set()
            if bundle not in committed or held.get(bundle, set()) != whole:
                self.problems.append(f"slot {slot['number']} holds a part of bundle {bundle[:10]}")

    def _back(self, count: int) -> None:
        self.cuts += 1
        for item in self.items.values():
            if item.slot is not None and item.slot >= count:
                item.outcome = item.slot = None
        del self.slots[count:]


def identity(record: dict[str, Any], raws: tuple[bytes, ...]) -> str:
    """Name of an item of the log."""
    if record["kind"] == "transaction":
        return "0x" + decode_transaction(raws[0]).hash.hex()
    return bundle_name(raws, record["max_timestamp"], bytes.fromhex(record["salt"][2:]))


_NAMES: dict[tuple[tuple[bytes, ...], int, bytes], str] = {}


def bundle_name(raws: tuple[bytes, ...], max_timestamp: int, salt: bytes) -> str:
    """Hash of a bundle."""
    key = (raws, max_timestamp, salt)
    if key not in _NAMES:
        _NAMES[key] = "0x" + decode_bundle(raws, max_timestamp, salt).hash.hex()
    return _NAMES[key]
