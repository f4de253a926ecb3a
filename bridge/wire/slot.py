"""Slots: what the sequencer decides and every rollup node can replay.

::

    Payload   what one rollup executes in one slot         (input of staging)
    Block     a payload with its place and its result      (output of staging)
    Decision  what became of one bundle or transaction
    Slot      term, parent, blocks, decisions, bundles     (one write-ahead-log record)

Everything is JSON by ``orjson`` with 0x-hex strings; :func:`slot_hash` covers what goes to L1.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import orjson

from bridge.wire import rlp
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.system import close_guard, open_guard

Outcome = Literal["commit", "abort", "expire", "include", "drop"]
"""``commit``/``abort``/``expire`` end a bundle; ``include``/``drop``/``expire`` end a single transaction."""


@dataclass(frozen=True, slots=True)
class BundlePart:
    """The legs of one bundle on one rollup."""

    bundle: str
    """Bundle hash."""
    legs: tuple[int, ...]
    """Their indexes in the bundle."""
    transactions: tuple[str, ...]
    """Their raw transactions, in the same order."""


@dataclass(frozen=True, slots=True)
class BundleTerms:
    """What the name of a bundle binds beside its legs: with it, whoever has the legs can tell whether they are all (``wholeness``)."""

    bundle: str
    """Bundle hash."""
    max_timestamp: int
    """Unix seconds."""
    salt: str
    """0x-hex, 32 bytes."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The L1 block that an L2 block belongs to: its epoch."""

    number: int
    hash: str


