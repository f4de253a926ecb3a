"""An onlooker: asks every node what it serves, again and again, and writes it into the history.

What it saw at a moment cannot be talked away later: that a safe head went back, that a slot which was served has another content after a
restart, that a node which no fault touched gave no answer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from bridge.wire.errors import PeerUnreachable, RpcError
from orchestrator.chains import ChainHandle, SequencerHandle, ServiceHandle
from orchestrator.devnet import Devnet
from orchestrator.load.history import History, Sighting, SlotSeen, slot_digest

LOOK_S = 0.25
"""Between two looks at a node, seconds."""
ANSWER_S = 1.5
"""A node that takes longer gives no answer, seconds."""
HEADS = ("latest", "safe", "finalized")
AGAIN = 3
"""So many of the last slots are asked for again, in case they are others now."""
MOST_SLOTS = 200
"""In one look."""


class Onlooker:
    """Looks at every node of a devnet.

    Args:
        net: running.
        history: where sightings go.
    """

    def __init__(self, net: Devnet, history: History) -> None:
        self._net, self._history = net, history
        self._seen: dict[str, dict[int, str]] = {name: {} for name in net.sequencers}

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as group:
            for name, sequencer in self._net.sequencers.items():
                group.create_task(self._repeat(name, partial(self._sequencer, sequencer)))
            relayer = self._net.relayer
            group.create_task(self._repeat(relayer.name, partial(self._relayer, relayer)))
            for chain in (self._net.l1, *self._net.rollups.values()):
                group.create_task(self._repeat(chain.name, partial(self._chain, chain)))

    async def _repeat(self, node: str, look: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        while True:
            asked = time.monotonic_ns()
            try:
                seen = await look()
            except (PeerUnreachable, RpcError) as exc:
                seen = {"error": f"{type(exc).__name__}: {exc}"}
            self._history.sighting(Sighting(node, asked, time.monotonic_ns(), **seen))
            await asyncio.sleep(LOOK_S)

    async def _chain(self, chain: ChainHandle) -> dict[str, Any]:
        tags = HEADS if chain is not self._net.l1 else HEADS[:1]
        answers = await chain.client.batch([("eth_getBlockByNumber", [tag, False]) for tag in tags], ANSWER_S)
        heads: dict[str, tuple[int, str]] = {}
        for tag, block in zip(tags, answers, strict=True):
            if isinstance(block, RpcError):
                raise block
            if block is not None:
                heads[tag] = (int(block["number"], 16), block["hash"])
        return {"heads": heads}

    async def _relayer(self, relayer: ServiceHandle) -> dict[str, Any]:
        status = await relayer.client.call("rollnet_status", deadline=ANSWER_S)
        return {"read": {name: rollup["read"] for name, rollup in status["rollups"].items()}}

    async def _sequencer(self, sequencer: SequencerHandle) -> dict[str, Any]:
        known = self._seen[sequencer.name]
        status = await sequencer.client.call("rollnet_status", deadline=ANSWER_S)
        first = max(0, min(max(known, default=-1) + 1, status["slots"]) - AGAIN)
        page = await sequencer.client.call("rollnet_getSlots", first, MOST_SLOTS, deadline=ANSWER_S)
        found = {slot["number"]: slot_digest(slot) for slot in page}
        fresh = {number: name for number, name in found.items() if known.get(number) != name}
        known.update(fresh)
        slots = tuple(SlotSeen(number, name) for number, name in sorted(fresh.items()))
        return {"slots": slots, "waiting": status["waiting"]}
