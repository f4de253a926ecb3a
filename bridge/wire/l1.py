"""What rollups read from L1: its blocks, reduced to what derivation needs.

::

    L1 chain ─► bridge.l1.follower ─► L1Block ─► bridge.wire.derivation (which blocks follow) and sequencer (which deposits to include)
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class L1Info:
    """Header of an L1 block, as far as rollups are told of it."""

    number: int
    hash: str
    parent: str
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei per gas."""
    blob_base_fee: int
    """Wei per blob gas."""


@dataclass(frozen=True, slots=True)
class BatchTransaction:
    """A transaction to a batch inbox; anybody can send one."""

    hash: str
    sender: str
    """Lower-case address."""
    inbox: str
    """Lower-case address."""
    data: bytes
    """Calldata, or what its blobs hold."""


@dataclass(frozen=True, slots=True)
class Rewound:
    """L1 was reorganised: blocks after ``number`` are no longer on its chain."""

    number: int


@dataclass(frozen=True, slots=True)
class L1Block:
    """One L1 block."""

    info: L1Info
    deposits: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Raw deposit transactions (type 0x7E, hexadecimal) by lower-case portal address, in the order of their logs."""
    batches: tuple[BatchTransaction, ...] = ()
    """In the order of the block; failed ones are left out."""


class L1Changes(Protocol):
    """Where L1 blocks come from (``bridge.l1.follower``)."""

    @property
    def finalized(self) -> int:
        """Number of the last finalized L1 block."""
        ...

    def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """Blocks in order, and returns to earlier ones."""
