"""What the rollup earns: fees by kind of transaction and gas go into the block's purse, and its end shares them out.

::

    trade ─► rates of the premium, maker's and taker's      ┐
    call ─► flat fee of its kind, from who it is about      ├─► earnings by kind, block's purse ─► sweepFees ─► sequencer, insurance
    liquidation ─► rate of what it traded, half to insurance│
    gas, where it isn't free                                ┘

Every fee is an integer rounded up, against its payer. A flat fee is part of what it is for: whoever hasn't the margin for both is refused
both. What L1 forces costs nothing, so nobody is kept in by a fee. Gas is taken before anything is known of the call, and for failed
ones too; it never makes an account short of initial margin, and one that is short already may pay it down to maintenance margin, so
that it can still reduce.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeVar

from rollup_node.engines.options.state.leaves import Earnings, Owner
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import Call, Message
from rollup_node.engines.options.transactions.refusals import Invalid, Refused
from rollup_node.engines.options.transition.accounts import account, credit, owner_of, primary
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import margin_of, shortfall
from rollup_node.engines.options.values import PARTS, ceil_divide, int128

T = TypeVar("T")


class FeeKind(IntEnum):
    """What a fee is for; the numbers are places in the state's earnings."""

    MAKER = 0
    """Share of the premium, of who rested in the book or signed a quote."""
    TAKER = 1
    """Share of the premium, of who came to the book."""
    AMM = 2
    """Share of the premium and a flat fee, of who trades with the market maker."""
    COMBO = 3
    """The same for several legs at once."""
    LIQUIDATION = 4
    """Share of what a liquidation trades, of who is liquidated; the fund's part is counted here too."""
    WITHDRAWAL = 5
    """Flat, as are the next five."""
    ORDER = 6
    CANCEL = 7
    TRANSFER = 8
    ACCOUNT = 9
    LISTING = 10
    GAS = 11


class Flat(NamedTuple):
    """A flat fee of a function."""

    kind: FeeKind
    parameter: str
    """Field of the parameters that says how much."""
    payer: Callable[[tuple[Any, ...]], int] | None
    """Account that the call is about, by its arguments; None: the actor's primary one."""


def _first(arguments: tuple[Any, ...]) -> int:
    number: int = arguments[0]
    return number


def _of_order(arguments: tuple[Any, ...]) -> int:
    number: int = arguments[0][0]
    return number


def _of_quote(arguments: tuple[Any, ...]) -> int:
    number: int = arguments[0][1]
    return number


SENDING: Final = Flat(FeeKind.TRANSFER, "transfer_fee", None)
"""Of value that goes to another account: sent plainly, or with a call that is there for L1's deposits and that anybody may make."""
FLAT: Final[Mapping[str, Flat]] = {
    "placeOrder": Flat(FeeKind.ORDER, "order_fee", _of_order),
    "replaceOrder": Flat(FeeKind.ORDER, "order_fee", _first),
    "cancelOrder": Flat(FeeKind.CANCEL, "cancel_fee", _first),
    "cancelAll": Flat(FeeKind.CANCEL, "cancel_fee", _first),
    "tradeAmm": Flat(FeeKind.AMM, "amm_fee", _first),
    "lockCombo": Flat(FeeKind.COMBO, "combo_fee", None),
    "fillQuote": Flat(FeeKind.COMBO, "combo_fee", _of_quote),
    "withdraw": Flat(FeeKind.WITHDRAWAL, "withdrawal_fee", _first),
    "initiateWithdrawal": Flat(FeeKind.WITHDRAWAL, "withdrawal_fee", None),
    "sendMessage": Flat(FeeKind.WITHDRAWAL, "withdrawal_fee", None),
    "send": Flat(FeeKind.WITHDRAWAL, "withdrawal_fee", None),
    "transfer": Flat(FeeKind.TRANSFER, "transfer_fee", _first),
    "deposit": SENDING,
    "payPledge": SENDING,
    "openAccount": Flat(FeeKind.ACCOUNT, "account_fee", None),
    "registerKey": Flat(FeeKind.ACCOUNT, "account_fee", _first),
    "setMode": Flat(FeeKind.ACCOUNT, "account_fee", _first),
    "listSeries": Flat(FeeKind.LISTING, "listing_fee", None),
}
"""By function; what isn't here has none: revoking a key, the oracle's word, and all that is derived. Of what L1 forces nothing has."""


def share(amount: int, ppm: int) -> int:
    """Parts per million of an amount that isn't negative, rounded up: a fee."""
    return ceil_divide(amount * ppm, PARTS)


def charged(world: World, context: Context, call: Call, operation: Callable[[], T]) -> T:
    """Do what a call asks for, and take its flat fee."""
    return with_fee(world, context, FLAT.get(call.function.name), call.arguments, operation)


