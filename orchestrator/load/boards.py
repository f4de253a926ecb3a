"""What the markets of a devnet offer, as a load knows it: read now and then, so that making a strategy asks nobody."""

import asyncio
import contextlib
from collections.abc import Mapping

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle, ChainReads
from orchestrator.errors import RollnetError
from orchestrator.market.board import Board, board_call, decode_board
from orchestrator.strategies.reading import read_board
from orchestrator.strategies.sampling import LARGEST_LEG
from orchestrator.topology.plan import Plan, RollupPlan

EVERY_S = 5.0
"""Between two looks, seconds."""


class Boards:
    """The boards of all rollups.

    Args:
        plan: of the devnet; it has a market where this is asked.
        rollups: how to reach them.
    """

    def __init__(self, plan: Plan, rollups: Mapping[str, ChainHandle]) -> None:
        self._plan, self._rollups, self._reads = plan, rollups, ChainReads(rollups)
        self.known: Mapping[str, Board] = {}
        """By rollup."""

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.refresh()

    async def refresh(self) -> bool:
        """Look once; whether all rollups offer something. What one offers that does not answer stays as it was."""
        fresh = dict(self.known)
        for rollup in self._plan.rollups:
            with contextlib.suppress(PeerUnreachable, RpcError, RollnetError):
                board = await self._board(rollup)
                if board.rows:
                    fresh[rollup.name] = board
        self.known = fresh
        return len(fresh) == len(self._plan.rollups)

    async def _board(self, rollup: RollupPlan) -> Board:
        maker, market = self._plan.role("maker").address, self._plan.market
        assert market is not None, "only a load of strategies asks"
        if rollup.options is not None:
            return await read_board(self._reads, rollup, maker, market.underlying, LARGEST_LEG)
        call = {"to": OPTIONS_MARKET, "data": to_hex(board_call(maker))}
        answer = await self._rollups[rollup.name].client.call("eth_call", call, "latest")
        return await asyncio.to_thread(decode_board, from_hex(answer))
