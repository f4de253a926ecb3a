"""The auction of an account that the book can't cure, in both margin modes: who may bid for what, at which price."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.state import tree
from rollup_node.engines.options.state.leaves import Auction, Kind, decode
from rollup_node.engines.options.transactions.interfaces import LIQUIDATION, Scope
from rollup_node.engines.options.transition import auctions, liquidation, slices
from rollup_node.engines.options.transition.block import execute
from rollup_node.engines.options.transition.margins import margin_of
from rollup_node.engines.options.transition.testing import (
    CALL,
    DOLLAR,
    ONE,
    PARAMETERS,
    PUT,
    Desk,
    address,
    errors_of,
    event_names,
    order,
)
from rollup_node.engines.options.transition.testing_auctions import liquidations_watched, sent
from rollup_node.engines.options.transition.testing_hall import ANY, FAST, LAST, MODES, SLOW, Hall
from rollup_node.engines.options.values import PARTS


@MODES
def test_a_shock_opens_auctions_before_any_user_order_and_bids_cure(*, portfolio: bool) -> None:
    """Three accounts that the book can't cure: all are up for auction, worst first, before the order of a user; a bid each makes them sound."""
    hall = Hall(portfolio=portfolio)
    desk, names = hall.desk, ("eve", "fay", "gus")
    for name, dollars in zip(names, (850, 800, 900), strict=True):
        desk.block(desk.deposit(name, dollars * DOLLAR))
        number = desk.account(name)
        if not portfolio:
            desk.block(desk.send(name, "setMode", number, False))
        desk.block(
            desk.send("bob", "placeOrder", order(hall.bob, CALL, 240 * DOLLAR, ONE)),
            desk.send(name, "placeOrder", order(number, CALL, 240 * DOLLAR, -ONE)),
        )
    far = desk.send("alice", "placeOrder", order(hall.alice, CALL, 2_000 * DOLLAR, -ONE))
    user = desk.send("bob", "placeOrder", order(hall.bob, CALL, 2_000 * DOLLAR, ONE))
    executed = desk.block(user, far, desk.update(3_900 * DOLLAR))
    steps = [one for one in executed.receipts if "LiquidationFlagged" in event_names(one)]
    assert [["LiquidationFlagged", "AuctionStarted"]] * len(steps) == [event_names(one) for one in steps]
    flagged = [int.from_bytes(one.logs[0].topics[1], "big") for one in steps]
    assert set(map(desk.account, names)) <= set(flagged)
    missing = [_missing_ppm(hall, number) for number in flagged]
    assert sorted(missing, reverse=True) == missing
    order_of = [one.raw for one in executed.receipts]
    assert max(order_of.index(one.raw) for one in steps) < order_of.index(user)
    with liquidations_watched() as met:
        for number in flagged:
            most = auctions.offer_of(
                desk.world, replace(hall.context, timestamp=desk.timestamp + 1), number
            ).most
            executed = desk.block(desk.send("alice", "bid", hall.alice, number, most, ANY))
            assert [""] == errors_of(executed)
            assert "AuctionEnded" in [name for one in executed.receipts for name in event_names(one)]
            hall.check()
    assert len(flagged) == met["solvent"]
    assert {} == desk.world.auctions


def _missing_ppm(hall: Hall, number: int) -> int:
    margin = margin_of(hall.desk.world, hall.context, number)
    return (margin.maintenance - margin.equity) * PARTS // margin.maintenance


