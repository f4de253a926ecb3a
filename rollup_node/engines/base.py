"""The engine seam: what a rollup node needs of whatever executes its blocks.

An engine holds a chain of blocks, adds one on demand from exact inputs, and can undo the last one. It decides nothing: order,
timestamp and base fee are given, so equal inputs give equal blocks on every machine. It takes whatever L1 may hold: a
transaction that cannot be one is ``invalid``, never an error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from bridge.wire.atomic import Status


@dataclass(frozen=True, slots=True)
class Header:
    """What consensus needs to know of a block."""

    number: int
    hash: str
    parent: str
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei per gas."""
    gas_used: int
    gas_limit: int
    state_root: str


@dataclass(frozen=True, slots=True)
class BlockInput:
    """Everything that determines a block."""

    parent: Header
    timestamp: int
    """Unix seconds, not before the parent's."""
    base_fee: int
    """Wei per gas."""
    transactions: Sequence[bytes]
    """Raw, in the order of execution."""


@dataclass(frozen=True, slots=True)
class TransactionResult:
    """How one transaction of a block fared."""

    hash: str
    status: Status
    """``success``, ``failed`` (included, reverted), ``invalid`` or ``gap`` (not included)."""
    reason: str = ""
    data: str = "0x"
    """Revert data, where asked for."""


@dataclass(frozen=True, slots=True)
class ExecutedBlock:
    """The result of one execution; ``results`` follow the order of the input."""

    header: Header
    results: tuple[TransactionResult, ...]


class Engine(Protocol):
    """An execution engine of one rollup."""

    async def start(self) -> Header:
        """Start from genesis and return its header.

        Raises:
            EngineFailed: it does not come up.
        """

    async def stop(self) -> None:
        """End the engine; safe to run twice."""

    async def head(self) -> Header:
        """The last block, staged ones included."""

    async def header(self, number: int) -> Header | None:
        """Of a block up to the head; None if there is none, or none that is known any more."""

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """Add one block.

        Raises:
            EngineFailed: the engine's state is unknown afterwards; :meth:`rewind` or restart it.
        """

    async def rewind(self, number: int) -> None:
        """Undo every block after ``number`` and forget pending transactions.

        Raises:
            EngineFailed: it is behind that block, or cannot go back that far (not beyond a restored checkpoint).
        """

    async def explain(self, transaction: str) -> tuple[str, str]:
        """Reason and revert data of a failed transaction of the last block."""

    async def checkpoint(self, path: Path) -> None:
        """Write the whole state to ``path``."""

    async def restore(self, path: Path) -> Header:
        """Continue from a checkpoint on a freshly started engine."""

    async def learn(self, blocks: Mapping[int, Sequence[bytes]]) -> None:
        """Catch up on what :meth:`execute` would have learned of blocks (transactions by number) that came with a checkpoint."""

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """Answer a read; raises ``RpcError`` as the engine says."""
