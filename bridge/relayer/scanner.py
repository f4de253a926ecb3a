"""Reading a chain's logs, each block once, and noticing when blocks that were read are gone.

The hashes of blocks up to which was read are kept as checkpoints. A round asks whether the chain still has the last one; if not, it goes back
to the last that the chain has, and what was found after is no longer true. Blocks are read up to the chain's newest, so
that the journal knows early; what is done about them waits, on a rollup for the safe head.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from bridge.relayer.store import KEPT_CHECKPOINTS, Checkpoint
from bridge.wire.errors import LIMIT_EXCEEDED, Malformed, RpcError
from bridge.wire.jsonrpc import Client

SPAN = 500
"""Blocks that are read at once."""
PROBES = 32
"""Checkpoints that are compared at once."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Watched(Generic[T]):
    """Which logs are read, and what is made of them."""

    addresses: tuple[str, ...]
    """Of the contracts, in lower case."""
    topics: tuple[str, ...]
    """First topics; each contract's own ones, told apart by ``read``."""
    read: Callable[[Sequence[Mapping[str, Any]]], Sequence[T]]
    """What the logs of whole blocks, in order, say; raises :class:`Malformed` if they are none."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """What the next blocks say."""

    things: tuple[T, ...]
    until: Checkpoint


@dataclass(frozen=True, slots=True)
class Rewound:
    """Blocks after this number are gone."""

    number: int


class Scanner(Generic[T]):
    """Reads one chain.

    Args:
        client: its public RPC.
        watched: what is looked for.
        checkpoints: how far the last life came, oldest first.
    """

    def __init__(self, client: Client, watched: Watched[T], checkpoints: Sequence[Checkpoint] = ()) -> None:
        self._client, self._watched = client, watched
        self._checkpoints = list(checkpoints)
        self._span = SPAN
        self.safe = -1
        """Number of the safe head at the last look; -1 before it."""
        self.clock = 0
        """Time of the newest block at the last look, unix seconds; 0 before it."""

    @property
    def read(self) -> int:
        """Number of the last block that was read; -1 if there is none."""
        return self._checkpoints[-1].number if self._checkpoints else -1

    async def look(self) -> Found[T] | Rewound | None:
        """What is new; None if nothing is. The caller makes it durable before it looks again.

        Raises:
            RpcError: the chain refuses.
            PeerUnreachable: no answer.
            Malformed: it answered something else than blocks and logs.
        """
        last = self._checkpoints[-1] if self._checkpoints else None
        latest, safe, same = await self._blocks("latest", "safe", hex(max(self.read, 0)))
        if latest is None or safe is None:
            raise Malformed("the chain has no latest or no safe block")
        self.safe, self.clock = safe.number, latest.timestamp
        if last is not None and (same is None or same.hash != last.hash):
            return await self._rewind()
        if latest.number <= self.read:
            return None
        return await self._read(min(latest.number, self.read + self._span))

    async def _read(self, to: int) -> Found[T] | None:
        """Read on, or None if the chain moved meanwhile."""
        query = {
            "address": list(self._watched.addresses),
            "topics": [list(self._watched.topics)],
            "fromBlock": hex(self.read + 1),
            "toBlock": hex(to),
        }
        span = [hex(max(self.read, 0)), hex(to)]
        before = await self._blocks(*span)
        logs = await self._logs(query)
        after = await self._blocks(*span)
        if before != after or after[0] is None or after[1] is None:
            return None
        if self._checkpoints and after[0].hash != self._checkpoints[-1].hash:
            return None
        found = Found(tuple(self._watched.read(logs)), Checkpoint(to, after[1].hash))
        self._checkpoints.append(found.until)
        del self._checkpoints[:-KEPT_CHECKPOINTS]
        self._span = min(SPAN, self._span * 2)
        return found

    async def _logs(self, query: dict[str, Any]) -> list[Any]:
        try:
            logs = await self._client.call("eth_getLogs", query)
        except RpcError as exc:
            if exc.code == LIMIT_EXCEEDED:
                self._span = max(1, self._span // 2)  # too many for one answer: fewer blocks next time
            raise
        if not isinstance(logs, list):
            raise Malformed("the chain answered eth_getLogs with something else than a list")
        return logs

    async def _rewind(self) -> Rewound:
        """Go back to the last block in common."""
        while self._checkpoints:
            probes = self._checkpoints[-PROBES:]
            blocks = await self._blocks(*(hex(probe.number) for probe in probes))
            common = [
                probe
                for probe, block in zip(probes, blocks, strict=True)
                if block is not None and block.hash == probe.hash
            ]
            del self._checkpoints[-len(probes) + len(common) :]
            if common:
                break
        return Rewound(self.read)

    async def _blocks(self, *numbers: str) -> list["_Block | None"]:
        answers = await self._client.batch([("eth_getBlockByNumber", [number, False]) for number in numbers])
        return [_block(answer) for answer in answers]


@dataclass(frozen=True, slots=True)
class _Block:
    number: int
    hash: str
    timestamp: int


def _block(answer: Any) -> _Block | None:
    if isinstance(answer, RpcError):
        raise answer
    if answer is None:
        return None
    try:
        return _Block(int(answer["number"], 16), answer["hash"], int(answer["timestamp"], 16))
    except (TypeError, KeyError, ValueError) as exc:
        raise Malformed(f"the chain answered something that is no block: {str(answer)[:80]}") from exc
