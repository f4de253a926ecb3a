"""Following the sequencer's log: how a node that missed slots gets them again.

Woken at boot, whenever a decision does not fit the head, and every few seconds in case a wake-up was lost together with the
sequencer that sent it.
"""

import asyncio

import structlog

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from rollup_node.chain import Chain
from rollup_node.errors import NotNext
from rollup_node.messages import Commit

PAGE = 200
"""Blocks asked for at once."""
IDLE_SECONDS = 2.0
"""Longest time between two looks at the log."""

log = structlog.get_logger()


class Following:
    """Keeps a chain up to the sequencer's log."""

    def __init__(self, chain: Chain, sequencer: Client, chain_id: int) -> None:
        self._chain, self._sequencer, self._chain_id = chain, sequencer, chain_id
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look at the log soon."""
        self._wake.set()

    async def run(self) -> None:
        """Follow for ever.

        Raises:
            EngineFailed: the engine is gone.
        """
        while True:
            try:
                await self.catch_up()
            except PeerUnreachable:
                pass  # the sequencer is down: this node serves what it has
            except (RpcError, NotNext) as exc:
                log.warning("following.refused", error=str(exc))
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def catch_up(self) -> int:
        """Apply every decided block that this node misses; returns how many."""
        applied = 0
        while True:
            page = await self._sequencer.call(
                "rollnet_getBlocks", self._chain_id, self._chain.gate.number + 1, PAGE
            )
            for message in page:
                await self._chain.commit(Commit.from_json(message), recovered=True)
                applied += 1
            if len(page) < PAGE:
                return applied
