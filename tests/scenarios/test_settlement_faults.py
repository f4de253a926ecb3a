"""Settlement under faults: rollup nodes killed with proposals in flight, an L1 that is reorganised, forged outputs, a dead sequencer."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.op import op_artifact
from bridge.relayer.withdrawal import Passed, Withdrawal, passed, storage_key
from bridge.wire import rlp
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.reorganisation import reorganise
from orchestrator.topology.plan import Account
from orchestrator.verification import Verification, live_sources, verify
from orchestrator.verification.testing_settlement import GWEI, Settlement, next_nonce, now_on_l1, send, tagged
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

PERIOD_S, INTERVAL = 4, 2
SETTLED = "{block_time: 500ms, settlement: {challenge_period: 4s, proposal_interval: 1s}}"
QUICK = (
    "l1: {block_time: 400ms, confirmations: 1}\n"
    "messaging: {sequencing_window: 5s, slot: 100ms, publish_every: 400ms}"
)
PORTAL = op_artifact("OptimismPortal").interface
PASSER = op_artifact("L2ToL1MessagePasser").interface
ETHER = 10**18


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Two rollups that settle within seconds."""
    async with launched(topology_file("faults", extra=QUICK, alpha=SETTLED, beta=SETTLED)) as running:
        yield running


@pytest.fixture
def alpha(net: Devnet) -> Settlement:
    """The first rollup on L1."""
    return Settlement(net, "alpha")


async def verified(net: Devnet) -> Verification:
    """The verifier agrees with everything."""
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert () == found.findings
    assert "valid" == found.verdict
    assert 0 < found.outputs
    return found


async def test_proposals_go_on_after_the_node_was_killed_with_some_in_flight(
    net: Devnet, alpha: Settlement
) -> None:
    """Killed again and again with a proposal in L1's pool: every block is proposed once, nothing failed, nothing was paid twice."""
    await alpha.all_right(INTERVAL)
    for _ in range(3):
        await eventually(alpha.has_in_flight, 20, "a proposal in flight", every_s=0.005)
        await net.node("alpha").kill()
        await net.node("alpha").restart()
        await alpha.all_right(await alpha.ask("latestBlockNumber") + INTERVAL)
    proposals = await alpha.proposals()
    expected = [(INTERVAL * (1 + index), True) for index in range(len(proposals))]
    assert expected == proposals
    assert len(proposals) <= await next_nonce(net.l1, alpha.proposer, "latest") <= len(proposals) + 1


@pytest.mark.parametrize("politely", [False, True])
async def test_safe_and_finalized_never_go_back_over_restarts(net: Devnet, politely: bool) -> None:
    """From the first answer after a restart both tags are where they were, or later, and from then on never lower."""
    beta = net.rollup("beta")

    async def both_begun() -> bool:
        return 0 < await tagged(beta, "finalized") < await tagged(beta, "safe")

    await eventually(both_begun, 30, "a finalized block")
    seen = {tag: [await tagged(beta, tag)] for tag in ("safe", "finalized")}
    before = {tag: values[0] for tag, values in seen.items()}
    await (net.node("beta").stop() if politely else net.node("beta").kill())
    restarting = asyncio.create_task(net.node("beta").restart())

    async def moved() -> bool:
        for tag, values in seen.items():
            values.append(await tagged(beta, tag))
        return all(values[-1] > before[tag] + 2 for tag, values in seen.items())

    try:
        await eventually(moved, 30, "both tags beyond where they were", every_s=0.002)
    finally:
        await restarting
    for values in seen.values():
        assert sorted(values) == values
        assert len(values) > 3


async def test_an_l1_that_was_restarted_is_one_chain_from_its_genesis(net: Devnet, alpha: Settlement) -> None:
    """L1 is killed twice and stopped once; a node that reads it from the beginning afterwards goes on, and all verifies."""
    genesis = (await net.l1.rpc("eth_getBlockByNumber", "0x0", False))["hash"]
    for politely in (False, True, False):
        await (net.node("l1").stop() if politely else net.node("l1").kill())
        await net.node("l1").restart()
        height = await net.l1.height()

        async def saved(height: int = height) -> bool:
            return await net.l1.height() > height + 3

        await eventually(saved, 20, "L1 goes on")
        assert genesis == (await net.l1.rpc("eth_getBlockByNumber", "0x0", False))["hash"]
    await net.node("alpha").kill()
    await net.node("alpha").restart()
    await alpha.all_right(await alpha.ask("latestBlockNumber") + INTERVAL)
    await verified(net)


