"""What a rollup's blocks bring and take: withdrawals that were sent, and those whose blocks are gone."""

from dataclasses import replace

import structlog

from bridge.relayer.lifecycle import State
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import Retry
from bridge.relayer.scanner import Found, Rewound, Scanner
from bridge.relayer.store import Message
from bridge.relayer.withdrawal import Passed
from bridge.wire.stages import Stage

REMEMBER_BLOCKS = 50
"""Blocks without withdrawals after which it is noted how far the rollup was read."""
NOT_ASKED = "relay_all is off; rollnet_retry relays it"

log = structlog.get_logger()


class Arrivals:
    """Brings one rollup's withdrawals into its queue.

    Args:
        scanner: reads the rollup.
        queue: of the rollup.
        relay_all: whether they are relayed unasked.
    """

    def __init__(self, scanner: Scanner, queue: Queue, *, relay_all: bool) -> None:
        self._scanner, self._queue, self._relay_all = scanner, queue, relay_all
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
            match await self._scanner.look():
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
        self._queue.lost(gone, number)
        self._noted = min(self._noted, number)
        for message in gone:
            self._queue.emit("message.dropped", message, block=message.block)
        log.warning("rollup.rewound", rollup=self._queue.name, to=number, dropped=len(gone))

    def _add(self, found: Found) -> None:
        messages = [self._message(each) for each in found.withdrawals]
        if messages or found.until.number - self._noted >= REMEMBER_BLOCKS:
            self._queue.found(messages, found.until)
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
            retry=Retry() if self._relay_all else Retry(dead=True, reason=NOT_ASKED),
        )
        told = self._queue.emit(Stage.MESSAGE_SENT, message, block=each.block, l2_tx=each.transaction)
        return replace(message, cause=told)
