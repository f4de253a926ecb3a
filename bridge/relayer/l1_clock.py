"""L1's head, clock and faithfulness, watched once for all rollups."""

import asyncio
from typing import Any

import structlog

from bridge.l1.trouble import Trouble
from bridge.relayer.store import Checkpoint
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client

log = structlog.get_logger()


class L1Clock:
    """Where L1 is.

    Args:
        client: the L1 node.
        poll_s: seconds between two looks.
        last: the head that the last life saw.
    """

    def __init__(self, client: Client, poll_s: float, last: Checkpoint | None = None) -> None:
        self._client, self._poll_s = client, poll_s
        self._last = last
        self.head: Checkpoint | None = None
        """None before the first look."""
        self.now = 0
        """Time that a block would have now, unix seconds."""
        self.reorganisations = 0
        """How often blocks that were seen are no longer there."""
        self._trouble = Trouble("l1.unreadable", "l1.readable")

    @property
    def trouble(self) -> str:
        """Why L1 can't be read at the moment."""
        return self._trouble.reason

    async def run(self) -> None:
        """Watch for ever; L1 may come and go."""
        while True:
            try:
                await self.look()
                self._trouble.say("")
            except (PeerUnreachable, RpcError, Malformed) as exc:
                self._trouble.say(str(exc))
            await asyncio.sleep(self._poll_s)

    async def look(self) -> None:
        """Read it once.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer.
            Malformed: the answer is no block.
        """
        before = self.head or self._last
        wanted = ("latest", "pending", hex(before.number if before else 0))
        answers = await self._client.batch([("eth_getBlockByNumber", [each, False]) for each in wanted])
        latest, pending, last = map(_answer, answers)
        try:
            head = Checkpoint(int(latest["number"], 16), str(latest["hash"]))
            now = max(int(latest["timestamp"], 16), int(pending["timestamp"], 16))
            moved = before is not None and (last is None or last["hash"] != before.hash)
        except (TypeError, KeyError) as exc:
            raise Malformed(f"L1 answered something that is no block: {exc!r}") from exc
        if moved:
            self.reorganisations += 1
            log.warning("l1.reorganised", head=head.number)
        self.head, self.now = head, now


def _answer(answer: Any) -> Any:
    if isinstance(answer, RpcError):
        raise answer
    return answer
