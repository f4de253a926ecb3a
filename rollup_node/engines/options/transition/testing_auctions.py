"""For tests: a floor on which auctions are short, the fund has something, and users bid; and a watch over every step of a liquidation.

The watch looks at margins before and after each step with figures of its own, fractions where the engine has integers: no step enlarges a
shortfall (I9), the fund pays no more than a deficit and the block's limit, nobody takes more than what cures, pays less than the price, or has less
than initial margin afterwards.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any, NamedTuple
from unittest.mock import patch

from bridge.wire.signing import UnsignedTransaction, sign_transaction
from rollup_node.engines.options.risk.margin import Margin
from rollup_node.engines.options.state.leaves import Auction
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import EVENTS
from rollup_node.engines.options.transactions.receipts import Log
from rollup_node.engines.options.transition import calls
from rollup_node.engines.options.transition.accounts import owner_of
from rollup_node.engines.options.transition.backstop import BACKSTOP
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, margin_of
from rollup_node.engines.options.transition.testing import Desk, address, key_of
from rollup_node.engines.options.transition.testing_floor import PLAYED, USERS, Floor
from rollup_node.engines.options.transition.trading import sellable
from rollup_node.engines.options.values import PARTS, PRICE_UNIT, QUANTITY_UNIT

FUND = 400 * PRICE_UNIT
LIMIT = 30 * PRICE_UNIT
AUCTIONED = replace(
    PLAYED,
    auction_fast_seconds=6,
    auction_slow_seconds=10,
    auction_insolvent_seconds=8,
    max_insurance_loss=LIMIT,
)
_APPLIED: dict[str, Any] = calls._APPLY  # type: ignore[assignment]  # noqa: SLF001 - the watch stands around what is executed
STEPS = ("liquidate", "bid", "advanceAuction", "backstop", "deleverage")


class AuctionFloor(Floor):
    """A floor with an insurance fund, a vault that users pay into, and bids."""

    PARAMETERS = AUCTIONED

    def __init__(self) -> None:
        self.brought: defaultdict[int, int] = defaultdict(int)
        """What bids have brought in, by account, as events tell it."""
        super().__init__()

    def _desk(self) -> Desk:
        desk = super()._desk()
        now = desk.world.globals
        desk.world.globals = replace(now, insurance=FUND, vault=now.vault + FUND * WEI_PER_CASH)
        return desk

    def _check(self, executed: Executed, before: dict[int, Margin], *, moved: bool) -> None:
        super()._check(executed, before, moved=moved)
        world = self.world
        for log in (log for receipt in executed.receipts for log in receipt.logs):
            self._note(log)
        told = {number: self.brought[number] for number in world.auctions}
        held = {number: auction.reserved for number, auction in world.auctions.items()}
        assert told == held, "I1: what auctions keep is not what bids brought in"
        for number, kept in held.items():
            assert world.accounts[number].flags & LIQUIDATING, (
                f"account {number} is up for auction, unflagged"
            )
            assert kept >= 0, f"I1: the auction of account {number} keeps {kept}"
        paid = _paid(executed)
        assert paid <= LIMIT, f"limit: the fund has paid {paid} in a block"

    def _note(self, log: Log) -> None:
        for name in ("AuctionBid", "BackstopTook"):
            if log.topics[0] == EVENTS[name].topic:
                number = int.from_bytes(log.topics[1], "big")
                _, price, *rest = abi.decode(EVENTS[name].plain, log.data)
                fee = rest[0] if name == "AuctionBid" else 0
                self.brought[number] += price - fee if price > 0 else -min(-price, self.brought[number])
        if log.topics[0] == EVENTS["AuctionEnded"].topic:
            del self.brought[int.from_bytes(log.topics[1], "big")]

    # moves

    def bid(self, user: str, place: int, share: int, limit: int = 2**100) -> None:
        """For one of those that are up for auction, or for anybody."""
        there = sorted(self.world.auctions) or [self.desk.account("eve")]
        target = there[place % len(there)]
        self.run(self.desk.send(user, "bid", self.desk.account(user), target, share, limit), seconds=1)

    def race(self, share: int) -> None:
        """Two bid for the same in one block."""
        there = sorted(self.world.auctions)
        if there:
            raws = [
                self.desk.send(user, "bid", self.desk.account(user), there[0], share, 2**100)
                for user in ("alice", "bob")
            ]
            self.run(*raws, seconds=1)

    def fund_vault(self, user: str, amount: int) -> None:
        """Cash for the backstop vault."""
        self.run(sent(self.desk, user, BACKSTOP, amount))

    def idle(self, seconds: int) -> None:
        """Time goes by."""
        self.run(seconds=seconds)


def sent(desk: Desk, name: str, to: bytes, amount: int) -> bytes:
    """A plain transfer of cash to an address, signed; the first of its sender in a block."""
    owner = owner_of(desk.world, address(name))
    nonce = owner.nonce if owner else 0
    unsigned = UnsignedTransaction(
        desk.parameters.chain_id, nonce, 0, 0, 100_000, to, b"", amount * WEI_PER_CASH
    )
    return sign_transaction(unsigned, key_of(name))


def auction_crowd(seed: int, moves: int) -> AuctionFloor:
    """A seeded crowd that goes short, is shocked, and bids; returns the floor it leaves."""
    rng, floor = random.Random(seed), AuctionFloor()
    if rng.random() < 0.7:
        floor.fund_vault("alice", rng.choice((200, 3_000, 20_000)) * PRICE_UNIT)
    for _ in range(moves):
        user = rng.choice(USERS)
        match rng.randrange(12):
            case 0 | 1 | 2:
                shorts = [(user, rng.randrange(4), 0, -rng.randrange(1, 60) * 500) for user in USERS[2:]]
                longs = [("alice", place, 0, 30_000) for place in range(4)]
                floor.market([*shorts, *longs])
            case 3:
                floor.amm(user, rng.randrange(4), rng.choice([-1, 1]) * rng.randrange(1, 60) * 500)
            case 4 | 5:
                floor.feed(rng.randrange(-200, 260), rng.randrange(30, 150))
            case 6:
                floor.cash(user, rng.choice(USERS), rng.randrange(10**9), rng.choice(["deposit", "transfer"]))
            case 7:
                floor.idle(rng.randrange(1, 9))
            case 8:
                floor.race(rng.randrange(1, PARTS))
            case _:
                floor.bid(
                    rng.choice(("alice", "bob", user)),
                    rng.randrange(9),
                    rng.randrange(1, PARTS) >> rng.randrange(8),
                )
    floor.expire()
    floor.replay()
    return floor


class _Seen(NamedTuple):
    """Figures of an account before a step."""

    gap: int
    deficit: int
    value: Fraction
    """Of what is for sale."""
    rate: Fraction
    """What of a slice's value the account has of it, before fees; or what of a debt is paid."""
    most: Fraction
    """The share that cures."""


