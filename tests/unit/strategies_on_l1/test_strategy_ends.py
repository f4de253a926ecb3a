"""Strategies over the L1 bridge, by escrow two-phase commit: the ways in which they end."""

import pytest

from bridge.contracts.testing import (
    Failed,
    names,
)
from bridge.wire.keccak import keccak256
from orchestrator.market.genesis import USER_CASH
from orchestrator.settlement.testing_strategies import (
    ALICE,
    ALPHA,
    BETA,
    BOB,
    MAKER,
    MARKET,
    MAX_LIMIT,
    STATES,
    UNIT,
    USD,
    ZERO,
    World,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_all_yes_commits_every_leg(world: World) -> None:
    """Order, lock, vote, decision, trade: both legs at the quotes of the lock, and nothing stays reserved."""
    strategy = await world.open()
    assert ["StrategyOpened", "LegsOrdered", "LegsOrdered"] == names(world.registry.events(strategy.receipt))
    for chain_id in (ALPHA, BETA):
        assert ["LegLocked"] == names(await world.lock(chain_id))
    assert ("NONE", "LOCKED", "LOCKED") == await world.state(strategy)
    assert (USER_CASH - 51 * USD, 0, 51 * USD) == await world.money(ALPHA, ALICE)
    assert (USER_CASH - 1_950 * USD, 0, 1_950 * USD) == await world.money(BETA, ALICE)
    assert (0, 0) == await world.held(ALICE)
    assert ["Voted"] == await world.count(BETA)
    assert ["Voted", "Decided", "DecisionSent", "DecisionSent"] == await world.count(ALPHA)
    assert ("COMMIT", "LOCKED", "LOCKED") == await world.state(strategy)
    for chain_id in (ALPHA, BETA):
        assert ["LegCommitted"] == names(await world.lock(chain_id))
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
    assert (UNIT, -UNIT) == await world.held(ALICE)
    assert (-UNIT, UNIT) == await world.held(MAKER)
    assert (USER_CASH - 51 * USD, 0, 0) == await world.money(ALPHA, ALICE)
    assert (USER_CASH + 50 * USD - 2_000 * USD, 2_000 * USD, 0) == await world.money(BETA, ALICE)
    for chain_id in (ALPHA, BETA):
        assert 0 == (await world.money(chain_id, MAKER))[2]


async def test_what_a_bundle_trades_and_what_the_bridge_trades_is_the_same(world: World) -> None:
    """Money and positions of a committed strategy equal those of the plain trades."""
    chains = [world.rollup(chain_id).chain for chain_id in (ALPHA, BETA)]
    snapshots = [await chain.client.call("evm_snapshot") for chain in chains]
    trade = (MAKER.address, 7_777, MAX_LIMIT, ZERO)
    await world.market(ALPHA).send(ALICE.address, "trade", world.calls[ALPHA], *trade)
    await world.market(BETA).send(ALICE.address, "trade", world.puts[BETA], MAKER.address, -3_333, 0, ZERO)
    people = [(chain_id, person) for chain_id in (ALPHA, BETA) for person in (ALICE, MAKER)]
    expected = [await world.money(*who) for who in people], await world.held(ALICE)
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    await world.open([(ALPHA, [world.buy(ALPHA, 7_777)]), (BETA, [world.sell(BETA, 3_333)])])
    await world.bridge.settle()
    assert expected == ([await world.money(*who) for who in people], await world.held(ALICE))


async def test_one_no_aborts_every_leg(world: World) -> None:
    """A leg that can't be had is refused with its reason, and the other leg's cash and quote come back."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA, UNIT, 51 * USD)])])
    before = await world.market(ALPHA).read("quoteOf", world.calls[ALPHA], MAKER.address)
    await world.lock(ALPHA)
    assert (
        before[3] - UNIT == (await world.market(ALPHA).read("quoteOf", world.calls[ALPHA], MAKER.address))[3]
    )
    (event,) = await world.lock(BETA)
    assert "LegRefused" == event.name
    assert "LimitExceeded(price=50000000, limit=51000000)" == str(
        MARKET.decode_error(event.arguments["reason"])
    )
    receipt = await world.bridge.finalize(world.rollup(BETA).withdrawals[0])
    voted, decided, *_ = world.registry.events(receipt)
    assert (False, event.arguments["reason"]) == (voted.arguments["yes"], voted.arguments["reason"])
    assert False is decided.arguments["commit"]
    assert ["Voted"] == await world.count(ALPHA)
    await world.bridge.settle()
    assert ("ABORT", "RELEASED", "REFUSED") == await world.state(strategy)
    assert (0, 0) == await world.held(ALICE)
    for chain_id in (ALPHA, BETA):
        assert (USER_CASH, 0, 0) == await world.money(chain_id, ALICE)
    assert before == await world.market(ALPHA).read("quoteOf", world.calls[ALPHA], MAKER.address)


async def test_a_vote_that_never_comes_aborts_after_the_deadline(world: World) -> None:
    """Not before ``decideBy``, then by anyone; the vote that comes later changes nothing."""
    strategy = await world.open()
    await world.lock(ALPHA)
    await world.lock(BETA)
    await world.count(ALPHA)
    with pytest.raises(Failed, match="NotDue"):
        await world.registry.send(BOB.address, "abort", strategy.digest)
    world.wait(strategy.decide_by)
    receipt = await world.registry.send(BOB.address, "abort", strategy.digest)
    world.bridge.note(receipt)
    assert "Decided" == names(world.registry.events(receipt))[0]
    assert ["Voted"] == await world.count(BETA)
    with pytest.raises(Failed, match="NotDue"):
        await world.registry.send(BOB.address, "abort", strategy.digest)
    await world.bridge.settle()
    assert ("ABORT", "RELEASED", "RELEASED") == await world.state(strategy)


async def test_the_last_yes_after_the_deadline_aborts(world: World) -> None:
    """Even if nobody called: a commit is only ever decided before ``decideBy``."""
    strategy = await world.open()
    await world.lock(ALPHA)
    await world.lock(BETA)
    await world.count(ALPHA)
    world.wait(strategy.decide_by)
    assert "Decided" in await world.count(BETA)
    assert "ABORT" == (await world.state(strategy))[0]


async def test_an_order_after_the_deadline_is_refused(world: World) -> None:
    """A rollup that is late doesn't lock what must be released anyway."""
    strategy = await world.open()
    world.wait(strategy.decide_by)
    (event,) = await world.lock(ALPHA)
    assert "LegRefused" == event.name
    assert keccak256(b"TooLate(uint64,uint256)")[:4] == event.arguments["reason"][:4]
    assert ("NONE", "REFUSED", "NONE") == await world.state(strategy)


async def test_legs_that_never_hear_are_refunded_by_anyone(world: World) -> None:
    """Only after ``refundAfter``, once; and the abort that comes after all changes nothing."""
    strategy = await world.open()
    await world.lock(ALPHA)
    world.wait(strategy.refund_after)
    with pytest.raises(Failed, match="StillWaiting"):
        await world.escrow(ALPHA).send(BOB.address, "refundLegs", strategy.digest)
    world.wait(strategy.refund_after + 1)
    await world.escrow(ALPHA).send(BOB.address, "refundLegs", strategy.digest)
    assert (USER_CASH, 0, 0) == await world.money(ALPHA, ALICE)
    for chain_id in (ALPHA, BETA):
        with pytest.raises(Failed, match="NotLocked"):
            await world.escrow(chain_id).send(BOB.address, "refundLegs", strategy.digest)
    await world.bridge.settle()
    assert ("ABORT", "REFUNDED", "REFUSED") == await world.state(strategy)


async def test_a_commit_that_misses_its_leg_is_told(world: World) -> None:
    """The one way in which a strategy comes apart needs a deposit later than the margin, and shows as ``CommitMissed``."""
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
        await world.count(chain_id)
    await world.lock(ALPHA)
    world.wait(strategy.refund_after + 1)
    await world.escrow(BETA).send(BOB.address, "refundLegs", strategy.digest)
    (event,) = await world.lock(BETA)
    assert ("CommitMissed", "REFUNDED") == (event.name, STATES[event.arguments["state"]])
    assert ("COMMIT", "COMMITTED", "REFUNDED") == await world.state(strategy)
    assert (USER_CASH, 0, 0) == await world.money(BETA, ALICE)


async def test_a_commit_in_time_counts_even_after_the_refund_is_due(world: World) -> None:
    """Nobody having refunded, a late commit still trades: the deadline allows to give up, it doesn't make."""
    strategy = await world.open()
    for chain_id in (ALPHA, BETA):
        await world.lock(chain_id)
        await world.count(chain_id)
    world.wait(strategy.refund_after + 1)
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
