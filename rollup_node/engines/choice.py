"""Which engine a rollup has: what its topology says, made ready for whoever runs it (a node, the verifier, a test)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rollup_node.engines.base import Engine
from rollup_node.engines.evm import EvmEngine


class OwnedEngine(Engine, Protocol):
    """An engine as its owner sees it."""

    async def ended(self) -> int:
        """Wait until it ends without having been told to; its exit code."""


@dataclass(frozen=True, slots=True)
class AnvilPlace:
    """What an EVM engine needs beside its genesis."""

    binary: str
    port: int
    """On loopback."""
    chain_id: int
    gas_limit: int


def open_engine(kind: str, genesis: Path, folder: Path, anvil: AnvilPlace) -> OwnedEngine:
    """An engine, not started.

    Args:
        kind: ``evm`` or ``options``.
        genesis: its file.
        folder: for what it keeps.
        anvil: for the kind that runs one.
    """
    if kind == "options":
        # only here: what it stands on (numpy) would make nodes of EVM rollups start later
        from rollup_node.engines.options.engine import OptionsEngine  # noqa: PLC0415

        return OptionsEngine(genesis, folder / "options")
    return EvmEngine(
        anvil.binary,
        port=anvil.port,
        chain_id=anvil.chain_id,
        gas_limit=anvil.gas_limit,
        genesis=genesis,
        cache=folder / "states",
    )
