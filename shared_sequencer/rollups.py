"""The sequencer's side of its rollup nodes: who takes part, and where each stands.

A rollup is *up* once it has been greeted in this term and its head is the last decided block. One that fails to answer is left
out of slots, and greeted again and again until it is back and has caught up; the others go on meanwhile.

How long may the others wait for one? Executing a full block takes seconds, and a node that is paused or cut off answers nothing, ever: to tell
the two apart by a time limit alone makes every slot wait for the longest block. So whoever takes long is *pinged*, which a node answers at
once however much its engine has to do, and is given up as soon as it doesn't. That costs the others less than a second once: from
then on it is out of slots, and greeted beside them. A node that answers pings but does not finish (its engine hangs) has the long limit.

Some answer when they are greeted and are silent or hang whenever they have work: an engine that is stuck, a link so slow that a ping waits
behind the block. Each time that happens the node has twice the time for its next ping, so that a slow link carries its block in the end,
and must wait twice as long until it is greeted again, so that the others are held up ever more rarely.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
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
LONGEST_GREET_SECONDS = 10.0
"""The same for one that answers when it is greeted and hangs whenever it has work: it doubles from one time to the next."""
STAGE_SECONDS = 5.0
"""Longest wait for a staged block of a node that is alive."""
PING_AFTER_SECONDS = 0.2
"""An answer that takes longer makes the node prove that it is alive; also between two such proofs."""
PING_SECONDS = 0.6
"""Longest wait for the first proof: with the time before it, what a paused node costs the others, once."""
OVERSLEPT_SECONDS = 0.3
"""A time limit that ends so much too late says nothing of the node that was asked: whoever asked was not there to hear."""

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
    hangs: int = 0
    """How often in a row it was greeted and then took longer than it may."""

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
            answer = await self._call(method, params, deadline)
        except (RpcError, PeerUnreachable) as exc:
            self.lose(str(exc))
            raise RollupDown(f"{self.name}: {exc}") from exc
        if method == "rollup_stage":
            self.hangs = 0
        return answer

    async def _call(self, method: str, params: Sequence[Any], deadline: float) -> Any:
        """The answer of a node that is alive.

        Raises:
            RpcError: the node's refusal.
            PeerUnreachable: it does not answer, or not even a ping.
        """
        asking = asyncio.ensure_future(self.client.call(method, *params, deadline=deadline))
        clock = asyncio.get_running_loop().time
        patience = min(PING_SECONDS * 2**self.hangs, STAGE_SECONDS)
        began = clock()
        try:
            while not (await asyncio.wait({asking}, timeout=PING_AFTER_SECONDS))[0]:
                await self._ping(asking, patience)
            return asking.result()
        except PeerUnreachable:
            self.hangs += clock() - began >= patience  # one that was killed says so at once
            raise
        finally:
            await _end(asking)

    async def _ping(self, asking: "asyncio.Future[Any]", patience: float) -> None:
        """Have the node say within so many seconds that it is alive; no matter any more once it has answered.

        Raises:
            PeerUnreachable: it says nothing.
        """
        clock = asyncio.get_running_loop().time
        began = clock()
        ping = asyncio.ensure_future(self.client.call("rollup_ping", deadline=patience))
        try:
            await asyncio.wait({asking, ping}, return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                return
            if clock() - began > patience + OVERSLEPT_SECONDS:
                return  # this process was stopped itself: what it did not hear is no proof of anything
            ping.result()
        finally:
            await _end(ping)

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
                if self.hangs:
                    await asyncio.sleep(min(GREET_SECONDS * 2**self.hangs, LONGEST_GREET_SECONDS))
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


async def _end(task: "asyncio.Future[Any]") -> None:
    """End a request that nobody waits for any more; what became of it is of no interest."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
