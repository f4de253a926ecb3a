"""The backstop vault: an account like any other, but for its owner, an address without a key. It takes what no bidder took.

It exists once somebody sends it cash: the genesis, or anyone, by a plain transfer to its address or to its account. Who pays in gets no claim on
it. It takes as much as its margin allows, at the marks less a penalty, which it earns; what insurance lacks of a debt it bears itself.
"""

from typing import Any, Final

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition import auctions, insurance, slices
from rollup_node.engines.options.transition.accounts import credit, owner_of
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, margin_of, shortfall
from rollup_node.engines.options.values import PARTS, Overflow, ceil_divide

BACKSTOP: Final = keccak256(b"rollnet.options.backstop")[12:]
"""Owner of the vault; nobody knows a key of it."""
SHARES: Final = tuple(PARTS >> halvings for halvings in range(7))
"""What it tries to take, the largest first, parts per million."""


def vault_of(world: World) -> int | None:
    """The vault's account, if there is one that can take something."""
    owner = owner_of(world, BACKSTOP)
    if owner is None or not owner.accounts:
        return None
    number = owner.accounts[0]
    return None if world.accounts[number].flags & LIQUIDATING else number


def apply_backstop(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
    """``backstop(account)``: the largest share that the vault has the margin for; nothing, if it has it for none."""
    (number,) = arguments
    vault = vault_of(world)
    if vault in (None, number):
        return b""
    for share in SHARES:
        mark, kept = world.mark(), len(context.logs)
        try:
            _take(world, context, number, vault, share)
        except (Refused, Overflow):
            world.undo(mark)
            del context.logs[kept:]
        else:
            break
    auctions.end_if_over(world, context, number)
    return b""


def _take(world: World, context: Context, number: int, vault: int, share: int) -> None:
    """Move a share to the vault.

    Raises:
        Refused: the vault hasn't the margin, or the fund may not pay that much in one block.
    """
    offer = auctions.offer_of(world, context, number)
    before = margin_of(world, context, number)
    part = slices.slice_of(world, context, number, share)
    penalty = ceil_divide(part.gross * context.parameters.backstop_penalty_ppm, PARTS)
    price = part.value - min(penalty, max(0, before.equity * share // PARTS))
    own = min(max(0, -price), max(0, offer.auction.reserved))
    needed = min(max(0, -price) - own, offer.deficit * share // PARTS)
    left = insurance.left(world, context)
    if left < needed and left < world.globals.insurance:
        raise Refused("LimitReached", context.parameters.max_insurance_loss)
    slices.move(world, context, number, vault, part)
    paid = insurance.pay(world, context, number, needed)
    earned = max(0, price) - own
    credit(world, number, earned)
    credit(world, vault, paid - earned)
    auctions.book_in(world, number, earned)
    after = auctions.gap(margin_of(world, context, number))
    if after > auctions.gap(before):
        raise Refused("InsufficientMargin", number, after)
    if missing := shortfall(world, context, vault):
        raise Refused("InsufficientMargin", vault, missing)
    held, quantities = zip(*part.positions, strict=True) if part.positions else ((), ())
    context.emit("BackstopTook", number, vault, share, earned - paid, held, quantities, part.cash)
