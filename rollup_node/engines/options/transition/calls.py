"""Which function executes which call, and what an action may carry."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.actions import action_digest, signer_of
from rollup_node.engines.options.transactions.decode import Call, Message, decode_call
from rollup_node.engines.options.transactions.interfaces import (
    ESCROW,
    FUNCTIONS,
    GUARD,
    L1_BLOCK,
    MAILBOX,
    ORACLE,
    Scope,
    is_reserved,
)
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import (
    accounts,
    amm,
    auctions,
    backstop,
    bids,
    breakers,
    combos,
    deleverage,
    escrow,
    fees,
    liquidation,
    mailbox,
    messenger,
    oracle,
    orders,
    pledges,
    quotes,
    risk,
    series,
    settlement,
)
from rollup_node.engines.options.transition.context import NO_BUNDLE, Context
from rollup_node.engines.options.transition.keys import spend_nonce
from rollup_node.engines.options.values import Overflow

Apply: TypeAlias = Callable[[World, Context, tuple[Any, ...]], bytes]

INTRINSIC_GAS: Final = 21_000


def gas_needed(message: Message) -> int:
    """Gas of a transaction by itself: what Ethereum asks for its bytes, and the fixed price of its function."""
    zeros = message.data.count(0)
    gas = INTRINSIC_GAS + 4 * zeros + 16 * (len(message.data) - zeros)
    function = FUNCTIONS.get(message.to or b"", {}).get(message.data[:4])
    return gas + (function.gas if function else 0)


def apply_message(world: World, context: Context, message: Message) -> bytes:
    """A transaction's effect.

    Raises:
        Refused: it has none.
        Overflow: a value is past its range.
    """
    if message.to is None or (message.to not in FUNCTIONS and not is_reserved(message.to)):
        if message.data:
            raise Refused("UnknownTarget", message.to or bytes(20))
        breakers.require_thawed(world, context)
        sender, to, value = message.sender, message.to, message.value
        fees.with_fee(
            world, context, fees.SENDING, (), lambda: accounts.move_value(world, context, sender, to, value)
        )
        return b""
    if message.to == L1_BLOCK and message.is_system:
        return b""  # the L1 origin: nothing here depends on it
    if isinstance(message.call, Refused):
        raise message.call.with_traceback(None)
    call = message.call
    function = call.function
    if function.system != message.is_system:
        raise Refused("UnknownFunction", message.to, function.selector)
    if message.value and not function.payable:
        raise Refused("ValueRefused", message.value)
    if context.from_l1 and not function.inbox:
        raise Refused("WrongSection", function.selector)
    if function.target == ORACLE and context.bundle != NO_BUNDLE:
        raise Refused("WrongSection", function.selector)
    if function.target == GUARD:
        context.bundle = call.arguments[0] if function.name == "open" else NO_BUNDLE
        return b""
    return _apply_call(world, context, call)


def apply_act(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``act(action, signature)``."""
    return _apply_action(world, context, *arguments)


