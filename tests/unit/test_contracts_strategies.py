"""Strategies over the L1 bridge: escrow two-phase commit between the registry on L1 and the escrow of each rollup, a rule at a time.

The bridge is driven by hand over the real messengers and portals; the markets are the genesis's own. Longer than usual: all rules of
the one protocol share one set of engines and one ``World``.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from eth_abi.abi import encode

from bridge.contracts.addresses import (
    CASH_TOKEN,
    L2_CROSS_DOMAIN_MESSENGER,
    LEG_ESCROW,
    OPTIONS_MARKET,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.contracts.op import op_artifact
from bridge.contracts.testing import (
    Contract,
    Failed,
    HandBridge,
    HandRollup,
    inner_error,
    names,
    ours,
    theirs,
)
from bridge.wire.deposits import apply_alias, decode_deposit, encode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.board import Quote, Terms
from orchestrator.market.genesis import USER_CASH
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.settlement.testing import bridge_plan, hand_bridge
from orchestrator.topology.plan import Account, Plan

pytestmark = pytest.mark.asyncio(loop_scope="module")

PLAN: Plan = bridge_plan(("alpha", "beta"), sequencing_window=30)
PEOPLE = {role.name: role for role in PLAN.roles}
MAKER = PEOPLE["maker"]
ALICE, BOB, CAROL = PLAN.users
ALPHA, BETA = (rollup.chain_id for rollup in PLAN.rollups)
MARGIN = refund_margin_s(PLAN)
USD = 1_000_000
UNIT = 10_000
STATES = ("NONE", "LOCKED", "REFUSED", "COMMITTED", "RELEASED", "REFUNDED")
DECISIONS = ("NONE", "COMMIT", "ABORT")
MAX_LIMIT = 2**256 - 1
ZERO = bytes(32)
MARKET = artifact("OptionsMarket").interface


def lower(account: Account) -> str:
    """An address as results spell it."""
    return account.address.lower()


@dataclass(frozen=True, slots=True)
class Strategy:
    """One that was opened."""

    digest: bytes
    decide_by: int
    refund_after: int
    receipt: Mapping[str, Any]


@dataclass(slots=True)
class World:
    """L1 with the registry, two rollups with markets and escrows."""

    bridge: HandBridge
    registry: Contract
    calls: Mapping[int, bytes]
    """By chain id the series of a call, quoted by the maker."""
    puts: Mapping[int, bytes]
    """By chain id the series of a put, quoted by the maker."""

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self.bridge.l1.clock.now

    def wait(self, until: int) -> None:
        """Let time pass on all chains."""
        assert until >= self.now
        self.bridge.l1.clock.now = until

    def rollup(self, chain_id: int) -> HandRollup:
        """One of the rollups."""
        return self.bridge.rollups[chain_id]

    def market(self, chain_id: int) -> Contract:
        """A rollup's market."""
        return ours(self.rollup(chain_id).chain, "OptionsMarket", OPTIONS_MARKET)

    def escrow(self, chain_id: int) -> Contract:
        """A rollup's escrow."""
        return ours(self.rollup(chain_id).chain, "LegEscrow", LEG_ESCROW)

    def buy(self, chain_id: int, quantity: int = UNIT, limit: int = MAX_LIMIT) -> tuple[Any, ...]:
        """A leg: the call."""
        return (self.calls[chain_id], MAKER.address, quantity, limit)

    def sell(self, chain_id: int, quantity: int = UNIT, limit: int = 0) -> tuple[Any, ...]:
        """A leg: the put, written."""
        return (self.puts[chain_id], MAKER.address, -quantity, limit)

    async def open(
        self,
        participants: list[tuple[int, list[tuple[Any, ...]]]] | None = None,
        *,
        opener: Account = ALICE,
        salt: bytes = ZERO,
        decide_s: int = 100,
        refund_s: int = 200,
    ) -> Strategy:
        """Open a strategy: by default a call on alpha is bought and a put on beta written."""
        legs = participants or [(ALPHA, [self.buy(ALPHA)]), (BETA, [self.sell(BETA)])]
        times = (self.now + decide_s, self.now + refund_s)
        receipt = await self.registry.send(opener.address, "open", salt, legs, *times)
        self.bridge.note(receipt)
        event = self.registry.events(receipt)[0]
        return Strategy(event.arguments["strategy"], *times, receipt)

    async def lock(self, chain_id: int) -> list[Decoded]:
        """Derive a rollup's next deposit; what the escrow says."""
        return self.escrow(chain_id).events(await self.bridge.derive(chain_id))

    async def count(self, chain_id: int) -> list[str]:
        """Finalize a rollup's next vote; what the registry says."""
        receipt = await self.bridge.finalize(self.rollup(chain_id).withdrawals[0])
        return names(self.registry.events(receipt))

    async def state(self, strategy: Strategy) -> tuple[str, str, str]:
        """The decision, and what became of the legs on alpha and beta."""
        locks = [
            STATES[(await self.escrow(chain).read("lockOf", strategy.digest))[3]] for chain in (ALPHA, BETA)
        ]
        return (await self.decision(strategy), locks[0], locks[1])

    async def decision(self, strategy: Strategy) -> str:
        """What the registry decided."""
        call = self.registry.interface.encode_call("strategyOf", strategy.digest)
        answer = await self.bridge.l1.call(self.registry.address, call)
        return DECISIONS[self.registry.interface.decode_result("strategyOf", answer)[0][3]]

    async def lie(self, chain_id: int, strategy: Strategy, *, yes: bool) -> None:
        """Put a puppet in the place of a rollup's escrow and make it vote."""
        chain = self.rollup(chain_id).chain
        await chain.place(LEG_ESCROW, artifact("Puppet").creation_code)
        ballot = self.registry.interface.encode_call("vote", strategy.digest, yes, b"")
        messenger = op_artifact("L2CrossDomainMessenger").interface
        call = messenger.encode_call("sendMessage", self.registry.address, ballot, 900_000)
        puppet = ours(chain, "Puppet", LEG_ESCROW)
        self.bridge.note(await puppet.send(BOB.address, "act", L2_CROSS_DOMAIN_MESSENGER, 0, call), chain_id)

    async def money(self, chain_id: int, account: Account) -> tuple[int, int, int]:
        """Free, locked and reserved cash."""
        market = self.market(chain_id)
        free, locked, reserved = [
            await market.read(name, account.address) for name in ("freeCash", "lockedCash", "reservedCash")
        ]
        return free, locked, reserved

    async def held(self, account: Account) -> tuple[int, int]:
        """The call on alpha and the put on beta."""
        return (
            await self.market(ALPHA).read("position", self.calls[ALPHA], account.address),
            await self.market(BETA).read("position", self.puts[BETA], account.address),
        )

    async def is_solvent(self) -> None:
        """Cash held covers free, locked and reserved cash exactly, on each rollup (nothing has settled)."""
        people = (*PLAN.users, MAKER)
        for chain_id in (ALPHA, BETA):
            token = ours(self.rollup(chain_id).chain, "CashToken", CASH_TOKEN)
            claims = sum([sum(await self.money(chain_id, person)) for person in people])
            assert claims == await token.read("balanceOf", OPTIONS_MARKET)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One set of engines for all tests of this file."""
    async with hand_bridge(PLAN, tmp_path_factory.mktemp("strategies")) as bridge:
        registry = deployments(PLAN).l1["StrategyRegistry"]
        calls, puts = {}, {}
        expiry = bridge.l1.clock.now + 10_000
        quote = Quote(50 * USD, 51 * USD, 10 * UNIT, 10 * UNIT)
        for chain_id, rollup in bridge.rollups.items():
            market = ours(rollup.chain, "OptionsMarket", OPTIONS_MARKET)
            for series, is_call in ((calls, True), (puts, False)):
                terms = Terms("ETH", 2_000 * USD, expiry, is_call)
                await market.send(MAKER.address, "postQuotes", [(terms.encoded(), quote.encoded())])
                series[chain_id] = await market.read("seriesId", terms.encoded())
        yield World(bridge, ours(bridge.l1, "StrategyRegistry", registry), calls, puts)


@pytest_asyncio.fixture(loop_scope="module")
async def world(made: World) -> AsyncIterator[World]:
    """The engines as they were at first; whatever a test did, the markets are solvent after it."""
    chains = [made.bridge.l1, *(rollup.chain for rollup in made.bridge.rollups.values())]
    snapshots, start = [await chain.client.call("evm_snapshot") for chain in chains], made.now
    yield made
    await made.is_solvent()
    for chain, snapshot in zip(chains, snapshots, strict=True):
        await chain.client.call("evm_revert", snapshot)
    made.bridge.l1.clock.now = start
    for rollup in made.bridge.rollups.values():
        rollup.deposits.clear()
        rollup.withdrawals.clear()


# -- the two ways it ends ---------------------------------------------------------------------------------------------


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


# -- several legs, and what happens in between ------------------------------------------------------------------------


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


# -- who may speak, and how often -------------------------------------------------------------------------------------


async def test_only_the_registry_orders_and_decides(world: World) -> None:
    """Neither a user, nor one with the registry's address on a rollup, nor anyone on L1 through the messenger."""
    strategy = await world.open()
    await world.lock(ALPHA)
    calls = (
        ("lockLegs", b"\1" * 32, BOB.address, 2**40, 2**41, 100_000, [world.buy(ALPHA)]),
        ("decideLegs", strategy.digest, True),
    )
    escrow, l1 = world.escrow(ALPHA), world.bridge.l1
    for function, *arguments in calls:
        for caller in (BOB.address, world.registry.address):
            await escrow.chain.fund(caller, 10**18)
            with pytest.raises(Failed, match="NotMessenger"):
                await escrow.send(caller, function, *arguments)
        data = escrow.interface.encode_call(function, *arguments)
        messenger = theirs(l1, "L1CrossDomainMessenger", world.rollup(ALPHA).messenger)
        world.bridge.note(await messenger.send(BOB.address, "sendMessage", LEG_ESCROW, data, 900_000))
        receipt = await world.bridge.derive(ALPHA)
        assert "NotRegistry" == await inner_error(escrow.chain, receipt, escrow)
    with pytest.raises(Failed, match="NotSelf"):
        await escrow.send(BOB.address, "reserveLegs", b"\1" * 32, BOB.address, 2**40, [world.buy(ALPHA)])
    assert ("NONE", "LOCKED", "NONE") == await world.state(strategy)


