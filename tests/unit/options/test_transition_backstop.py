"""Who comes when nobody bids for an account: bids and insurance that pay its debt, the vault, and the other side of its positions."""

from rollup_node.engines.options.transition import deleverage
from rollup_node.engines.options.transition.backstop import BACKSTOP
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks
from rollup_node.engines.options.transition.testing import (
    CALL,
    DOLLAR,
    ONE,
    PARAMETERS,
    Desk,
    errors_of,
    event_names,
    order,
)
from rollup_node.engines.options.transition.testing_auctions import liquidations_watched, sent
from rollup_node.engines.options.transition.testing_hall import FAST, LAST, MODES, SLOW, Hall
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.transition.trading import position_of
from rollup_node.engines.options.values import PARTS


@MODES
def test_who_takes_a_debt_is_paid_by_bids_first_then_by_insurance_within_the_deficit(
    *, portfolio: bool
) -> None:
    """A bid brought cash in; the market goes on, and the rest is worth less than nothing: half the time, half the debt."""
    hall = Hall(portfolio=portfolio, fund=5_000)
    hall.shock(3_800)
    assert [""] == errors_of(hall.bid("alice", 100_000))
    kept = hall.desk.world.auctions[hall.dan].reserved
    assert kept > 0
    executed = hall.shock(5_000)
    assert "AuctionMoved" in [name for one in executed.receipts for name in event_names(one)]
    debt, fund = -hall.offer().whole.value, hall.desk.world.globals.insurance
    assert kept < debt
    with liquidations_watched() as met:
        hall.desk.block(hall.desk.update(5_000 * DOLLAR), seconds=LAST // 2 - 1)
        before, debt = hall.cash(hall.alice), -hall.offer(seconds=1).whole.value
        cash = hall.offer().whole.cash
        assert [""] == errors_of(hall.bid("alice", PARTS))
    assert 1 == met["insolvent"]
    paid = hall.cash(hall.alice) - cash - before
    assert debt // 2 == paid
    assert fund - (paid - kept) == hall.desk.world.globals.insurance
    assert ((), 0) == (hall.desk.world.accounts[hall.dan].positions, hall.cash(hall.dan))
    assert {} == hall.desk.world.auctions
    assert not hall.desk.world.accounts[hall.dan].flags & LIQUIDATING


def test_the_fund_pays_no_more_in_a_block_than_its_limit() -> None:
    """Two bids in a block share what the block allows; a limit protects the second, and the next block has as much again."""
    hall = Hall(fund=5_000, max_insurance_loss=100 * DOLLAR)
    hall.shock(5_000)
    desk = hall.desk
    desk.block(desk.update(5_000 * DOLLAR), seconds=LAST - 2)
    fund, debt = desk.world.globals.insurance, -hall.offer().whole.value
    part = debt // 20
    assert 50 * DOLLAR < part < 100 * DOLLAR < 2 * part
    executed = desk.block(
        desk.send("alice", "bid", hall.alice, hall.dan, 50_000, -part * 9 // 10),
        desk.send("bob", "bid", hall.bob, hall.dan, 50_000, -part * 9 // 10),
        desk.send("bob", "bid", hall.bob, hall.dan, 50_000, 0),
    )
    assert ["", "CostExceeded", ""] == errors_of(executed)
    assert 100 * DOLLAR == fund - desk.world.globals.insurance == desk.world.globals.insurance_paid
    hall.check()


@MODES
def test_the_vault_takes_the_rest_at_the_marks_less_a_penalty(*, portfolio: bool) -> None:
    """Nobody bids: when time is up the vault, which a plain transfer made, has everything, and the account what it was worth but for that."""
    hall = Hall(portfolio=portfolio)
    desk = hall.desk
    desk.block(sent(desk, "alice", BACKSTOP, 50_000 * DOLLAR))
    hall.shock(3_800)
    for seconds in (FAST + SLOW - 51, 50):
        hall.shock(3_800, seconds)
    assert hall.dan in desk.world.auctions
    worth = hall.offer().whole
    with liquidations_watched() as met:
        executed = hall.shock(3_800)
    assert 1 == met["bought"]
    assert "BackstopTook" in [name for one in executed.receipts for name in event_names(one)]
    penalty = -(-worth.gross * desk.parameters.backstop_penalty_ppm // PARTS)
    assert abs(worth.value - penalty - hall.cash(hall.dan)) < DOLLAR  # seconds have moved the marks a little
    assert ((), 0) == (desk.world.accounts[hall.dan].positions, desk.world.accounts[hall.dan].flags)


def test_a_vault_that_can_afford_a_part_takes_a_part_and_the_other_side_the_rest() -> None:
    """Then whoever is long gives up his side at the mark; the fund pays the deficit, and what it lacks is shared."""
    hall = Hall(fund=200)
    desk = hall.desk
    desk.block(sent(desk, "alice", BACKSTOP, 1_200 * DOLLAR))
    hall.shock(5_000)
    met = []
    long_before, mark = hall.held(hall.bob), 0
    with liquidations_watched():
        for _ in range(8):
            mark = desk.world.risk[CALL].mark
            executed = hall.shock(5_000, seconds=LAST // 4)
            met += [name for one in executed.receipts for name in event_names(one)]
    assert {"BackstopTook", "Deleveraged", "InsurancePaid", "LossShared", "AuctionEnded"} <= set(met)
    assert met.index("BackstopTook") < met.index("Deleveraged") < met.index("LossShared")
    assert 0 < hall.held(hall.bob) < long_before
    assert mark > 1_900 * DOLLAR
    account = desk.world.accounts[hall.dan]
    assert ((), 0, 0) == (account.positions, account.cash, account.flags)
    assert 0 == desk.world.globals.insurance
    assert 0 < desk.world.globals.shared_loss


def test_nobody_whom_it_would_leave_short_is_deleveraged() -> None:
    """Eve's long call covers her short one at another strike: she keeps it, whoever else holds some gives theirs."""
    desk = Desk()
    low, _, high, _ = desk.open_market(
        {"alice": 100_000, "bob": 100_000, "dan": 850, "eve": 300}, (3_000, 3_100)
    )
    alice, bob, dan, eve = map(desk.account, ("alice", "bob", "dan", "eve"))
    desk.block(
        desk.send("dan", "placeOrder", order(dan, low, 240 * DOLLAR, -ONE)),
        desk.send("eve", "placeOrder", order(eve, low, 240 * DOLLAR, ONE * 7 // 10)),
        desk.send("bob", "placeOrder", order(bob, low, 240 * DOLLAR, ONE * 3 // 10)),
        desk.send("alice", "placeOrder", order(alice, high, 190 * DOLLAR, ONE * 7 // 10)),
        desk.send("eve", "placeOrder", order(eve, high, 190 * DOLLAR, -ONE * 7 // 10)),
    )
    assert ONE * 7 // 10 == position_of(desk.world.accounts[eve], low)
    with liquidations_watched() as met:
        desk.block(desk.update(4_500 * DOLLAR))
        for _ in range(3):
            desk.block(desk.update(4_500 * DOLLAR), seconds=LAST // 2)
            assert [] == violations(desk.world)
    assert met["deleverage"]
    held = [position_of(desk.world.accounts[one], low) for one in (eve, bob, dan)]
    assert [ONE * 7 // 10, 0, -ONE * 7 // 10] == held
    context = Context(PARAMETERS, desk.number, desk.timestamp, Risks(desk.world))
    assert [(low, (eve,))] == [
        (step[1][1], step[1][2]) for step in deleverage.steps(desk.world, context, dan)
    ]