def apply_act_all(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``actAll(actions, signatures)``: each by itself; in a bundle all of them or none, as a leg succeeds or fails."""
    actions, signatures = arguments
    if len(actions) != len(signatures) or len(actions) > context.parameters.max_actions:
        raise Refused("LimitReached", context.parameters.max_actions)
    for index, (action, signature) in enumerate(zip(actions, signatures, strict=True)):
        mark, kept = world.mark(), len(context.logs)
        try:
            _apply_action(world, context, action, signature)
        except (Refused, Overflow) as exc:
            if context.bundle != NO_BUNDLE:
                raise
            world.undo(mark)
            del context.logs[kept:]
            reason = exc.data if isinstance(exc, Refused) else Refused("OutOfRange").data
            context.emit("ActionRefused", action[0], index, reason)
    return b""


def apply_lock(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``lockCombo(legs, snapshot, calls)``."""
    return combos.lock(world, context, arguments, _apply_call)


def _apply_action(world: World, context: Context, action: tuple[Any, ...], signature: bytes) -> bytes:
    number, nonce, expiry, bundle, target, data = action
    sender = context.actor
    if expiry < context.timestamp:
        raise Refused("ActionExpired", expiry, context.timestamp)
    context.require_bundle(bundle)
    call = decode_call(target, data)
    function = call.function
    if function.system or function.payable or target == ORACLE or function.name in ("act", "actAll"):
        raise Refused("UnknownFunction", target, function.selector)
    context.gas += function.gas
    signer = signer_of(action_digest(context.parameters.chain_id, action), signature)
    spend_nonce(world, context, number, signer, nonce, Scope.ALL)
    context.actor, context.bound = signer, number
    try:
        result = _apply_call(world, context, call)
    finally:
        context.actor, context.bound = sender, None
    context.emit("ActionExecuted", number, signer, nonce)
    return result


def _apply_call(world: World, context: Context, call: Call) -> bytes:
    breakers.require_allowed(world, context, call)
    apply = _APPLY[call.function.name]
    return fees.charged(world, context, call, lambda: apply(world, context, call.arguments))


def _run(world: World, context: Context, target: bytes, data: bytes) -> bytes:
    """What a message from another rollup asks for; whether it may was asked before."""
    call = decode_call(target, data)
    if context.value and not call.function.payable:
        raise Refused("ValueRefused", context.value)
    return _apply_call(world, context, call)


def _relay(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    return messenger.relay(world, context, arguments, _RECEIVERS)


_APPLY: Final[Mapping[str, Apply]] = {
    "openAccount": accounts.apply_open_account,
    "registerKey": accounts.apply_register_key,
    "revokeKey": accounts.apply_revoke_key,
    "setMode": accounts.apply_set_mode,
    "transfer": accounts.apply_transfer,
    "withdraw": accounts.apply_withdraw,
    "deposit": accounts.apply_deposit,
    "initiateWithdrawal": accounts.apply_initiate_withdrawal,
    "sendMessage": messenger.apply_send,
    "relayMessage": _relay,
    "send": mailbox.apply_send,
    "deliver": mailbox.apply_direct,
    "replay": partial(mailbox.apply_replay, run=_run),
    "exportUndelivered": mailbox.apply_export,
    "onUndelivered": mailbox.apply_direct,
    "claim": mailbox.apply_claim,
    "lockLegs": mailbox.apply_direct,
    "reserveLegs": escrow.apply_reserve,
    "decideLegs": mailbox.apply_direct,
    "refundLegs": escrow.apply_refund,
    "act": apply_act,
    "actAll": apply_act_all,
    "listSeries": series.apply_list,
    "placeOrder": orders.apply_place,
    "cancelOrder": orders.apply_cancel,
    "cancelAll": orders.apply_cancel_all,
    "replaceOrder": orders.apply_replace,
    "fillQuote": quotes.apply_fill,
    "tradeAmm": amm.apply_trade,
    "update": oracle.apply_update,
    "proveEquivocation": oracle.apply_equivocation,
    "updateRows": risk.apply_rows,
    "lockCombo": apply_lock,
    "unlockCombo": combos.apply_unlock,
    "payPledge": pledges.apply_pay,
    "lapsePledge": pledges.apply_lapse,
    "expireOrders": settlement.apply_expire,
    "settle": settlement.apply_settle,
    "sweepFees": fees.apply_sweep,
    "moveBreaker": breakers.apply_move,
    "liquidate": liquidation.apply_liquidate,
    "bid": bids.apply_bid,
    "advanceAuction": auctions.apply_advance,
    "backstop": backstop.apply_backstop,
    "deleverage": deleverage.apply_deleverage,
}
_RECEIVERS: Final[Mapping[bytes, Mapping[str, messenger.Receiver]]] = {
    MAILBOX: {"deliver": partial(mailbox.deliver, run=_run), "onUndelivered": mailbox.on_undelivered},
    ESCROW: {"lockLegs": escrow.lock_legs, "decideLegs": escrow.decide_legs},
}
"""What the messenger's calls from L1 can be about, by target."""