async def test_only_the_escrow_reserves(world: World) -> None:
    """The market's reservations can't be made, executed or released by anyone else."""
    calls = (
        ("reserve", b"\1" * 32, world.calls[ALPHA], MAKER.address, ALICE.address, 1, MAX_LIMIT),
        ("executeReserved", b"\1" * 32),
        ("releaseReserved", b"\1" * 32),
    )
    for function, *arguments in calls:
        for caller in (ALICE.address, MAKER.address, L2_CROSS_DOMAIN_MESSENGER):
            await world.rollup(ALPHA).chain.fund(caller, 10**18)
            with pytest.raises(Failed, match="NotEscrow"):
                await world.market(ALPHA).send(caller, function, *arguments)


async def test_a_reservation_ends_once(world: World) -> None:
    """Even the escrow itself can't use an id twice, nor end what isn't there."""
    chain, market = world.rollup(ALPHA).chain, world.market(ALPHA)
    await chain.fund(LEG_ESCROW, 10**18)
    reserve = ("reserve", b"\1" * 32, world.calls[ALPHA], MAKER.address, ALICE.address, 1, MAX_LIMIT)
    await market.send(LEG_ESCROW, *reserve)
    with pytest.raises(Failed, match="AlreadyReserved"):
        await market.send(LEG_ESCROW, *reserve)
    await market.send(LEG_ESCROW, "releaseReserved", b"\1" * 32)
    for function in ("releaseReserved", "executeReserved"):
        with pytest.raises(Failed, match="NotReserved"):
            await market.send(LEG_ESCROW, function, b"\1" * 32)


