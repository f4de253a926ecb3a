"""Strategies over the L1 bridge, by escrow two-phase commit: several legs, and what happens in between."""

from typing import Any

import pytest

from bridge.contracts.testing import (
    Failed,
    names,
)
from bridge.wire.keccak import keccak256
from orchestrator.market.board import Quote
from orchestrator.market.genesis import USER_CASH
from orchestrator.settlement.testing_strategies import (
    ALICE,
    ALPHA,
    BETA,
    BOB,
    MAKER,
    MARKET,
    MAX_LIMIT,
    UNIT,
    USD,
    ZERO,
    World,
    lower,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_legs_of_one_rollup_are_locked_together_or_not_at_all(world: World) -> None:
    """The second leg can't be had, so nothing of the first stays reserved."""
    before = await world.money(ALPHA, ALICE)
    await world.open([(ALPHA, [world.buy(ALPHA), world.buy(ALPHA, 10 * UNIT)])])
    (event,) = await world.lock(ALPHA)
    assert "QuoteSizeExceeded(quantity=100000, available=90000)" == str(
        MARKET.decode_error(event.arguments["reason"])
    )
    assert before == await world.money(ALPHA, ALICE)
    assert 10 * UNIT == (await world.market(ALPHA).read("quoteOf", world.calls[ALPHA], MAKER.address))[3]


async def test_as_many_legs_as_allowed_fit_into_their_gas(world: World) -> None:
    """Eight legs on each of two rollups: orders, votes and decisions all have the gas they need, first try."""
    legs = {
        chain_id: [world.buy(chain_id, 1_000), world.sell(chain_id, 1_000)] * 4 for chain_id in (ALPHA, BETA)
    }
    strategy = await world.open(list(legs.items()))
    for receipt in await world.bridge.settle():
        assert "0x1" == receipt["status"]
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
    assert (4_000, -4_000) == await world.held(ALICE)


async def test_what_is_reserved_cannot_be_spent_twice(world: World) -> None:
    """Neither withdrawn, nor traded with, nor reserved by another strategy, on either side."""
    huge = (USER_CASH // (2_000 * USD) - 1) * UNIT
    quote = Quote(0, 51 * USD, 3 * huge, 0)
    terms = await world.market(BETA).read("seriesOf", world.puts[BETA])
    await world.market(BETA).send(MAKER.address, "postQuotes", [(terms, quote.encoded())])
    first = await world.open([(BETA, [world.sell(BETA, huge)])])
    await world.open([(BETA, [world.sell(BETA, huge)])], salt=b"\1" * 32)
    assert ["LegLocked"] == names(await world.lock(BETA))
    (event,) = await world.lock(BETA)
    error = MARKET.decode_error(event.arguments["reason"])
    assert error is not None
    assert ("InsufficientCash", lower(ALICE)) == (error.name, error.arguments["account"])
    free, _, reserved = await world.money(BETA, ALICE)
    assert 2_000 * USD * huge // UNIT == reserved
    with pytest.raises(Failed, match="InsufficientCash"):
        await world.market(BETA).send(ALICE.address, "withdraw", free + 1)
    with pytest.raises(Failed, match="InsufficientCash"):
        await world.market(BETA).send(ALICE.address, "trade", world.puts[BETA], MAKER.address, -huge, 0, ZERO)
    await world.bridge.settle()
    assert "COMMIT" == (await world.state(first))[0]


async def test_whatever_is_traded_in_between_a_commit_has_its_cash(world: World) -> None:
    """Both sides empty their accounts and turn their positions round after the lock; the commit still trades."""
    await world.market(BETA).send(
        ALICE.address, "trade", world.puts[BETA], MAKER.address, 5 * UNIT, MAX_LIMIT, ZERO
    )
    strategy = await world.open([(BETA, [world.sell(BETA, 4 * UNIT)])])
    await world.lock(BETA)
    await world.market(BETA).send(ALICE.address, "trade", world.puts[BETA], MAKER.address, -6 * UNIT, 0, ZERO)
    for person in (ALICE, MAKER):
        free, _, _ = await world.money(BETA, person)
        await world.market(BETA).send(person.address, "withdraw", free)
    await world.count(BETA)
    await world.lock(BETA)
    assert "COMMITTED" == (await world.state(strategy))[2]
    assert -5 * UNIT == (await world.held(ALICE))[1]


async def test_a_quote_that_was_replaced_does_not_come_back(world: World) -> None:
    """Released size is offered again only as long as the maker hasn't said something newer."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    await world.lock(ALPHA)
    terms = await world.market(ALPHA).read("seriesOf", world.calls[ALPHA])
    newer = Quote(1, 2, 3, 4).encoded()
    await world.market(ALPHA).send(MAKER.address, "postQuotes", [(terms, newer)])
    world.wait(strategy.refund_after + 1)
    await world.escrow(ALPHA).send(BOB.address, "refundLegs", strategy.digest)
    assert newer == await world.market(ALPHA).read("quoteOf", world.calls[ALPHA], MAKER.address)


async def test_a_series_that_ends_while_locked_is_refused(world: World) -> None:
    """Else one side could know the settlement price before the trade."""
    expiry = (await world.market(ALPHA).read("seriesOf", world.calls[ALPHA]))[2]
    world.wait(expiry - 200)
    await world.open([(ALPHA, [world.buy(ALPHA)])], salt=b"\1" * 32, refund_s=199)
    assert ["LegLocked"] == names(await world.lock(ALPHA))
    await world.open([(ALPHA, [world.buy(ALPHA)])], refund_s=200)
    (event,) = await world.lock(ALPHA)
    assert keccak256(b"ExpiresWhileLocked(uint64,uint64)")[:4] == event.arguments["reason"][:4]


@pytest.mark.parametrize(
    ("leg", "error"),
    [
        ((b"\7" * 32, MAKER.address, 1, MAX_LIMIT), "UnknownSeries"),
        ((None, MAKER.address, 0, MAX_LIMIT), "ZeroQuantity"),
        ((None, ALICE.address, 1, MAX_LIMIT), "SelfTrade"),
        ((None, BOB.address, 1, MAX_LIMIT), "QuoteSizeExceeded"),
        ((None, MAKER.address, 2**255 - 1, MAX_LIMIT), "QuantityTooLarge"),
        ((None, MAKER.address, -(2**255) + 1, 0), "QuantityTooLarge"),
        ((None, MAKER.address, 1, 51 * USD - 1), "LimitExceeded"),
    ],
)
async def test_a_leg_that_cannot_be_had_is_a_no_with_its_reason(
    world: World, leg: tuple[Any, ...], error: str
) -> None:
    """Whatever is wrong with a leg, the order is answered."""
    await world.open([(ALPHA, [(leg[0] or world.calls[ALPHA], *leg[1:])])])
    (event,) = await world.lock(ALPHA)
    reason = MARKET.decode_error(event.arguments["reason"])
    assert reason is not None
    assert ("LegRefused", error) == (event.name, reason.name)
    assert "Decided" in await world.count(ALPHA)
