"""Which strategies there are: read from L1's logs, each block once, and all again when blocks that were read are gone."""

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

import structlog

from bridge.relayer.attempts import trouble_of
from bridge.relayer.carried import Places, Vote, carried
from bridge.relayer.messages.sightings import Sighting
from bridge.relayer.scanner import Found, Rewound, Scanner, Watched
from bridge.relayer.store import Checkpoint
from bridge.relayer.strategies.chains import Registry, batched
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.store import Kept
from bridge.relayer.withdrawal import Passed
from bridge.wire.errors import Malformed
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex

SPAN = 2_000
"""L1 blocks that are read at once."""

log = structlog.get_logger()


class StrategyArrivals:
    """Brings the strategies that L1 opened into the queue.

    Args:
        registry: on L1.
        queue: of strategies.
    """

    def __init__(self, registry: Registry, queue: StrategyQueue) -> None:
        self._registry, self._queue = registry, queue
        self._turn = asyncio.Lock()
        self.reorganisations = 0
        """How often blocks that were read were gone."""

    async def read(self) -> None:
        """Read L1 to its head.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer.
            Malformed: it answered something else than blocks and logs.
            AbiMismatch: there is another contract at the registry's address.
        """
        async with self._turn:
            while not await self._read_on():
                pass

    async def learn(self, passed: Iterable[Passed], places: Places) -> None:
        """Note votes, and read L1 if there are some for strategies that aren't known yet; raises as :meth:`read`."""
        now = time.monotonic_ns()
        found = (carried(each.withdrawal, places) for each in passed)
        votes = [vote.strategy for vote in found if isinstance(vote, Vote)]
        for strategy in votes:
            self._queue.noticed.setdefault((strategy, places.chain_id), now)
        if any(self._queue.known(strategy) is None for strategy in votes):
            await self.read()

    async def _read_on(self) -> bool:
        """Read the next blocks; whether the head is reached."""
        last = self._queue.read
        latest, same = await self._blocks("latest", hex(last.number) if last else "0x0")
        if latest is None:
            raise Malformed("L1 has no latest block")
        if last is not None and (same is None or same.hash != last.hash):
            log.warning("strategies.read_again", block=last.number)
            self.reorganisations += 1
            self._queue.look_again()
            self._queue.found((), None)
            return False
        since = last.number + 1 if last else 0
        if since > latest.number:
            return True
        until = min(latest.number, since + SPAN)
        opened = await self._registry.opened(since, until)
        strategies = [to_hex(each.arguments["strategy"]) for each in opened]
        standings = await self._registry.look(strategies)
        (end, again) = await self._blocks(hex(until), hex(last.number) if last else "0x0")
        if end is None or again != same:
            return False  # L1 moved meanwhile
        found = [
            Kept(name, each.block, standings[name].chains)
            for name, each in zip(strategies, opened, strict=True)
            if name in standings
        ]
        self._queue.found(found, end)
        return until == latest.number

    async def _blocks(self, *numbers: str) -> list[Checkpoint | None]:
        answers = await batched(
            self._registry.client, [("eth_getBlockByNumber", [number, False]) for number in numbers]
        )
        return [_checkpoint(answer) for answer in answers]


class LearningScanner(Scanner[Passed | Sighting]):
    """Reads a rollup, and L1 beside it where a vote is for a strategy that isn't known yet: the journal is told whose leg it is.

    Args:
        client: the rollup's public RPC.
        watched: which logs are read.
        checkpoints: how far the last life came, oldest first.
        strategies: on L1.
        places: where the rollup's withdrawals go on L1.
    """

    def __init__(
        self,
        client: Client,
        watched: Watched[Passed | Sighting],
        checkpoints: Sequence[Checkpoint],
        strategies: StrategyArrivals,
        places: Places,
    ) -> None:
        super().__init__(client, watched, checkpoints)
        self._strategies, self._places = strategies, places

    async def look(self) -> Found[Passed | Sighting] | Rewound | None:
        """As of any scanner; without L1 the rollup is read all the same."""
        found = await super().look()
        if isinstance(found, Found):
            passed = [each for each in found.things if isinstance(each, Passed)]
            await trouble_of(self._strategies.learn(passed, self._places))
        return found


def _checkpoint(answer: Any) -> Checkpoint | None:
    if answer is None:
        return None
    try:
        return Checkpoint(int(answer["number"], 16), str(answer["hash"]))
    except (TypeError, KeyError, ValueError) as exc:
        raise Malformed(f"L1 answered something that is no block: {exc!r}") from exc