async def test_only_a_rollups_own_escrow_votes_for_it(world: World) -> None:
    """A direct call, and a withdrawal by anyone but the escrow, are no vote."""
    strategy = await world.open()
    with pytest.raises(Failed, match="NotMessenger"):
        await world.registry.send(ALICE.address, "vote", strategy.digest, True, b"")
    ballot = world.registry.interface.encode_call("vote", strategy.digest, True, b"")
    messenger = theirs(world.rollup(ALPHA).chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
    receipt = await messenger.send(ALICE.address, "sendMessage", world.registry.address, ballot, 900_000)
    world.bridge.note(receipt, ALPHA)
    receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
    assert "NotPeer" == await inner_error(world.bridge.l1, receipt, world.registry)
    assert "NONE" == await world.decision(strategy)


async def test_a_rollup_votes_once_and_only_where_it_takes_part(world: World) -> None:
    """A lying escrow can spoil the strategies that it is in, by its own vote, and nothing else."""
    elsewhere = await world.open([(BETA, [world.buy(BETA)])])
    here = await world.open([(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA)])])
    await world.lie(ALPHA, elsewhere, yes=True)
    receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
    assert "NoVoteExpected" == await inner_error(world.bridge.l1, receipt, world.registry)
    await world.lie(ALPHA, here, yes=True)
    assert ["Voted"] == await world.count(ALPHA)
    for yes in (True, False):
        await world.lie(ALPHA, here, yes=yes)
        receipt = await world.bridge.finalize(world.rollup(ALPHA).withdrawals[0])
        assert "NoVoteExpected" == await inner_error(world.bridge.l1, receipt, world.registry)
    assert "NONE" == await world.decision(here)


