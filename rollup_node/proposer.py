"""The proposer: tells L1 the output root of every block that is due, once L1 holds the block.

L2OutputOracle takes outputs at fixed distances in blocks and in order. Only safe blocks are proposed: what L1 does not hold could
still be replaced. Each proposal names an L1 block that its derivation has read, so L1 itself refuses it after a
reorganisation; it is then proposed again from the new chain.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog

from bridge.contracts.op import op_artifact
from bridge.l1.account import L1Account
from bridge.l1.errors import NotDone
from bridge.l1.trouble import Trouble
from bridge.wire.crash_points import crash_point
from bridge.wire.derivation import Derivation
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from rollup_node.chain import Chain
from rollup_node.outputs import Output, Outputs

PROPOSAL_GAS = 250_000
"""Gas limit of one proposal; it uses about 90,000."""
IN_FLIGHT = 50
"""Proposals on their way at once."""
ENTRY_S = 1.0
"""Longest wait for a proposal to be in L1's pool before the next is looked at, seconds."""
LOOK_S = 0.02
"""Between two looks at L1's pool while proposals follow one another."""

log = structlog.get_logger()


class Oracle:
    """A rollup's L2OutputOracle, as the proposer and the challenger read it."""

    def __init__(self, l1: Client, address: str) -> None:
        self.address = address
        self.interface = op_artifact("L2OutputOracle").interface
        self._l1 = l1

    async def number(self, function: str, block: str = "latest") -> int:
        """One of its counters.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer.
        """
        (value,) = await self._ask(function, block=block)
        return int(value)

    async def output(self, index: int) -> tuple[str, int, int]:
        """Root, L1 timestamp and L2 block number of one output; raises as :meth:`number`."""
        ((root, timestamp, number),) = await self._ask("getL2Output", index)
        return to_hex(root), timestamp, number

    async def _ask(self, function: str, *arguments: int, block: str = "latest") -> tuple[Any, ...]:
        data = to_hex(self.interface.encode_call(function, *arguments))
        answer = await self._l1.call("eth_call", {"to": self.address, "data": data}, block)
        return self.interface.decode_result(function, from_hex(answer))


class Proposer:
    """Proposes one rollup's outputs.

    Args:
        chain: the rollup.
        derivation: its reading of L1.
        caught_up: whether the chain's safe head is what this life of the node has read there.
        outputs: noted when blocks were committed.
        oracle: where they go.
        account: the proposer's; nobody else sends with it.
        journal: told of each proposal.
        poll_s: seconds between two rounds.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        derivation: Derivation,
        caught_up: Callable[[], bool],
        outputs: Outputs,
        oracle: Oracle,
        account: L1Account,
        journal: Journal,
        poll_s: float,
    ) -> None:
        self._chain, self._derivation, self._caught_up = chain, derivation, caught_up
        self._outputs = outputs
        self._oracle, self._account, self._journal, self._poll_s = oracle, account, journal, poll_s
        self._next = 0
        self._l1_head = -1
        self._in_flight: set[int] = set()
        """L2 blocks whose proposals are on their way."""
        self._trouble = Trouble("proposer.waits", "proposer.goes_on")

    async def run(self) -> None:
        """Propose for ever; L1 may come and go."""
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    await self._round(group)
                    self._trouble.say("")
                except (PeerUnreachable, RpcError) as exc:
                    self._trouble.say(str(exc))
                await asyncio.sleep(self._poll_s)

    async def _round(self, group: asyncio.TaskGroup) -> None:
        if not self._caught_up():
            return  # L1 may have been reorganised since an earlier life held these blocks for safe
        if self._derivation.l1_head == self._l1_head and self._chain.safe < self._next:
            return
        self._l1_head = self._derivation.l1_head
        self._next = await self._oracle.number("nextBlockNumber", "pending")
        while self._next <= self._chain.safe and len(self._in_flight) < IN_FLIGHT:
            output = self._outputs.at(self._next)
            if output is None or self._next in self._in_flight:
                return
            self._in_flight.add(self._next)
            group.create_task(self._propose(output))
            if not await self._advanced(self._next):
                return

    async def _advanced(self, number: int) -> bool:
        """Wait until the next output can be proposed behind this one."""
        try:
            async with asyncio.timeout(ENTRY_S):
                while number in self._in_flight:
                    self._next = await self._oracle.number("nextBlockNumber", "pending")
                    if self._next > number:
                        return True
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass
        return False

    async def _propose(self, output: Output) -> None:
        try:
            origin = self._derivation.l1_block(self._derivation.l1_head)
            if origin is None:
                return  # L1 was reorganised down to its genesis meanwhile
            number, digest = origin.info.number, origin.info.hash
            data = self._oracle.interface.encode_call(
                "proposeL2Output", from_hex(output.root), output.number, from_hex(digest), number
            )
            crash_point("rollup.output.proposing")
            receipt = await self._account.send(
                f"propose:{output.number}:{output.root}:{digest}",
                self._oracle.address,
                data,
                gas=PROPOSAL_GAS,
                interface=self._oracle.interface,
            )
            crash_point("rollup.output.proposed")
        except (NotDone, PeerUnreachable, RpcError) as exc:
            log.warning("output.refused", block=output.number, error=str(exc))
        else:
            self._journal.emit(
                "output.proposed",
                block=output.number,
                root=output.root,
                l1_tx=receipt.hash,
                l1_block=receipt.block_number,
                gas=receipt.gas_used,
                wei=receipt.wei,
            )
        finally:
            self._in_flight.remove(output.number)
