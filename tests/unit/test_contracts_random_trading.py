"""Random trading against an independent model of the market: same money, same errors, always solvent.

The model below knows the rules in words, not the contract: it keeps books with fractions of nothing (plain integers), and
where it refuses a trade the contract must refuse it for the same reason.
"""

import asyncio
import tempfile
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from bridge.contracts.addresses import CASH_TOKEN, OPTIONS_MARKET
from orchestrator.market.board import Quote, Terms
from orchestrator.market.genesis import MAKER_CASH, USER_CASH
from orchestrator.market.testing import MarketChain, Reverted, example_plan, market_chain
from orchestrator.settlement.geth_genesis import GENESIS_TIME

T = TypeVar("T")
PLAN = example_plan(users=3)
MAKER = PLAN.roles[1]
PEOPLE = (MAKER, *PLAN.users)
NAMES = tuple(person.name for person in PEOPLE)
BY_NAME = {person.name: person for person in PEOPLE}
NO_BUNDLE = b"\0" * 32
CAP = 8_000_000_000
EXPIRY = GENESIS_TIME + 10**8
SERIES = (
    Terms("ETH", 2_000_000_000, EXPIRY, is_call=True),
    Terms("ETH", 1_999_999_999, EXPIRY, is_call=False),
    Terms("ETH", CAP, EXPIRY, is_call=True),
)
PRICES = st.one_of(st.integers(0, 3_000_000_000), st.just(1))
SIZES = st.one_of(st.integers(0, 2_000_000), st.integers(0, 20))
QUANTITIES = st.one_of(st.integers(-30, 30), st.integers(-30_000_000_000, 30_000_000_000))


@dataclass
class Model:
    """The market's books."""

    free: dict[str, int]
    locked: dict[str, int]
    position: dict[tuple[int, str], int] = field(default_factory=dict)
    quotes: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    pool: dict[int, int] = field(default_factory=dict)

    def trade(self, index: int, maker: str, taker: str, quantity: int, limit: int) -> str | None:
        """The error's name, or None after booking the trade."""
        bid, ask, bid_size, ask_size = quote = self.quotes.get((index, maker), [0, 0, 0, 0])
        buys, size = quantity > 0, abs(quantity)
        price = ask if buys else bid
        refusals = {
            "ZeroQuantity": quantity == 0,
            "SelfTrade": maker == taker,
            "UnknownSeries": not any(key[0] == index for key in self.quotes),
            "QuoteSizeExceeded": size > (ask_size if buys else bid_size),
            "LimitExceeded": price > limit if buys else price < limit,
        }
        for error, refused in refusals.items():
            if refused:
                return error
        premium, rest = divmod(price * size, 10_000)
        premium += 1 if buys and rest else 0
        changes = {}
        for who, change, cash in (
            (taker, quantity, -premium if buys else premium),
            (maker, -quantity, premium if buys else -premium),
        ):
            held = self.position.get((index, who), 0)
            old, new = self.collateral(index, held), self.collateral(index, held + change)
            if self.free[who] + old - new + cash < 0:
                return "InsufficientCash"
            changes[who] = (held + change, old, new, cash)
        for who, (held, old, new, cash) in changes.items():
            self.position[index, who] = held
            self.free[who] += old - new + cash
            self.locked[who] += new - old
        quote[3 if buys else 2] -= size
        return None

    @staticmethod
    def collateral(index: int, held: int) -> int:
        """What a position locks."""
        worst = CAP - SERIES[index].strike if SERIES[index].is_call else SERIES[index].strike
        return 0 if held >= 0 else (worst * -held + 9_999) // 10_000

    def settle(self, index: int, who: str, price: int) -> None:
        """Book the settlement of one position."""
        held = self.position.pop((index, who), 0)
        gap = min(price, CAP) - SERIES[index].strike
        due = max(gap if SERIES[index].is_call else -gap, 0) * abs(held)
        if held > 0:
            self.free[who] += due // 10_000
            self.pool[index] = self.pool.get(index, 0) - due // 10_000
        elif held < 0:
            owed, back = (due + 9_999) // 10_000, self.collateral(index, held)
            self.locked[who] -= back
            self.free[who] += back - owed
            self.pool[index] = self.pool.get(index, 0) + owed


