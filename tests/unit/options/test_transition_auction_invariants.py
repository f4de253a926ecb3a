"""Whatever is bid, paid in, or left undone, cash and positions are conserved, no shortfall grows, and insurance stays within deficit and limit.

Each of these checks is there because a mutant is caught by it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition import (
    auctions,
    backstop,
    bids,
    deleverage,
    insurance,
    slices,
)
from rollup_node.engines.options.transition.accounts import credit
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.testing_auctions import (
    AuctionFloor,
    auction_crowd,
    liquidations_watched,
)
from rollup_node.engines.options.transition.testing_floor import USERS
from rollup_node.engines.options.values import PARTS, PRICE_UNIT

users = st.sampled_from(USERS)
rich = st.sampled_from(USERS[:2])
places = st.integers(0, 3)


class Auctioning(RuleBasedStateMachine):
    """Hypothesis on a floor with auctions."""

    def __init__(self) -> None:
        super().__init__()
        self.watch = ExitStack()
        self.floor: AuctionFloor | None = None

    @property
    def on(self) -> AuctionFloor:
        """The floor, once it is open."""
        assert self.floor is not None
        return self.floor

    @initialize(spread=st.lists(places, min_size=3, max_size=3), vault=st.sampled_from((0, 300, 20_000)))
    def begin(self, spread: list[int], vault: int) -> None:
        """The poor are short of what the rich are long of, and the market is shocked."""
        self.watch.enter_context(liquidations_watched())
        self.floor = AuctionFloor()
        shorts = [(user, place, 0, -15_000) for user, place in zip(USERS[2:], spread, strict=True)]
        self.floor.market([*shorts, *(("alice", place, 0, 30_000) for place in range(4))])
        if vault:
            self.floor.fund_vault("bob", vault * PRICE_UNIT)
        self.floor.feed(-150, 90)

    @rule(user=users | rich, place=places, share=st.integers(1, PARTS), scale=st.integers(0, 6), limit=st.sampled_from((-(10**6), 0, 10**8, 10**15)))  # fmt: skip
    def bid(self, user: str, place: int, share: int, scale: int, limit: int) -> None:
        """See :meth:`AuctionFloor.bid`."""
        self.on.bid(user, place, share >> scale or 1, limit)

    @rule(share=st.integers(1, PARTS))
    def race(self, share: int) -> None:
        """See :meth:`AuctionFloor.race`."""
        self.on.race(share)

    @rule(change=st.integers(-250, 330), volatility=st.integers(20, 150))
    def feed(self, change: int, volatility: int) -> None:
        """See :meth:`Floor.feed`."""
        self.on.feed(change, volatility)

    @rule(user=users, place=places, quantity=st.integers(-30, 30).filter(bool).map(lambda n: n * 1_000))
    def market(self, user: str, place: int, quantity: int) -> None:
        """Somebody trades with somebody."""
        self.on.market([(user, place, 0, quantity), ("alice", place, 0, -quantity)])

    @rule(user=users, amount=st.integers(0, 10**9))
    def pay_in(self, user: str, amount: int) -> None:
        """Cash, perhaps for somebody who lacks it."""
        self.on.cash(user, "bob", amount, "deposit")

    @rule(seconds=st.sampled_from((1, 5, 130)))
    def idle(self, seconds: int) -> None:
        """See :meth:`AuctionFloor.idle`."""
        self.on.idle(seconds)

    @rule(sure=st.integers(0, 5))
    def expire(self, sure: int) -> None:
        """Now and then; see :meth:`Floor.expire`."""
        if not sure:
            self.on.expire()

    def teardown(self) -> None:
        """Replay all of it."""
        self.watch.close()
        if self.floor is not None:
            self.floor.replay()


TestAuctioning = Auctioning.TestCase
TestAuctioning.settings = settings(
    max_examples=3, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestLongAuctioning(Auctioning.TestCase):
    """The same, for longer than every day's ring has time for."""

    pytestmark = pytest.mark.long
    settings = settings(
        max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )


@contextmanager
def _patched(*changes: tuple[Any, str, Callable[[Any], Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for target, name, made in changes:
            stack.enter_context(patch.object(target, name, made(getattr(target, name))))
        yield


def _shorts_stay(old: Any) -> Any:
    return lambda quantity, share, lot: old(quantity, share, lot) if quantity > 0 else 0


def _no_gap(_old: Any) -> Any:
    return lambda _margin: 0


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda _old: lambda *_, **__: value


def _overpays(old: Any) -> Any:
    def pay(world: World, context: Context, number: int, missing: int) -> int:
        paid: int = old(world, context, number, missing + 1_000)
        return paid

    return pay


def _no_limit(_old: Any) -> Any:
    def left(world: World, _context: Context) -> int:
        return world.globals.insurance

    return left


def _any_share(old: Any) -> Any:
    return lambda *arguments: old(*arguments)._replace(most=PARTS)


def _pays_only_the_taker(_old: Any) -> Any:
    def move(world: World, _context: Context, _source: int, target: int, part: slices.Slice) -> None:
        credit(world, target, part.cash)

    return move


MUTANTS: dict[str, tuple[str, int, tuple[tuple[Any, str, Callable[[Any], Any]], ...]]] = {
    "a slice without its risk": ("I9", 9, ((slices, "_part", _shorts_stay), (auctions, "gap", _no_gap))),
    "insurance overpays": ("I9|I1|price", 30, ((insurance, "pay", _overpays),)),
    "the block's limit is ignored": ("limit", 23, ((insurance, "left", _no_limit),)),
    "the largest share is ignored": ("share", 3, ((auctions, "offer_of", _any_share),)),
    "a bidder skips margin": ("I3", 5, ((bids, "shortfall", _always(0)),)),
    "the vault skips margin": ("I3", 32, ((backstop, "shortfall", _always(0)),)),
    "the price is forgotten": ("price|share", 9, ((auctions, "price_share", _always(1)),)),
    "debts are paid in full at once": ("price", 30, ((auctions, "paid_share", _always(PARTS)),)),
    "cash from nowhere": ("I1", 9, ((slices, "move", _pays_only_the_taker),)),
    "what bids bring is sold again": ("I1", 9, ((auctions, "book_in", _always(0)),)),
    "holders are left short": ("I9", 4, ((deleverage, "_short", _always((0, 0))),)),
}  # fmt: skip
"""What it breaks, a crowd that meets it at once, and what is put where."""


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_is_caught(mutant: str) -> None:
    """Each of these mistakes breaks a check within a few crowds."""
    which, quickest, changes = MUTANTS[mutant]
    with _patched(*changes), pytest.raises(AssertionError, match=rf"^({which}).*:"):
        _crowds((quickest, *range(10, 20)))


def _crowds(seeds: Iterable[int], moves: int = 40) -> Counter[str]:
    with liquidations_watched() as met:
        for seed in seeds:
            auction_crowd(seed, moves)
    return met


def test_crowds_meet_every_step_there_is() -> None:
    """What the mutants are hunted with does bid, in both phases, and comes to the vault, the fund and the other side."""
    met = _crowds((35, 0))
    assert not {"liquidate", "solvent", "insolvent", "advanceAuction", "bought", "deleverage", "paid"} - set(
        +met
    )


@pytest.mark.long  # every day's ring has a part of it
@pytest.mark.parametrize("seed", range(20, 28))
def test_crowds_find_nothing(seed: int) -> None:
    """Three hundred moves each, of twenty crowds."""
    partial(_crowds, moves=300)(range(seed, seed + 1))
