"""The bridge as a devnet runs it, driven by hand, for tests that attack it: every part on the way is the real one.

::

    L1 (bridge.l1.node) ─ read_blocks ─► Derivation ─ payload ─► Engine ───► Outputs ─► proposed on L1 ─┐
     ▲                                                              │                                    │
     └── finalize ◄── time passes ◄── prove ◄── proof by the engine ◄── withdrawals (MessagePassed) ◄────┘

Only who acts, and when, belongs to the test: no sequencer, proposer or relayer runs, blocks of L1 are mined on request at
times of a clock that the test moves, and a rollup takes every L1 block as an origin as soon as it builds.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.l1.blocks import read_blocks
from bridge.relayer.withdrawal import (
    PASSED_TOPIC,
    Inclusion,
    Passed,
    Withdrawal,
    passed,
    storage_key,
)
from bridge.wire.deposits import DEPOSIT_TYPE
from bridge.wire.derivation import ChainHead, Derivation, Member, Rules
from bridge.wire.fees import next_base_fee
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.slot import block_transactions
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import anvil_binary
from orchestrator.market.testing import example_plan
from orchestrator.runtimes.ports import PortReservations
from orchestrator.settlement.deployments import (
    RollupDeployment,
    challenger_of,
    deployments,
    proposer_of,
    role_of,
)
from orchestrator.settlement.geth_genesis import genesis_bytes
from orchestrator.settlement.testing_chains import Refused, l1_chain
from orchestrator.settlement.testing_sides import CALL_GAS, Call, L1Side, Receipt, Side, theirs
from orchestrator.topology.plan import Account, Plan, RollupPlan, SettlementPlan
from rollup_node.engines.base import BlockInput, Engine, Header
from rollup_node.engines.choice import AnvilPlace, open_engine
from rollup_node.outputs import Output, Outputs

PERIOD_S = 100
"""Challenge period of :func:`attack_plan`, seconds."""
INTERVAL = 4
"""L2 blocks between two of its outputs."""
_PROPOSAL_GAS = 200_000
_NEVER = 10**9
"""A sequencing window that doesn't end: nothing is batched here, and nothing is to be forced."""


def attack_plan(rollups: Sequence[str] = ("alpha", "beta")) -> Plan:
    """A plan without a market, whose challenge period is long enough to act in."""
    plan = example_plan(rollups, market=None)
    settlement = SettlementPlan(challenge_period_s=PERIOD_S, proposal_interval=INTERVAL)
    return replace(plan, rollups=tuple(replace(rollup, settlement=settlement) for rollup in plan.rollups))


