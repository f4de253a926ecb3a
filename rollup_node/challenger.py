"""The challenger: deletes outputs that this node's own derivation contradicts.

A guardian in the sense of the OP Stack before fault proofs: the oracle lets one key delete outputs that are not final yet. An
output is judged once its block is derived from L1. One that claims a block which L1 still doesn't give when half of its
challenge period is over cannot be right either: it is deleted before it becomes final.

Who watches outputs until nobody can delete them any more is also who knows what they settle: the journal is told of the blocks that an
output covers which was found right here and is final by L1's clock.
"""

import asyncio
from collections.abc import Callable

import structlog

from bridge.l1.account import L1Account
from bridge.l1.errors import NotDone
from bridge.l1.trouble import Trouble
from bridge.wire.crash_points import crash_point
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal
from rollup_node.chain import Chain
from rollup_node.outputs import Outputs
from rollup_node.proposer import Oracle

log = structlog.get_logger()


class Challenger:
    """Watches one rollup's outputs.

    Args:
        chain: the rollup.
        caught_up: whether its safe head is what this life of the node has read on L1.
        outputs: noted when blocks were committed.
        oracle: what is watched.
        account: the challenger's; nobody else sends with it.
        journal: told of each deletion.
        poll_s: seconds between two rounds.
        clock: L1's time, unix seconds.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        caught_up: Callable[[], bool],
        outputs: Outputs,
        oracle: Oracle,
        account: L1Account,
        journal: Journal,
        poll_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._chain, self._caught_up, self._outputs, self._oracle = chain, caught_up, outputs, oracle
        self._account, self._journal, self._poll_s, self._clock = account, journal, poll_s, clock
        self._checked: list[tuple[str, int, int]] = []
        """Root, L1 timestamp and L2 block number of the outputs that were found right, by index."""
        self._final = 0
        """How many of them the chain was told to be final."""
        self._period: int | None = None
        self._trouble = Trouble("challenger.waits", "challenger.goes_on")

    async def run(self) -> None:
        """Watch for ever; L1 may come and go."""
        while True:
            try:
                await self._round()
                self._trouble.say("")
            except (PeerUnreachable, RpcError) as exc:
                self._trouble.say(str(exc))
            await asyncio.sleep(self._poll_s)

    async def _round(self) -> None:
        if not self._caught_up():
            return  # what an earlier life held for safe is no measure for what L1 holds now
        if self._period is None:
            self._period = await self._oracle.number("finalizationPeriodSeconds")
        count = await self._oracle.number("nextOutputIndex")
        del self._checked[count:]
        if self._checked and (await self._oracle.output(len(self._checked) - 1)) != self._checked[-1]:
            self._checked.clear()  # L1 was reorganised: other outputs stand there now
        self._tell_final()
        for index in range(len(self._checked), count):
            root, timestamp, number = await self._oracle.output(index)
            verdict = self._judge(root, timestamp, number)
            if verdict is None:
                return
            if verdict:
                await self._delete(index, root, timestamp, number, verdict)
                return
            self._checked.append((root, timestamp, number))

    def _tell_final(self) -> None:
        """Tell the chain how far final outputs cover it: by L1's clock, as far as this node has read it, and never before L1 itself."""
        assert self._period is not None, "read before the first output"
        self._final = min(self._final, len(self._checked))
        due = self._final
        while due < len(self._checked) and self._clock() > self._checked[due][1] + self._period:
            due += 1
        if due > self._final:
            root, _, number = self._checked[due - 1]
            self._chain.covered(number, output=number, index=due - 1, root=root)
            self._final = due

    def _judge(self, root: str, timestamp: int, number: int) -> str | None:
        """Why an output is wrong; empty if it is right, None if that can't be said yet."""
        if number <= self._chain.safe:
            own = self._outputs.at(number)
            if own is None:
                log.error("output.unjudged", block=number, reason="this node has no note of it")
                return ""
            return "" if own.root == root else f"this node derives {own.root}"
        assert self._period is not None, "read before the first output"
        if self._clock() - timestamp > self._period / 2:
            return f"L1 does not give block {number}; it holds the chain up to {self._chain.safe}"
        return None

    async def _delete(self, index: int, root: str, timestamp: int, number: int, why: str) -> None:
        log.error("output.wrong", index=index, block=number, root=root, reason=why)
        data = self._oracle.interface.encode_call("deleteL2Outputs", index)
        crash_point("rollup.output.deleting")
        try:
            receipt = await self._account.send(
                f"delete:{index}:{root}:{timestamp}",
                self._oracle.address,
                data,
                interface=self._oracle.interface,
            )
        except NotDone as exc:
            log.error("output.undeletable", index=index, error=str(exc))
            return
        crash_point("rollup.output.deleted")
        self._journal.emit(
            "output.deleted",
            index=index,
            block=number,
            root=root,
            reason=why,
            l1_tx=receipt.hash,
            gas=receipt.gas_used,
            wei=receipt.wei,
        )
