"""For tests: strategies over the bridge on one options rollup, against a model that knows nothing but what L1 has said and what time it is.

Every move is a block. After each one cash is conserved, positions sum to zero, pledges are those of the strategies that are locked
and nobody else's, every strategy is in the state that its model says, and positions have changed by exactly what was traded.
"""

import random
from dataclasses import dataclass, replace
from typing import Any, Final

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition import escrow
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.escrow import Lock
from rollup_node.engines.options.transition.genesis import MAKER_PREFIX
from rollup_node.engines.options.transition.promises import PREPARED, Fill
from rollup_node.engines.options.transition.testing import AMM_LIMIT, MARKET, Desk, address, order
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.testing_messages import LINKED, Counterpart, events, passed
from rollup_node.engines.options.transition.trading import position_of
from rollup_node.engines.options.values import PRICE_UNIT, WAD

TRADERS: Final = ("alice", "bob")
MAKERS: Final = ("carol", "dan")
PLAYED: Final = replace(LINKED, markets={1: replace(MARKET, amm_limit=AMM_LIMIT // 20)}, step_roots=False)
BOOK: Final = bytes(20)
AMM: Final = MAKER_PREFIX + b"\1"
ANY_PRICE: Final = 2**255

LegWord = tuple[bytes, bytes, int, int]


@dataclass(slots=True)
class Known:
    """What must be true of one strategy."""

    trader: str
    legs: tuple[LegWord, ...]
    decide_by: int
    refund_after: int
    state: Lock


class Strategies:
    """A market with makers and a market maker, on which L1's registry locks legs and decides.

    Args:
        changes: of the parameters.
    """

    def __init__(self, **changes: Any) -> None:
        self.desk = Desk(replace(PLAYED, **changes))
        self.l1 = Counterpart(self.desk)
        funds = {"alice": 20_000, "bob": 600, "carol": 50_000, "dan": 900}
        self.series = self.desk.open_market(funds, strikes=(2_900, 3_100))
        self.desk.block(
            self.desk.send("carol", "transfer", self.desk.account("carol"), 1, 9_000 * PRICE_UNIT)
        )
        self.spot = 3_000 * PRICE_UNIT
        self.known: dict[bytes, Known] = {}
        self.ends: set[Lock] = set()
        """States that strategies have been in."""

    @property
    def world(self) -> World:
        """The state."""
        return self.desk.world

    def run(self, *raws: bytes, seconds: int = 0) -> Executed:
        """A block."""
        return self.desk.block(*raws, seconds=seconds)

    def check(self) -> None:
        """All that always holds."""
        world = self.world
        broken = violations(world)
        assert not broken, "; ".join(broken)
        pledged = dict.fromkeys(world.accounts, 0)
        locked = {name for name, known in self.known.items() if known.state is Lock.LOCKED}
        assert locked == {combo.name for combo in world.combos.values()}, (
            "I13: the state holds legs of strategies that have ended, or not of all that are locked"
        )
        for combo in world.combos.values():
            assert combo.state == PREPARED
            pledged[combo.account] += combo.pledge
            for fill in map(Fill._make, combo.fills):
                pledged[fill.maker] += fill.pledge
        for number, account in world.accounts.items():
            assert account.reserved == pledged[number], (
                f"I13: account {number} has {account.reserved} set aside, and pledged {pledged[number]}"
            )
        for name, known in self.known.items():
            state = escrow.lock_of(world, name).state
            assert state == known.state, f"I13: a strategy is {Lock(state).name}, not {known.state.name}"
            self.ends.add(known.state)

    def holdings(self) -> dict[tuple[int, int], int]:
        """Positions by account and series."""
        return {
            (number, series): position_of(account, series)
            for number, account in self.world.accounts.items()
            for series in self.series
        }

    def moved(self, executed: Executed, expected: dict[tuple[int, int], int], mistake: str) -> None:
        """Positions are these, but for what liquidations of the same block have traded."""
        expected = dict(expected)
        for receipt in executed.receipts:
            told = events(receipt)
            if "Liquidated" in {name for name, _ in told}:
                for name, values in told:
                    if name == "Trade":
                        expected[values[1], values[0]] += values[6]
                        expected[values[2], values[0]] -= values[6]
        assert expected == self.holdings(), mistake

    # moves

    def quote(self, maker: str, series: int, off: int, quantity: int) -> None:
        """A maker's order around the mark."""
        number = self.series[series]
        price = max(
            MARKET.tick, self.world.risk[number].mark // MARKET.tick * MARKET.tick + off * MARKET.tick
        )
        account = self.desk.account(maker)
        self.run(self.desk.send(maker, "placeOrder", order(account, number, price, quantity)))

    def lock(self, trader: str, legs: tuple[tuple[int, int, bool], ...], wait_s: int) -> None:
        """The registry orders legs: series, quantity, whether the market maker is asked."""
        name = (len(self.known) + 1).to_bytes(32, "big")
        said = tuple(
            (
                self.series[series].to_bytes(32, "big"),
                AMM if maker else BOOK,
                quantity,
                ANY_PRICE if quantity > 0 else 0,
            )
            for series, quantity, maker in legs
        )
        now = self.desk.timestamp
        known = self.known[name] = Known(trader, said, now + wait_s, now + wait_s + 5, Lock.NONE)
        self.order(name, known)

    def order(self, name: bytes, known: Known) -> None:
        """The order to lock comes, for the first time or not."""
        before, times = self.holdings(), (known.decide_by, known.refund_after)
        executed = self.run(self.l1.lock(name, address(known.trader), times, known.legs))
        told = [one for receipt in executed.receipts for one, _ in events(receipt)]
        votes = [call[-1][67] for _, _, call in passed(executed)]  # the second word of the registry's call
        if known.state is not Lock.NONE:
            assert not votes, "an order that came again was answered again"
        else:
            refused = "LegRefused" in told
            assert [int(not refused)] == votes, "the vote isn't what was locked"
            assert refused or told.count("LegLocked") == len(known.legs)
            known.state = Lock.REFUSED if refused else Lock.LOCKED
            assert refused or self.desk.timestamp < known.decide_by, "a lock that came too late"
        self.moved(executed, before, "a lock has traded")

    def decide(self, place: int, *, commit: bool) -> None:
        """The registry's word comes: to some for the first time, to others again."""
        if not self.known:
            return
        name = sorted(self.known)[place % len(self.known)]
        known = self.known[name]
        locked = known.state is Lock.LOCKED
        fills = escrow.combo_of(self.world, escrow.lock_of(self.world, name)).fills if locked else ()
        before, account = self.holdings(), self.desk.account(known.trader)
        executed = self.run(self.l1.decide(name, commit=commit))
        expected = dict(before)
        if locked:
            known.state = Lock.COMMITTED if commit else Lock.RELEASED
            for fill in map(Fill._make, fills if commit else ()):
                expected[account, fill.series] += fill.quantity
                expected[fill.maker, fill.series] -= fill.quantity
        elif known.state is Lock.NONE and not commit:
            known.state = Lock.RELEASED
        self.moved(executed, expected, "I13: not all legs were traded, or some that mustn't be")

    def overtake(self, trader: str) -> None:
        """An abort comes before its order."""
        name = (len(self.known) + 1).to_bytes(32, "big")
        now = self.desk.timestamp
        leg = (self.series[0].to_bytes(32, "big"), AMM, 100, ANY_PRICE)
        self.known[name] = Known(trader, (leg,), now + 30, now + 40, Lock.RELEASED)
        self.run(self.l1.decide(name, commit=False))
        self.order(name, self.known[name])

    def refund(self, place: int) -> None:
        """Somebody takes legs back, or tries to."""
        if not self.known:
            return
        name = sorted(self.known)[place % len(self.known)]
        known, before = self.known[name], self.holdings()
        executed = self.run(self.desk.send("carol", "refundLegs", name))
        (result,) = executed.results
        may = known.state is Lock.LOCKED and self.desk.timestamp > known.refund_after
        assert ("success" if may else "failed") == result.status, f"a refund was {result.status}"
        if may:
            known.state = Lock.REFUNDED
        self.moved(executed, before, "a refund has traded")

    def close(self, series: int, quantity: int) -> None:
        """Alice trades with the market maker, at any price."""
        limit = 2**64 - 1 if quantity > 0 else 0
        arguments = (self.desk.account("alice"), series, quantity > 0, abs(quantity), limit)
        self.run(self.desk.send("alice", "tradeAmm", *arguments))

    def feed(self, change: int, volatility: int) -> None:
        """The spot moves by so many parts in a thousand; whoever is short of margin is liquidated."""
        self.spot = min(max(self.spot * (1_000 + change) // 1_000, 1_500 * PRICE_UNIT), 6_000 * PRICE_UNIT)
        self.run(self.desk.update(self.spot, volatility=WAD * volatility // 100), seconds=2)

    def withdraw(self, user: str, share: int) -> None:
        """Some of what an account has; what it has pledged stays."""
        number = self.desk.account(user)
        account = self.world.accounts[number]
        amount = max(1, account.cash * share // 10)
        (result,) = self.run(self.desk.send(user, "withdraw", number, address(user), amount)).results
        if result.status == "success":
            left = self.world.accounts[number]
            assert left.cash >= left.reserved, "a pledge was withdrawn"

    def wait(self, seconds: int) -> None:
        """Time passes."""
        self.run(seconds=seconds)


def season(seed: int, moves: int) -> Strategies:
    """A seeded season of strategies."""
    rng, floor = random.Random(seed), Strategies()
    for _ in range(moves):
        waiting = [
            at for at, name in enumerate(sorted(floor.known)) if floor.known[name].state is Lock.LOCKED
        ]
        place = rng.choice(waiting) if waiting and rng.random() < 0.7 else rng.randrange(30)
        if rng.random() < 0.6:
            _play_registry(rng, floor, place)
        else:
            _play_market(rng, floor)
        floor.check()
    return floor


def _play_registry(rng: random.Random, floor: Strategies, place: int) -> None:
    match rng.randrange(8):
        case 0 | 1 | 2:
            legs = tuple(
                (rng.randrange(4), rng.choice([-1, 1]) * rng.randrange(1, 80) * 100, rng.random() < 0.8)
                for _ in range(rng.randrange(1, 4))
            )
            floor.lock(rng.choice(TRADERS), legs, rng.choice([0, 8, 15, 15]))
        case 3 | 4 | 5:
            floor.decide(place, commit=rng.random() < 0.5)
        case 6:
            if rng.random() < 0.5:
                floor.wait(25)
                floor.check()
            floor.refund(place)
        case _:
            floor.overtake(rng.choice(TRADERS))


def _play_market(rng: random.Random, floor: Strategies) -> None:
    match rng.randrange(6):
        case 0 | 1 | 2:
            quantity = rng.choice([-1, 1]) * rng.randrange(1, 40) * 100
            floor.quote(rng.choice(MAKERS), rng.randrange(4), rng.randrange(-300, 300), quantity)
        case 3:
            floor.feed(rng.randrange(-60, 70), rng.randrange(40, 110))
        case 4:
            floor.withdraw(rng.choice((*TRADERS, *MAKERS)), rng.randrange(1, 11))
        case _:
            floor.wait(rng.randrange(12))
