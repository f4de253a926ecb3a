"""Following L1 at its head: every block once, in order, and a word when blocks that were told are no longer true.

The problem: L1 offers a head that may jump anywhere between two calls: one block on, many blocks on, another block of the same
height, or far back when L1 itself was restarted from an older state. The choice is to remember the hash of every block told (32
bytes each) and to trust nothing but links: a block follows only if its parent is the last one told. Otherwise the last block
in common is looked for, by hash, in a handful of calls at any depth. Rejected: subscriptions, which lose what happens while a
connection is down and so need all of this anyway.

::

    poll ─► head as told? ─► wait
              │ no
              ├─ next blocks link ─► L1Block…
              └─ else ─► last common block ─► Rewound
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from bridge.l1.blocks import ROUND, Call, Watch, fetch
from bridge.l1.errors import L1Moved
from bridge.l1.trouble import Trouble
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex
from bridge.wire.l1 import L1Block, Rewound

POLL_S = 0.2
"""Seconds between two looks at L1's head."""


class L1Follower:
    """One reader of one L1.

    Args:
        client: the L1 node; the caller closes it.
        portals: addresses whose deposits are told.
        inboxes: addresses whose transactions are told.
        poll_s: seconds between two looks at L1's head.
    """

    def __init__(
        self, client: Client, portals: Iterable[str], inboxes: Iterable[str], *, poll_s: float = POLL_S
    ) -> None:
        self._client = client
        self._watch = Watch(portals, inboxes)
        self._poll_s = poll_s
        self._told: list[bytes] = []
        self._trouble = Trouble("l1.unreadable", "l1.readable", url=client.url)
        self.latest = -1
        """Number of L1's head at the last look; -1 before it."""
        self.finalized = 0
        """Number of L1's finalized block at the last look."""

    @property
    def head(self) -> int:
        """Number of the last block told; -1 if there is none."""
        return len(self._told) - 1

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """What happens on L1, without end: blocks from number 0 on, and ``Rewound`` before blocks replace others.

        ``Rewound(-1)`` means that not even the genesis block is the same. A second iteration goes on where the last one
        stopped. While L1 can't be reached, nothing happens.
        """
        while True:
            try:
                changes = await self._round()
                self._trouble.say("")
            except (PeerUnreachable, RpcError, Malformed, L1Moved) as exc:
                self._trouble.say(str(exc))
                changes = []
            for change in changes:
                if isinstance(change, Rewound):
                    del self._told[change.number + 1 :]
                else:
                    self._told.append(from_hex(change.info.hash))
                yield change
            if not changes or self.head == self.latest:
                await asyncio.sleep(self._poll_s)

    async def _round(self) -> list[L1Block] | list[Rewound]:
        """The next changes; none if there are none yet, or L1 moved meanwhile."""
        head, latest = self.head, await self._look()
        if latest == self._hash(head) and self.latest == head:
            return []
        if self.latest > head:
            blocks = await fetch(self._client, self._watch, head + 1, min(self.latest, head + ROUND))
            if head < 0 or from_hex(blocks[0].info.parent) == self._hash(head):
                return blocks
        common = await self._common()
        return [Rewound(common)] if common < head else []

    async def _look(self) -> bytes:
        """Read the head's hash, and numbers of head and finalized block."""
        wanted: list[Call] = [("eth_getBlockByNumber", [tag, False]) for tag in ("latest", "finalized")]
        latest, finalized = await self._client.batch(wanted)
        for answer in (latest, finalized):
            if isinstance(answer, RpcError):
                raise answer
        self.latest, digest = _position(latest)
        self.finalized, _ = _position(finalized)
        return digest

    async def _common(self) -> int:
        """Number of the last block told that L1 still has; -1 if there is none."""
        same, other = -1, self.head + 1
        while other - same > 1:
            # 1, 2, 4, … below the lowest that is known to differ: one round for shallow reorganisations, few for deep ones
            probes = [other - (1 << step) for step in range(ROUND) if other - (1 << step) > same]
            asked: list[Call] = [("eth_getBlockByNumber", [hex(number), False]) for number in probes]
            for number, answer in zip(probes, await self._client.batch(asked), strict=True):
                if isinstance(answer, RpcError):
                    raise answer
                if answer is not None and _position(answer)[1] == self._hash(number):
                    same = number
                    break
                other = number
        return same

    def _hash(self, number: int) -> bytes | None:
        return self._told[number] if number >= 0 else None


def _position(block: Any) -> tuple[int, bytes]:
    try:
        return int(block["number"], 16), from_hex(block["hash"], 32)
    except (KeyError, TypeError, ValueError) as exc:
        raise Malformed(f"L1 answered something that is no block: {exc!r}") from exc