class RollupSide(Side):
    """A rollup that follows L1.

    Args:
        plan: of the rollup.
        where: its contracts.
        proposer: proposes its outputs.
        challenger: deletes them.
        engine: started.
        genesis: header of its block 0.
        l1: the chain that it follows.
        outputs: notes its outputs.
        batcher: whom the L1 attributes name, lower-case address.
    """

    def __init__(
        self,
        *,
        plan: RollupPlan,
        where: RollupDeployment,
        proposer: Account,
        challenger: Account,
        engine: Engine,
        genesis: Header,
        l1: L1Side,
        outputs: Outputs,
        batcher: str,
    ) -> None:
        self.plan, self.where, self.engine = plan, where, engine
        self.proposer, self.challenger = proposer, challenger
        self.l1, self.outputs, self.chain_id = l1, outputs, plan.chain_id
        self.portal = where.portal.lower()
        self.passed: list[Passed] = []
        """Withdrawals of the chain, in order."""
        self.deposited: list[str] = []
        """Raw deposits of users that were derived, in order."""
        self.left_out: list[str] = []
        """Those of them that the engine could not execute."""
        self.alter: Callable[[tuple[str, ...]], tuple[str, ...]] = tuple
        """What a faulty derivation makes of a block's user deposits."""
        member = Member(plan.chain_id, self.portal)
        self._derivation = Derivation(Rules((member,), where.batch_inbox.lower(), batcher, _NEVER))
        self._headers = [genesis]
        self._heads: list[ChainHead] = []

    @property
    def head(self) -> Header:
        """The last block."""
        return self._headers[-1]

    async def request(self, method: str, *params: Any) -> Any:
        """See :class:`Side`."""
        return await self.engine.request(method, params)

    async def mine(self, *raws: bytes) -> list[Receipt]:
        """See :class:`Side`; before it, blocks for all L1 blocks but the last that had none yet."""
        await self._look()
        first, last = self._heads[-1].origin.number + 1, self._derivation.l1_head
        for origin in range(first, last):
            await self._build(origin, ())
        return await self._build(last, raws)

    async def follow(self) -> list[Receipt]:
        """Derive what L1 has deposited since; the receipts of these deposits."""
        await self._look()
        receipts = []
        for origin in range(self._heads[-1].origin.number + 1, self._derivation.l1_head + 1):
            count = len(self.deposited)
            await self._build(origin, ())
            if len(self.deposited) > count:
                found = await self.request("eth_getBlockReceipts", hex(self.head.number))
                receipts += found[1:]
        return receipts

    async def inclusion(self, withdrawal: Withdrawal, number: int) -> Inclusion:
        """Proof that a withdrawal is in the state of an output's block, if it is."""
        key = storage_key(withdrawal.hash)
        proof = await self.request("eth_getProof", L2_TO_L1_MESSAGE_PASSER, [key], hex(number))
        nodes = tuple(from_hex(node) for node in proof["storageProof"][0]["proof"])
        return Inclusion(self.output(number).parts, nodes)

    def output(self, number: int) -> Output:
        """The output of a block that was due for proposal."""
        output = self.outputs.at(number)
        assert output is not None, f"no output of block {number} was noted"
        return output

    @contextlib.asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """What is built inside is undone; L1 must go back as well, and first."""
        number, l1_head = self.head.number, self._derivation.l1_head
        lists: tuple[list[Any], ...] = (
            self._headers,
            self._heads,
            self.passed,
            self.deposited,
            self.left_out,
        )
        lengths = [len(each) for each in lists]
        try:
            yield
        finally:
            await self.engine.rewind(number)
            self._derivation.rewind(l1_head)
            for each, length in zip(lists, lengths, strict=True):
                del each[length:]

    async def _look(self) -> None:
        last = int(await self.l1.request("eth_blockNumber"), 16)
        first = self._derivation.l1_head + 1
        if first > last:
            return
        async for block in read_blocks(self.l1.client, [self.portal], [], first, last):
            self._derivation.add(block)
            if not self._heads:
                self._heads.append(self._derivation.state.heads[self.chain_id])

    async def _build(self, origin: int, raws: Iterable[bytes]) -> list[Receipt]:
        block, parent = self._derivation.l1_block(origin), self._heads[-1]
        assert block is not None, "origins are blocks that derivation has seen"
        timestamp = max(parent.timestamp, block.info.timestamp)
        payload = self._derivation.payload(self.chain_id, parent, block, timestamp)
        deposits = (payload.deposits[0], *self.alter(payload.deposits[1:]))
        payload = replace(payload, deposits=deposits, transactions=tuple(to_hex(raw) for raw in raws))
        head = self.head
        fee = next_base_fee(head.base_fee, head.gas_used, head.gas_limit)
        transactions = block_transactions(payload, head.number + 1)
        executed = await self.engine.execute(BlockInput(head, timestamp, fee, transactions))
        self._headers.append(executed.header)
        number = executed.header.number
        self._heads.append(ChainHead(number, payload.origin, payload.sequence, timestamp))
        await self.outputs.note(executed.header)
        self.deposited += payload.deposits[1:]
        for result, raw in zip(executed.results, transactions, strict=True):
            if result.status not in ("success", "failed"):
                if raw[:1] != DEPOSIT_TYPE:
                    raise Refused(f"{result.hash} is not in block {number}: {result.reason}")
                self.left_out.append(to_hex(raw))
        if len(transactions) == 1:
            return []
        receipts = await self.request("eth_getBlockReceipts", hex(number))
        for receipt in receipts:
            self.passed += [passed(log) for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC]]
        return list(receipts[len(receipts) - len(payload.transactions) :])


