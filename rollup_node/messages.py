"""What the sequencer asks of a rollup node, decoded: a block to execute behind the gate, and its word on what was decided."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.wire.slot import Block, Payload


@dataclass(frozen=True, slots=True)
class StageRequest:
    """The sequencer asks for a block above the gate."""

    term: int
    slot: int
    attempt: int
    """Round within the slot, from 0."""
    parent: str
    """Hash of the committed head that the block builds on."""
    payload: Payload
    causes: Mapping[str, str]
    """Journal event of each bundle or transaction, by hash."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "StageRequest":
        """Decode the message."""
        return cls(**{**data, "payload": Payload.from_json(data["payload"])})


@dataclass(frozen=True, slots=True)
class Commit:
    """The sequencer's word on one slot, as far as it concerns one rollup."""

    term: int
    slot: int
    block: Block | None
    parent: str | None
    """Hash of the block before it, where a slot decided that."""
    aborted: tuple[tuple[str, tuple[int, ...]], ...]
    """Aborted bundles with their legs on this rollup."""
    causes: Mapping[str, str]
    """Journal event of each decision, by bundle or transaction hash."""

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Commit":
        """Decode the message."""
        return cls(
            data["term"],
            data["slot"],
            Block.from_json(data["block"]) if data["block"] is not None else None,
            data.get("parent"),
            tuple((bundle, tuple(legs)) for bundle, legs in data["aborted"]),
            data["causes"],
        )
