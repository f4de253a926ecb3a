"""Watching deposits and withdrawals until they come to their end, their time is over, or nobody is there to go on with them.

The relayer is only asked whether it is there; what it has done, the chains say.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.contracts.addresses import L2_CROSS_DOMAIN_MESSENGER
from bridge.relayer.lifecycle import State, Wait, reached
from bridge.relayer.withdrawal import Passed, Withdrawal
from bridge.wire.errors import PeerUnreachable, RpcError
from orchestrator.bridging.reading import derived_in, did_its_work, look, where_now
from orchestrator.bridging.sending import EVERY_S, receipt_of
from orchestrator.bridging.terms import deposit_limit_s, withdrawal_terms
from orchestrator.chains import ChainHandle, ChainUnreachable, Refused
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import deployments

Tell = Callable[[str], None]
"""Takes one line for the human who waits."""

PATIENCE_S: Final = 6.0
"""A node that doesn't answer for so long is down, seconds."""
RELAYER_S: Final = 2.0
"""Longest wait for the relayer's answer, seconds."""
TELL_EVERY_S: Final = 5.0
"""Longest silence while something is waited for, seconds."""


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


async def follow_deposit(
    net: Devnet, rollup: ChainHandle, digest: str, kept: str, tell: Tell, *, started: float, wait: bool
) -> Deposited:
    """Watch a deposit until its rollup has executed it.

    Args:
        net: the devnet.
        rollup: whose deposit it is.
        digest: hash of the transaction on L1.
        kept: where what was deposited is if its call fails.
        tell: told of each step, a line at a time.
        started: when it was sent, monotonic seconds.
        wait: whether to wait at all.

    Raises:
        BridgingFailed: it is in no block of L1, or failed there.
    """
    portal = deployments(net.plan).rollups[rollup.name].portal
    receipt = await receipt_of(net.l1, digest)
    derived = derived_in(receipt, portal)
    tell(f"in L1 block {int(receipt['blockNumber'], 16)}; on {rollup.name} it will be {derived}")
    limit, silent = (deposit_limit_s(net.plan) if wait else 0.0), 0.0
    reason = "not waited for"
    while (waited := time.monotonic() - started) < limit:
        try:
            executed = await rollup.receipt(derived)
            if executed is None:  # L1 may have been reorganised: another block makes it another transaction
                derived = derived_in(await receipt_of(net.l1, digest), portal)
            reason = f"{rollup.name} has not executed it within {limit:.0f} s"
        except RollnetError as exc:
            executed, reason = None, exc.message
        if executed is not None:
            outcome = "executed" if did_its_work(executed) else "failed"
            why = "" if outcome == "executed" else f"its call failed; {kept}"
            block = int(executed["blockNumber"], 16)
            return Deposited(outcome, digest, derived, block, waited, why)
        if waited > silent + TELL_EVERY_S:
            silent = waited
            tell(f"waiting for {rollup.name} to execute it ({waited:.0f} s of at most {limit:.0f} s)")
        await asyncio.sleep(EVERY_S)
    return Deposited("unknown", digest, derived, None, time.monotonic() - started, reason)


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
            there = await where_now(rollup, found)
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
                outcome, reason = ("finalized", "") if end[1] else ("failed", _unpaid(found.withdrawal))
                return Withdrawn(outcome, found, seen, stages, end[0], reason)
            answered[net.l1.name] = now
        except (ChainUnreachable, Refused) as exc:
            reason = exc.message
        trouble = await relayer_trouble(net, rollup.name, name)
        answered[net.relayer.name] = answered[net.relayer.name] if trouble else now
        reason = trouble or reason
        late = any(now - last > PATIENCE_S for last in answered.values()) or now - started > terms.limit_s
        if not wait or late:
            return Withdrawn("unfinished", found, state or State.SENT, stages, None, reason)
        if now > told + TELL_EVERY_S:
            told = now
            tell(f"{state or State.SENT} for {now - started:.0f} s: {reason or 'the relayer is at it'}")
        await asyncio.sleep(EVERY_S)


async def relayer_trouble(net: Devnet, rollup: str, digest: str) -> str:
    """Why the relayer will not go on with a withdrawal or a message of a rollup; nothing if it will."""
    try:
        known = await net.relayer.client.call("rollnet_message", digest, rollup, deadline=RELAYER_S)
    except PeerUnreachable:
        return (
            "the relayer does not answer; nothing is lost, it goes on from where it was: "
            "rollnet node restart relayer"
        )
    except RpcError:
        return ""  # it has not seen it yet
    return f"the relayer gave up: {known['reason']}; see `rollnet logs relayer`" if known["dead"] else ""


def _unpaid(withdrawal: Withdrawal) -> str:
    held = withdrawal.sender == L2_CROSS_DOMAIN_MESSENGER
    kept = "; the messenger on L1 holds the message, for anybody to replay" if held else ""
    return f"its call failed on L1: nobody was paid{kept}"
