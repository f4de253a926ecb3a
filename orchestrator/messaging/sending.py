"""Messages from one rollup to another as a user sends them: sent once, and followed to their end.

::

    sign ─► MessageSent ─► batched ─► proposed ─► proven ─► finalized ─► deposited ─► executed
            └──────────── the withdrawal that carries it ──────────┘         └► failed ─► executed by another try, or
                                                                                 returning ─► refunded, once it has expired

Everything but the sending is done by the relayer, or by whoever wants to. Nothing here is needed for it: a command that is killed can be
followed by another (``reading`` finds the message again).
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX
from bridge.relayer.messages.envelope import MAILBOX, SENT_TOPIC, account_word
from bridge.relayer.messages.lifecycle import State
from bridge.relayer.messages.sightings import Sign
from bridge.wire.keccak import from_hex
from bridge.wire.stages import Stage
from orchestrator.bridging.following import PATIENCE_S, TELL_EVERY_S, Tell, relayer_trouble
from orchestrator.bridging.sending import EVERY_S, alone, receipt_of, submit
from orchestrator.bridging.terms import Currency, InvalidTransfer, coin_of, message_terms
from orchestrator.chains import ChainHandle, ChainUnreachable, Refused, translated
from orchestrator.devnet import Devnet
from orchestrator.messaging.logs import Found, found_in
from orchestrator.messaging.reading import Seen, look_at
from orchestrator.messaging.terms import (
    MAX_VALIDITY_S,
    Outcome,
    Waiting,
    Wish,
    described,
    doing,
    is_end,
    outcome_of,
    patience_s,
    stages,
    why_failed,
)
from orchestrator.topology.plan import Account

CLOCK_S: Final = 2.0
"""Longest wait for a rollup's clock, seconds."""
SENT: Final = str(State.SENT)


@dataclass(frozen=True, slots=True)
class Followed:
    """How far a message is."""

    outcome: Outcome
    found: Found
    seen: Seen | None
    """None if the chains did not say."""
    reached: tuple[str, ...]
    """Its stages so far, in order."""
    stages: Mapping[str, float]
    """Seconds from sending until each stage was seen, of those that were waited for."""
    reason: str = ""
    """Why it is not executed, or not yet."""


async def send_message(
    net: Devnet,
    source: ChainHandle,
    destination: ChainHandle,
    account: Account,
    wish: Wish,
    tell: Tell,
    *,
    waiting: Waiting,
) -> Followed:
    """Send a message and follow it as far as is asked for.

    Args:
        net: the devnet.
        source: the rollup that it is sent on.
        destination: the rollup that it is for.
        account: who signs, pays and is refunded.
        wish: the message.
        tell: told of each stage, a line at a time.
        waiting: what for.

    Raises:
        InvalidTransfer: the target can't be called with data.
        BridgingFailed: nothing was sent, or it isn't known.
        RollnetError: a node doesn't answer or refuses, before anything was sent.
    """
    coin = coin_of(net.plan, source.name)
    await _require_code(destination, wish, coin)
    async with alone(net):
        data = await _sending(source, destination, wish)
        submitted = await submit(
            source, account, CROSS_ROLLUP_MAILBOX, data, wish.value, interface=MAILBOX, coin=coin
        )
    receipt = await receipt_of(source, submitted.hash)
    (log,) = (log for log in receipt["logs"] if log["topics"][:1] == [SENT_TOPIC])
    found = found_in(net, source, log)
    net.journal.emit(
        Stage.MESSAGE_SUBMITTED,
        msg_id=found.hash,
        at_ns=submitted.at_ns,
        rollup=source.name,
        destination=destination.name,
        value=str(wish.value),
        l2_tx=submitted.hash,
    )
    what = described(wish.value, len(wish.data), coin)
    tell(f"sent {what} in {source.name} block {found.sent.block}: message {found.hash}")
    return await follow_message(net, found, tell, waiting=waiting, submitted=submitted.at_ns / 1e9)