async def test_a_contract_on_l1_trades_as_its_alias(world: World) -> None:
    """Whoever has the contract's address on a rollup isn't bound by what the contract opens (X12)."""
    code = artifact("Puppet").creation_code
    contract = ours(world.bridge.l1, "Puppet", await world.bridge.l1.create(BOB.address, code))
    call = world.registry.interface.encode_call(
        "open", ZERO, [(ALPHA, [world.buy(ALPHA)])], world.now + 100, world.now + 200
    )
    receipt = await contract.send(BOB.address, "act", world.registry.address, 0, call)
    world.bridge.note(receipt)
    opened = world.registry.events(receipt)[0].arguments
    alias = to_hex(apply_alias(from_hex(contract.address)))
    assert (contract.address.lower(), alias) == (opened["opener"], opened["account"])
    (event,) = await world.lock(ALPHA)
    assert ("LegRefused", alias) == (event.name, event.arguments["account"])


async def test_decisions_can_be_sent_again_and_apply_once(world: World) -> None:
    """Anyone repeats them, to all or to one; the escrows have nothing left to do."""
    strategy = await world.open()
    with pytest.raises(Failed, match="NotDecided"):
        await world.registry.send(BOB.address, "announce", strategy.digest)
    await world.bridge.settle()
    before = [await world.money(chain_id, ALICE) for chain_id in (ALPHA, BETA)]
    for function, *arguments in (("announce",), ("sendDecision", ALPHA), ("announce",)):
        world.bridge.note(await world.registry.send(BOB.address, function, strategy.digest, *arguments))
    for receipt in await world.bridge.settle():
        assert "0x1" == receipt["status"]
        assert [] == [*world.escrow(ALPHA).events(receipt), *world.market(ALPHA).events(receipt)]
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)
    assert before == [await world.money(chain_id, ALICE) for chain_id in (ALPHA, BETA)]
    with pytest.raises(Failed, match="NotDecided"):
        await world.registry.send(BOB.address, "sendDecision", strategy.digest, 999)


async def test_a_decision_that_cannot_be_sent_stands(world: World) -> None:
    """A portal without room in this block delays the sending, not the decision."""
    strategy = await world.open()
    await world.lock(ALPHA)
    await world.lock(BETA)
    await world.count(ALPHA)
    l1, (withdrawal,) = world.bridge.l1, world.rollup(BETA).withdrawals
    await world.bridge.prove(withdrawal)
    portal = theirs(l1, "OptimismPortal", world.rollup(BETA).portal)
    crowd = portal.interface.encode_call("depositTransaction", BOB.address, 0, 19_900_000, False, b"")
    request = {"from": CAROL.address, "to": portal.address, "data": to_hex(crowd), "gas": hex(22_000_000)}
    await l1.client.call("eth_sendTransaction", request | {"gasPrice": hex(10**11)})
    receipt = await portal.send(
        BOB.address, "finalizeWithdrawalTransaction", withdrawal.fields, gas=3_000_000
    )
    world.rollup(BETA).withdrawals.clear()
    world.bridge.note(receipt)
    assert ["Voted", "Decided", "DecisionSent", "DecisionUnsent"] == names(world.registry.events(receipt))
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "LOCKED") == await world.state(strategy)
    world.bridge.note(await world.registry.send(BOB.address, "sendDecision", strategy.digest, BETA))
    await world.bridge.settle()
    assert ("COMMIT", "COMMITTED", "COMMITTED") == await world.state(strategy)


