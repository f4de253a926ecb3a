"""Which engine a rollup has: what its topology says, made ready for whoever runs it (a node, the verifier, a test)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rollup_node.engines.base import Engine
from rollup_node.engines.evm import EvmEngine
from rollup_node.feeds import Messages


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


def reads_of(kind: str) -> Mapping[str, int]:
    """Reads that a kind of engine answers beside Ethereum's, each with the position of the block among its parameters."""
    if kind == "options":
        from rollup_node.engines.options.reads.methods import BLOCK_PLACES  # noqa: PLC0415 - as above

        return BLOCK_PLACES
    return {}


def feeds_of(kind: str) -> Messages | None:
    """What a kind of engine's feeds send of a view, given the one before; None if it has no feeds."""
    if kind == "options":
        from rollup_node.engines.options.reads.feeds import messages  # noqa: PLC0415 - as above

        return messages
    return None


def discovery_of(kind: str) -> Mapping[str, Callable[..., Awaitable[Any]]]:
    """``rpc.discover``, where a kind of engine has an OpenRPC document."""
    if kind == "options":
        from rollup_node.engines.options.reads.openrpc import document  # noqa: PLC0415 - as above

        async def discover() -> Any:
            return document()

        return {"rpc.discover": discover}
    return {}
