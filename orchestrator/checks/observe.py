"""Looking at a devnet at the end of a run, so that it can be judged when it is gone: ``observed.json``.

::

    heads of all rollups, then L1's (all at once) ─► chains, balances, books, slots, statuses, each at its head ─► observed.json

The heads come first and L1 after them, so that whatever L1 gave to a rollup is on the L1 that is read. Nodes that cannot be read are left
out, and the observation says so: a checker that needs them then says ``unknown``.
"""

import asyncio
import time
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import TypeVar

import orjson

from bridge.wire.errors import Malformed
from orchestrator.checks.observed import FILE_NAME, BlockSeen, Observed, RollupSeen, write_observed
from orchestrator.checks.observing_others import observe_l1, observe_sequencer
from orchestrator.checks.observing_rollups import (
    UNREADABLE,
    Head,
    blocks_of,
    heads_of,
    named_in,
    observe_rollup,
)
from orchestrator.devnet import Devnet
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import Kind, Operation, read_history
from orchestrator.nodes import genesis_path
from orchestrator.settlement.funding import WEI_PER_CASH
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets

Seen = TypeVar("Seen")


async def observe(net: Devnet) -> Observed:
    """Look at everything and write ``observed.json`` into the run directory.

    Args:
        net: with its load stopped and drained, and all faults healed; whoever does not answer is left out.
    """
    looking = _Looking(net)
    observed = await looking.look()
    await asyncio.to_thread(write_observed, net.directory.path / FILE_NAME, observed)
    return observed


class _Looking:
    """One look at a devnet."""

    def __init__(self, net: Devnet) -> None:
        self._net = net
        self._missing: list[str] = []

    async def look(self) -> Observed:
        net = self._net
        at_ns = time.monotonic_ns()
        operations = await asyncio.to_thread(lambda: read_history(net.directory.path / HISTORY).operations)
        heads = await self._each({name: heads_of(chain) for name, chain in net.rollups.items()})
        l1_head = await self._one("l1", net.l1.client.call("eth_blockNumber"))
        names = {chain.chain_id: name for name, chain in net.rollups.items()}
        blocks = await self._each(
            {name: blocks_of(net.rollups[name], own["latest"]) for name, own in heads.items()}
        )
        named = named_in(block for own in blocks.values() for block in own)
        rollups = await self._each(
            {name: self._rollup(name, heads[name], own, named) for name, own in blocks.items()}
        )
        sequencers = await self._each(
            {
                one.node: observe_sequencer(net.sequencers[one.node], names, _items(operations, one))
                for one in sequencing_sets(net.plan)
            }
        )
        l1 = None
        if l1_head is not None:
            l1 = await self._one("l1", observe_l1(net.l1, net.plan, int(l1_head, 16)))
        return Observed(at_ns, rollups, sequencers, l1, tuple(self._missing))

    async def _each(self, asked: dict[str, Awaitable[Seen]]) -> dict[str, Seen]:
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self._one(name, work)) for name, work in asked.items()}
        answers = {name: task.result() for name, task in tasks.items()}
        return {name: answer for name, answer in answers.items() if answer is not None}

    async def _one(self, name: str, work: Awaitable[Seen]) -> Seen | None:
        try:
            return await work
        except UNREADABLE as exc:
            self._missing.append(f"{name} could not be observed: {exc}")
        except Exception as exc:
            self._missing.append(f"{name} could not be observed: {exc!r}")
        return None

    async def _rollup(
        self, name: str, heads: Mapping[str, Head], blocks: Sequence[BlockSeen], named: Collection[str]
    ) -> RollupSeen:
        chain, alloc = self._net.rollups[name], self._alloc(name)
        return await observe_rollup(chain, self._net.plan, heads, blocks, alloc, named)

    def _alloc(self, rollup: str) -> dict[str, int]:
        """Who had ether in a rollup's genesis."""
        path = self._net.directory.path / genesis_path(rollup)
        try:
            genesis = orjson.loads(path.read_bytes())
            if "cash" in genesis:  # an options rollup's
                return {
                    address.lower(): int(cash) * WEI_PER_CASH for address, cash in genesis["cash"].items()
                }
            accounts = genesis["alloc"]
            return {
                address.lower(): amount
                for address, account in accounts.items()
                if (amount := int(account.get("balance", "0x0"), 16))
            }
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            raise Malformed(f"{path}: {exc!r}") from exc


def _items(operations: Iterable[Operation], one: SequencingSet) -> list[str]:
    """Operations that a sequencer should know, by id."""
    rollups = {rollup.name for rollup in one.rollups}
    return [
        each.id
        for each in operations
        if each.kind is not Kind.DEPOSIT and each.legs and each.legs[0].chain in rollups
    ]
