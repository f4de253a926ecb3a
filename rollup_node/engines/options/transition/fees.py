"""What the rollup earns: trading fees and gas go into the block's purse, and its end shares them out."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from rollup_node.engines.options.state.leaves import Owner
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import Message
from rollup_node.engines.options.transactions.refusals import Invalid
from rollup_node.engines.options.transition.accounts import credit, owner_of
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.values import PARTS, ceil_divide


def share(amount: int, ppm: int) -> int:
    """Parts per million of an amount that isn't negative, rounded up: a fee."""
    return ceil_divide(amount * ppm, PARTS)


def advance_gas(world: World, owner: Owner, message: Message, price: int) -> None:
    """Take all the gas that a transaction may use from its sender's primary account.

    Raises:
        Invalid: it can't pay.
    """
    cash = world.accounts[owner.accounts[0]].cash if owner.accounts else 0
    cost = _units(message.gas * price)
    needed = cost + _units(message.value)
    if cash < needed:
        have = max(0, cash) * WEI_PER_CASH
        raise Invalid(f"insufficient funds for gas * price + value: have {have} want {needed * WEI_PER_CASH}")
    if cost:
        credit(world, owner.accounts[0], -cost)


def settle_gas(world: World, sender: bytes, limit: int, used: int, price: int) -> None:
    """Give back what a transaction didn't use; the rest is a fee."""
    owner = owner_of(world, sender)
    cost = _units(used * price)
    if owner is not None and owner.accounts:
        credit(world, owner.accounts[0], _units(limit * price) - cost)
    world.globals = replace(world.globals, block_fees=world.globals.block_fees + cost)


def steps(world: World, _context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Derived: one sweep, if there is something to sweep."""
    if world.globals.block_fees or world.globals.dust >= WEI_PER_CASH:
        yield "sweepFees", ()


def apply_sweep(world: World, context: Context, _arguments: tuple[Any, ...]) -> bytes:
    """``sweepFees()``: the insurance fund has its share, rounded up, and whole units of dust; the sequencer the rest.

    What the fund gets makes good a shared loss first.
    """
    now = world.globals
    found, dust = divmod(now.dust, WEI_PER_CASH)
    part = share(now.block_fees, context.parameters.insurance_share_ppm)
    sequencer, insurance = now.block_fees - part, part + found
    repaid = min(now.shared_loss, insurance)
    world.globals = replace(
        now,
        block_fees=0,
        dust=dust,
        insurance=now.insurance + insurance - repaid,
        shared_loss=now.shared_loss - repaid,
        sequencer_fees=now.sequencer_fees + sequencer,
    )
    context.emit("FeesSwept", sequencer, insurance)
    return b""


def _units(wei: int) -> int:
    return ceil_divide(wei, WEI_PER_CASH)
