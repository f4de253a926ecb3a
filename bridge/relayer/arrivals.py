"""What a chain's blocks bring and take: withdrawals that were sent, what was said of messages, and all that is gone with its blocks.

A rollup is asked for the logs of its message passer, mailbox and messenger together, L1 for those of the router, the portals and the messengers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.relayer.attempts import Manner
from bridge.relayer.lifecycle import State
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.sightings import (
    HELD_TOPIC,
    MAILBOX_TOPICS,
    ROUTER_TOPICS,
    Sighting,
    l1_reader,
    rollup_reader,
)
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import Retry
from bridge.relayer.scanner import Found, Rewound, Scanner, Watched
from bridge.relayer.store import Message, Store
from bridge.relayer.withdrawal import PASSED_TOPIC, Passed, passed
from bridge.wire.crash_points import crash_point
from bridge.wire.deposits import DEPOSITED_TOPIC
from bridge.wire.stages import Stage

REMEMBER_BLOCKS = 50
"""Blocks with nothing in them after which it is noted how far the chain was read."""

log = structlog.get_logger()


def watched_on_rollup(chain_id: int) -> Watched[Passed | Sighting]:
    """What is read of a rollup."""
    seen = rollup_reader(chain_id)

    def read(logs: Sequence[Mapping[str, Any]]) -> list[Passed | Sighting]:
        found: list[Passed | Sighting] = []
        for entry in logs:
            sighting = seen(entry)
            found.append(passed(entry) if sighting is None else sighting)
        return found

    return Watched(
        addresses=(L2_TO_L1_MESSAGE_PASSER, CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER),
        topics=(PASSED_TOPIC, *MAILBOX_TOPICS, HELD_TOPIC),
        read=read,
    )


def watched_on_l1(
    chain_id: int, router: str, portals: Sequence[str], messengers: Sequence[str]
) -> Watched[Sighting]:
    """What is read of L1; addresses in lower case."""
    return Watched(
        addresses=(router, *portals, *messengers),
        topics=(*ROUTER_TOPICS, DEPOSITED_TOPIC, HELD_TOPIC),
        read=l1_reader(router, chain_id, messengers),
    )


class Arrivals:
    """Brings one rollup's withdrawals into its queue, and what its logs say of messages into theirs.

    Args:
        scanner: reads the rollup.
        queue: of the rollup.
        crossings: messages between all rollups.
        manner: how they are relayed.
    """

    def __init__(
        self, scanner: Scanner[Passed | Sighting], queue: Queue, crossings: CrossingQueue, manner: Manner
    ) -> None:
        self.scanner, self._queue, self._crossings, self._manner = scanner, queue, crossings, manner
        self._noted = scanner.read
        """Block up to which it is on disk that the rollup was read."""

    async def read(self) -> None:
        """Read the rollup to its head.

        Raises:
            RpcError: the rollup refuses.
            PeerUnreachable: no answer.
            Malformed: it answered something else than blocks and logs.
        """
        while True:
            match await self.scanner.look():
                case Rewound(number):
                    self._lose(number)
                case Found() as found:
                    self._add(found)
                case None:
                    return

    def _lose(self, number: int) -> None:
        # What is proven stays: L1 has accepted it, and only L1 can take that back.
        gone = [
            replace(message, state=State.DROPPED, told=None, retry=Retry())
            for message in self._queue.open.values()
            if message.block > number and message.state is not State.PROVEN
        ]
        with self._queue.together():
            self._crossings.lost(self._queue.chain_id, number)
            self._queue.lost(gone, number)
        crash_point("relayer.lost.stored")
        self._noted = min(self._noted, number)
        for message in gone:
            self._queue.emit("message.dropped", message, block=message.block)
        log.warning("rollup.rewound", rollup=self._queue.name, to=number, dropped=len(gone))

    def _add(self, found: Found[Passed | Sighting]) -> None:
        sent = [each for each in found.things if isinstance(each, Passed)]
        said = [each for each in found.things if isinstance(each, Sighting)]
        if not found.things and found.until.number - self._noted < REMEMBER_BLOCKS:
            return
        messages = [self._message(each) for each in sent]
        crash_point("relayer.sent.told")
        with self._queue.together():
            self._crossings.seen(self._queue.chain_id, sent, said)
            self._queue.found(messages, found.until)
        crash_point("relayer.sent.stored")
        self._noted = found.until.number

    def _message(self, each: Passed) -> Message:
        """A withdrawal that was read: new, or again, perhaps in another block than before."""
        digest = each.withdrawal.hash
        known = self._queue.known(digest)
        if known is not None and known.state is not State.DROPPED:
            return replace(known, block=each.block, block_hash=each.block_hash, transaction=each.transaction)
        message = Message(
            chain_id=self._queue.chain_id,
            hash=digest,
            withdrawal=each.withdrawal,
            block=each.block,
            block_hash=each.block_hash,
            transaction=each.transaction,
            state=State.SENT,
            told=State.SENT,
            retry=self._manner.first,
        )
        told = self._queue.emit(Stage.MESSAGE_SENT, message, block=each.block, l2_tx=each.transaction)
        return replace(message, cause=told)


class L1Arrivals:
    """Brings what L1's logs say of messages into their queue.

    Args:
        scanner: reads L1.
        chain_id: of L1.
        store: knows how far it was read.
        crossings: messages between all rollups.
    """

    def __init__(
        self, scanner: Scanner[Sighting], chain_id: int, store: Store, crossings: CrossingQueue
    ) -> None:
        self._scanner, self._chain_id, self._store, self._crossings = scanner, chain_id, store, crossings
        self._noted = scanner.read

    async def read(self) -> None:
        """Read L1 to its head; raises as :meth:`Arrivals.read`."""
        while True:
            match await self._scanner.look():
                case Rewound(number):
                    with self._store.together():
                        self._crossings.lost(self._chain_id, number)
                        self._store.rewound(self._chain_id, (), number)
                    self._noted = min(self._noted, number)
                case Found(things, until):
                    if things or until.number - self._noted >= REMEMBER_BLOCKS:
                        with self._store.together():
                            self._crossings.seen(self._chain_id, (), things)
                            self._store.scanned(self._chain_id, (), until)
                        crash_point("relayer.l1.stored")
                        self._noted = until.number
                case None:
                    return
