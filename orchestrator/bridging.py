"""ETH between L1 and a rollup as a user moves it: a deposit through the portal, a withdrawal through the message passer.

::

    deposit:   sign ─► portal on L1 ─► its log ─► hash of the derived transaction (pure) ─► receipt on the rollup
    withdraw:  sign ─► MessagePassed ─► batched ─► proposed ─► proven ─► finalized      (the relayer does what it takes)

How far a withdrawal is, is read from L1 and the rollup by the rule that the relayer uses (``bridge.relayer.lifecycle.judge``, pure), never
taken from the relayer's word: whoever proves or finalizes, it counts. The relayer is only asked whether it is there to do it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.contracts.errors import AbiMismatch
from bridge.contracts.op import op_artifact
from bridge.relayer.lifecycle import Facts, State, Step, Wait, judge, reached
from bridge.relayer.portal import PORTAL, Portal
from bridge.relayer.withdrawal import PASSED_TOPIC, Passed, passed
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.keccak import keccak256, to_hex
from orchestrator.bridging_sending import EVERY_S, BridgingFailed, receipt_of, send
from orchestrator.bridging_terms import deposit_limit_s, ether, withdrawal_terms
from orchestrator.chains import ChainHandle, ChainUnreachable, Refused, translated
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import deployments
from orchestrator.topology.plan import Account

Tell = Callable[[str], None]
"""Takes one line for the human who waits."""

CALL_GAS: Final = 200_000
"""Gas of the call at the other end: the recipient may be a contract."""
PATIENCE_S: Final = 6.0
"""A node that doesn't answer for so long is down, seconds."""
RELAYER_S: Final = 2.0
"""Longest wait for the relayer's answer, seconds."""
TELL_EVERY_S: Final = 5.0
"""Longest silence while something is waited for, seconds."""
PASSER = op_artifact("L2ToL1MessagePasser").interface


@dataclass(frozen=True, slots=True)
class Deposited:
    """What became of a deposit."""

    outcome: str
    """``executed``, ``failed`` (its call; the sender keeps the ETH, on the rollup) or ``unknown``."""
    l1_transaction: str
    l2_transaction: str
    """Hash of the derived transaction."""
    l2_block: int | None
    seconds: float
    """Since it was sent."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How far a withdrawal is."""

    outcome: str
    """``finalized`` (and paid), ``failed`` (finalized, its call failed) or ``unfinished``."""
    passed: Passed
    state: State
    stages: Mapping[str, float]
    """Seconds from sending until each stage was seen; empty if nobody watched."""
    finalized_by: str | None
    """L1 transaction."""
    reason: str = ""
    """Why it is not finished."""


async def deposit(
    net: Devnet, rollup: ChainHandle, account: Account, to: str, wei: int, tell: Tell, *, wait: bool = True
) -> Deposited:
    """Deposit ETH and follow it until it is executed on the rollup.

    Raises:
        BridgingFailed: nothing was deposited, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was sent.
    """
    where, started = deployments(net.plan).rollups[rollup.name], time.monotonic()
    data = PORTAL.encode_call("depositTransaction", to, wei, CALL_GAS, False, b"")
    digest = await send(net, net.l1, account, where.portal, data, wei)
    tell(f"sent to L1: {digest}")
    receipt = await receipt_of(net.l1, digest)
    derived = _derived(receipt, where.portal)
    tell(f"in L1 block {int(receipt['blockNumber'], 16)}; on {rollup.name} it will be {derived}")
    limit, silent = (deposit_limit_s(net.plan) if wait else 0.0), 0.0
    reason = "not waited for"
    while (waited := time.monotonic() - started) < limit:
        try:
            executed = await rollup.receipt(derived)
            if executed is None:  # L1 may have been reorganised: another block makes it another transaction
                derived = _derived(await receipt_of(net.l1, digest), where.portal)
            reason = f"{rollup.name} has not executed it within {limit:.0f} s"
        except RollnetError as exc:
            executed, reason = None, exc.message
        if executed is not None:
            good = executed["status"] == "0x1"
            why = f"its call failed; {account.address} keeps the {ether(wei)} ETH on {rollup.name}"
            block = int(executed["blockNumber"], 16)
            return Deposited(
                "executed" if good else "failed", digest, derived, block, waited, "" if good else why
            )
        if waited > silent + TELL_EVERY_S:
            silent = waited
            tell(f"waiting for {rollup.name} to execute it ({waited:.0f} s of at most {limit:.0f} s)")
        await asyncio.sleep(EVERY_S)
    return Deposited("unknown", digest, derived, None, time.monotonic() - started, reason)