async def follow_message(
    net: Devnet, found: Found, tell: Tell, *, waiting: Waiting, submitted: float | None = None
) -> Followed:
    """Watch a message until what is waited for has come, its time is over, or nobody is there to go on with it.

    Args:
        net: the devnet.
        found: the message.
        tell: told of each stage, a line at a time.
        waiting: what for.
        submitted: when it was sent, monotonic seconds; if that isn't known, its block's time counts, and what it reached before has no time.
    """
    began = time.monotonic()
    started = began - max(time.time() - found.time, 0.0) if submitted is None else submitted
    seen: Seen | None = None
    reached: tuple[str, ...] = (SENT,)
    times: dict[str, float | None] = {}
    answered = {"chains": began, "relayer": began}
    told, turned, reason = began, began, ""
    while True:
        now = time.monotonic()
        try:
            before, seen = seen, await look_at(net, found)
            if seen.found.hash != found.hash:
                tell(f"a reorganisation moved it: it is now message {seen.found.hash}")
            if before and _returns(seen) and not _returns(before):
                turned = now
            found = seen.found
            reached = stages(seen.carrier, seen.state, {each.sign for each in seen.sightings})
            if before is None and submitted is None:
                tell(f"so far: {', '.join(reached)}")
                times = dict.fromkeys(reached)
            for stage in [stage for stage in reached if stage not in times]:
                times[stage] = round(now - started, 3)
                tell(f"{stage} after {now - started:.1f} s")
                told = now
            reason = _why(seen)
            answered["chains"] = time.monotonic()
        except (ChainUnreachable, Refused) as exc:
            reason = exc.message
        trouble = await _trouble(net, found, seen)
        now = time.monotonic()
        answered["relayer"] = answered["relayer"] if trouble else now
        reason = "; ".join(filter(None, (reason, trouble)))
        late = now - turned > _patience_s(net, found, seen, waiting)
        gone = any(now - last > PATIENCE_S for last in answered.values())
        if late or gone or (seen is not None and is_end(seen.state, waiting)):
            outcome = outcome_of(seen.state) if seen else Outcome.UNFINISHED
            known = {stage: seconds for stage, seconds in times.items() if seconds is not None}
            return Followed(outcome, found, seen, reached, known, reason)
        if now > told + TELL_EVERY_S:
            told = now
            tell(f"{seen.state if seen else SENT} for {now - started:.0f} s: {reason}")
        await asyncio.sleep(EVERY_S)


def _returns(seen: Seen) -> bool:
    return seen.state in (State.EXPIRED, State.RETURNING)


def _why(seen: Seen) -> str:
    """Why a message is not executed, or not yet, in words."""
    failed = seen.sighting(Sign.FAILED)
    why = why_failed(failed.data) if failed else ""
    envelope = seen.found.sent.envelope
    match seen.state:
        case State.EXECUTED:
            return ""
        case State.REFUNDED:
            nowhere = "" if seen.sighting(Sign.ROUTED) else "there was no way to its destination"
            return why or nowhere or "it expired on its way"
        case State.SENT | State.RETURNING | State.DROPPED if seen.hurdle:
            return "; ".join(filter(None, (why, seen.hurdle)))
    left_s = max(envelope.valid_until - seen.clock, 0)
    return "; ".join(filter(None, (why, doing(seen.step, left_s))))


def _patience_s(net: Devnet, found: Found, seen: Seen | None, waiting: Waiting) -> float:
    """From when it was sent, or turned round, seconds."""
    ends = (found.source, found.destination or found.source)
    left_s = max(found.sent.envelope.valid_until - (seen.clock if seen else found.time), 0)
    state = seen.state if seen else State.SENT
    terms, back = message_terms(net.plan, *ends), message_terms(net.plan, *ends[::-1])
    return patience_s(waiting, terms, back, left_s, state)


async def _trouble(net: Devnet, found: Found, seen: Seen | None) -> str:
    """Why the relayer will not go on with a message; nothing if it will, or need not."""
    if seen is None or seen.state in (State.EXECUTED, State.REFUNDED):
        return await relayer_trouble(net, found.source, found.hash) if seen is None else ""
    if seen.state is State.SENT:
        return await relayer_trouble(net, found.source, seen.withdrawal)
    if seen.state is State.RETURNING and found.destination is not None:
        return await relayer_trouble(net, found.destination, seen.withdrawal)
    return await relayer_trouble(net, found.source, found.hash)


async def _require_code(destination: ChainHandle, wish: Wish, coin: Currency) -> None:
    """Hold that a call with data will find somebody to answer it."""
    if wish.data and await destination.rpc("eth_getCode", wish.target, "latest") == "0x":
        raise InvalidTransfer(
            f"{wish.target} has no code on {destination.name}, so the call would fail and "
            f"{coin.shown(wish.value)} {coin.symbol} would be away until the message expires",
            "create the contract first, or leave --data out",
        )


async def _sending(source: ChainHandle, destination: ChainHandle, wish: Wish) -> bytes:
    """Call data that sends a message; valid from now on, by the clocks of both rollups and within the mailbox's bound."""
    here, there = await _clock(source), int(time.time())
    with contextlib.suppress(ChainUnreachable):  # a rollup that is away can be sent messages
        there = max(there, await _clock(destination))
    valid_until = min(max(here, there) + wish.valid_for_s, here + MAX_VALIDITY_S)
    target = from_hex(account_word(wish.target), 32)
    return MAILBOX.encode_call("send", destination.chain_id, target, wish.gas_limit, valid_until, wish.data)


async def _clock(rollup: ChainHandle) -> int:
    """Time of the newest block, unix seconds."""
    with translated(rollup.name):
        head = await rollup.client.call("eth_getBlockByNumber", "latest", False, deadline=CLOCK_S)
    return int(head["timestamp"], 16)
