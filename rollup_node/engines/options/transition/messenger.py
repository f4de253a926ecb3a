"""The OP Stack's messenger, at its address: calls to L1 and from L1, with a name each, made once and repeatable until they succeed.

::

    sendMessage ─► MessagePassed(relayMessage(…)) ─► proven and finalized ─► L1CrossDomainMessenger ─► target on L1
    L1CrossDomainMessenger ─► deposit: relayMessage(…) ─► receiver here ─► RelayedMessage
                                                            └► FailedRelayedMessage: kept, anyone may call again

What comes is understood by few: the mailbox and the escrow (see ``calls``), and value without a call goes to any address. Everything else
fails as a call to an address without code would not do on the EVM: it is kept with its value, which is better than given to nobody.
Wei that came with a call are in custody (the leaf ``Post``) from the moment L1 minted them until somebody has them.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, TypeAlias

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import decode_call
from rollup_node.engines.options.transactions.interfaces import (
    BY_NAME,
    MESSAGE_PASSER,
    MESSENGER,
    is_reserved,
)
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import credit_primary, leave
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.letters import Box, hold, post, put_state, state_of
from rollup_node.engines.options.transition.withdrawals import MESSAGE_VERSION, pass_message
from rollup_node.engines.options.values import Overflow

ALIAS_OFFSET: Final = 0x1111000000000000000000000000000000001111
"""Between a contract's address on L1 and the sender of its deposits (OP Stack, address aliasing)."""
ESTIMATOR: Final = (1).to_bytes(20, "big")
"""For this sender a call that fails fails its transaction too, so that estimates cover the call."""

Receiver: TypeAlias = Callable[[World, Context, bytes, int, tuple[Any, ...]], None]
"""Takes a call from L1: who sent it there, wei that are in custody for it, arguments. Raises ``Refused`` if it can't."""

Receivers: TypeAlias = Mapping[bytes, Mapping[str, Receiver]]
"""By target and function."""


class Relay(IntEnum):
    """What became of a call from L1; the messenger's two mappings in one."""

    NONE = 0
    FAILED = 1
    SUCCESSFUL = 2


def alias(address: bytes) -> bytes:
    """Sender on a rollup of what a contract on L1 deposits."""
    return ((int.from_bytes(address, "big") + ALIAS_OFFSET) % (1 << 160)).to_bytes(20, "big")


def is_counterpart(context: Context, sender: bytes) -> bool:
    """Whether a deposit is L1CrossDomainMessenger's."""
    known = context.parameters.l1.messenger
    return context.from_l1 and any(known) and sender == alias(known)


def base_gas(length: int, gas: int) -> int:
    """Gas limit of a call's other half, as ``CrossDomainMessenger.baseGas`` has it."""
    return 200_000 + 16 * length + gas * 64 // 63 + 40_000 + 40_000 + 5_000


def send_message(
    world: World, context: Context, sender: bytes, target: bytes, data: bytes, gas: int, wei: int
) -> None:
    """Call somebody on L1 in the name of an address here.

    Args:
        world: the state.
        context: the block.
        sender: in whose name.
        target: on L1.
        data: what to call it with.
        gas: that the call has at least.
        wei: that go with it; they have left the vault's books before.
    """
    now, to = post(world), context.parameters.l1.messenger
    nonce = MESSAGE_VERSION << 240 | now.calls
    world.post[0] = replace(now, calls=now.calls + 1)
    call = BY_NAME["relayMessage"]
    relayed = call.selector + abi.encode(call.arguments, (nonce, sender, target, wei, gas, data))
    pass_message(world, context, MESSENGER, to, wei, base_gas(len(data), gas), relayed)
    context.emit("SentMessage", target, sender, data, nonce, gas)
    context.emit("SentMessageExtension1", sender, wei)


def apply_send(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``sendMessage(target, message, minGasLimit)`` with value from the sender's primary account."""
    target, data, gas = arguments
    units, rest = divmod(context.value, WEI_PER_CASH)
    if rest:
        raise Refused("ValueRefused", context.value)
    send_message(world, context, context.actor, target, data, gas, leave(world, context, units))
    return b""


def take_custody(world: World, wei: int) -> None:
    """What L1 minted with a call of the messenger belongs to nobody yet."""
    now = world.globals
    world.globals = replace(now, vault=now.vault + wei)
    hold(world, wei)


def give(world: World, context: Context, address: bytes, wei: int) -> None:
    """Let wei out of custody: whole units for an address's primary account, the rest for the dust."""
    hold(world, -wei)
    credit_primary(world, context, address, wei)


def relay(world: World, context: Context, arguments: tuple[Any, ...], receivers: Receivers) -> bytes:
    """``relayMessage(nonce, sender, target, value, minGasLimit, message)``: L1's messenger the first time, anybody when it has failed."""
    nonce, sender, target, wei, _, message = arguments
    call = BY_NAME["relayMessage"]
    name = keccak256(call.selector + abi.encode(call.arguments, arguments))
    state = state_of(world, Box.RELAY, name)
    first = is_counterpart(context, context.actor)
    if (
        nonce >> 240 != MESSAGE_VERSION
        or state == Relay.SUCCESSFUL
        or state != (Relay.NONE if first else Relay.FAILED)
    ):
        raise Refused("NotReplayable", name, state)
    if context.value != (wei if first else 0):
        raise Refused("WrongValue", wei if first else 0, context.value)
    if target in (MESSENGER, MESSAGE_PASSER):
        raise Refused("UnsafeTarget", target.rjust(32, b"\0"))
    mark, kept = world.mark(), len(context.logs)
    put_state(world, Box.RELAY, name, Relay.SUCCESSFUL)
    try:
        _receive(world, context, (sender, target, wei, message), receivers)
    except (Refused, Overflow):
        if context.actor == ESTIMATOR:
            raise
        world.undo(mark)
        del context.logs[kept:]
        if context.is_spent:  # all of it is used; that the call failed is noted all the same
            context.gas = max(0, context.gas_limit or 0)
        put_state(world, Box.RELAY, name, Relay.FAILED)
        context.emit("FailedRelayedMessage", name)
    else:
        context.emit("RelayedMessage", name)
    return b""


def _receive(
    world: World,
    context: Context,
    sent: tuple[bytes, bytes, int, bytes],
    receivers: Receivers,
) -> None:
    sender, target, wei, message = sent
    known = receivers.get(target)
    if known is None:
        if message or is_reserved(target):
            raise Refused("NoCode", target.rjust(32, b"\0"))
        give(world, context, target, wei)
        return
    call = decode_call(target, message)
    receiver = known.get(call.function.name)
    if receiver is None:
        raise Refused("UnknownFunction", target, call.function.selector)
    receiver(world, context, sender, wei, call.arguments)
