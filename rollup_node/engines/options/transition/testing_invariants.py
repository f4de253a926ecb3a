"""For tests: what holds in every world after every transaction, whatever was sent; and figures that only come of whole histories.

Numbers are those of the issue's list: I1 cash is conserved, I2 positions of a series sum to zero, I4 nonces never go back, I5 books are
never crossed, I13 locked positions are there and add up. I3, I6, I7 and I8 are about steps and histories, so the tests that make them check them.
"""

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.combos import State, combos_of
from rollup_node.engines.options.transition.context import WEI_PER_CASH
from rollup_node.engines.options.transition.letters import post
from rollup_node.engines.options.transition.risk import EXPIRED
from rollup_node.engines.options.transition.series import SETTLED
from rollup_node.engines.options.transition.trading import position_of


def violations(world: World) -> list[str]:
    """What doesn't hold, in words; nothing is the only good answer."""
    return [*_cash(world), *_positions(world), *_books(world), *_owners(world), *_combos(world)]


def claims(world: World) -> int:
    """All that is owed to somebody, in wei."""
    now = world.globals
    cash = sum(account.cash for account in world.accounts.values())
    pools = sum(series.pool for series in world.series.values())
    purses = now.insurance + now.sequencer_fees + now.protocol_fees + now.block_fees - now.shared_loss
    return (cash + pools + purses) * WEI_PER_CASH + now.dust + post(world).held


def nonces(world: World) -> dict[tuple[object, ...], int]:
    """Every nonce that may only grow."""
    found: dict[tuple[object, ...], int] = {}
    for owners in world.addresses.values():
        found |= {("transactions", one.address): one.nonce for one in owners}
    for number, account in world.accounts.items():
        found["actions", number, account.owner] = account.nonce
        found |= {("actions", number, key.address): key.nonce for key in account.keys}
    return found


def _cash(world: World) -> list[str]:
    owed, held = claims(world), world.globals.vault
    found = [] if owed == held else [f"I1: {owed} wei are owed, and L1 holds {held}"]
    now = world.globals
    purses = {
        "insurance": now.insurance,
        "fees": min(now.sequencer_fees, now.block_fees),
        "dust": now.dust,
        "loss": now.shared_loss,
    }
    return found + [f"I1: {name} is {value}" for name, value in purses.items() if value < 0]


def _positions(world: World) -> list[str]:
    found = []
    for number, series in world.series.items():
        held = [position_of(account, number) for account in world.accounts.values()]
        if sum(held) and series.status != EXPIRED:
            found.append(f"I2: positions of series {number} sum to {sum(held)}")
        if sum(map(abs, held)) != series.open_interest:
            found.append(
                f"I2: series {number} says {series.open_interest} are held, {sum(map(abs, held))} are"
            )
        if series.status == SETTLED and (any(held) or series.pool or len(world.book(number))):
            found.append(f"I8: series {number} is settled, and not empty")
    return found


def _books(world: World) -> list[str]:
    found = []
    for number in world.series:
        book = world.book(number)
        bid, ask = book.best_bid, book.best_ask
        if bid is not None and ask is not None and bid >= ask:
            found.append(f"I5: series {number} is crossed, {bid} is bid and {ask} asked")
        found += [
            f"I5: order {order.id} rests with {order.quantity} at {order.price} for account {order.account}"
            for order in book
            if order.quantity <= 0 or order.price <= 0 or order.account not in world.accounts
        ]
    return found


def _owners(world: World) -> list[str]:
    owned = {
        number: one.address
        for owners in world.addresses.values()
        for one in owners
        for number in one.accounts
    }
    return [
        f"I4: account {number} isn't its owner's"
        for number, account in world.accounts.items()
        if owned.get(number) != account.owner
    ]


def _combos(world: World) -> list[str]:
    """What accounts say of locks is what their combos say, and the positions are there."""
    found = []
    for number, account in world.accounts.items():
        legs: dict[int, int] = {}
        required = due = 0
        for _, combo in combos_of(world, number):
            due += combo.due if combo.state == State.OWED else 0
            required += combo.required
            for series, quantity in combo.legs:
                legs[series] = legs.get(series, 0) + quantity
        if (dict(account.locks), account.locked, account.due) != (legs, required, due):
            found.append(f"I13: account {number} isn't locked as its combos are")
        for series, quantity in account.locks:
            held = position_of(account, series)
            if held * quantity <= 0 or abs(held) < abs(quantity):
                found.append(
                    f"I13: account {number} holds {held} of series {series}, and {quantity} is locked"
                )
    return found