async def withdraw(
    net: Devnet, rollup: ChainHandle, account: Account, to: str, wei: int, tell: Tell, *, wait: bool = True
) -> Withdrawn:
    """Withdraw ETH and follow it until L1 has paid.

    Raises:
        BridgingFailed: nothing was withdrawn, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was sent.
    """
    if to.lower() == deployments(net.plan).rollups[rollup.name].portal.lower():
        raise BridgingFailed(f"{to} is {rollup.name}'s portal, which never pays itself", "mend --to")
    started = time.monotonic()
    data = PASSER.encode_call("initiateWithdrawal", to, CALL_GAS, b"")
    digest = await send(net, rollup, account, L2_TO_L1_MESSAGE_PASSER, data, wei)
    receipt = await receipt_of(rollup, digest)
    found = _only_passed(receipt)
    tell(f"sent in {rollup.name} block {found.block}: withdrawal {found.withdrawal.hash}")
    return await follow(net, rollup, found, tell, started=started, wait=wait)


async def follow(
    net: Devnet, rollup: ChainHandle, found: Passed, tell: Tell, *, started: float, wait: bool
) -> Withdrawn:
    """Watch a withdrawal until it is finalized, its time is over or nobody is there to finalize it."""
    terms, name = withdrawal_terms(net.plan, rollup.name), found.withdrawal.hash
    state: State | None = None
    stages: dict[str, float] = {}
    answered = {net.l1.name: time.monotonic(), net.relayer.name: time.monotonic()}
    told, reason = time.monotonic(), ""
    while True:
        now = time.monotonic()
        try:
            there = await _again(rollup, found)
            found = there or found
            seen, step, end = await look(net, rollup, found)
            if there is None and seen not in (State.PROVEN, State.FINALIZED):
                seen, step = State.DROPPED, Wait(f"its block {found.block} was reorganised away")
            for stage in reached(state, seen) if seen != state else ():
                stages.setdefault(stage, round(now - started, 3))
                tell(f"{stage} after {now - started:.1f} s")
                told = now
            state, reason = seen, step.reason if isinstance(step, Wait) else ""
            if end is not None:
                outcome, reason = (
                    ("finalized", "") if end[1] else ("failed", "its call failed on L1: nobody was paid")
                )
                return Withdrawn(outcome, found, seen, stages, end[0], reason)
            answered[net.l1.name] = now
        except (ChainUnreachable, Refused) as exc:
            reason = exc.message
        trouble = await _relayer_trouble(net, rollup, name)
        answered[net.relayer.name] = answered[net.relayer.name] if trouble else now
        reason = trouble or reason
        late = any(now - last > PATIENCE_S for last in answered.values()) or now - started > terms.limit_s
        if not wait or late:
            return Withdrawn("unfinished", found, state or State.SENT, stages, None, reason)
        if now > told + TELL_EVERY_S:
            told = now
            tell(f"{state or State.SENT} for {now - started:.0f} s: {reason or 'the relayer is at it'}")
        await asyncio.sleep(EVERY_S)


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
    return state, step, end


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


async def _again(rollup: ChainHandle, found: Passed) -> Passed | None:
    """The withdrawal where it now is: a reorganisation may have moved it, or taken it away."""
    receipt = await rollup.receipt(found.transaction)
    if receipt is None or receipt["status"] != "0x1":
        return None
    if receipt["blockHash"] == found.block_hash:
        return found
    entries = [log for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC]]
    return next((each for each in map(passed, entries) if each.withdrawal == found.withdrawal), None)


async def _relayer_trouble(net: Devnet, rollup: ChainHandle, digest: str) -> str:
    """Why the relayer will not go on with a withdrawal; nothing if it will."""
    try:
        known = await net.relayer.client.call("rollnet_message", digest, rollup.name, deadline=RELAYER_S)
    except PeerUnreachable:
        return (
            "the relayer does not answer; nothing is lost, it goes on from where it was: "
            "rollnet node restart relayer"
        )
    except RpcError:
        return ""  # it has not seen it yet
    return f"the relayer gave up: {known['reason']}; see `rollnet logs relayer`" if known["dead"] else ""


def _derived(receipt: Mapping[str, Any], portal: str) -> str:
    """Hash of the transaction that a deposit's receipt on L1 makes on the rollup. Pure."""
    (log,) = (
        log
        for log in receipt["logs"]
        if log["address"].lower() == portal.lower() and log["topics"][0] == DEPOSITED_TOPIC
    )
    return to_hex(keccak256(user_deposit(log, receipt["blockHash"])))


def _only_passed(receipt: Mapping[str, Any]) -> Passed:
    (log,) = (log for log in receipt["logs"] if log["topics"][:1] == [PASSED_TOPIC])
    return passed(log)


@contextlib.contextmanager
def _contracts_there(net: Devnet) -> Iterator[None]:
    try:
        yield
    except AbiMismatch as exc:
        raise Refused(f"{net.l1.name} has other contracts than the plan says: {exc}") from exc
