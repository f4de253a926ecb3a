"""Who is liquidated: found for all accounts at once, and account by account the same; and the sums that margin keeps of positions."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.signing import UnsignedTransaction, sign_transaction
from rollup_node.engines.options.risk.margin import margin
from rollup_node.engines.options.risk.portfolio import Sums, sums_of
from rollup_node.engines.options.risk.testing import risks_of
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.transactions.decode import read_message
from rollup_node.engines.options.transition.block import BlockContent, execute
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.liquidation import due
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, margin_of
from rollup_node.engines.options.transition.testing import PARAMETERS, Desk, address, key_of, order
from rollup_node.engines.options.transition.trading import moved
from rollup_node.engines.options.values import INT64_MAX, PRICE_UNIT, WAD

QUANTITIES = st.sampled_from((1, 300, 10_000, 10**9, 2**53 + 1, INT64_MAX)).flatmap(
    lambda most: st.integers(-most, most).filter(bool)
)
RISKS = risks_of(WAD // 10)


@pytest.fixture(scope="module")
def desk() -> Desk:
    """Eight series at four strikes."""
    desk = Desk()
    desk.open_market({"alice": 1_000}, (2_600, 2_900, 3_100, 3_500))
    return desk


def _by_the_rule(desk: Desk, context: Context) -> list[int]:
    """Each account by itself, in Python's integers."""
    found = []
    for number, account in desk.world.accounts.items():
        flagged = account.flags & LIQUIDATING
        if flagged or (context.moved and (account.positions or account.cash < 0)):
            one = margin_of(desk.world, context, number)
            missing = (one.maintenance - one.equity) * 10**6 // max(1, one.maintenance)
            if flagged or one.liquidatable:
                found.append((-missing, number))
    return [number for _, number in sorted(found)]


@st.composite
def accounts(draw: st.DrawFn) -> Account:
    """In either mode, flagged now and then; its cash is often what its margin asks for, give or take what rounding makes of it."""
    positions = tuple(sorted(draw(st.dictionaries(st.integers(1, 8), QUANTITIES, max_size=6)).items()))
    portfolio, flags = draw(st.booleans()), draw(st.sampled_from((0, 0, 0, LIQUIDATING)))
    cash = draw(st.integers(-(10**12), 10**12) | st.just(2**70) | st.just(-(2**70)) | st.none())
    if cash is None:
        cash = -1 - draw(st.integers(-3, 3))  # around the margin itself: see below
        flags |= 128
    held, due, reserved = (draw(st.sampled_from((0, 0, 0, 10**8))) for _ in range(3))
    return Account(
        bytes(20),
        cash=cash,
        reserved=reserved,
        portfolio=portfolio,
        flags=flags,
        positions=positions,
        locks=positions[:1] if held else (),
        locked=held,
        due=due,
    )


@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(accounts(), max_size=8), moved=st.booleans())
def test_who_is_due_is_who_the_rule_names(desk: Desk, drawn: list[Account], *, moved: bool) -> None:
    """In the same order, whatever their mode, their size, and whether marks have moved."""
    world = desk.world
    mark = world.mark()
    context = Context(PARAMETERS, 9, desk.timestamp, Risks(world), moved=moved)
    try:
        for number, one in enumerate(drawn, 100):
            world.accounts[number] = one
            if one.flags & 128:
                now = margin_of(world, context, number)
                edge = now.maintenance - (now.equity - one.cash)
                world.accounts[number] = replace(one, cash=edge + one.cash, flags=one.flags & ~128)
        assert _by_the_rule(desk, context) == due(world, context)
    finally:
        world.undo(mark)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 12))
def test_kept_sums_are_the_sums(seed: int, steps: int) -> None:
    """However positions change, one after the other, at once, or back: what is brought up to date is what is summed anew."""
    chance = random.Random(seed)
    kept: Sums | None = None
    account, past = Account(bytes(20), portfolio=True), []
    for _ in range(steps):
        past.append(account)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 9))):
            account = moved(account, chance.choice(sorted(RISKS)), chance.randint(-500, 500) * 100)
        if chance.random() < 0.2:
            account = chance.choice(past)
        kept = sums_of(account.positions, RISKS, kept)
        fresh = sums_of(account.positions, RISKS)
        assert fresh._replace(losses={}) == kept._replace(losses={})
        assert {one: lanes for one, lanes in fresh.losses.items() if lanes} == {
            one: lanes for one, lanes in kept.losses.items() if lanes
        }
        cash = chance.randint(-(10**9), 10**10)
        assert margin(cash, account.positions, RISKS) == margin(cash, account.positions, RISKS, sums=kept)


def test_rows_that_change_are_not_summed_up_as_they_were() -> None:
    """Kept sums end with the rows that they were made of."""
    desk = Desk()
    desk.open_market({"alice": 1_000})
    world = desk.world
    context = Context(PARAMETERS, 9, desk.timestamp, Risks(world))
    world.accounts[100] = Account(bytes(20), cash=0, portfolio=True, positions=((1, 10_000),))
    before = margin_of(world, context, 100)
    desk.block(desk.update(4_000 * PRICE_UNIT))
    context.risks.forget(world.series[1].underlying)
    after = margin_of(world, context, 100)
    anew = Context(PARAMETERS, 9, desk.timestamp, Risks(world))
    assert margin_of(world, anew, 100) == after != before


def test_an_update_that_is_refused_leaves_margins_as_they_were() -> None:
    """I6: what its rows would have been is forgotten with it, within the block too."""
    desk = Desk()
    desk.open_market({"alice": 100_000, "bob": 1_500})
    bob, pusher = desk.account("bob"), address("pusher")
    unsure = read_message(desk.update(3_000 * PRICE_UNIT, confidence=WAD // 10))
    assert unsure.to is not None
    sold = desk.send("bob", "placeOrder", order(bob, 1, 240 * PRICE_UNIT, -10_000))

    def outcome(target: bytes, data: bytes, gas: int) -> tuple[list[str], bytes]:
        assert unsure.nonce is not None
        unsigned = UnsignedTransaction(PARAMETERS.chain_id, unsure.nonce, 0, 0, gas, target, data)
        first = sign_transaction(unsigned, key_of("pusher"))
        mark = desk.world.mark()
        content = BlockContent(desk.number + 1, desk.timestamp + 1, 0, [first, sold])
        executed = execute(desk.world, PARAMETERS, content)
        desk.world.undo(mark)
        return [result.status for result in executed.results], executed.root

    refused, root = outcome(unsure.to, unsure.data, 30_000)
    assert (["failed", "success"], root) == (refused, outcome(pusher, b"", 30_000)[1])
    assert ["success", "failed"] == outcome(unsure.to, unsure.data, 1_000_000)[0]
