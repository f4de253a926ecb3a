"""For tests: a market in which every move is a block, and every block is checked for all that always holds.

Every block is executed twice from the same state (staging); one of a single transaction that was refused is also compared with the
same block in which its sender does nothing (I6); and the whole history is replayed in a fresh world (I7).
"""

import random
from dataclasses import replace
from typing import Any

from bridge.wire.signing import UnsignedTransaction, sign_transaction
from rollup_node.engines.options.risk.margin import Margin
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import read_message
from rollup_node.engines.options.transactions.interfaces import EVENTS
from rollup_node.engines.options.transactions.receipts import Log
from rollup_node.engines.options.transition.block import Executed, execute
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, margin_of
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    EXPIRY,
    FAR,
    MARKET,
    PARAMETERS,
    Desk,
    address,
    key_of,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import nonces, violations
from rollup_node.engines.options.values import PRICE_UNIT, WAD

USERS = ("alice", "bob", "carol", "dan", "eve")
TICK = 10_000
PLAYED = replace(
    PARAMETERS,
    markets={1: replace(MARKET, tick=1, amm_limit=AMM_LIMIT // 50)},
    step_roots=False,
    settlement_accounts=2,
)
ODD = 3
"""Added to prices, so that premiums are no whole units."""
TRADE = EVENTS["Trade"].topic
RESTED = EVENTS["OrderRested"].topic


class Floor:
    """A market with five users; every move is a block, and every block is checked."""

    PARAMETERS = PLAYED

    def __init__(self) -> None:
        self.desk = self._desk()
        funds = {"alice": 50_000, "bob": 50_000, "carol": 1_500, "dan": 700, "eve": 500}
        self.series = self.desk.open_market(funds, strikes=(2_900, 3_100))
        self.desk.block(
            self.desk.send("alice", "transfer", self.desk.account("alice"), 1, 9_000 * PRICE_UNIT)
        )
        self.spot = 3_000 * PRICE_UNIT
        self.roots = [self.desk.world.root()]
        self.first = len(self.desk.history)
        self.rested: dict[int, int] = {}
        self.filled: dict[int, int] = {}
        self.used = nonces(self.desk.world)
        self.statuses: set[str] = set()

    @property
    def world(self) -> World:
        """The state."""
        return self.desk.world

    def run(self, *raws: bytes, seconds: int = 0) -> Executed:
        """A block, and all that is checked of it."""
        desk, world = self.desk, self.world
        mark, before = world.mark(), self._margins()
        executed = desk.block(*raws, seconds=seconds)
        content = desk.history[-1]
        root = executed.root
        world.undo(mark)
        assert root == execute(world, desk.parameters, content).root, "I7: staged again, it is another block"
        if len(raws) == 1 and executed.results[0].status == "failed":
            world.undo(mark)
            nothing = self._nothing(content.transactions[0])
            if nothing is not None:
                idle = execute(world, desk.parameters, replace(content, transactions=[nothing]))
                assert [result.status for result in idle.results] == ["success"]
                assert root == idle.root, f"I6: {executed.results[0].reason} has changed something"
                world.undo(mark)
            execute(world, desk.parameters, content)
        self.roots.append(root)
        self._check(executed, before, moved=len(raws) != 1)
        return executed

    def _nothing(self, raw: bytes) -> bytes | None:
        """A transaction of the same sender and nonce without effect."""
        message = read_message(raw)
        name = next((one for one in (*USERS, "pusher", "relay") if address(one) == message.sender), None)
        if name is None or message.nonce is None:
            return None
        unsigned = UnsignedTransaction(
            self.PARAMETERS.chain_id, message.nonce, 0, 0, 2_000_000, message.sender, b""
        )
        return sign_transaction(unsigned, key_of(name))

    def _margins(self) -> dict[int, Margin]:
        context = Context(self.PARAMETERS, self.desk.number, self.desk.timestamp, Risks(self.world))
        return {number: margin_of(self.world, context, number) for number in self.world.accounts}

    def _check(self, executed: Executed, before: dict[int, Margin], *, moved: bool) -> None:
        world = self.world
        logs = [log for receipt in executed.receipts for log in receipt.logs]
        for series, paid in _settled(logs).items():
            assert -len(USERS) - 1 < paid <= 0, f"I8: settling series {series} pays {paid} out"
        broken = violations(world)
        assert not broken, "; ".join(broken)
        now = nonces(world)
        for name, used in self.used.items():
            assert now.get(name, used) >= used, f"I4: nonce of {name} went back"
        self.used = now
        for log in logs:
            self._count(log)
        traded = {
            int.from_bytes(topic, "big") for log in logs if log.topics[0] == TRADE for topic in log.topics[2:]
        }
        traded |= {int.from_bytes(log.topics[2], "big") for log in logs if log.topics[0] == RESTED}
        marks = any(log.topics[0] == EVENTS["RiskUpdated"].topic for log in logs)
        if not moved and not marks:  # the margin before must be of the same marks
            after = self._margins()
            for number in traded:
                flags = world.accounts[number].flags
                good = after[number].covered or after[number].surplus >= 0
                better = number in before and after[number].surplus > before[number].surplus
                assert good or better or flags & LIQUIDATING, f"I3: account {number} is at {after[number]}"
        self.statuses |= {result.reason.split("(")[0] or result.status for result in executed.results}

    def _count(self, log: Log) -> None:
        if log.topics[0] == RESTED:
            quantity = int.from_bytes(log.data[-32:], "big")
            self.rested[int.from_bytes(log.topics[1], "big")] = quantity
        if log.topics[0] == TRADE:
            maker, quantity = (
                int.from_bytes(log.data[32 * i : 32 * i + 32], "big", signed=True) for i in (1, 3)
            )
            self.filled[maker] = self.filled.get(maker, 0) + abs(quantity)
            if maker in self.rested:
                assert self.filled[maker] <= self.rested[maker], f"I4: order {maker} is overfilled"

    def replay(self) -> None:
        """I7: the history gives the same roots in another world."""
        other = self._desk()
        roots = []
        for place, content in enumerate(self.desk.history):
            executed = execute(other.world, self.PARAMETERS, content)
            if place >= self.first:
                roots.append(executed.root)
        assert self.roots[1:] == roots, "I7: a replay gives other roots"

    def _desk(self) -> Desk:
        """A rollup at its genesis."""
        return Desk(self.PARAMETERS)

    # moves

    def place(self, user: str, series: int, off: int, quantity: int, **how: Any) -> None:
        """An order, so many ticks from the mark."""
        number = self.series[series]
        mark = self.world.risk[number].mark // TICK * TICK
        price = max(TICK, mark + off * TICK) + ODD
        account = self.desk.account(user)
        self.run(self.desk.send(user, "placeOrder", order(account, number, price, quantity, **how)))

    def market(self, moves: list[tuple[str, int, int, int]]) -> None:
        """Several users' orders in one block."""
        raws = []
        for user, series, off, quantity in moves:
            number = self.series[series]
            price = max(TICK, self.world.risk[number].mark // TICK * TICK + off * TICK) + ODD
            raws.append(
                self.desk.send(user, "placeOrder", order(self.desk.account(user), number, price, quantity))
            )
        self.run(*raws, seconds=1)

    def cancel(self, user: str, place: int) -> None:
        """One of a user's orders, or one that isn't."""
        mine = self.world.orders_of(self.desk.account(user))
        target = mine[place % len(mine)].id if mine else 1 << 32 | 1
        self.run(self.desk.send(user, "cancelOrder", self.desk.account(user), target))

    def feed(self, change: int, volatility: int) -> None:
        """The spot moves by so many parts in a thousand."""
        self.spot = min(max(self.spot * (1_000 + change) // 1_000, 500 * PRICE_UNIT), 20_000 * PRICE_UNIT)
        if self.desk.timestamp < EXPIRY:
            self.run(self.desk.update(self.spot, volatility=WAD * volatility // 100), seconds=2)

    def cash(self, user: str, other: str, amount: int, how: str) -> None:
        """Cash comes, goes or moves."""
        mine, theirs = self.desk.account(user), self.desk.account(other)
        match how:
            case "deposit":
                raw = self.desk.deposit(user, amount, wei=amount % 1_000)
            case "withdraw":
                raw = self.desk.send(user, "withdraw", mine, address(user), amount)
            case "transfer":
                raw = self.desk.send(user, "transfer", mine, theirs, amount)
            case _:
                raw = self.desk.send(user, "transfer", theirs, mine, amount)  # not hers to give
        self.run(raw)

    def actions(self, user: str, nonce: int, quantity: int) -> None:
        """Signed by the owner and brought by another; one is a replay."""
        account = self.desk.account(user)
        cash = ("transfer", (account, self.desk.account("alice"), quantity))
        members = [(user, account, nonce + step, *cash) for step in (1, 2, 1)]
        self.run(self.desk.act("relay", *members, expiry=FAR))

    def action(self, user: str, nonce: int, amount: int) -> None:
        """One signed action."""
        account = self.desk.account(user)
        call = ("transfer", (account, self.desk.account("bob"), amount))
        self.run(self.desk.act("relay", (user, account, nonce, *call)))

    def quote(self, maker: str, taker: str, series: int, quantity: int, nonce: int) -> None:
        """A spread, traded beside the book."""
        legs = []
        for step, sign in ((0, 1), (1, -1)):
            number = self.series[(series + step) % len(self.series)]
            legs.append((number, max(TICK, self.world.risk[number].mark // TICK * TICK), sign * quantity))
        signed = self.desk.signed_quote(
            maker, self.desk.account(maker), self.desk.account(taker), nonce, legs
        )
        self.run(self.desk.send(taker, "fillQuote", *signed))

    def amm(self, user: str, series: int, quantity: int) -> None:
        """A trade with the market maker, at any price."""
        account, limit = self.desk.account(user), 2**64 - 1 if quantity > 0 else 0
        arguments = (account, self.series[series], quantity > 0, abs(quantity), limit)
        self.run(self.desk.send(user, "tradeAmm", *arguments))

    def expire(self) -> None:
        """To the end of the series."""
        if self.desk.timestamp < EXPIRY - 100:
            self.desk.timestamp = EXPIRY - 90
            self.run(self.desk.update(self.spot), seconds=1)
            self.desk.timestamp = EXPIRY - 30
            self.run(self.desk.update(self.spot * 101 // 100 + 7), seconds=1)
            self.desk.timestamp = EXPIRY - 1
            self.run(self.desk.update(self.spot), seconds=1)


def _settled(logs: list[Log]) -> dict[int, int]:
    """What settlement has paid to all accounts, by series."""
    paid: dict[int, int] = {}
    for log in logs:
        if log.topics[0] == EVENTS["PositionSettled"].topic:
            series = int.from_bytes(log.topics[2], "big")
            paid[series] = paid.get(series, 0) + int.from_bytes(log.data[32:], "big", signed=True)
    return paid


def crowd(seed: int, moves: int) -> Floor:
    """A seeded crowd plays; returns the floor it leaves."""
    rng, floor = random.Random(seed), Floor()
    for _ in range(moves):
        user, other = rng.choice(USERS), rng.choice(USERS)
        quantity = rng.choice([-1, 1]) * rng.randrange(1, 60) * 500
        match rng.randrange(13):
            case 0 | 1 | 2 | 3:
                how: dict[str, Any] = {
                    "time_in_force": rng.choice([0, 0, 0, 1, 2, 3]),
                    "reduce_only": rng.random() < 0.1,
                }
                floor.place(user, rng.randrange(4), rng.randrange(-600, 600), quantity, **how)
            case 4 | 5:
                floor.market(
                    [
                        (
                            rng.choice(USERS),
                            rng.randrange(4),
                            rng.randrange(-300, 300),
                            rng.choice([-1, 1]) * 5_300,
                        )
                        for _ in range(6)
                    ]
                )
            case 6:
                floor.cancel(user, rng.randrange(9))
            case 7 | 8:
                floor.feed(rng.randrange(-250, 320), rng.randrange(30, 150))
            case 9:
                kind = rng.choice(["deposit", "withdraw", "transfer", "steal"])
                floor.cash(user, other, rng.randrange(2 * 10**9), kind)
            case 12:
                floor.amm(user, rng.randrange(4), quantity)
            case 10:
                floor.actions(user, rng.randrange(8), rng.randrange(10**8))
                floor.action(user, rng.randrange(8), rng.randrange(10**8))
            case _:
                floor.quote(user, other, rng.randrange(4), quantity, rng.randrange(1, 30))
    floor.expire()
    floor.replay()
    return floor
