"""Messages to and from other rollups: what ``CrossRollupMailbox`` does on EVM rollups, at the same address, in the same words.

::

    NONE ─deliver─► EXECUTED ◄─replay─ FAILED ◄─deliver─ NONE          until validUntil
                              FAILED ─export─► EXPORTED                 after it; its value goes back
    NONE ─export──► EXPIRED ─deliver─► LATE ─export─► EXPORTED          its word went back before it came

    sent from here: SENT ─► REFUNDED, or SENT ─► EXPIRED ─► REFUNDED when the word comes ahead of the value

A message's value is in one place at any time: with L1, in custody here (``Post.held``, in wei, since a message may carry less than a unit
of cash), in an account, or with L1 again. Delivered, whole units are the receiver's and the rest is dust. Going back it is what came, to
the wei. What is sent from here is whole units, so what comes back is too, and its sender's account takes it: nobody has to claim.

A message calls what L1 could force (the inbox's functions) and nothing else, in the name of its sender's remote address
(:func:`rollup_node.engines.options.transition.envelopes.remote`); without data it is a credit for any address.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, TypeAlias

from rollup_node.engines.options.state.leaves import Letter
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.interfaces import FUNCTIONS, MAILBOX, is_reserved
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import leave
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.envelopes import (
    MAX_DATA,
    MAX_GAS,
    MAX_VALIDITY,
    VERSION,
    Envelope,
    account_word,
    delivery_gas,
    is_inbox,
    remote,
    routing_gas,
    target_of,
)
from rollup_node.engines.options.transition.letters import Box, find, hold, post, put, put_state, state_of
from rollup_node.engines.options.transition.messenger import give, send_message
from rollup_node.engines.options.transition.outward import FORWARD, RETURN
from rollup_node.engines.options.values import Overflow

Run: TypeAlias = Callable[[World, Context, bytes, bytes], object]
"""Runs calldata against a system address."""

MAX_REASON: Final = 256
"""Bytes of a reason that is passed on."""


class Incoming(IntEnum):
    """What became of a message for this rollup, numbered as in the contract."""

    NONE = 0
    FAILED = 1
    EXECUTED = 2
    EXPIRED = 3
    LATE = 4
    EXPORTED = 5


class Outgoing(IntEnum):
    """What became of a message that was sent here, numbered as in the contract."""

    NONE = 0
    SENT = 1
    EXPIRED = 2
    REFUNDED = 3


def apply_send(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``send(dstChainId, target, gasLimit, validUntil, data)`` with value from the sender's primary account; returns the message's name."""
    destination, target, gas, valid_until, data = arguments
    here, now = context.parameters.chain_id, context.timestamp
    if destination == here:
        raise Refused("SameChain", destination)
    if gas > MAX_GAS:
        raise Refused("GasLimitTooHigh", gas)
    if len(data) > MAX_DATA:
        raise Refused("DataTooLong", len(data))
    if not now < valid_until <= now + MAX_VALIDITY:
        raise Refused("BadValidity", valid_until, now)
    units, rest = divmod(context.value, WEI_PER_CASH)
    if rest:
        raise Refused("ValueRefused", context.value)
    counts = post(world)
    sender = account_word(context.actor)
    value = leave(world, context, units)
    sent = Envelope(
        VERSION, here, destination, counts.messages, sender, target, value, gas, valid_until, data
    )
    target_of(sent)
    world.post[0] = replace(counts, messages=counts.messages + 1)
    put(world, Letter(sent.name, Box.OUTGOING, Outgoing.SENT, context.actor, valid_until, value))
    context.emit("MessageSent", sent.name, destination, sender, tuple(sent))
    _tell_router(world, context, FORWARD.call(tuple(sent)), delivery_gas(gas, len(data)), len(data), value)
    return sent.name


def apply_claim(_world: World, context: Context, _arguments: tuple[Any, ...]) -> bytes:
    """``claim(to)``: refunds are always taken here, so there is nothing."""
    raise Refused("NothingToClaim", context.actor)


def apply_direct(_world: World, context: Context, _arguments: tuple[Any, ...]) -> bytes:
    """What only the messenger calls."""
    raise Refused("NotMessenger", context.actor)


def deliver(
    world: World, context: Context, speaker: bytes, wei: int, arguments: tuple[Any, ...], run: Run
) -> None:
    """``deliver(message)`` from the router: custody first, then a try."""
    message = Envelope(*arguments[0])
    _require_router(context, speaker)
    _require_destination(context, message)
    if wei != message.value:
        raise Refused("WrongValue", message.value, wei)
    name = message.name
    state = state_of(world, Box.INCOMING, name)
    if state == Incoming.EXPIRED:
        put_state(world, Box.INCOMING, name, Incoming.LATE if wei else Incoming.EXPORTED)
        context.emit("MessageLate", name, wei)
        return
    if state != Incoming.NONE:
        raise Refused("AlreadyReceived", name, state)
    put_state(world, Box.INCOMING, name, Incoming.FAILED)
    reason = _execute(world, context, message, run)
    if reason is not None:
        context.emit("MessageFailed", name, reason[:MAX_REASON])