def with_fee(
    world: World, context: Context, flat: Flat | None, arguments: tuple[Any, ...], operation: Callable[[], T]
) -> T:
    """Do something for a flat fee; margin must allow both together, or both must leave less of a shortfall than before.

    Raises:
        Refused: it doesn't; or the payer doesn't exist.
    """
    amount = 0 if flat is None or context.from_l1 else getattr(context.parameters, flat.parameter)
    if flat is None or not amount:
        return operation()
    payer = primary(world, context, context.actor) if flat.payer is None else flat.payer(arguments)
    account(world, payer)
    mark, kept, gas, forgotten = world.mark(), len(context.logs), context.gas, context.risks.forgotten

    def both() -> T:
        take(world, payer, flat.kind, amount)
        return operation()

    result = both()
    after = shortfall(world, context, payer)
    if not after:
        return result
    world.undo(mark)
    del context.logs[kept:]
    context.gas = gas
    if context.risks.forgotten != forgotten:
        context.risks.forget_all()
    if after >= shortfall(world, context, payer):
        raise Refused("InsufficientMargin", payer, after)
    return both()


def take(world: World, payer: int, kind: FeeKind, amount: int) -> None:
    """Take a fee out of an account into the block's purse; whether margin allows it is looked at by whoever asks for it."""
    credit(world, payer, -amount)
    _earn(world, kind, amount)


def take_liquidation(world: World, context: Context, payer: int, fee: int) -> None:
    """Take the fee of a liquidation: the fund's part, rounded up, goes to the fund at once, the rest into the block's purse.

    Of what is in the purse the fund has its share like of any fee, so of ``h`` at once and ``s`` of the purse it gets ``h + s (1 - h)``: 60 % by default.
    """
    insurance = share(fee, context.parameters.liquidation_insurance_ppm)
    credit(world, payer, -fee)
    note(world, FeeKind.LIQUIDATION, fee)
    now = world.globals
    world.globals = replace(
        now, insurance=now.insurance + insurance, block_fees=now.block_fees + fee - insurance
    )


def note(world: World, kind: FeeKind, amount: int) -> None:
    """Count a fee that somebody has paid."""
    if amount:
        now = world.earnings
        amounts = list(now.amounts)
        amounts[kind] = int128(amounts[kind] + amount)
        world.earnings = Earnings(tuple(amounts), now.volume)


def note_trade(world: World, kind: FeeKind, taker_fee: int, maker_fee: int, premium: int) -> None:
    """Count a trade and its fees."""
    now = world.earnings
    amounts = list(now.amounts)
    amounts[kind] += taker_fee
    amounts[FeeKind.MAKER] += maker_fee
    world.earnings = Earnings(tuple(amounts), int128(now.volume + premium))


def advance_gas(world: World, context: Context, owner: Owner, message: Message, price: int) -> None:
    """Take all the gas that a transaction may use from its sender's primary account.

    Raises:
        Invalid: it can't pay, or its margin doesn't allow it to.
    """
    found = world.accounts[owner.accounts[0]] if owner.accounts else None
    cash = found.cash - found.reserved if found else 0
    cost = _units(message.gas * price)
    needed = cost + _units(message.value)
    if cash < needed:
        have = max(0, cash) * WEI_PER_CASH
        raise Invalid(f"insufficient funds for gas * price + value: have {have} want {needed * WEI_PER_CASH}")
    if not cost or found is None:
        return
    number = owner.accounts[0]
    bound = bool(found.positions or world.count_orders(number))
    short = bound and shortfall(world, context, number) > 0
    credit(world, number, -cost)
    if bound:
        missing = shortfall(world, context, number)
        if missing and (not short or margin_of(world, context, number).liquidatable):
            raise Invalid(
                f"insufficient funds for gas * price + value: margin of account {number} lacks {missing * WEI_PER_CASH}"
                f" of want {needed * WEI_PER_CASH}"
            )


def settle_gas(world: World, sender: bytes, limit: int, used: int, price: int) -> None:
    """Give back what a transaction didn't use; the rest is a fee."""
    owner = owner_of(world, sender)
    cost = _units(used * price)
    if owner is not None and owner.accounts:
        credit(world, owner.accounts[0], _units(limit * price) - cost)
    _earn(world, FeeKind.GAS, cost)


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


def _earn(world: World, kind: FeeKind, amount: int) -> None:
    """Into the block's purse."""
    note(world, kind, amount)
    world.globals = replace(world.globals, block_fees=world.globals.block_fees + amount)


def _units(wei: int) -> int:
    return ceil_divide(wei, WEI_PER_CASH)
