"""Reading a rollup's withdrawals, each block once, and noticing when blocks that were read are gone.

The hashes of blocks up to which was read are kept as checkpoints. A round asks whether the rollup still has the last one; if not, it goes back
to the last that the rollup has, and what was found after is no longer true. Blocks are read up to the rollup's newest, so
that the journal knows early; what is done about them waits for the safe head.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.relayer.store import KEPT_CHECKPOINTS, Checkpoint
from bridge.relayer.withdrawal import PASSED_TOPIC, Passed, passed
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client

SPAN = 500
"""Blocks that are read at once."""
PROBES = 32
"""Checkpoints that are compared at once."""


@dataclass(frozen=True, slots=True)
class Found:
    """Withdrawals of the next blocks."""

    withdrawals: tuple[Passed, ...]
    until: Checkpoint


@dataclass(frozen=True, slots=True)
class Rewound:
    """Blocks after this number are gone."""

    number: int


class Scanner:
    """Reads one rollup.

    Args:
        client: its public RPC.
        checkpoints: how far the last life came, oldest first.
    """

    def __init__(self, client: Client, checkpoints: Sequence[Checkpoint] = ()) -> None:
        self._client = client
        self._checkpoints = list(checkpoints)
        self.safe = -1
        """Number of the safe head at the last look; -1 before it."""

    @property
    def read(self) -> int:
        """Number of the last block that was read; -1 if there is none."""
        return self._checkpoints[-1].number if self._checkpoints else -1

    async def look(self) -> Found | Rewound | None:
        """What is new; None if nothing is. The caller makes it durable before it looks again.

        Raises:
            RpcError: the rollup refuses.
            PeerUnreachable: no answer.
            Malformed: it answered something else than blocks and logs.
        """
        last = self._checkpoints[-1] if self._checkpoints else None
        latest, safe, same = await self._blocks("latest", "safe", hex(max(self.read, 0)))
        if latest is None or safe is None:
            raise Malformed("the rollup has no latest or no safe block")
        self.safe = int(safe["number"], 16)
        if last is not None and (same is None or same["hash"] != last.hash):
            return await self._rewind()
        head = int(latest["number"], 16)
        if head <= self.read:
            return None
        return await self._read(min(head, self.read + SPAN))

    async def _read(self, to: int) -> Found | None:
        """Read on, or None if the rollup moved meanwhile."""
        first = self.read + 1
        query = {
            "address": L2_TO_L1_MESSAGE_PASSER,
            "topics": [PASSED_TOPIC],
            "fromBlock": hex(first),
            "toBlock": hex(to),
        }
        span = [hex(max(self.read, 0)), hex(to)]
        before = await self._blocks(*span)
        logs = await self._client.call("eth_getLogs", query)
        after = await self._blocks(*span)
        if before != after or None in after:
            return None
        if self._checkpoints and after[0]["hash"] != self._checkpoints[-1].hash:
            return None
        if not isinstance(logs, list):
            raise Malformed("the rollup answered eth_getLogs with something else than a list")
        found = Found(tuple(passed(entry) for entry in logs), Checkpoint(to, after[1]["hash"]))
        self._checkpoints.append(found.until)
        del self._checkpoints[:-KEPT_CHECKPOINTS]
        return found

    async def _rewind(self) -> Rewound:
        """Go back to the last block in common."""
        while self._checkpoints:
            probes = self._checkpoints[-PROBES:]
            blocks = await self._blocks(*(hex(probe.number) for probe in probes))
            common = [
                probe
                for probe, block in zip(probes, blocks, strict=True)
                if block is not None and block["hash"] == probe.hash
            ]
            del self._checkpoints[-len(probes) + len(common) :]
            if common:
                break
        return Rewound(self.read)

    async def _blocks(self, *numbers: str) -> list[Any]:
        """Numbers and hashes of blocks."""
        answers = await self._client.batch([("eth_getBlockByNumber", [number, False]) for number in numbers])
        return [_position(answer) for answer in answers]


def _position(answer: Any) -> Mapping[str, str] | None:
    if isinstance(answer, RpcError):
        raise answer
    if answer is None:
        return None
    try:
        return {"number": answer["number"], "hash": answer["hash"]}
    except (TypeError, KeyError) as exc:
        raise Malformed(f"the rollup answered something that is no block: {str(answer)[:80]}") from exc
