"""Stand-in for tests: a sequencing set on an L1 that may change its mind, with whatever life of its sequencer is the present one."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from bridge.wire.slot import Slot
from bridge.wire.testing import Op, run_virtual, signed
from shared_sequencer import sequencer as module
from shared_sequencer.mempool import Item
from shared_sequencer.recovery import recover
from shared_sequencer.testing import MemoryLog, ToySet, bundle_item, transaction_item
from shared_sequencer.testing_l1 import portal
from shared_sequencer.testing_life import Life, effects, hashes

CHAINS = (901, 902)
WINDOW = 6
"""Sequencing window, L1 blocks."""


class Crash(Exception):  # noqa: N818 - what happens, not an error of anybody's
    """The sequencer dies here."""


class World:
    """A sequencing set on its L1, with whatever life of its sequencer is the present one."""

    def __init__(self, confirmations: int = 0) -> None:
        self.clock = SimpleNamespace(now=1_000.0)
        self.clock.time = self.clock.monotonic = lambda: self.clock.now
        self.toys, self.log = ToySet(CHAINS, WINDOW), MemoryLog()
        self.confirmations = confirmations
        self.admitted: list[Item] = []
        self.life: Life

    def run(self, main: Callable[["World"], Coroutine[Any, Any, None]]) -> None:
        """Live through a test in virtual time."""

        async def lived() -> None:
            self.life = await Life(self.log, self.toys, confirmations=self.confirmations).begin()
            await main(self)

        with patch.object(module, "time", self.clock):
            run_virtual(lived())

    async def admit(self, item: Item) -> Item:
        """Acknowledge an item."""
        await self.life.admit(item)
        self.admitted.append(item)
        return item

    async def slot(self) -> Slot | None:
        """Try to make a slot, as the loop does."""
        await self.life.greet()
        async with self.life.slots.deciding:
            return await self.life.sequencer.slot()

    async def look(self, *, nodes: bool = True) -> None:
        """The sequencer reads L1, and so do the nodes."""
        self.life = await self.life.look()
        if nodes:
            self.toys.look_at_l1()
        await self.life.greet()

    async def publish(self, seconds: float = 3.0) -> None:
        """The publisher works for a while."""
        async with self.life.publishing():
            await asyncio.sleep(seconds)

    async def again(self) -> None:
        """The sequencer died, and is started again."""
        self.log.before = self.log.after = None
        self.life = await Life(self.log, self.toys, confirmations=self.confirmations).begin()

    async def settle(self, rounds: int = 12) -> None:
        """Everything works for a while; then all that can be decided is decided and on L1."""
        for node in self.toys.nodes.values():
            node.unreachable, node.hook = False, None
        for _ in range(rounds):
            self.clock.now += 1
            self.toys.l1.mine()
            await self.look()
            await self.slot()
            await self.slot()
            await self.publish()
        self.toys.l1.mine()
        await self.look()
        self.hold()
        assert len(self.life.slots.slots) == self.life.publisher.published_slots
        derived = self.toys.derived()
        for chain, node in self.toys.nodes.items():
            assert derived[chain] == node.payloads, "a node is not where L1 says"
            assert node.gate["number"] == self.life.rollups[chain].number
        for item in self.life.mempool:
            nonces = [self.toys.nodes[leg.chain_id].state.nonces.get(leg.sender, 0) for leg in item.legs]
            expected = [leg.nonce for leg in item.legs]
            assert len(set(zip(expected, nonces, strict=True))) > 1 or expected != nonces, "it could have run"

    def hold(self) -> None:
        """What must be true at any time of the log, the present life and the nodes."""
        found, decided = recover(self.log.records()), Counter[str]()
        for slot in found.slots.slots:
            decided.update(decision.id for decision in slot.decisions)
        assert not [identity for identity, count in decided.items() if count > 1], "decided twice"
        assert list(found.mempool.waiting) == list(self.life.mempool.waiting)
        order = [item.id for item in self.admitted if item.id in found.mempool.waiting]
        assert order == list(found.mempool.waiting), "not in their order of admission"
        seen = effects(self.toys)
        for item in self.admitted:
            waits, end = item.id in found.mempool.waiting, found.mempool.ended.get(item.id)
            assert waits == (end is None), "forgotten, or both waiting and ended"
            took = {seen[digest] for digest in hashes(item)}
            if end is not None and end.decision.outcome in ("commit", "include"):
                assert took <= {0, 1}
            elif end is not None:
                assert took == {0}, "an aborted item has an effect"
        for (chain, sender), nonce in found.mempool.next_nonce.items():
            if self._complete(chain):
                assert nonce <= self.toys.nodes[chain].state.nonces.get(sender, 0), "counted too high"

    def _complete(self, chain: int) -> bool:
        rollup = self.life.rollups[chain]
        return rollup.up and self.toys.nodes[chain].gate["hash"] == rollup.hash

    def committed_once(self, *items: Item) -> None:
        """These have taken effect, once on each rollup."""
        seen = effects(self.toys)
        for item in items:
            assert self.life.mempool.ended[item.id].decision.outcome in ("commit", "include")
            assert {1} == {seen[digest] for digest in hashes(item)}

    def deposits_once(self) -> None:
        """Each deposit of the present L1 is on its rollup once, in order, as far as the rollup has come."""
        for chain, node in self.toys.nodes.items():
            origin = max([0, *(payload.origin.number for payload in node.payloads)])
            asked = [
                raw
                for block in self.toys.l1.blocks[1 : origin + 1]
                for raw in block.deposits.get(portal(chain), ())
            ]
            assert asked == [raw for payload in node.payloads for raw in payload.deposits[1:]]


def both(account: int, nonce: int = 0) -> Item:
    """A bundle over both rollups."""
    return bundle_item([signed(chain, account, nonce, ((Op.ADD, 1, 1),)) for chain in CHAINS])


def single(account: int, nonce: int = 0, chain: int = 901) -> Item:
    """A transaction."""
    return transaction_item(signed(chain, account, nonce))


def cuts(log: MemoryLog) -> list[tuple[int, int]]:
    """Of a log: slots and forced blocks that were kept."""
    return [(record["slots"], record["forced"]) for record in log.written if record["kind"] == "cut"]