NO_ORIGIN = Origin(0, "0x" + "00" * 32)
"""Of blocks that no L1 stands behind: those of an engine tried alone."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What one rollup executes in one slot: deposits first, then transactions, then bundles in global order."""

    timestamp: int
    """Unix seconds."""
    transactions: tuple[str, ...]
    bundles: tuple[BundlePart, ...]
    origin: Origin = NO_ORIGIN
    sequence: int = 0
    """Blocks of the same epoch before this one."""
    deposits: tuple[str, ...] = ()
    """What follows from the origin: the L1-attributes transaction and, in the epoch's first block, its user deposits. Not on L1 again."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Payload":
        """Inverse of ``orjson.dumps``."""
        parts = (BundlePart(p["bundle"], tuple(p["legs"]), tuple(p["transactions"])) for p in data["bundles"])
        return cls(
            data["timestamp"],
            tuple(data["transactions"]),
            tuple(parts),
            Origin(**data["origin"]),
            data["sequence"],
            tuple(data["deposits"]),
        )


@dataclass(frozen=True, slots=True)
class Block:
    """A payload with its place in its rollup's chain and the result that staging gave."""

    chain_id: int
    number: int
    hash: str
    state_root: str
    payload: Payload

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Block":
        """Inverse of ``orjson.dumps``."""
        return cls(**{**data, "payload": Payload.from_json(data["payload"])})


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of one bundle or single transaction, with the reason where it did not take effect."""

    id: str
    """Bundle or transaction hash."""
    outcome: Outcome
    leg: int | None = None
    """Index of the leg that failed."""
    chain_id: int | None = None
    """Where it failed, or where a single transaction belongs."""
    reason: str = ""
    data: str = "0x"
    """Revert data of the failing leg."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One decided slot of a sequencing set."""

    term: int
    """Which life of the sequencer decided it; never goes back."""
    number: int
    parent: str
    """Hash of the slot before, zero for the first."""
    timestamp: int
    """Unix seconds."""
    blocks: tuple[Block, ...]
    """By chain id, ascending; rollups without work have none."""
    decisions: tuple[Decision, ...]
    causes: Mapping[str, str]
    """Journal event id of each decision, by bundle or transaction hash."""
    bundles: tuple[BundleTerms, ...] = ()
    """Every bundle that takes effect in this slot, in global order: each rollup runs its parts in this order."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Slot":
        """Inverse of ``orjson.dumps``."""
        return cls(
            **{
                **data,
                "blocks": tuple(map(Block.from_json, data["blocks"])),
                "decisions": tuple(Decision(**d) for d in data["decisions"]),
                "bundles": tuple(BundleTerms(**terms) for terms in data["bundles"]),
            }
        )


GENESIS_PARENT = "0x" + "00" * 32
"""Parent of the first slot."""


def slot_items(slot: Slot) -> list[Any]:
    """The part of a slot that derivation needs, as an RLP structure; this is what L1 holds."""
    return [
        slot.term,
        slot.number,
        from_hex(slot.parent, 32),
        slot.timestamp,
        [
            [
                block.chain_id,
                block.number,
                from_hex(block.hash, 32),
                from_hex(block.state_root, 32),
                [block.payload.origin.number, from_hex(block.payload.origin.hash, 32)],
                [from_hex(raw) for raw in block.payload.transactions],
                [
                    [from_hex(part.bundle, 32), list(part.legs), [from_hex(raw) for raw in part.transactions]]
                    for part in block.payload.bundles
                ],
            ]
            for block in slot.blocks
        ],
        [
            [from_hex(terms.bundle, 32), terms.max_timestamp, from_hex(terms.salt, 32)]
            for terms in slot.bundles
        ],
    ]


def slot_from_items(item: rlp.Item) -> Slot:
    """Inverse of :func:`slot_items`; decisions and causes are not on L1, and what follows from an origin is filled in by derivation.

    Raises:
        Malformed: the structure is not a slot.
    """
    term, number, parent, timestamp, blocks, bundles = rlp.items(item, 6)
    seconds = rlp.uint64(timestamp)
    return Slot(
        rlp.uint64(term),
        rlp.uint64(number),
        to_hex(rlp.string(parent, (32,))),
        seconds,
        tuple(_block_from_items(block, seconds) for block in rlp.items(blocks)),
        (),
        {},
        tuple(map(_terms_from_items, rlp.items(bundles))),
    )


def slot_hash(slot: Slot) -> str:
    """Name of a slot: keccak of its RLP."""
    return to_hex(keccak256(rlp.encode(slot_items(slot))))


def payload_digest(payload: Payload) -> str:
    """Name of a payload: what is in it, not what came of it."""
    return hashlib.blake2b(orjson.dumps(payload), digest_size=16).hexdigest()


def without(payload: Payload, bundles: Collection[str]) -> Payload:
    """The payload as if some bundles had never been in it."""
    if not bundles:
        return payload
    return replace(payload, bundles=tuple(part for part in payload.bundles if part.bundle not in bundles))


def block_transactions(payload: Payload, number: int) -> list[bytes]:
    """Everything a rollup executes in block ``number``, system transactions included: the builder's and the verifier's rule."""
    transactions = [from_hex(raw) for raw in (*payload.deposits, *payload.transactions)]
    for index, part in enumerate(payload.bundles):
        transactions.append(open_guard(number, index, from_hex(part.bundle, 32)))
        transactions += [from_hex(raw) for raw in part.transactions]
    if payload.bundles:
        transactions.append(close_guard(number, len(payload.bundles)))
    return transactions


def _block_from_items(item: rlp.Item, timestamp: int) -> Block:
    chain_id, number, digest, root, origin, transactions, parts = rlp.items(item, 7)
    l1_number, l1_hash = rlp.items(origin, 2)
    return Block(
        rlp.uint64(chain_id),
        rlp.uint64(number),
        to_hex(rlp.string(digest, (32,))),
        to_hex(rlp.string(root, (32,))),
        Payload(
            timestamp,
            tuple(to_hex(rlp.string(raw)) for raw in rlp.items(transactions)),
            tuple(_part_from_items(part) for part in rlp.items(parts)),
            Origin(rlp.uint64(l1_number), to_hex(rlp.string(l1_hash, (32,)))),
        ),
    )


def _part_from_items(item: rlp.Item) -> BundlePart:
    bundle, legs, transactions = rlp.items(item, 3)
    return BundlePart(
        to_hex(rlp.string(bundle, (32,))),
        tuple(map(rlp.uint64, rlp.items(legs))),
        tuple(to_hex(rlp.string(raw)) for raw in rlp.items(transactions)),
    )


def _terms_from_items(item: rlp.Item) -> BundleTerms:
    bundle, max_timestamp, salt = rlp.items(item, 3)
    return BundleTerms(
        to_hex(rlp.string(bundle, (32,))), rlp.bounded(max_timestamp, 256), to_hex(rlp.string(salt, (32,)))
    )