@contextmanager
def liquidations_watched() -> Iterator[Counter[str]]:
    """Look at every step of a liquidation; counts what was met."""
    met: Counter[str] = Counter()

    def watched(name: str, old: Any) -> Callable[[World, Context, tuple[Any, ...]], bytes]:
        def apply(world: World, context: Context, arguments: tuple[Any, ...]) -> bytes:
            number = arguments[1] if name == "bid" else arguments[0]
            before = _see(world, context, number) if number in world.accounts else None
            others = {one: _gap(world, context, one) for one in arguments[2]} if name == "deleverage" else {}
            kept = len(context.logs)
            result: bytes = old(world, context, arguments)
            assert before is not None
            after = _see(world, context, number)
            assert after.gap <= before.gap, f"I9: {name} has made {after.gap} of a shortfall of {before.gap}"
            logs = context.logs[kept:]
            given = sum(_amount(log) for log in logs if log.topics[0] == EVENTS["InsurancePaid"].topic)
            assert given <= before.deficit, (
                f"I9: the fund has paid {given} where {before.deficit} are missing"
            )
            for one, gap in others.items():
                assert _gap(world, context, one) <= gap, f"I9: deleveraging has made account {one} short"
            for log in logs:
                _look(world, context, log, before, met)
            met[name] += 1
            met["paid"] += bool(given)
            return result

        return apply

    with patch.dict(_APPLIED, {name: watched(name, _APPLIED[name]) for name in STEPS}):
        yield met