def apply_replay(world: World, context: Context, arguments: tuple[Any, ...], run: Run) -> bytes:
    """``replay(message)``."""
    message = Envelope(*arguments[0])
    state = state_of(world, Box.INCOMING, message.name)
    if state != Incoming.FAILED:
        raise Refused("NotReplayable", message.name, state)
    reason = _execute(world, context, message, run)
    if reason is not None:
        raise Refused("ReplayFailed", message.name, reason[:MAX_REASON])
    return b""


def apply_export(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``exportUndelivered(message)``."""
    message, now = Envelope(*arguments[0]), context.timestamp
    _require_destination(context, message)
    if now <= message.valid_until:
        raise Refused("StillValid", message.valid_until, now)
    name = message.name
    state = state_of(world, Box.INCOMING, name)
    value = 0
    if state == Incoming.NONE:
        put_state(world, Box.INCOMING, name, Incoming.EXPIRED)
    elif state in (Incoming.FAILED, Incoming.LATE):
        put_state(world, Box.INCOMING, name, Incoming.EXPORTED)
        value = message.value
        hold(world, -value)
        world.globals = replace(world.globals, vault=world.globals.vault - value)
    else:
        raise Refused("NotExportable", name, state)
    context.emit("MessageExported", name, value, now)
    _tell_router(world, context, RETURN.call(message.header, now), delivery_gas(0, 0), 0, value)
    return b""


def on_undelivered(
    world: World, context: Context, speaker: bytes, wei: int, arguments: tuple[Any, ...]
) -> None:
    """``onUndelivered(msgHash, expiredAt)`` from the router."""
    name, expired_at = arguments
    _require_router(context, speaker)
    sent = find(world, Box.OUTGOING, name) or Letter(name, Box.OUTGOING, Outgoing.NONE)
    if sent.state == Outgoing.REFUNDED and not wei:
        return  # the word, overtaken by the value
    if sent.state not in (Outgoing.SENT, Outgoing.EXPIRED):
        raise Refused("NotOutstanding", name, sent.state)
    if expired_at and expired_at <= sent.valid_until:
        raise Refused("WordTooEarly", sent.valid_until, expired_at)
    if wei != sent.value:
        if wei:
            raise Refused("WrongValue", sent.value, wei)
        put(world, replace(sent, state=Outgoing.EXPIRED))
        context.emit("MessageExpired", name)
        return
    put(world, replace(sent, state=Outgoing.REFUNDED))
    give(world, context, sent.sender, wei)
    context.emit("MessageRefunded", name, sent.sender, wei, False)


def _execute(world: World, context: Context, message: Envelope, run: Run) -> bytes | None:
    """Try a message that is FAILED; the reason why not, None if it is EXECUTED now."""
    if context.timestamp > message.valid_until:
        return Refused("Expired", message.valid_until, context.timestamp).data
    if message.version != VERSION:
        return Refused("UnknownVersion", message.version).data
    mark, kept = world.mark(), len(context.logs)
    put_state(world, Box.INCOMING, message.name, Incoming.EXECUTED)
    try:
        _call(world, context, message, run)
    except (Refused, Overflow) as exc:
        world.undo(mark)
        del context.logs[kept:]
        return exc.data if isinstance(exc, Refused) else Refused("OutOfRange").data
    context.emit("MessageExecuted", message.name)
    return None


def _call(world: World, context: Context, message: Envelope, run: Run) -> None:
    target = target_of(message)
    if not message.data:
        if is_reserved(target):
            raise Refused("UnknownTarget", target)
        give(world, context, target, message.value)
        return
    if target not in FUNCTIONS:
        raise Refused("NoCode", message.target)
    if not is_inbox(target, message.data[:4]):
        raise Refused("WrongSection", message.data[:4].ljust(4, b"\0"))
    actor, value = context.actor, context.value
    context.actor = remote(message.source, message.sender)
    context.value = message.value - message.value % WEI_PER_CASH
    try:
        if message.value:
            give(world, context, context.actor, message.value)
        run(world, context, target, message.data)
    finally:
        context.actor, context.value = actor, value


def _tell_router(world: World, context: Context, data: bytes, onward: int, length: int, wei: int) -> None:
    send_message(
        world, context, MAILBOX, context.parameters.l1.router, data, routing_gas(onward, length), wei
    )


def _require_router(context: Context, speaker: bytes) -> None:
    if speaker != context.parameters.l1.router:
        raise Refused("NotRouter", speaker)


def _require_destination(context: Context, message: Envelope) -> None:
    if message.destination != context.parameters.chain_id:
        raise Refused("WrongChain", message.destination)