async def test_an_order_without_gas_is_kept_and_repeated(world: World) -> None:
    """Too little gas is no vote of no: the messenger keeps the order, and anyone repeats it."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    rollup = world.rollup(ALPHA)
    deposit = decode_deposit(rollup.deposits.popleft())
    receipt = await rollup.chain.send_raw(encode_deposit(replace(deposit, gas=400_000)))
    assert [] == world.escrow(ALPHA).events(receipt)
    assert ("NONE", "NONE", "NONE") == await world.state(strategy)
    receipt = await rollup.chain.transact(BOB.address, L2_CROSS_DOMAIN_MESSENGER, deposit.data)
    assert ["LegLocked"] == names(world.escrow(ALPHA).events(receipt))


async def test_an_order_behind_its_abort_is_refused(world: World) -> None:
    """The messenger kept the order until the strategy was over: the escrow remembers, locks nothing and stays silent."""
    strategy = await world.open([(ALPHA, [world.buy(ALPHA)])])
    rollup = world.rollup(ALPHA)
    deposit = decode_deposit(rollup.deposits.popleft())
    await rollup.chain.send_raw(encode_deposit(replace(deposit, gas=400_000)))
    world.wait(strategy.decide_by)
    world.bridge.note(await world.registry.send(BOB.address, "abort", strategy.digest))
    assert ["LegReleased"] == names(await world.lock(ALPHA))
    receipt = await rollup.chain.transact(BOB.address, L2_CROSS_DOMAIN_MESSENGER, deposit.data)
    assert ("0x1", []) == (receipt["status"], world.escrow(ALPHA).events(receipt))
    assert (USER_CASH, 0, 0) == await world.money(ALPHA, ALICE)


# -- what can be opened -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("times", "error"),
    [
        ({"decide_s": 0}, "BadTimes"),
        ({"decide_s": 100, "refund_s": 100 + MARGIN - 1}, "BadTimes"),
        ({"decide_s": 100, "refund_s": 7 * 86_400 + 1}, "BadTimes"),
    ],
)
async def test_times_must_be_in_order(world: World, times: dict[str, int], error: str) -> None:
    """The decision is due in the future, the refund a margin after it, and nothing is locked for longer than a week."""
    with pytest.raises(Failed, match=error):
        await world.open(**times)  # type: ignore[arg-type]


async def test_participants_are_rollups_with_legs_each_once(world: World) -> None:
    """Nobody, strangers, twins and the empty-handed are refused; the same strategy opens once."""
    leg = world.buy(ALPHA)
    cases: list[tuple[list[tuple[int, list[tuple[Any, ...]]]], str]] = [
        ([(999, [leg])], "UnknownRollup"),
        ([(ALPHA, [leg]), (ALPHA, [leg])], "DuplicateRollup"),
        ([(ALPHA, [])], "BadLegs"),
        ([(ALPHA, [leg] * 9)], "BadLegs"),
        ([(ALPHA, [leg] * 8)] * 4 + [(BETA, [leg])], "TooManyLegs"),
        ([(ALPHA, [leg])] * 17, "BadParticipants"),
    ]
    for participants, error in cases:
        with pytest.raises(Failed, match=error):
            await world.open(participants)
    with pytest.raises(Failed, match="BadParticipants"):
        await world.registry.send(ALICE.address, "open", ZERO, [], world.now + 100, world.now + 200)
    await world.open()
    with pytest.raises(Failed, match="AlreadyOpen"):
        await world.open()
    with pytest.raises(Failed, match="UnknownStrategy"):
        await world.registry.send(ALICE.address, "abort", ZERO)


async def test_an_id_binds_opener_legs_and_times(world: World) -> None:
    """It is the hash that an independent encoder gives, so nobody can take another's id."""
    strategy = await world.open()
    types = [
        "string",
        "uint256",
        "address",
        "address",
        "bytes32",
        "(uint64,(bytes32,address,int256,uint256)[])[]",
    ]
    values = ["STRATEGY.v1", 900, world.registry.address, ALICE.address, ZERO]
    legs = [(ALPHA, [world.buy(ALPHA)]), (BETA, [world.sell(BETA)])]
    times = [strategy.decide_by, strategy.refund_after]
    assert strategy.digest == keccak256(encode([*types, "uint64", "uint64"], [*values, legs, *times]))
    ordered = [event.arguments["legHash"] for event in world.registry.events(strategy.receipt)[1:]]
    hashes = [keccak256(encode(["(bytes32,address,int256,uint256)[]"], [part])) for _, part in legs]
    assert hashes == ordered