def _look(world: World, context: Context, log: Log, before: _Seen, met: Counter[str]) -> None:
    """A share that somebody has taken."""
    name = next((one for one in ("AuctionBid", "BackstopTook") if log.topics[0] == EVENTS[one].topic), None)
    if name is None:
        return
    taker = int.from_bytes(log.topics[2], "big")
    share, price, *rest = abi.decode(EVENTS[name].plain, log.data)
    series, quantities, cash = rest[-3:]
    worth = Fraction(
        sum(quantity * world.risk[one].mark for one, quantity in zip(series, quantities, strict=True))
    )
    value = cash + worth / QUANTITY_UNIT
    margin = margin_of(
        world, Context(context.parameters, context.number, context.timestamp, Risks(world)), taker
    )
    assert margin.covered or margin.surplus >= 0, f"I3: {name} leaves account {taker} at {margin}"
    if name == "AuctionBid":
        assert Fraction(share - 5, PARTS) < before.most, f"share: {share} were taken where {before.most} cure"
        if before.value > 0:
            met["solvent"] += 1
            assert price >= max(value, 0) * (before.rate - Fraction(2, PARTS)) - 1, (
                f"price: {price} for what is worth {value}"
            )
        else:
            met["insolvent"] += price < 0
            assert price >= min(value, 0) - 1, f"price: {-price} are paid for a debt of {-value}"
            assert price >= before.value * before.rate * share / PARTS - 1, (
                f"price: {-price} are paid for a share of {-before.value}"
            )
    else:
        met["bought"] += 1
        assert price <= max(value, 0), f"price: the vault has paid {price} for what is worth {value}"


def _see(world: World, context: Context, number: int) -> _Seen:
    account, auction = world.accounts[number], world.auctions.get(number)
    fresh = Context(context.parameters, context.number, context.timestamp, Risks(world))
    margin = margin_of(world, fresh, number)
    reserved = auction.reserved if auction else 0
    worth = Fraction(
        sum(quantity * world.risk[series].mark for series, quantity in sellable(world, number)), QUANTITY_UNIT
    )
    value = account.cash - account.reserved - reserved + worth
    return _Seen(
        max(0, margin.maintenance - margin.equity),
        max(0, -margin.equity),
        value,
        *(_terms(fresh, margin, value, auction) if auction else (Fraction(0), Fraction(0))),
    )


def _terms(context: Context, margin: Margin, value: Fraction, auction: Auction) -> tuple[Fraction, Fraction]:
    """The price's share, and BM / (BM - MtM·d - R(1 - d)) of the reference with the fee in d; in fractions."""
    parameters = context.parameters
    gone = Fraction((auction.paused or context.timestamp) - auction.started)
    fast, slow = parameters.auction_fast_seconds, parameters.auction_slow_seconds
    start, middle = (
        Fraction(one, PARTS) for one in (parameters.auction_start_ppm, parameters.auction_middle_ppm)
    )
    if value <= 0:
        turned = Fraction(context.timestamp - auction.turned) if auction.turned else Fraction(0)
        share = min(Fraction(1), turned / parameters.auction_insolvent_seconds)
    elif gone < fast:
        share = start - (start - middle) * gone / fast
    else:
        share = max(Fraction(0), middle * (1 - (gone - fast) / slow))
    fee = Fraction(parameters.liquidation_fee_ppm, PARTS) if value > 0 else 0
    rate, share = share, share * (1 - fee)
    buffered = margin.equity - margin.maintenance * (1 + Fraction(parameters.auction_buffer_ppm, PARTS))
    below = buffered - (value + auction.reserved) * share - auction.reserved * (1 - share)
    return rate, min(Fraction(1), buffered / below) if below < 0 else Fraction(1)


def _gap(world: World, context: Context, number: int) -> int:
    margin = margin_of(world, context, number)
    return max(0, margin.maintenance - margin.equity)


def _amount(log: Log) -> int:
    return int.from_bytes(log.data, "big")


def _paid(executed: Executed) -> int:
    """What the fund has paid in a block."""
    logs = (log for receipt in executed.receipts for log in receipt.logs)
    return sum(_amount(log) for log in logs if log.topics[0] == EVENTS["InsurancePaid"].topic)