@MODES
def test_a_bidder_takes_the_same_part_of_everything(*, portfolio: bool) -> None:
    """Positions in whole lots, cash, at the share of the value that time says; what it paid is the account's, and isn't sold again."""
    hall = Hall(portfolio=portfolio, fund=1_000)
    hall.shock(3_800)
    before = {number: hall.cash(number) for number in (hall.dan, hall.alice)}
    offer = hall.offer(seconds=5)
    assert 0 < offer.whole.value
    share = min(offer.most, 250_000)
    part = slices.slice_of(hall.desk.world, hall.context, hall.dan, share)
    with liquidations_watched():
        executed = hall.bid("alice", share, seconds=5)
    assert [""] == errors_of(executed)
    assert (dict(part.positions)[CALL], dict(part.positions).get(PUT, 0)) == (
        hall.held(hall.alice),
        hall.held(hall.alice, PUT),
    )
    exact = Fraction(2 * ONE * share, PARTS)
    assert exact <= -hall.held(hall.alice) < exact + 100
    assert 0 == hall.held(hall.alice) % 100
    price = before[hall.alice] + part.cash - hall.cash(hall.alice)
    expected = part.value * (950_000 - 250_000 * 5 // FAST)
    assert expected <= price * PARTS < expected + PARTS
    fee = -(-price * hall.desk.parameters.liquidation_fee_ppm // PARTS)
    assert before[hall.dan] - part.cash + price - fee == hall.cash(hall.dan)
    kept = hall.desk.world.auctions[hall.dan].reserved
    assert price - fee == kept
    assert hall.cash(hall.dan) - kept == hall.offer().whole.cash


def test_the_price_falls_from_the_start_to_the_middle_to_nothing() -> None:
    """Straight lines, never up, between the figures of the genesis; what is worth less than nothing is paid for more and more."""
    auction = Auction(1_000, 1, turned=2_000)
    falling = [auctions.price_share(PARAMETERS, auction, 1_000 + second) for second in range(FAST + SLOW + 5)]
    assert sorted(falling, reverse=True) == falling
    places = (0, FAST, FAST + SLOW // 2, FAST + SLOW, FAST + SLOW + 4)
    assert [950_000, 700_000, 350_000, 0, 0] == [falling[place] for place in places]
    rising = [auctions.paid_share(PARAMETERS, auction, 2_000 + second) for second in range(LAST + 5)]
    assert [0, PARTS // 2, PARTS, PARTS] == [rising[place] for place in (0, LAST // 2, LAST, LAST + 4)]
    assert sorted(rising) == rising
    assert 0 == auctions.paid_share(PARAMETERS, replace(auction, turned=0), 9_999)
    solvent = replace(auction, turned=0)
    assert [False, True] == [auctions.run_out(PARAMETERS, solvent, 999 + FAST + SLOW + one) for one in (0, 1)]
    assert auctions.run_out(PARAMETERS, replace(auction, turned=9_000), 1_000 + FAST + SLOW + LAST)


@settings(max_examples=12, deadline=None)
@given(spot=st.integers(3_510, 3_990), seconds=st.integers(1, 110), portfolio=st.booleans())
def test_the_largest_share_cures_and_a_fifth_less_does_not(
    spot: int, seconds: int, *, portfolio: bool
) -> None:
    """f_max = BM / (BM - MtM·d - R(1 - d)) in fractions, and by its effect: after it equity has its margin and buffer."""
    hall = Hall(portfolio=portfolio)
    hall.shock(spot)
    if hall.dan not in hall.desk.world.auctions:
        return
    offer = hall.offer(seconds)
    if offer.whole.value <= 0:
        return
    margin = margin_of(hall.desk.world, hall.context, hall.dan)
    d = Fraction(offer.share, PARTS) * Fraction(95, 100)
    bm = margin.equity - margin.maintenance * Fraction(115, 100)
    assert abs(min(Fraction(1), bm / (bm - margin.equity * d)) - Fraction(offer.most, PARTS)) < Fraction(
        3, PARTS
    )
    mark = hall.desk.world.mark()
    if offer.most * 4 // 5:
        hall.bid("alice", offer.most * 4 // 5, seconds=seconds)
        assert hall.dan in hall.desk.world.auctions
        hall.desk.world.undo(mark)
        hall.desk.number, hall.desk.timestamp = hall.desk.number - 1, hall.desk.timestamp - seconds
    hall.bid("alice", offer.most, seconds=seconds)
    if hall.dan in hall.desk.world.auctions:
        # Lots are whole, against the bidder: longs that it didn't get may ask for margin still, where their worth doesn't count.
        world = hall.desk.world
        lots = sum(
            world.series[series].lot * hall.context.risks[series].mark for series, _ in offer.whole.positions
        )
        assert hall.offer().missing * 10_000 < lots
        assert not portfolio


def test_time_stands_still_while_marks_are_old() -> None:
    """A silent feed: bids are refused, the price waits, and goes on where it was when the feed is back."""
    hall = Hall()
    desk = hall.desk
    hall.shock(3_800)
    old = desk.parameters.max_oracle_age + 1
    desk.block(desk.update(3_800 * DOLLAR), seconds=9)
    share = hall.offer().share
    executed = hall.bid("alice", 100_000, seconds=old)
    assert (["StaleOracle"], 950_000 - 250_000 * (9 + old) // FAST < share) == (errors_of(executed), True)
    assert ["AuctionMoved"] == event_names(executed.receipts[0])
    stopped = hall.offer().share
    desk.block(seconds=1_000)
    assert stopped == hall.offer().share
    executed = hall.shock(3_800)
    assert "AuctionMoved" in [name for one in executed.receipts for name in event_names(one)]
    assert stopped == hall.offer().share
    assert [""] == errors_of(hall.bid("alice", 100_000))


def _mended(hall: Hall) -> list[bytes]:
    """Dan gets what he lacks from L1, in the bid's block."""
    return [hall.desk.deposit("dan", 5_000 * DOLLAR)]


def _frozen(hall: Hall) -> list[bytes]:
    """Carol comes to be liquidated herself."""
    desk = hall.desk
    desk.block(desk.deposit("carol", 1_500 * DOLLAR))
    desk.block(
        desk.send("bob", "placeOrder", order(hall.bob, CALL, 700 * DOLLAR, ONE)),
        desk.send("carol", "placeOrder", order(hall.carol, CALL, 700 * DOLLAR, -ONE)),
    )
    desk.block(desk.update(4_600 * DOLLAR))
    return []


REFUSALS: dict[str, tuple[str, Callable[[Hall], tuple[str, int, int, int, int]], Callable[[Hall], list[bytes]]]] = {
    "unknown account": ("UnknownAccount", lambda hall: ("alice", hall.alice, 9_999, 1, ANY), lambda _: []),
    "no auction": ("NoAuction", lambda hall: ("alice", hall.alice, hall.bob, 1, ANY), lambda _: []),
    "too much": ("ShareRefused", lambda hall: ("alice", hall.alice, hall.dan, hall.offer(1).most + 1, ANY), lambda _: []),
    "nothing": ("ShareRefused", lambda hall: ("alice", hall.alice, hall.dan, 0, ANY), lambda _: []),
    "no margin": ("InsufficientMargin", lambda hall: ("carol", hall.carol, hall.dan, 200_000, ANY), lambda _: []),
    "own": ("SelfTrade", lambda hall: ("dan", hall.dan, hall.dan, 1_000, ANY), lambda _: []),
    "another's": ("NotAuthorized", lambda hall: ("carol", hall.alice, hall.dan, 1_000, ANY), lambda _: []),
    "too dear": ("CostExceeded", lambda hall: ("alice", hall.alice, hall.dan, 100_000, 1), lambda _: []),
    "cured": ("NoAuction", lambda hall: ("alice", hall.alice, hall.dan, 1_000, ANY), _mended),
    "liquidated bidder": ("AccountFrozen", lambda hall: ("carol", hall.carol, hall.dan, 1_000, ANY), _frozen),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_a_bid_that_is_refused_changes_nothing(case: str) -> None:
    """A standard error, and the root of the same block in which its sender does nothing."""
    error, made, before = REFUSALS[case]
    hall = Hall()
    hall.shock(3_800)
    desk, first = hall.desk, before(hall)
    name, *arguments = made(hall)
    raw = desk.send(name, "bid", *arguments)
    mark = desk.world.mark()
    executed = desk.block(*first, raw)
    assert [error] == errors_of(executed)[-1:]
    desk.world.undo(mark)
    idle = sent(desk, name, b"\x01" * 20, 0)
    content = replace(desk.history[-1], transactions=[*first, idle])
    assert executed.root == execute(desk.world, desk.parameters, content).root


def test_a_slice_for_the_price_of_nobody_is_a_malformed_or_unauthorized_call() -> None:
    """A share past its type, an action of a key that may not trade: refused, as all calls are."""
    hall = Hall()
    hall.shock(3_800)
    desk = hall.desk
    desk.block(desk.send("alice", "registerKey", hall.alice, address("key"), Scope.CANCEL, 2**40))
    action = ("key", hall.alice, 1, "bid", (hall.alice, hall.dan, 1_000, ANY))
    assert ["NotAuthorized"] == errors_of(desk.block(desk.act("relay", action)))
    desk.block(desk.send("alice", "registerKey", hall.alice, address("key"), Scope.TRADE, 2**40))
    assert [""] == errors_of(desk.block(desk.act("relay", action)))
    assert 0 > hall.held(hall.alice)
    hall.check()


def test_of_two_bidders_in_a_block_the_second_has_what_is_left() -> None:
    """Both want what cures: the first has it, for the second there is no auction any more; of two halves each has its part of what is there."""
    hall = Hall()
    hall.shock(3_800)
    desk, most = hall.desk, hall.offer(1).most
    mark = desk.world.mark()
    both = [desk.send(name, "bid", desk.account(name), hall.dan, most, ANY) for name in ("bob", "alice")]
    assert ["", "NoAuction"] == errors_of(desk.block(*both))
    hall.check()
    desk.world.undo(mark)
    desk.timestamp -= 1
    both = [
        desk.send(name, "bid", desk.account(name), hall.dan, most // 2, ANY) for name in ("alice", "carol")
    ]
    both.append(desk.send("bob", "bid", hall.bob, hall.dan, most * 4 // 5, ANY))
    assert ["", "InsufficientMargin", "ShareRefused"] == errors_of(desk.block(*both))
    hall.check()


def test_an_auction_is_a_leaf_that_is_proven_and_one_that_is_over_is_absent() -> None:
    """Its bytes and their path to the state's root; afterwards that there is none."""
    hall = Hall()
    hall.shock(3_800)
    world = hall.desk.world
    proven = world.prove(Kind.AUCTION, hall.dan)
    assert proven.leaf is not None
    assert (Kind.AUCTION, world.auctions[hall.dan]) == decode(proven.leaf)
    assert tree.verify(world.root(), proven.proof, proven.leaf)
    hall.bid("alice", hall.offer(1).most)
    proven = world.prove(Kind.AUCTION, hall.dan)
    assert proven.leaf is None
    assert tree.verify(world.root(), proven.proof, None)


def test_a_book_that_gives_what_it_is_asked_for_needs_no_auction() -> None:
    """Half the position is closed in each block, and nothing is put up; one contract less on offer, and it is."""
    for offered, wanted in ((2 * ONE, False), (ONE // 2, True)):
        hall = Hall()
        desk = hall.desk
        desk.block(desk.send("alice", "placeOrder", order(hall.alice, CALL, 790 * DOLLAR, -offered)))
        executed = hall.shock(3_700)
        assert "Liquidated" in [name for one in executed.receipts for name in event_names(one)]
        assert wanted == (hall.dan in desk.world.auctions)


def test_a_close_that_costs_more_than_it_brings_is_not_done() -> None:
    """Half a spread is bought back at a tenth above the mark: nothing is, and all of it is up for auction; unguarded, the watch sees it (I9)."""
    desk = Desk()
    low, _, high, _ = desk.open_market({"alice": 100_000, "eve": 105}, (3_000, 3_200))
    alice, eve = desk.account("alice"), desk.account("eve")
    legs = [(low, 240 * DOLLAR, -ONE), (high, 165 * DOLLAR, ONE)]
    desk.block(desk.send("eve", "fillQuote", *desk.signed_quote("alice", alice, eve, 1, legs)))
    held = desk.world.accounts[eve].positions
    assert ((low, -ONE), (high, ONE)) == held
    desk.block(desk.send("alice", "placeOrder", order(alice, low, 1_640 * DOLLAR, -ONE)))
    mark = desk.world.mark()
    desk.block(desk.update(4_500 * DOLLAR))
    assert (held, True) == (desk.world.accounts[eve].positions, eve in desk.world.auctions)
    desk.world.undo(mark)
    with (
        patch.object(liquidation, "gap", lambda _: 0),
        pytest.raises(AssertionError, match="I9"),
        liquidations_watched(),
    ):
        execute(desk.world, desk.parameters, desk.history[-1])


def test_steps_of_auctions_have_reserved_senders() -> None:
    """Nobody calls them: from a user they are functions that there aren't."""
    hall = Hall()
    hall.shock(3_800)
    desk = hall.desk
    calls = (
        ("advanceAuction", hall.dan),
        ("backstop", hall.dan),
        ("deleverage", hall.dan, CALL, (hall.bob,)),
    )
    for name, *arguments in calls:
        assert ["UnknownFunction"] == errors_of(desk.block(desk.send("alice", name, *arguments)))
    assert LIQUIDATION[-1] == 5