async def test_outputs_that_l1_lost_are_proposed_again(net: Devnet) -> None:
    """L1 is reorganised, outputs are gone; they come again, of the chain that is right by then, and all verifies."""
    both, depth = [Settlement(net, name) for name in net.rollups], 7

    async def some_to_lose() -> bool:
        past = hex(await net.l1.height() - depth)
        counts = [(await s.ask("nextOutputIndex", block=past), await s.ask("nextOutputIndex")) for s in both]
        return all(before < now for before, now in counts)

    await eventually(some_to_lose, 30, f"outputs in the last {depth} L1 blocks")
    had = [await one.ask("nextOutputIndex") for one in both]
    await reorganise(net.l1, depth, net.plan.l1.block_time_s)
    left = [await one.ask("nextOutputIndex") for one in both]
    assert all(fewer < count for fewer, count in zip(left, had, strict=True))
    for one, count in zip(both, had, strict=True):
        await one.all_right(INTERVAL * (count + 2))
    await verified(net)


async def test_a_wrong_output_is_deleted_and_nothing_is_paid_on_it(
    net: Devnet, alpha: Settlement, receipt_of: Any
) -> None:
    """Proposed on the nonce of the node's own proposal: deleted within its period; what was proven against it never finalizes; right ones follow."""
    thief, booty = net.accounts[1], "0x" + "b0" * 20
    forged = Withdrawal(7, thief.address.lower(), booty, ETHER, 100_000, b"")
    leaf = rlp.encode([b"\x20" + keccak256(from_hex(storage_key(forged.hash))), b"\x01"])
    parts = OutputParts("0x" + "11" * 32, to_hex(keccak256(leaf)), "0x" + "22" * 32)
    displaced, index, number = await instead_of_own(alpha, parts.root)
    proof = PORTAL.encode_call("proveWithdrawalTransaction", forged.struct, index, parts.struct, [leaf])
    # dearer than the deletion: it is proven even if both are in one block
    proving = await send(net.l1, thief, alpha.contracts.portal, proof, tip=10 * GWEI)
    assert "0x1" == (await receipt_of(net.l1, proving))["status"]
    proven = await now_on_l1(net)

    async def deleted() -> bool:
        return (parts.root, number) not in await alpha.outputs()

    await eventually(deleted, 2 * PERIOD_S, "the wrong output is deleted", every_s=0.02)
    await alpha.all_right(number + 2 * INTERVAL)
    assert await net.l1.receipt(displaced) is None
    (deletion,) = [each for each in await alpha.deletions() if each["root"] == parts.root]
    assert (index, number) == (deletion["index"], deletion["block"])
    assert deletion["seconds"] < PERIOD_S

    async def over() -> bool:
        return await now_on_l1(net) > proven + PERIOD_S + 1

    await eventually(over, 20, "the challenge period of the forged proof is over")
    call = PORTAL.encode_call("finalizeWithdrawalTransaction", forged.struct)
    with pytest.raises(RollnetError, match="output root proven is not the same as current output root"):
        await net.l1.rpc("eth_call", {"to": alpha.contracts.portal, "data": to_hex(call)}, "latest")
    finalizing = await send(net.l1, thief, alpha.contracts.portal, call)
    assert "0x0" == (await receipt_of(net.l1, finalizing))["status"]
    assert "0x0" == await net.l1.rpc("eth_getBalance", booty, "latest")
    await verified(net)


async def instead_of_own(one: Settlement, root: str) -> tuple[str, int, int]:
    """Have L1 take a wrong root for the very proposal that the node has in flight; the node's transaction, index and L2 block."""
    for _ in range(20):
        await eventually(one.has_in_flight, 20, "a proposal of the node to displace", every_s=0.005)
        own = await one.in_flight()
        index, number = await one.ask("nextOutputIndex"), await one.ask("nextBlockNumber")
        if own is None:
            continue
        nonce = int(own["nonce"], 16)
        try:
            await one.propose(root, number, nonce)
        except RollnetError:
            continue  # L1 has mined the node's own one meanwhile
        await one.mined(nonce)
        if (root, number) in await one.outputs():
            return own["hash"], index, number
    raise AssertionError("the node was always faster")


