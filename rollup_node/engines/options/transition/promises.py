"""What prepared strategies will make accounts trade: looked up wherever something else must leave room for it.

Only accounts with a pledge can have promised anything, and a pledge is never zero, so everybody else isn't searched for.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.state.world import World

PREPARED, COMMITTED, ABORTED = range(3)
"""What becomes of a strategy's legs that were locked here. A leaf is never but prepared: with its end it goes."""


class Source(IntEnum):
    """Where the other side of a reserved trade came from."""

    MAKER = 0
    """The market maker's quote."""
    BOOK = 1
    """An order, which goes back into the book if the strategy is given up."""
    SPENT = 2
    """An order that doesn't go back: one that may only reduce."""


class Fill(NamedTuple):
    """A trade that is set aside; as the combo's leaf has it."""

    leg: int
    series: int
    maker: int
    """Account."""
    quantity: int
    """As the taker sees it."""
    price: int
    """Micro-USD."""
    pledge: int
    """The maker's, micro-USD."""
    expiry: int
    """Of the maker's order, unix seconds."""
    source: int


def promised(world: World, number: int, series: int) -> tuple[int, int]:
    """How much of a series prepared strategies will make an account buy, and how much sell."""
    quantities = [quantity for one, quantity in promises(world, number) if one == series]
    bought = sum(quantity for quantity in quantities if quantity > 0)
    return bought, bought - sum(quantities)


def slots(world: World, number: int, account: Account) -> int:
    """For how many positions that an account doesn't have it must keep room."""
    if not account.reserved:
        return 0
    held = {series for series, _ in account.positions}
    return len({series for series, _ in promises(world, number)} - held)


def promises(world: World, number: int) -> Iterator[tuple[int, int]]:
    """Series and signed quantity of all reserved trades of an account."""
    if not world.accounts[number].reserved:
        return
    for _, combo in world.combos.of(number):
        if combo.state != PREPARED:
            continue
        for fill in map(Fill._make, combo.fills):
            if combo.account == number:
                yield fill.series, fill.quantity
            if fill.maker == number:
                yield fill.series, -fill.quantity
