"""What becomes of a locked combo when its series settle: a pledged long leg pays on the rollup of the short one.

::

    rollup of the long leg                               rollup of the short leg
    settle: payoff of what is pledged ─► MessagePassed   settle: pays what it owes; what pledges will bring is *due*
              └─► L1: a withdrawal whose target is the ─► deposit ─► payPledge: cash, and so much less is due
                  other rollup's portal                  nothing comes for long ─► lapsePledge: it is a loss like any other

What is due is reckoned with this rollup's own settlement price and these terms, so it is exact where both had the same words of one feed; what
comes is what was paid. It keeps the account from being liquidated and can't be taken out or traded on. ``payPledge`` takes anyone's money:
nobody gains by paying what somebody else owes.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from rollup_node.engines.options.risk.rows import Terms
from rollup_node.engines.options.state.leaves import Combo
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import BY_NAME, COMBOS
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import account as known
from rollup_node.engines.options.transition.accounts import credit, pay_out, payable, primary, take
from rollup_node.engines.options.transition.combos import State, combos_of, release_legs
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, terms_of
from rollup_node.engines.options.transition.withdrawals import pass_message
from rollup_node.engines.options.values import cash_for, int128

L1_GAS: Final = 500_000
"""Gas of the payment's way over L1: one deposit."""
PAY_GAS: Final = 200_000
"""Gas of its call on the other rollup; what the call needs, and what its bytes cost there."""
_DEPOSIT: Final = abi.parse("(address,uint256,uint64,bool,bytes)")
_DEPOSIT_SELECTOR: Final = bytes.fromhex("e9e05c42")
"""``OptimismPortal.depositTransaction(address,uint256,uint64,bool,bytes)``."""


def settle(world: World, context: Context, account: int, series: int) -> None:
    """An account's position has just been settled: combos that held a part of it take what they are owed of it."""
    for number, combo in list(combos_of(world, account)):
        quantity = dict(combo.legs).get(series, 0)
        if combo.state != State.LOCKED or not quantity:
            continue
        release_legs(world, account, [(series, quantity)], 0)
        _settle_leg(world, context, number, combo, series)


def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: payments that haven't come for so long that nobody may count on them."""
    owed = [number for number, combo in world.combos.items() if combo.state == State.OWED]
    for number in sorted(owed):
        if world.combos[number].deadline <= context.timestamp:
            yield "lapsePledge", (number,)


def apply_lapse(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``lapsePledge(combo)``: the account stands by itself; without the means it is liquidated, and insurance pays."""
    (number,) = arguments
    combo = world.combos[number]
    found = world.accounts[combo.account]
    flags = found.flags | (LIQUIDATING if found.cash < 0 else 0)
    world.accounts[combo.account] = replace(found, due=int128(found.due - combo.due), flags=flags)
    del world.combos[number]
    context.emit("PledgeLapsed", combo.account, combo.name, combo.due)
    return b""


def apply_pay(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``payPledge(account, name, legsHash)`` with value: cash for the account; what the combo is owed is so much less.

    A payment may come before the legs here are settled, after it was given up, or for no combo at all: the account has it anyway.
    """
    number, name, legs_hash = arguments
    known(world, number)
    units, rest = divmod(context.value, WEI_PER_CASH)
    if rest:
        raise Refused("ValueRefused", context.value)
    take(world, context, primary(world, context, context.actor), units)
    credit(world, number, units)
    for place, combo in combos_of(world, number):
        if (combo.name, combo.legs_hash) == (name, legs_hash):
            _paid(world, place, combo, units)
            break
    context.emit("PledgePaid", number, name, units)
    return b""


def _paid(world: World, number: int, combo: Combo, units: int) -> None:
    left = replace(combo, due=int128(combo.due - units))
    if combo.state == State.LOCKED:
        world.combos[number] = left
        return
    found = world.accounts[combo.account]
    world.accounts[combo.account] = replace(found, due=int128(found.due - min(units, combo.due)))
    if left.due > 0:
        world.combos[number] = left
    else:
        del world.combos[number]


def _settle_leg(world: World, context: Context, number: int, combo: Combo, series: int) -> None:
    """Send what this leg owes elsewhere, reckon what others owe it, and end the combo with its last leg."""
    price, terms, due = world.series[series].settlement, terms_of(world, series), combo.due
    for mine, chain, other, strike, is_call, quantity in combo.pledges:
        if mine != series:
            continue
        leg = Terms(series, terms.underlying, terms.expiry, strike, is_call)
        amount = cash_for(leg.payoff(price), abs(quantity))
        if quantity < 0:
            due += amount
        elif amount:
            _send(world, context, combo, chain, other, amount)
    legs = tuple(leg for leg in combo.legs if leg[0] != series)
    if legs:
        world.combos[number] = replace(combo, legs=legs, due=int128(due))
        return
    release_legs(world, combo.account, (), combo.required)
    if due <= 0:
        del world.combos[number]
        return
    found = world.accounts[combo.account]
    world.accounts[combo.account] = replace(found, due=int128(found.due + due))
    deadline = context.timestamp + context.parameters.pledge_seconds
    world.combos[number] = replace(
        combo, legs=(), due=int128(due), state=State.OWED, required=0, deadline=deadline, pledges=()
    )
    context.emit("PledgeOwed", combo.account, combo.name, due)


def _send(world: World, context: Context, combo: Combo, chain: int, account: int, amount: int) -> None:
    """The payoff was credited with the rest of the position; it goes on to where it is pledged."""
    # what L1 hasn't got stays with the long leg's account: settlement waits for nobody
    amount = min(amount, payable(world))
    if not amount:
        return
    credit(world, combo.account, -amount)
    paid = pay_out(world, context, amount, forced=True)
    call = BY_NAME["payPledge"]
    data = call.selector + abi.encode(call.arguments, (account, combo.name, combo.legs_hash))
    wei = paid * WEI_PER_CASH
    deposit = _DEPOSIT_SELECTOR + abi.encode(_DEPOSIT, (COMBOS, wei, PAY_GAS, False, data))
    pass_message(world, context, COMBOS, context.parameters.peers[chain], wei, L1_GAS, deposit)
    context.emit("PledgeSent", combo.account, combo.name, chain, account, paid)