async def test_a_withdrawal_is_paid_though_the_sequencer_never_comes_back(
    net: Devnet, alpha: Settlement, receipt_of: Any
) -> None:
    """A deposit that withdraws executes by force and its output is proposed; one is proven and finalized by hand, one by the relayer."""
    user, targets = net.accounts[5], ["0x" + "a1" * 20, "0x" + "a2" * 20]
    await net.node("sequencer").kill()
    await net.node("relayer").kill()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                withdraw_by_deposit(alpha, receipt_of, net.accounts[2 + index], target, (1 + index) * ETHER)
            )
            for index, target in enumerate(targets)
        ]
    gone = tasks[0].result()

    async def covered() -> bool:
        return bool(await alpha.ask("latestBlockNumber") >= gone.block)

    await eventually(covered, 30, "an output that covers the withdrawal")
    digest = await send(net.l1, user, alpha.contracts.portal, await proof_of(alpha, gone))
    assert "0x1" == (await receipt_of(net.l1, digest))["status"]
    finalizing = PORTAL.encode_call("finalizeWithdrawalTransaction", gone.withdrawal.struct)
    asked = {"to": alpha.contracts.portal, "data": to_hex(finalizing)}
    with pytest.raises(RollnetError, match="period has not elapsed"):
        await net.l1.rpc("eth_call", asked, "latest")

    async def ready() -> bool:
        return "0x" == await net.l1.rpc("eth_call", asked, "latest")

    await eventually(ready, 20, "the challenge period is over")
    digest = await send(net.l1, user, alpha.contracts.portal, finalizing)
    assert "0x1" == (await receipt_of(net.l1, digest))["status"]
    assert ETHER == int(await net.l1.rpc("eth_getBalance", targets[0], "latest"), 16)
    await net.node("relayer").restart()

    async def both_paid() -> bool:
        return 2 * ETHER == int(await net.l1.rpc("eth_getBalance", targets[1], "latest"), 16)

    await eventually(both_paid, 30, "the relayer carries the other one")
    assert ETHER == int(await net.l1.rpc("eth_getBalance", targets[0], "latest"), 16)
    assert 0 < (await verified(net)).forced


async def withdraw_by_deposit(
    one: Settlement, receipt_of: Any, user: Account, target: str, wei: int
) -> Passed:
    """A withdrawal by a deposit alone, without any sequencer; once it is executed."""
    call = PASSER.encode_call("initiateWithdrawal", target, 100_000, b"")
    asked = PORTAL.encode_call("depositTransaction", L2_TO_L1_MESSAGE_PASSER, wei, 400_000, False, call)
    digest = await send(one.net.l1, user, one.contracts.portal, asked, value=wei)
    on_l1 = await receipt_of(one.net.l1, digest)
    (log,) = [log for log in on_l1["logs"] if log["topics"][0] == DEPOSITED_TOPIC]
    deposit = to_hex(keccak256(user_deposit(log, on_l1["blockHash"])))
    executed = await receipt_of(one.rollup, deposit, 30)
    assert "0x1" == executed["status"]
    return passed(executed["logs"][0])


async def proof_of(one: Settlement, gone: Passed) -> bytes:
    """The call that proves a withdrawal, from what the rollup's node answers to anybody."""
    index = await one.ask("getL2OutputIndexAfter", gone.block)
    root, _, number = await one.output(index) or ("", 0, 0)
    block = await one.rollup.rpc("eth_getBlockByNumber", hex(number), False)
    key = storage_key(gone.withdrawal.hash)
    proof = await one.rollup.rpc("eth_getProof", L2_TO_L1_MESSAGE_PASSER, [key], hex(number))
    parts = OutputParts(block["stateRoot"], proof["storageHash"], block["hash"])
    assert root == parts.root
    nodes = [from_hex(node) for node in proof["storageProof"][0]["proof"]]
    return PORTAL.encode_call(
        "proveWithdrawalTransaction", gone.withdrawal.struct, index, parts.struct, nodes
    )


async def test_outputs_of_blocks_that_l1_does_not_give_are_deleted(net: Devnet, alpha: Settlement) -> None:
    """With the sequencer dead, outputs far ahead of what can be derived: all are deleted in time, by the first; right ones follow."""
    before = len(await alpha.deletions())
    wrong = ["0x" + f"{0xBAD0 + step:064x}" for step in range(5)]
    index = number = 0
    for _ in range(10):
        stood = await alpha.safe()

        async def forced(stood: int = stood) -> bool:
            return await alpha.safe() > stood

        await eventually(forced, 30, "a window has just passed: the next is far")
        await eventually(alpha.nothing_due, 30, "the node has proposed all that L1 gives", every_s=0.005)
        index, number = await alpha.ask("nextOutputIndex"), await alpha.ask("nextBlockNumber")
        nonce = await next_nonce(net.l1, alpha.proposer)
        for step, root in enumerate(wrong):
            await alpha.propose(root, number + step * INTERVAL, nonce + step)
        await alpha.mined(nonce + len(wrong) - 1)
        if await alpha.output(index + len(wrong) - 1) is not None:
            break

    async def deleted() -> bool:
        return not {root for root, _ in await alpha.outputs()} & set(wrong)

    await eventually(deleted, 2 * PERIOD_S, "the wrong outputs are deleted", every_s=0.02)
    await alpha.all_right(number + len(wrong) * INTERVAL)
    (deletion,) = (await alpha.deletions())[before:]
    assert (index, wrong[0]) == (deletion["index"], deletion["root"])
    assert deletion["seconds"] < PERIOD_S
    assert "L1 does not give block" in deletion["reason"]
    await verified(net)