class Trading(RuleBasedStateMachine):
    """Quotes, trades, withdrawals and settlements in any order."""

    runner: ClassVar[asyncio.Runner]
    chain: ClassVar[MarketChain]

    def __init__(self) -> None:
        super().__init__()
        self.snapshot = self.do(self.chain.client.call("evm_snapshot"))
        self.model = Model({}, {})
        self.withdrawn = 0
        self.price: int | None = None

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop that the engine's connection belongs to."""
        return self.runner.run(work)

    @initialize()
    def open_books(self) -> None:
        """The genesis gave everyone cash."""
        self.model.free = {name: MAKER_CASH if name == "maker" else USER_CASH for name in NAMES}
        self.model.locked = dict.fromkeys(NAMES, 0)

    @precondition(lambda self: self.price is None)
    @rule(
        index=st.integers(0, 2),
        maker=st.sampled_from(NAMES),
        prices=st.tuples(PRICES, PRICES),
        sizes=st.tuples(SIZES, SIZES),
    )
    def quote(self, index: int, maker: str, prices: tuple[int, int], sizes: tuple[int, int]) -> None:
        """Anyone may make a market."""
        offer = Quote(min(prices), max(prices), *sizes)
        self.do(self.chain.quote(BY_NAME[maker], SERIES[index], offer))
        self.model.quotes[index, maker] = list(offer.encoded())

    @precondition(lambda self: self.price is None and bool(self.model.quotes))
    @rule(
        data=st.data(), taker=st.sampled_from(NAMES), quantity=QUANTITIES, slack=st.sampled_from([-1, 0, 1])
    )
    def trade(self, data: st.DataObject, taker: str, quantity: int, slack: int) -> None:
        """Most trades fit a quote, some exceed it; the contract books or refuses exactly as the model does."""
        index, maker = data.draw(st.sampled_from(sorted(self.model.quotes)))
        bid, ask, bid_size, ask_size = self.model.quotes[index, maker]
        if data.draw(st.booleans()):
            quantity = data.draw(st.integers(-bid_size, ask_size))
        limit = max(0, (ask if quantity > 0 else bid) + slack)
        expected = self.model.trade(index, maker, taker, quantity, limit)
        assert expected == self.outcome(
            BY_NAME[taker], "trade", self.series(index), BY_NAME[maker].address, quantity, limit, NO_BUNDLE
        )

    @rule(who=st.sampled_from(NAMES), share=st.integers(0, 110))
    def withdraw(self, who: str, share: int) -> None:
        """Free cash leaves, more than that doesn't."""
        amount = self.model.free[who] * share // 100
        expected = "InsufficientCash" if amount > self.model.free[who] else None
        assert expected == self.outcome(BY_NAME[who], "withdraw", amount)
        if expected is None:
            self.model.free[who] -= amount
            self.withdrawn += amount

    @precondition(lambda self: self.price is None and bool(self.model.quotes))
    @rule(price=st.integers(0, 10_000_000_000))
    def expire(self, price: int) -> None:
        """Time passes and the oracle speaks."""
        self.do(self.chain.fix(MAKER, SERIES[0], price))
        self.price = price

    @precondition(lambda self: self.price is not None)
    @rule(data=st.data(), who=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    def settle(self, data: st.DataObject, who: list[str]) -> None:
        """Anyone settles anyone, in any order, also twice."""
        index = data.draw(st.sampled_from(sorted({key[0] for key in self.model.quotes})))
        accounts = [BY_NAME[name].address for name in who]
        assert self.outcome(MAKER, "settleMany", self.series(index), accounts) is None
        assert self.price is not None
        for name in who:
            self.model.settle(index, name, self.price)

    @invariant()
    def the_books_agree_and_the_market_is_solvent(self) -> None:
        """Every account agrees with the model; cash held covers all claims exactly; each series sums to zero."""
        if not self.model.free:
            return
        chain = self.do(self.read_books())
        assert chain["free"] == self.model.free
        assert chain["locked"] == self.model.locked
        assert chain["held"] == {key: self.model.position.get(key, 0) for key in chain["held"]}
        assert chain["pool"] == {index: self.model.pool.get(index, 0) for index in chain["pool"]}
        claims = sum(chain["free"].values()) + sum(chain["locked"].values()) + sum(chain["pool"].values())
        assert chain["cash"] == claims
        assert chain["cash"] == MAKER_CASH + 3 * USER_CASH - self.withdrawn
        for index, pool in chain["pool"].items():
            held = [chain["held"][index, name] for name in NAMES]
            if self.price is None:
                assert sum(held) == 0
            elif not any(held):
                assert 0 <= pool <= len(NAMES)

    def teardown(self) -> None:
        """Back to the genesis."""
        self.do(self.chain.client.call("evm_revert", self.snapshot))

    def series(self, index: int) -> bytes:
        """A series' id, from the contract."""
        return bytes(self.do(self.read("seriesId", SERIES[index].encoded())))

    def outcome(self, account: Any, function: str, *arguments: Any) -> str | None:
        """The name of the error, or None."""
        try:
            self.do(self.chain.send(account, "OptionsMarket", OPTIONS_MARKET, function, *arguments))
        except Reverted as reverted:
            return str(reverted).partition("(")[0]
        return None

    async def read(self, function: str, *arguments: Any) -> Any:
        """One value of the market."""
        return (await self.chain.read("OptionsMarket", OPTIONS_MARKET, function, *arguments))[0]

    async def read_books(self) -> dict[str, Any]:
        """Everything that the contract knows about these people."""
        rows = await self.read("board", MAKER.address)
        ids = {row[0]: SERIES.index(Terms("ETH", *row[1][1:])) for row in rows}
        books: dict[str, Any] = {"free": {}, "locked": {}, "held": {}, "pool": {}}
        for name in NAMES:
            address = BY_NAME[name].address
            books["free"][name] = await self.read("freeCash", address)
            books["locked"][name] = await self.read("lockedCash", address)
            held = await self.read("positionsOf", address)
            books["held"] |= {(ids[row[0]], name): quantity for row, quantity in zip(rows, held, strict=True)}
        for identity, index in ids.items():
            books["pool"][index] = await self.read("settlementPool", identity)
        (books["cash"],) = await self.chain.read("CashToken", CASH_TOKEN, "balanceOf", OPTIONS_MARKET)
        return books


@pytest.mark.timeout(120)
def test_random_trading_agrees_with_the_model() -> None:
    """Whatever is quoted, traded, withdrawn and settled: books agree, nothing is created, every claim is covered."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        Trading.runner = runner
        Trading.chain = runner.run(stack.enter_async_context(market_chain(PLAN, Path(folder))))
        try:
            machine = Trading.TestCase
            machine.settings = settings(
                max_examples=20,
                stateful_step_count=15,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
                database=None,
            )
            machine("runTest").runTest()
        finally:
            runner.run(stack.aclose())
