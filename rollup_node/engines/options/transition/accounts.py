"""Accounts: whose they are, who may act for them, and how cash comes in, moves and goes.

An address that nobody has credited and that has sent nothing has no account. Cash is never made here but by :func:`credit_wei` (which L1's
mint calls) and never destroyed but by :func:`withdraw` (which L1 pays out).
"""

from dataclasses import replace
from functools import lru_cache
from typing import Any

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.leaves import Account, Key, Owner
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.interfaces import Scope
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.breakers import count_withdrawal
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.letters import post
from rollup_node.engines.options.transition.margins import require_margin
from rollup_node.engines.options.transition.withdrawals import pass_message
from rollup_node.engines.options.values import int128

WITHDRAWAL_GAS = 100_000
"""Gas that a plain withdrawal's call on L1 gets."""


def owner_of(world: World, address: bytes) -> Owner | None:
    """What is known of an address."""
    for one in world.addresses.get(bucket_of(address), ()):
        if one.address == address:
            return one
    return None


@lru_cache(maxsize=65_536)
def bucket_of(address: bytes) -> int:
    """Place of an address's leaf: the first 28 bits of its hash."""
    return int.from_bytes(keccak256(address)[:4], "big") >> 4


def put_owner(world: World, context: Context, owner: Owner) -> None:
    """Write down what is known of an address."""
    bucket = bucket_of(owner.address)
    known = world.addresses.get(bucket, ())
    if len(known) == 1 and known[0].address == owner.address:  # as good as always
        world.addresses[bucket] = (owner,)
        return
    others = tuple(one for one in known if one.address != owner.address)
    if len(others) >= context.parameters.max_bucket:
        raise Refused("LimitReached", context.parameters.max_bucket)
    world.addresses[bucket] = tuple(sorted((*others, owner), key=lambda one: one.address))


def open_account(world: World, context: Context, address: bytes) -> int:
    """A further account of an address."""
    owner = owner_of(world, address) or Owner(address, 0, ())
    if len(owner.accounts) >= context.parameters.max_accounts:
        raise Refused("LimitReached", context.parameters.max_accounts)
    number = world.globals.next_account
    if number >> 28:
        raise Refused("LimitReached", 1 << 28)
    world.globals = replace(world.globals, next_account=number + 1)
    world.accounts[number] = Account(owner=address, portfolio=True)
    put_owner(world, context, replace(owner, accounts=(*owner.accounts, number)))
    context.emit("AccountOpened", number, address)
    return number


def primary(world: World, context: Context, address: bytes) -> int:
    """The first account of an address; it is opened now if there is none."""
    owner = owner_of(world, address)
    return owner.accounts[0] if owner and owner.accounts else open_account(world, context, address)


def account(world: World, number: int) -> Account:
    """An account that there is."""
    found = world.accounts.get(number)
    if found is None:
        raise Refused("UnknownAccount", number)
    return found


def authorized(world: World, context: Context, number: int, scope: int) -> Account:
    """The account, if whoever acts may do this with it.

    Args:
        world: the state.
        context: says who acts.
        number: which account.
        scope: what a session key needs; 0: only the owner may.
    """
    found = account(world, number)
    if context.bound not in (None, number):
        raise Refused("NotAuthorized", number, context.actor)
    if context.actor != found.owner:
        key = next((key for key in found.keys if key.address == context.actor), None)
        if not scope or key is None or key.expiry < context.timestamp or not key.scope & scope:
            raise Refused("NotAuthorized", number, context.actor)
    return found


def credit(world: World, number: int, amount: int) -> None:
    """Give an account cash; below zero: take it."""
    found = world.accounts[number]
    world.accounts[number] = replace(found, cash=int128(found.cash + amount))


def credit_wei(world: World, context: Context, address: bytes, wei: int) -> None:
    """What L1 minted: whole units for the address's primary account, the rest for the dust."""
    now = world.globals
    world.globals = replace(now, vault=now.vault + wei)
    credit_primary(world, context, address, wei)


def credit_primary(world: World, context: Context, address: bytes, wei: int) -> None:
    """Give an address wei that L1 holds already and that nobody owns, as above."""
    units, rest = divmod(wei, WEI_PER_CASH)
    if rest:
        now = world.globals
        world.globals = replace(now, dust=now.dust + rest)
    if units:
        number = primary(world, context, address)
        credit(world, number, units)
        context.emit("Deposited", number, units)


def apply_open_account(world: World, context: Context, _arguments: tuple[Any, ...]) -> bytes:
    """``openAccount()``."""
    if context.bound is not None:
        raise Refused("NotAuthorized", context.bound, context.actor)
    primary(world, context, context.actor)
    return open_account(world, context, context.actor).to_bytes(32, "big")


