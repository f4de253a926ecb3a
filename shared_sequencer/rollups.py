"""The sequencer's side of its rollup nodes: who takes part, and where each stands.

A rollup is *up* once it has been greeted in this term and its head is the last decided block. One that fails to answer is left
out of slots, and greeted again and again until it is back and has caught up; the others go on meanwhile.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from bridge.wire.crash_points import crash_point
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.fees import next_base_fee
from bridge.wire.jsonrpc import Client
from bridge.wire.slot import Payload, payload_digest
from shared_sequencer.errors import RollupDown

GREET_SECONDS = 0.1
"""Pause between two greetings of a rollup that is down."""
STAGE_SECONDS = 5.0
"""Longest wait for a staged block: a paused node must not hold the others for longer."""

log = structlog.get_logger()


@dataclass(slots=True)
class Rollup:
    """One rollup of the set."""

    name: str
    chain_id: int
    gas_limit: int
    block_time_s: float
    client: Client
    number: int = 0
    """Last decided block."""
    hash: str | None = None
    """Its hash; None until a block was decided or the node told its genesis."""
    payload: str | None = None
    """Digest of its payload, where L1 forced it and nothing here knows its hash."""
    head: Mapping[str, Any] = field(default_factory=dict)
    """Header of that block, once the node is up."""
    state: str = "connecting"
    """``connecting``, ``up``, ``behind``, ``down`` or ``ahead`` (it has blocks that this log doesn't)."""
    produced: float = 0.0
    """Monotonic time of the last block, seconds."""
    down: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def up(self) -> bool:
        """Takes part in slots."""
        return self.state == "up"

    @property
    def base_fee(self) -> int:
        """Of the next block, wei per gas."""
        return next_base_fee(self.head["base_fee"], self.head["gas_used"], self.head["gas_limit"])

    async def call(self, method: str, *params: Any, deadline: float = STAGE_SECONDS) -> Any:
        """Ask the node; an unanswered or refused request takes it out of slots until it is greeted again.

        Raises:
            RollupDown: with the node's words.
        """
        try:
            return await self.client.call(method, *params, deadline=deadline)
        except (RpcError, PeerUnreachable) as exc:
            self.lose(str(exc))
            raise RollupDown(f"{self.name}: {exc}") from exc

    def lose(self, reason: str) -> None:
        """Leave it out until it is greeted again."""
        if self.state == "up":
            log.warning("rollup.down", rollup=self.name, reason=reason)
            self.state = "down"
        self.down.set()

    def decided(self, number: int, digest: str, header: Mapping[str, Any], now: float) -> None:
        """A block of this rollup was decided."""
        self.number, self.hash, self.head, self.produced = number, digest, header, now

    def forced(self, number: int, payload: Payload) -> None:
        """L1 forced a block: the node has it, or will; it says where it stands when it is greeted again."""
        self.number, self.hash, self.payload = number, None, payload_digest(payload)
        self.lose(f"L1 forced block {number}")

    async def keep(self, term: int, cancelled: Collection[str], on_up: Callable[[], Awaitable[None]]) -> None:
        """Greet until it is up, wait until it is lost, for ever.

        Args:
            term: this sequencer's.
            cancelled: hashes of blocks that the log took back; a node that still has one as its head is told to drop it.
            on_up: run each time it takes part again.
        """
        while True:
            await self._greet(term, cancelled)
            if self.up:
                await on_up()
                await self.down.wait()
            else:
                await asyncio.sleep(GREET_SECONDS)

    async def _greet(self, term: int, cancelled: Collection[str]) -> None:
        self.down.clear()
        try:
            head = await self.client.call("rollup_greet", term, self.number, deadline=2.0)
            crash_point("sequencer.rollup.greeted")
            while head["hash"] in cancelled and head["hash"] != self.hash:
                # blocks after the last decided one at once, then one by one to a block that still stands
                number = min(self.number, head["number"] - 1)
                head = await self.client.call("rollup_rewind", term, number, None, deadline=30.0)
                crash_point("sequencer.rollup.rewound")
        except (RpcError, PeerUnreachable):
            self.state = "down"
            return
        other = self.payload is not None and head.get("payload", self.payload) != self.payload
        if head["number"] < self.number or (head["number"] == self.number and self.hash is None and other):
            self.state = "behind"
        elif head["number"] > self.number or (self.hash is not None and head["hash"] != self.hash):
            if self.state != "ahead":
                log.warning("rollup.ahead", rollup=self.name, head=head["number"], decided=self.number)
            self.state = "ahead"
        else:
            self.head, self.hash, self.state = head, head["hash"], "up"
            log.info("rollup.up", rollup=self.name, head=self.number)
