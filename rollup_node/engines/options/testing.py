"""For tests of the engine: a desk whose blocks an engine executes as well, and a genesis file for both."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import orjson

from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import to_hex
from rollup_node.engines.base import BlockInput, Engine, ExecutedBlock, Header
from rollup_node.engines.options.engine import OptionsEngine
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.testing import START, Desk, address


def genesis_bytes(desk: Desk, **changes: object) -> bytes:
    """The genesis of a desk's rollup, as a file."""
    said = asdict(desk.parameters)
    markets, ends = said.pop("markets"), said.pop("l1")
    peers = said.pop("peers")
    for market in markets.values():
        market["symbol"] = market["symbol"].rstrip(b"\0").decode()
    document = {
        "chainId": said.pop("chain_id"),
        "timestamp": START,
        "markets": {str(number): market for number, market in markets.items()},
        "peers": {str(number): to_hex(portal) for number, portal in peers.items()},
        "l1": {name: to_hex(one) for name, one in ends.items()},
        "parameters": said,
        "signers": [to_hex(address(name)) for name in desk.signers],
    }
    return orjson.dumps(document | changes)


@contextlib.asynccontextmanager
async def options_engine(folder: Path, desk: Desk | None = None) -> AsyncIterator[OptionsEngine]:
    """An engine, not started, that ends with the block.

    Args:
        folder: for its files; what an earlier one left there is found.
        desk: whose rollup it is; an ordinary one by default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "genesis.json"
    path.write_bytes(genesis_bytes(desk or Desk()))
    running = OptionsEngine(path, folder / "engine")
    try:
        yield running
    finally:
        await running.stop()


def input_on(parent: Header, transactions: tuple[bytes, ...], seconds: int = 1) -> BlockInput:
    """The next block with these transactions."""
    fee = next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)
    return BlockInput(parent, parent.timestamp + seconds, fee, transactions)


class Both:
    """A desk and an engine in step: what one executes, the other does, with one root.

    Args:
        desk: says what is sent, and knows what must come of it.
        engine: running.
    """

    def __init__(self, desk: Desk, engine: Engine) -> None:
        self.desk, self.engine = desk, engine
        self.made: list[ExecutedBlock] = []
        """By the engine."""
        self.expected: list[Executed] = []
        """By the desk."""

    async def catch_up(self) -> Header:
        """Execute what the desk is ahead; the engine's head."""
        head = await self.engine.head()
        for content in self.desk.history[head.number :]:
            block = BlockInput(head, content.timestamp, content.base_fee, content.transactions)
            self.made.append(await self.engine.execute(block))
            head = self.made[-1].header
        assert to_hex(self.desk.world.root()) == head.state_root
        return head
