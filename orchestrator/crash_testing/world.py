"""A devnet whose nodes are crashed at named points: order, confirmation, the way back, and the facts that the judge wants."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.wire.crash_points import CRASH_FILE
from bridge.wire.errors import RpcError
from orchestrator.chains import ChainHandle
from orchestrator.crash_testing.judge import Execution, Facts, Item, broken
from orchestrator.crash_testing.load import Load
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.runtimes.errors import NodeExitedError
from orchestrator.waiting import eventually

WITHIN_S = 20.0
"""Longest wait for anything, seconds; a busy machine has its time."""
USERS = 8
"""Accounts that the load uses are among the first so many."""
LOOK_S = 0.02


@dataclass(slots=True)
class CrashWorld:
    """A devnet under crashes."""

    net: Devnet
    recoveries: dict[str, float] = field(default_factory=dict)
    """Seconds from the restart to the first new commit, by what was crashed."""
    sent: list[Item] = field(default_factory=list)
    """All that users ever sent."""
    serial: int = 0
    """What the last load counted to: more than was sent, for signing fails while a node is away."""

    # -- crashes

    async def crash(self, node: str, point: str, count: int = 1, within_s: float = WITHIN_S) -> None:
        """Have a node crash at a point, and confirm that it did, there."""
        ordered = await self.net.node(node).crash_at(point, count)
        await self.crashed(node, point, ordered.boot, within_s)

    async def crashed(self, node: str, point: str, boot: int, within_s: float = WITHIN_S) -> None:
        """Wait for an ordered crash, and confirm it."""
        bite = await self.net.node(node).crashed(point, boot, within_s)
        assert bite.bit, bite.evidence

    async def crash_while_starting(self, node: str, point: str) -> None:
        """Have a node that does not run crash at a point in its next life, and confirm it."""
        self.order_for_boot(node, point)
        with contextlib.suppress(NodeExitedError):
            await self.net.node(node).restart()
        await self.crashed(node, point, (await self.net.node(node).status()).boot)

    def order_for_boot(self, node: str, point: str) -> None:
        """Leave the order where the next life of a node finds it."""
        folder = self.net.directory.data_of(node)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / CRASH_FILE).write_text(point)

    async def revive(self, node: str, name: str) -> float:
        """Bring a node back; seconds until it commits something new, which are noted under ``name``."""
        heights = {} if node == "sequencer" else await self.heights()
        before = time.monotonic()
        await self.net.node(node).restart()
        if node == "sequencer":
            await eventually(self._decides, WITHIN_S, "the sequencer to decide", every_s=LOOK_S)
        elif node in self.net.rollups:
            await self._grows(node, heights.get(node, 0))
        seconds = time.monotonic() - before
        self.recoveries[name] = seconds
        return seconds

    async def heights(self) -> dict[str, int]:
        """Of every rollup that answers."""
        found = {}
        for name, chain in self.net.rollups.items():
            with contextlib.suppress(RollnetError):
                found[name] = await chain.height()
        return found

    async def all_up(self) -> None:
        """Wait until the sequencer has every rollup in its slots."""

        async def up() -> bool:
            rollups = (await self.net.sequencer.status())["rollups"].values()
            return {"up"} == {rollup["state"] for rollup in rollups}

        await eventually(up, WITHIN_S, "every rollup in its slots", every_s=0.02)

    async def _decides(self) -> bool:
        """Whether the last slot is of this life."""
        status = await self.net.sequencer.status()
        last = await self.net.sequencer.rpc("rollnet_getSlot", max(status["slots"] - 1, 0))
        return bool(last) and last["term"] == status["term"]

    async def _grows(self, name: str, height: int) -> None:
        chain = self.net.rollup(name)
        first = max(height, await chain.height())

        async def grown() -> bool:
            return await chain.height() > first

        await eventually(grown, WITHIN_S, f"a new block of {name}", every_s=LOOK_S)

    def report(self, longest_s: float = WITHIN_S) -> None:
        """Print how long the ways back took, and hold them to a generous bound: on a quiet machine nearly all are about a second.

        Args:
            longest_s: none may have taken longer, seconds.
        """
        times = sorted(self.recoveries.values())
        slow = max(self.recoveries, key=self.recoveries.__getitem__)
        middle, high = times[len(times) // 2], times[min(len(times) * 99 // 100, len(times) - 1)]
        said = f"{len(times)} recoveries: p50 {middle:.2f} s, p99 {high:.2f} s, longest {times[-1]:.2f} s ({slow})"
        print(said)  # noqa: T201 - read in the ring's output
        assert times[-1] < longest_s

    # -- judgement

    @contextlib.asynccontextmanager
    async def judged(self, *, whole: bool = False) -> AsyncIterator[Load]:
        """Users send while the block runs; then everything ends, and the chains are judged.

        Args:
            whole: read the chains from their genesis: blocks from before may be replaced.

        Raises:
            AssertionError: something is broken.
        """
        first = dict.fromkeys(self.net.rollups, 0) if whole else await self.heights()
        before = {} if whole else await self._nonces()
        load, begun = Load(self.net, serial=self.serial), len(self.sent)
        try:
            async with load.running():
                yield load
        finally:
            self.sent += load.items
            self.serial = load.serial
        items = self.sent if whole else self.sent[begun:]
        statuses = {item.id: await self._last_word(item) for item in items}
        await self.all_up()
        await self._caught_up()
        after = await self._nonces()
        # a block may be decided while they are read: what users sent has ended, so it holds nothing of theirs
        executions = await self._executions(first)
        facts = Facts(
            items,
            executions,
            {key: (before.get(key, 0), after[key]) for key in after},
            statuses,
        )
        found = broken(facts)
        assert not found, "\n".join(found)

    async def _last_word(self, item: Item) -> str | None:
        end = time.monotonic() + WITHIN_S
        while True:
            with contextlib.suppress(RollnetError):
                status = await self.net.sequencer.rpc("rollnet_waitForEnd", item.id, 2.0)
                if status is None or status["status"] != "pending" or time.monotonic() > end:
                    return None if status is None else str(status["status"])
            await asyncio.sleep(LOOK_S)

    async def _caught_up(self) -> None:
        """Wait until every rollup serves what was decided."""
        decided = {
            name: rollup["block"] for name, rollup in (await self.net.sequencer.status())["rollups"].items()
        }

        async def there() -> bool:
            heights = await self.heights()
            return all(heights.get(name, -1) >= number for name, number in decided.items())

        await eventually(there, WITHIN_S, "every rollup at the last decided block", every_s=LOOK_S)

    async def _nonces(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for name, chain in self.net.rollups.items():
            users = [user.address.lower() for user in self.net.accounts[:USERS]]
            answers = await asked(chain, [("eth_getTransactionCount", [user, "latest"]) for user in users])
            found |= {(name, user): int(answer, 16) for user, answer in zip(users, answers, strict=True)}
        return found

    async def _executions(self, first: Mapping[str, int]) -> list[Execution]:
        users = {user.address.lower() for user in self.net.accounts[:USERS]}
        found = []
        for name, chain in self.net.rollups.items():
            numbers = range(first.get(name, 0) + 1, await chain.height() + 1)
            blocks = await asked(chain, [("eth_getBlockByNumber", [hex(n), True]) for n in numbers])
            receipts = await asked(chain, [("eth_getBlockReceipts", [hex(n)]) for n in numbers])
            for block, done in zip(blocks, receipts, strict=True):
                for transaction, receipt in zip(block["transactions"], done, strict=True):
                    if transaction["from"].lower() in users and transaction["type"] != "0x7e":
                        found.append(_execution(name, transaction, receipt))
        return found


async def asked(chain: ChainHandle, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
    """Results of many calls.

    Raises:
        AssertionError: one is refused.
    """
    answers = await chain.client.batch(calls)
    assert not [answer for answer in answers if isinstance(answer, RpcError)]
    return answers


def _execution(rollup: str, transaction: Mapping[str, Any], receipt: Mapping[str, Any]) -> Execution:
    return Execution(
        rollup,
        int(transaction["blockNumber"], 16),
        transaction["hash"],
        transaction["from"].lower(),
        int(transaction["nonce"], 16),
        receipt["status"] == "0x1",
    )
