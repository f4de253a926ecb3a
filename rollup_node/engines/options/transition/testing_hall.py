"""For tests of auctions: a hall in which one account comes up for auction, and bidders who can afford anything, or little."""

from dataclasses import replace
from typing import Any

import pytest

from rollup_node.engines.options.transition import auctions
from rollup_node.engines.options.transition.auctions import Offer
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.testing import (
    CALL,
    DOLLAR,
    ONE,
    PARAMETERS,
    PUT,
    Desk,
    errors_of,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.trading import position_of

ANY = 10**15
"""A limit that no price reaches."""
FAST, SLOW, LAST = (
    PARAMETERS.auction_fast_seconds,
    PARAMETERS.auction_slow_seconds,
    PARAMETERS.auction_insolvent_seconds,
)


class Hall:
    """Dan is short two calls and long a put that nobody bids for; Bob and Alice can afford anything, Carol little."""

    def __init__(
        self, *, portfolio: bool = True, cash: int = 1_700, fund: int = 0, **parameters: Any
    ) -> None:
        self.desk = desk = Desk(replace(PARAMETERS, **parameters))
        now = desk.world.globals
        desk.world.globals = replace(
            now, insurance=fund * DOLLAR, vault=now.vault + fund * DOLLAR * WEI_PER_CASH
        )
        desk.open_market({"alice": 100_000, "bob": 100_000, "carol": 100, "dan": cash})
        self.alice, self.bob, self.carol, self.dan = map(desk.account, ("alice", "bob", "carol", "dan"))
        if not portfolio:
            desk.block(desk.send("dan", "setMode", self.dan, False))
        executed = desk.block(
            desk.send("bob", "placeOrder", order(self.bob, CALL, 240 * DOLLAR, 2 * ONE)),
            desk.send("dan", "placeOrder", order(self.dan, CALL, 240 * DOLLAR, -2 * ONE)),
            desk.send("bob", "placeOrder", order(self.bob, PUT, 240 * DOLLAR, -ONE // 5)),
            desk.send("dan", "placeOrder", order(self.dan, PUT, 240 * DOLLAR, ONE // 5)),
        )
        assert errors_of(executed) == [""] * 4

    def shock(self, spot: int, seconds: int = 1) -> Executed:
        """The market moves, and Dan can't be closed in the book."""
        executed = self.desk.block(self.desk.update(spot * DOLLAR), seconds=seconds)
        self.check()
        return executed

    def bid(self, name: str, share: int, limit: int = ANY, seconds: int = 1) -> Executed:
        """A bid for Dan's portfolio."""
        raw = self.desk.send(name, "bid", self.desk.account(name), self.dan, share, limit)
        executed = self.desk.block(raw, seconds=seconds)
        self.check()
        return executed

    def check(self) -> None:
        """What always holds."""
        assert violations(self.desk.world) == []

    @property
    def context(self) -> Context:
        """Of the last block."""
        return Context(self.desk.parameters, self.desk.number, self.desk.timestamp, Risks(self.desk.world))

    def offer(self, seconds: int = 0) -> Offer:
        """The terms so many seconds after the last block."""
        context = replace(self.context, timestamp=self.desk.timestamp + seconds)
        return auctions.offer_of(self.desk.world, context, self.dan)

    def cash(self, number: int) -> int:
        """Of an account."""
        return self.desk.world.accounts[number].cash

    def held(self, number: int, series: int = CALL) -> int:
        """Of a series."""
        return position_of(self.desk.world.accounts[number], series)


MODES = pytest.mark.parametrize("portfolio", [True, False], ids=["portfolio", "standard"])
"""Both margin modes."""