def apply_register_key(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``registerKey(account, key, scope, expiry)``."""
    number, address, scope, expiry = arguments
    found = authorized(world, context, number, 0)
    if not 0 < scope <= Scope.ALL or address == found.owner:
        raise Refused("NotAuthorized", number, address)
    before = next((key for key in found.keys if key.address == address), None)
    others = tuple(key for key in found.keys if key.address != address)
    if len(others) >= context.parameters.max_keys:
        raise Refused("LimitReached", context.parameters.max_keys)
    key = Key(address, scope, expiry, before.nonce if before else 0)
    keys = tuple(sorted((*others, key), key=lambda one: one.address))
    world.accounts[number] = replace(found, keys=keys)
    context.emit("KeyRegistered", number, address, scope, expiry)
    return b""


def apply_revoke_key(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``revokeKey(account, key)``: its nonce stays known, so that nothing it signed counts again if it comes back."""
    number, address = arguments
    found = account(world, number)
    if context.actor != address:
        authorized(world, context, number, 0)
    elif context.bound not in (None, number):
        raise Refused("NotAuthorized", number, context.actor)
    if not any(key.address == address for key in found.keys):
        raise Refused("NotAuthorized", number, address)
    keys = tuple(replace(key, scope=0, expiry=0) if key.address == address else key for key in found.keys)
    world.accounts[number] = replace(found, keys=keys)
    context.emit("KeyRevoked", number, address)
    return b""


def apply_set_mode(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``setMode(account, portfolio)``; not while trades are set aside: their pledge is what they need in the mode that there was."""
    number, portfolio = arguments
    found = authorized(world, context, number, 0)
    if found.reserved and portfolio != found.portfolio:
        raise Refused("AccountFrozen", number)
    world.accounts[number] = replace(found, portfolio=portfolio)
    require_margin(world, context, number)
    context.emit("ModeChanged", number, portfolio)
    return b""


def apply_transfer(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``transfer(from, to, amount)``."""
    source, destination, amount = arguments
    authorized(world, context, source, Scope.TRANSFER)
    account(world, destination)
    take(world, context, source, amount)
    credit(world, destination, amount)
    context.emit("Transferred", source, destination, amount)
    return b""


def apply_withdraw(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``withdraw(account, to, amount)``."""
    number, to, amount = arguments
    found = authorized(world, context, number, 0)
    take(world, context, number, amount)
    paid = pay_out(world, context, amount)
    pass_message(world, context, found.owner, to, paid * WEI_PER_CASH, WITHDRAWAL_GAS, b"")
    context.emit("Withdrawn", number, to, paid)
    return b""


def apply_initiate_withdrawal(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``initiateWithdrawal(target, gasLimit, data)`` of the OP Stack, with value from the sender's primary account."""
    target, gas, data = arguments
    units, rest = divmod(context.value, WEI_PER_CASH)
    if rest:
        raise Refused("ValueRefused", context.value)
    paid = 0
    if units:
        number = primary(world, context, context.actor)
        take(world, context, number, units)
        paid = pay_out(world, context, units)
        context.emit("Withdrawn", number, target, paid)
    pass_message(world, context, context.actor, target, paid * WEI_PER_CASH, gas, data)
    return b""


def apply_deposit(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``deposit(account)`` with value, from the sender's primary account: what an L1 deposit with this call just minted."""
    (destination,) = arguments
    account(world, destination)
    units, rest = divmod(context.value, WEI_PER_CASH)
    if rest:
        raise Refused("ValueRefused", context.value)
    source = primary(world, context, context.actor)
    take(world, context, source, units)
    credit(world, destination, units)
    context.emit("Transferred", source, destination, units)
    return b""


def move_value(world: World, context: Context, source: bytes, to: bytes | None, wei: int) -> None:
    """A plain transfer of value between addresses' primary accounts."""
    units, rest = divmod(wei, WEI_PER_CASH)
    if (
        rest and not context.from_l1
    ):  # L1 can't be told to send whole units: what is below one stays with the sender
        raise Refused("ValueRefused", wei)
    if not units:
        return
    if to is None:
        raise Refused("UnknownTarget", bytes(20))
    number = primary(world, context, source)
    take(world, context, number, units)
    destination = primary(world, context, to)
    credit(world, destination, units)
    context.emit("Transferred", number, destination, units)


def leave(world: World, context: Context, units: int) -> int:
    """Take cash that goes to L1 from the actor's primary account; the wei that do go, see :func:`pay_out`."""
    if not units:
        return 0
    number = primary(world, context, context.actor)
    take(world, context, number, units)
    return pay_out(world, context, units) * WEI_PER_CASH


def pay_out(world: World, context: Context, amount: int, *, forced: bool = False) -> int:
    """What of a withdrawal goes to L1: all of it, but for its share of a loss that nobody could pay (rounded against it).

    Args:
        world: the state.
        context: the block.
        amount: micro-USD.
        forced: whether it leaves by rule, whatever the breaker caps.
    """
    now = world.globals
    backed = now.vault // WEI_PER_CASH
    paid = amount * backed // (backed + now.shared_loss) if now.shared_loss else amount
    if paid > payable(world):  # until a debt is somebody's loss, winners have more than there is
        raise Refused("WithdrawalCapped", paid, payable(world))
    if not forced:
        count_withdrawal(world, context, paid)
    world.globals = replace(
        now, vault=now.vault - paid * WEI_PER_CASH, shared_loss=now.shared_loss - (amount - paid)
    )
    return paid


def payable(world: World) -> int:
    """What can leave at most: L1 has no more for the rollup, and what is in custody is of messages."""
    return max(0, world.globals.vault - post(world).held) // WEI_PER_CASH


def take(world: World, context: Context, number: int, amount: int) -> None:
    """Take cash out of an account that can spare it."""
    found = world.accounts[number]
    available = found.cash - found.reserved
    if available < amount:
        raise Refused("InsufficientCash", number, amount, available)
    credit(world, number, -amount)
    require_margin(world, context, number)