@dataclass(frozen=True, slots=True)
class Bridge:
    """L1 and its rollups."""

    plan: Plan
    l1: L1Side
    rollups: Mapping[str, RollupSide]
    """By name."""

    def role(self, name: str) -> Account:
        """A role by name."""
        return role_of(self.plan, name)

    async def propose(
        self, rollup: RollupSide, number: int | None = None, wrong: Mapping[int, str] | None = None
    ) -> int:
        """Propose, in one L1 block, every output that is due up to the first that covers a block.

        Args:
            rollup: whose; it builds on until that output is due.
            number: L2 block; its head by default.
            wrong: roots to propose instead of the true ones, by L2 block.

        Returns:
            The index of that output.
        """
        number = rollup.head.number if number is None else number
        last = -(-number // INTERVAL) * INTERVAL
        while rollup.head.number < last:
            await rollup.mine()
        oracle = rollup.where.output_oracle
        following = await self.l1.read(theirs("L2OutputOracle", oracle, "nextBlockNumber"))
        proposals = []
        for due in range(following, last + 1, INTERVAL):
            root = (wrong or {}).get(due) or rollup.output(due).root
            proposal = theirs(
                "L2OutputOracle", oracle, "proposeL2Output", from_hex(root, 32), due, bytes(32), 0
            )
            proposals.append((rollup.proposer, replace(proposal, gas=_PROPOSAL_GAS)))
        if proposals:
            receipts = await self.l1.together(*proposals)
            assert {"0x1"} == {receipt["status"] for receipt in receipts}
        return last // INTERVAL - 1

    async def prove(self, account: Account, rollup: RollupSide, found: Passed) -> Receipt:
        """Propose what is missing and prove a withdrawal against the first output that holds it.

        Raises:
            Refused: the portal refuses.
        """
        index = await self.propose(rollup, found.block)
        inclusion = await rollup.inclusion(found.withdrawal, (index + 1) * INTERVAL)
        return await self.l1.send(account, proving(rollup, found.withdrawal, index, inclusion))

    async def finish(
        self, account: Account, rollup: RollupSide, found: Passed, gas: int = CALL_GAS
    ) -> Receipt:
        """Prove a withdrawal, wait as long as it takes, finalize it.

        Raises:
            Refused: the portal refuses.
        """
        await self.prove(account, rollup, found)
        self.l1.wait(PERIOD_S)
        return await self.l1.send(account, replace(finalizing(rollup, found.withdrawal), gas=gas))

    @contextlib.asynccontextmanager
    async def undone(self) -> AsyncIterator[None]:
        """Whatever happens inside did not happen, on any chain: an L1 reorganisation that rollups follow."""
        now, snapshot = self.l1.now, await self.l1.request("evm_snapshot")
        async with AsyncExitStack() as stack:
            for rollup in self.rollups.values():
                await stack.enter_async_context(rollup.undone())
            try:
                yield
            finally:
                assert await self.l1.request("evm_revert", snapshot)
                self.l1.now = now


def proving(rollup: RollupSide, withdrawal: Withdrawal, index: int, inclusion: Inclusion) -> Call:
    """``proveWithdrawalTransaction`` at a rollup's portal."""
    return theirs(
        "OptimismPortal",
        rollup.portal,
        "proveWithdrawalTransaction",
        withdrawal.struct,
        index,
        inclusion.parts.struct,
        inclusion.nodes,
    )


def finalizing(rollup: RollupSide, withdrawal: Withdrawal) -> Call:
    """``finalizeWithdrawalTransaction`` at a rollup's portal."""
    return theirs("OptimismPortal", rollup.portal, "finalizeWithdrawalTransaction", withdrawal.struct)


@contextlib.asynccontextmanager
async def bridge_by_hand(plan: Plan, directory: Path) -> AsyncIterator[Bridge]:
    """L1 and every rollup of a plan, each from its genesis.

    Args:
        plan: such as :func:`attack_plan`.
        directory: for genesis files, the cache and what engines keep.
    """
    where = deployments(plan)
    async with AsyncExitStack() as stack:
        chain = await stack.enter_async_context(l1_chain(plan, directory))
        genesis = await chain.client.call("eth_getBlockByNumber", "0x0", False)
        l1 = L1Side(chain.client, chain.chain_id, int(genesis["timestamp"], 16))
        rollups = {}
        for rollup in plan.rollups:
            here = directory / rollup.name
            here.mkdir()
            path = here / "genesis.json"
            path.write_bytes(genesis_bytes(await build_genesis(plan, rollup, directory / "cache")))
            with PortReservations() as ports:
                anvil = AnvilPlace(
                    str(anvil_binary()), ports.reserve(), rollup.chain_id, rollup.block_gas_limit
                )
                engine = open_engine(rollup.engine, path, here, anvil)
            stack.push_async_callback(engine.stop)
            rollups[rollup.name] = RollupSide(
                plan=rollup,
                where=where.rollups[rollup.name],
                proposer=proposer_of(plan, rollup),
                challenger=challenger_of(plan, rollup),
                engine=engine,
                genesis=await engine.start(),
                l1=l1,
                outputs=Outputs(engine, here / "outputs.jsonl", rollup.settlement.proposal_interval),
                batcher=where.rollups[rollup.name].batcher.lower(),
            )
        for each in rollups.values():
            await each.mine()
        yield Bridge(plan, l1, rollups)
