"""Deposits and withdrawals as the chains have them: what a transaction made, and how far it came.

How far a withdrawal is, is read by the rule that the relayer uses (``bridge.relayer.lifecycle.judge``, pure), never taken from the relayer's
word: whoever proves or finalizes, it counts.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER, L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.errors import AbiMismatch
from bridge.relayer.lifecycle import Facts, State, Step, judge
from bridge.relayer.messages.sightings import HELD_TOPIC, MESSENGER
from bridge.relayer.portal import Portal
from bridge.relayer.withdrawal import PASSED_TOPIC, Passed, Withdrawal, passed
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.bridging.sending import BridgingFailed
from orchestrator.chains import ChainHandle, Refused, translated
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments


async def find_withdrawal(net: Devnet, digest: str, rollup: str | None) -> tuple[ChainHandle, Passed]:
    """A withdrawal by its hash, on the rollup that sent it.

    Raises:
        BridgingFailed: no rollup sent one, or several and it isn't said which.
        RollnetError: a rollup doesn't answer.
    """
    asked = [net.rollup(rollup)] if rollup else list(net.rollups.values())
    query = {
        "address": L2_TO_L1_MESSAGE_PASSER,
        "topics": [PASSED_TOPIC],
        "fromBlock": "0x0",
        "toBlock": "latest",
    }
    found = [
        (chain, each)
        for chain in asked
        for each in map(passed, await chain.rpc("eth_getLogs", query))
        if each.withdrawal.hash == digest
    ]
    if not found:
        names = ", ".join(chain.name for chain in asked)
        raise BridgingFailed(f"no withdrawal {digest} was sent on {names}", "check the hash and the rollup")
    if len(found) > 1:
        names = ", ".join(chain.name for chain, _ in found)
        raise BridgingFailed(
            f"{names} all sent a withdrawal {digest}", "say which one: ROLLUP before --status"
        )
    return found[0]


async def look(
    net: Devnet, rollup: ChainHandle, found: Passed
) -> tuple[State, Step, tuple[str, bool] | None]:
    """State of a withdrawal, the next step, and once finalized the transaction and whether its call succeeded.

    Raises:
        RollnetError: L1 or the rollup doesn't answer.
    """
    where, name = deployments(net.plan).rollups[rollup.name], found.withdrawal.hash
    portal = Portal(net.l1.client, where.portal, where.output_oracle)
    safe = int((await rollup.rpc("eth_getBlockByNumber", "safe", False))["number"], 16)
    head = int((await net.l1.rpc("eth_getBlockByNumber", "latest", False))["timestamp"], 16)
    with translated(net.l1.name), _contracts_there(net):
        standing = await portal.standing()
        own = (await portal.progress([name]))[name]
        index = (await portal.covering([found.block])).get(found.block)
        wanted = {index, own.proven.index if own.proven else None} - {None}
        outputs = await portal.outputs(sorted(each for each in wanted if each is not None))
        facts = Facts(
            now=head,
            period=standing.period,
            paused=standing.paused,
            safe=safe,
            covering=None if index is None else outputs.get(index),
            proven=own.proven,
            standing=outputs.get(own.proven.index) if own.proven else None,
            finalized=own.finalized,
        )
        state, step = judge(found.block, facts)
        end = await portal.finalized_in(name) if own.finalized else None
        if end is not None and end[1] and found.withdrawal.sender == L2_CROSS_DOMAIN_MESSENGER:
            end = end[0], await _relayed(net.l1, where.messenger, found.withdrawal)
    return state, step, end


async def where_now(rollup: ChainHandle, found: Passed) -> Passed | None:
    """The withdrawal where it now is: a reorganisation may have moved it, or taken it away."""
    receipt = await rollup.receipt(found.transaction)
    if receipt is None or receipt["status"] != "0x1":
        return None
    if receipt["blockHash"] == found.block_hash:
        return found
    entries = [log for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC]]
    return next((each for each in map(passed, entries) if each.withdrawal == found.withdrawal), None)


def derived_in(receipt: Mapping[str, Any], portal: str) -> str:
    """Hash of the transaction that a deposit's receipt on L1 makes on the rollup. Pure."""
    (log,) = (
        log
        for log in receipt["logs"]
        if log["address"].lower() == portal.lower() and log["topics"][0] == DEPOSITED_TOPIC
    )
    return to_hex(keccak256(user_deposit(log, receipt["blockHash"])))


def did_its_work(receipt: Mapping[str, Any]) -> bool:
    """Whether a deposit succeeded, and no messenger had to keep the message that it brought. Pure."""
    kept = [log for log in receipt["logs"] if log["topics"][:1] == [HELD_TOPIC]]
    return receipt["status"] == "0x1" and all(
        log["address"].lower() != L2_CROSS_DOMAIN_MESSENGER for log in kept
    )


def only_passed(receipt: Mapping[str, Any]) -> Passed:
    """The withdrawal of a transaction that made one. Pure."""
    (log,) = (log for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC])
    return passed(log)


async def _relayed(l1: ChainHandle, messenger: str, withdrawal: Withdrawal) -> bool:
    """Whether the messenger on L1 has made the call of one of its messages, and doesn't keep it for somebody to replay."""
    if withdrawal.target != messenger.lower():
        return True
    data = MESSENGER.encode_call("successfulMessages", keccak256(withdrawal.data))
    answer = await l1.client.call("eth_call", {"to": messenger, "data": to_hex(data)}, "latest")
    return bool(MESSENGER.decode_result("successfulMessages", from_hex(answer))[0])


@contextlib.contextmanager
def _contracts_there(net: Devnet) -> Iterator[None]:
    try:
        yield
    except AbiMismatch as exc:
        raise Refused(f"{net.l1.name} has other contracts than the plan says: {exc}") from exc
