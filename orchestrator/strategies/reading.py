"""What a strategy has to know of rollups before it is signed: boards, nonces, and accounts on options rollups."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from bridge.contracts.addresses import OPTIONS_MARKET
from orchestrator.market.board import Board, board_call, decode_board
from orchestrator.market.options_board import read_options_board
from orchestrator.strategies.errors import ResolutionError
from orchestrator.topology.plan import RollupPlan


class ChainAccess(Protocol):
    """How a strategy reads rollups; whoever has their endpoints implements it."""

    async def nonce(self, rollup: str, address: str) -> int:
        """Next nonce of an account, transactions that wait included."""

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """What a read-only call returns in the latest state."""

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """The answer to a method of the rollup's own, such as those of options rollups."""


@dataclass(frozen=True, slots=True)
class Seat:
    """An account of an options rollup, as its owner signs for it."""

    account: int
    """Its number."""
    ahead: int = 0
    """By how much the numbers of its actions are ahead of its owner's transactions."""

    def action_nonce(self, nonce: int) -> int:
        """The number of the action that goes with a transaction of its owner: higher than all before it."""
        return nonce + 1 + self.ahead


async def read_board(
    access: ChainAccess, rollup: RollupPlan, maker: str, underlying: str, quantity: int
) -> Board:
    """What a rollup's market offers: on an EVM rollup the maker's quotes, on an options rollup its own for a quantity (1e-4 units).

    Raises:
        VenueError: an EVM rollup has no market contract.
    """
    if rollup.options is None:
        return decode_board(await access.call(rollup.name, OPTIONS_MARKET, board_call(maker)))
    return await read_options_board(partial(access.ask, rollup.name), underlying, quantity)


async def read_seat(access: ChainAccess, rollup: RollupPlan, address: str) -> Seat | None:
    """The account of an address on an options rollup; None on an EVM rollup.

    Raises:
        ResolutionError: it has none there.
    """
    if rollup.options is None:
        return None
    block = await access.ask(rollup.name, "eth_blockNumber")  # both numbers as of one block
    owned = await access.ask(rollup.name, "options_getAccounts", address, block)
    if not owned["accounts"]:
        raise ResolutionError(
            f"{address} has no account on {rollup.name}",
            "an options rollup opens one with the first cash that comes: `rollnet bridge deposit`, or trade as a funded user",
        )
    first = owned["accounts"][0]
    found = await access.ask(rollup.name, "options_getAccount", first, block)
    return Seat(first, max(0, found["nonce"] - owned["nonce"]))


@dataclass(frozen=True, slots=True)
class Known:
    """What was read of the rollups, by name."""

    boards: Mapping[str, Board]
    nonces: Mapping[str, int]
    seats: Mapping[str, Seat]
    """Of options rollups."""


async def read_rollups(
    access: ChainAccess,
    places: Sequence[RollupPlan],
    underlying: str,
    wanted: Mapping[str, int],
    maker: str,
    sender: str,
) -> Known:
    """Read all rollups of a strategy at once.

    Args:
        access: reads them.
        places: the rollup of each leg.
        underlying: symbol.
        wanted: the largest leg on each rollup, 1e-4 units.
        maker: whose quotes count on EVM rollups.
        sender: who trades.

    Raises:
        ResolutionError: the sender has no account on an options rollup.
        VenueError: an EVM rollup has no market contract.
    """
    rollups = {rollup.name: rollup for rollup in sorted(places, key=lambda one: one.name)}
    try:
        async with asyncio.TaskGroup() as group:
            boards = {
                name: group.create_task(read_board(access, rollup, maker, underlying, wanted[name]))
                for name, rollup in rollups.items()
            }
            nonces = {name: group.create_task(access.nonce(name, sender)) for name in rollups}
            seats = {
                name: group.create_task(read_seat(access, rollup, sender)) for name, rollup in rollups.items()
            }
    except ExceptionGroup as group_error:
        raise group_error.exceptions[0] from group_error  # one reason is enough to act on
    return Known(
        {name: task.result() for name, task in boards.items()},
        {name: task.result() for name, task in nonces.items()},
        {name: seat for name, task in seats.items() if (seat := task.result()) is not None},
    )
