"""Accounts that a load signs with, each with its nonces kept here: nobody is asked for a nonce before a send.

A *lane* is an account on some chains, used by one operation at a time: the next operation's nonces are known as soon as the one before has an
end. An operation whose end is unknown leaves its lane *unsure*: its nonces may be taken or free, so the chain is asked
before the lane is used again. An operation that waits for a lane waits on its client's side; its latency counts from the intended time
all the same.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field

from orchestrator.strategies.reading import Seat
from orchestrator.topology.plan import Account

LEAST_USERS = 3
"""One for bundles, one for single transactions, one for deposits."""


@dataclass(slots=True)
class Lane:
    """One account on some chains."""

    account: Account
    chains: tuple[str, ...]
    """Rollups, or ``l1``."""
    nonces: dict[str, int] = field(default_factory=dict)
    """The next nonce on each chain; one that is not known is missing."""
    seats: dict[str, Seat] = field(default_factory=dict)
    """Its accounts on options rollups."""

    @property
    def unsure(self) -> tuple[str, ...]:
        """Chains whose next nonce has to be asked for."""
        return tuple(chain for chain in self.chains if chain not in self.nonces)

    def doubt(self) -> None:
        """Whatever was sent may have taken its nonces, or not."""
        self.nonces.clear()

    def taken(self, chains: Iterable[str]) -> None:
        """Transactions on these chains, one for each time that a chain is named, are in blocks."""
        for chain in chains:
            if chain in self.nonces:
                self.nonces[chain] += 1


class Lanes:
    """A pool of lanes, used in turn: whoever asked first gets the one that was given back first.

    Args:
        lanes: all of them.
    """

    def __init__(self, lanes: Iterable[Lane]) -> None:
        self._free: asyncio.Queue[Lane] = asyncio.Queue()
        for lane in lanes:
            self._free.put_nowait(lane)

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Lane]:
        """A lane of one's own."""
        lane = await self._free.get()
        try:
            yield lane
        finally:
            self._free.put_nowait(lane)


@dataclass(frozen=True, slots=True)
class Split:
    """Which users do what. Those who deposit do nothing else: a deposit takes a nonce of its sender on the rollup as well."""

    bundles: tuple[Account, ...]
    singles: tuple[Account, ...]
    deposits: tuple[Account, ...]


def split_users(users: Sequence[Account]) -> Split:
    """A fifth of the users sends single transactions and a tenth deposits, at least one each; the others send bundles. Pure.

    Raises:
        ValueError: there are not three.
    """
    if len(users) < LEAST_USERS:
        raise ValueError(f"a load needs {LEAST_USERS} users at least, and the topology has {len(users)}")
    singles, deposits = max(1, len(users) // 5), max(1, len(users) // 10)
    first, second = len(users) - singles - deposits, len(users) - deposits
    return Split(tuple(users[:first]), tuple(users[first:second]), tuple(users[second:]))
