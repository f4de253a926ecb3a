"""Strategies all end whole, whatever else happens in the markets; and contracts that tear one are caught.

A random run quotes, trades, withdraws, opens strategies over two rollups, moves votes and decisions in any order, lets deadlines pass,
refunds. After every step each market's cash covers its claims exactly, and what is reserved is what the locked legs need. In
the end every strategy traded all of its legs or none, provided that deposits arrive within the registry's margin, which
is what the registry asks of its deployer. Longer than usual, because the machine's rules and readings only make sense together.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from bridge.contracts.addresses import (
    BUNDLE_GUARD,
    CASH_TOKEN,
    L2_CROSS_DOMAIN_MESSENGER,
    LEG_ESCROW,
    OPTIONS_MARKET,
    PRICE_ORACLE,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.testing import NOBODY, Contract, Failed, HandBridge, names, ours, theirs
from bridge.contracts.testing_mutants import Mutant, creation_codes, run_machine
from orchestrator.market.board import Quote, Terms
from orchestrator.settlement.deployments import deployments
from orchestrator.settlement.geth_genesis import GENESIS_TIME
from orchestrator.settlement.messages import refund_margin_s
from orchestrator.settlement.testing import bridge_plan, hand_bridge, put_contracts
from orchestrator.topology.plan import Account

T = TypeVar("T")
PLAN = bridge_plan(("alpha", "beta"), sequencing_window=470)
CHAINS = tuple(rollup.chain_id for rollup in PLAN.rollups)
PEOPLE: tuple[Account, ...] = PLAN.users
MAKER = next(role for role in PLAN.roles if role.name == "maker")
MARGIN = refund_margin_s(PLAN)
CAP = 8_000_000_000
CASH = 100_000_000_000
"""Of everyone on each rollup at first, 1e-6 USD."""
EXPIRY = GENESIS_TIME + 10**8
SERIES = (
    Terms("ETH", 2_000_000_000, EXPIRY, is_call=True),
    Terms("ETH", 1_999_999_999, EXPIRY, is_call=False),
)
NO_BUNDLE = bytes(32)
STATES = ("NONE", "LOCKED", "REFUSED", "COMMITTED", "RELEASED", "REFUNDED")
DECISIONS = ("NONE", "COMMIT", "ABORT")
SOME = st.integers(0, 10**6)
"""Picks one of however many there are."""
QUANTITIES = st.sampled_from([1, 7, 20_000, 60_000, 250_000]).flatmap(
    lambda size: st.sampled_from([size, -size])
)
"""1e-4 units; of the larger ones nobody's cash covers many."""
WHO = st.integers(0, len(PEOPLE) - 1)


@dataclass(frozen=True, slots=True)
class Strategy:
    """One that was opened."""

    digest: bytes
    chains: tuple[int, ...]
    decide_by: int
    refund_after: int


class Trading(RuleBasedStateMachine):
    """Markets and strategies, in any order."""

    runner: ClassVar[asyncio.Runner]
    bridge: ClassVar[HandBridge]
    registry: ClassVar[Contract]
    series: ClassVar[tuple[bytes, ...]]
    ends: ClassVar[Counter[tuple[str, ...]]] = Counter()
    """How strategies ended: what was decided, and what became of the legs on each rollup."""

    def __init__(self) -> None:
        super().__init__()
        self.chains = [self.bridge.l1, *(rollup.chain for rollup in self.bridge.rollups.values())]
        self.start = self.bridge.l1.clock.now
        self.snapshots = [self.do(chain.client.call("evm_snapshot")) for chain in self.chains]
        for rollup in self.bridge.rollups.values():
            rollup.deposits.clear()
            rollup.withdrawals.clear()
        self.strategies: list[Strategy] = []
        self.markets = {
            chain_id: ours(rollup.chain, "OptionsMarket", OPTIONS_MARKET)
            for chain_id, rollup in self.bridge.rollups.items()
        }
        self.escrows = {
            chain_id: ours(rollup.chain, "LegEscrow", LEG_ESCROW)
            for chain_id, rollup in self.bridge.rollups.items()
        }

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run on the loop that the engines' connections belong to."""
        return self.runner.run(work)

    @property
    def now(self) -> int:
        """Unix seconds, on all chains."""
        return self.bridge.l1.clock.now

    # -- the markets' own life

    @rule(
        chain_id=st.sampled_from(CHAINS),
        who=WHO,
        index=st.integers(0, 1),
        bid=st.sampled_from([0, 33_333_333, 1_999_999_999]),
        spread=st.sampled_from([0, 7_777_777]),
        size=st.sampled_from([10, 100_000, 10**6]),
    )
    def quote(self, chain_id: int, who: int, index: int, bid: int, spread: int, size: int) -> None:
        """Anyone makes a market."""
        offer = Quote(bid, bid + spread, size, size).encoded()
        market = self.markets[chain_id]
        self.do(market.send(PEOPLE[who].address, "postQuotes", [(SERIES[index].encoded(), offer)]))

    @rule(chain_id=st.sampled_from(CHAINS), who=WHO, maker=WHO, index=st.integers(0, 1), quantity=QUANTITIES)
    def trade(self, chain_id: int, who: int, maker: int, index: int, quantity: int) -> None:
        """A plain trade, if it can be had: it changes positions and cash under the reservations."""
        limit = 2**256 - 1 if quantity > 0 else 0
        arguments = (self.series[index], PEOPLE[maker].address, quantity, limit, NO_BUNDLE)
        self.tried(self.markets[chain_id].send(PEOPLE[who].address, "trade", *arguments))

    @precondition(lambda self: self.strategies)
    @rule(chain_id=st.sampled_from(CHAINS), who=WHO)
    def withdraw(self, chain_id: int, who: int) -> None:
        """Someone takes out half of what is free."""
        free = self.do(self.markets[chain_id].read("freeCash", PEOPLE[who].address))
        self.do(self.markets[chain_id].send(PEOPLE[who].address, "withdraw", free // 2))

    # -- strategies

    @precondition(lambda self: len(self.strategies) < 6)
    @rule(
        who=WHO,
        both=st.sampled_from([True, True, False]),
        legs=st.lists(st.tuples(st.integers(1, 2), st.integers(0, 1), QUANTITIES), min_size=2, max_size=3),
        decide_s=st.sampled_from([100, 400, 2_000]),
    )
    def open(self, who: int, both: bool, legs: list[tuple[int, int, int]], decide_s: int) -> None:
        """A strategy on one or both rollups, against anyone's quotes."""
        encoded = [
            (
                self.series[index],
                PEOPLE[(who + step) % len(PEOPLE)].address,
                quantity,
                2**256 - 1 if quantity > 0 else 0,
            )
            for step, index, quantity in legs
        ]
        half = len(legs) // 2
        participants = (
            [(CHAINS[0], encoded[:half]), (CHAINS[1], encoded[half:])] if both else [(CHAINS[0], encoded)]
        )
        salt = len(self.strategies).to_bytes(32, "big")
        times = (self.now + decide_s, self.now + decide_s + MARGIN)
        receipt = self.do(self.registry.send(PEOPLE[who].address, "open", salt, participants, *times))
        self.bridge.note(receipt)
        digest = self.registry.events(receipt)[0].arguments["strategy"]
        self.strategies.append(Strategy(digest, tuple(chain for chain, _ in participants), *times))

    @precondition(lambda self: self.strategies)
    @rule(pick=SOME, call=st.sampled_from(["abort", "announce"]))
    def meddle(self, pick: int, call: str) -> None:
        """Anyone asks the registry to abort or to repeat itself, in time or not."""
        strategy = self.strategies[pick % len(self.strategies)]
        receipt = self.tried(self.registry.send(NOBODY, call, strategy.digest))
        if receipt is not None:
            self.bridge.note(receipt)

    @precondition(lambda self: self.strategies)
    @rule(pick=SOME, chain_id=st.sampled_from(CHAINS), patient=st.sampled_from([False, False, False, True]))
    def refund(self, pick: int, chain_id: int, patient: bool) -> None:
        """Anyone asks an escrow to give legs up; the patient wait until they may."""
        strategy = self.strategies[pick % len(self.strategies)]
        if patient:
            self.wait(max(0, strategy.refund_after + 1 - self.now))
        receipt = self.tried(self.escrows[chain_id].send(NOBODY, "refundLegs", strategy.digest))
        assert receipt is None or self.now > strategy.refund_after

    @precondition(lambda self: any(rollup.withdrawals for rollup in self.bridge.rollups.values()))
    @rule(pick=SOME)
    def finalize(self, pick: int) -> None:
        """L1 takes in any vote."""
        every = [vote for rollup in self.bridge.rollups.values() for vote in rollup.withdrawals]
        vote = every[pick % len(every)]
        receipt = self.do(self.bridge.finalize(vote))
        messenger = theirs(
            self.bridge.l1, "L1CrossDomainMessenger", self.bridge.rollups[vote.chain_id].messenger
        )
        assert "RelayedMessage" in names(messenger.events(receipt))
        for event in self.registry.events(receipt):
            if event.name == "Decided" and event.arguments["commit"]:
                (strategy,) = [one for one in self.strategies if one.digest == event.arguments["strategy"]]
                assert self.now < strategy.decide_by
                assert {"LOCKED"} == set(self.do(self.end_of(strategy))[1])

    @precondition(lambda self: any(rollup.deposits for rollup in self.bridge.rollups.values()))
    @rule(pick=SOME)
    def derive(self, pick: int) -> None:
        """A rollup executes its next order or decision, and never fails to."""
        ready = [rollup for rollup in self.bridge.rollups.values() if rollup.deposits]
        rollup = ready[pick % len(ready)]
        receipt = self.do(self.bridge.derive(rollup.chain_id))
        messenger = theirs(rollup.chain, "L2CrossDomainMessenger", L2_CROSS_DOMAIN_MESSENGER)
        assert "RelayedMessage" in names(messenger.events(receipt))
        assert "CommitMissed" not in names(self.escrows[rollup.chain_id].events(receipt))

    @precondition(lambda self: self.strategies)
    @rule(hops=st.integers(1, 4), pick=SOME)
    def travel(self, hops: int, pick: int) -> None:
        """A few hops in a row, as when a relayer is awake."""
        for _ in range(hops):
            rollups = self.bridge.rollups.values()
            if any(rollup.deposits for rollup in rollups):
                self.derive(pick)
            elif any(rollup.withdrawals for rollup in rollups):
                self.finalize(pick)

    @precondition(lambda self: self.strategies)
    @rule(seconds=st.sampled_from([5, 5, 60, MARGIN]))
    def wait(self, seconds: int) -> None:
        """Time passes; in what is more than a moment, deposits arrive."""
        while seconds > 5 and any(rollup.deposits for rollup in self.bridge.rollups.values()):
            self.derive(0)
        self.bridge.l1.clock.now += seconds

    def tried(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The receipt, or None if the call is refused."""
        try:
            return self.do(work)
        except Failed:
            return None

    # -- what must hold

    @invariant()
    def every_market_is_solvent(self) -> None:
        """Cash covers claims to the last 1e-6 USD, positions sum to zero, and reserved is what the locked legs set aside."""
        for chain_id in CHAINS:
            self.do(self.check_market(chain_id))

    async def check_market(self, chain_id: int) -> None:
        """One market's books."""
        market, escrow = self.markets[chain_id].interface, self.escrows[chain_id].interface
        token = artifact("CashToken").interface
        people = [person.address for person in (*PEOPLE, MAKER)]
        reads = [(name, (who,)) for who in people for name in ("freeCash", "lockedCash", "reservedCash")]
        reads += [("position", (series, who)) for who in people for series in self.series]
        calls = [(OPTIONS_MARKET, market.encode_call(name, *arguments)) for name, arguments in reads]
        calls += [(LEG_ESCROW, escrow.encode_call("reservationsOf", one.digest)) for one in self.strategies]
        calls += [(CASH_TOKEN, token.encode_call("balanceOf", OPTIONS_MARKET))]
        _, answers = await self.bridge.rollups[chain_id].chain.look([], calls)
        cash = [int.from_bytes(answer) for answer in answers[: 3 * len(people)]]
        assert int.from_bytes(answers[-1]) == sum(cash)
        sizes = [int.from_bytes(answer, signed=True) for answer in answers[3 * len(people) : len(reads)]]
        held = dict(zip(people, zip(*[iter(sizes)] * len(SERIES), strict=True), strict=True))
        assert [0] * len(SERIES) == [sum(series) for series in zip(*held.values(), strict=True)]
        expected = Counter[str]()
        for answer in answers[len(reads) : -1]:
            for row in escrow.decode_result("reservationsOf", answer)[0]:
                series, maker, quantity, taker, price, premium, _, maker_cash, taker_cash = row
                assert premium == (price * abs(quantity) + (9_999 if quantity > 0 else 0)) // 10_000
                short = _collateral(SERIES[self.series.index(series)], -abs(quantity))
                seller_cash = max(0, short - premium)
                asked = (seller_cash, premium) if quantity > 0 else (premium, seller_cash)
                assert asked == (maker_cash, taker_cash)
                expected[maker] += maker_cash
                expected[taker] += taker_cash
        for who, (_, locked, reserved) in zip(people, zip(*[iter(cash)] * 3, strict=True), strict=True):
            assert locked == sum(map(_collateral, SERIES, held[who]))
            assert expected[who.lower()] == reserved

    def teardown(self) -> None:
        """Everything ends, whole. Then back to the start."""
        try:
            self.bring_to_an_end()
        finally:
            for chain, snapshot in zip(self.chains, self.snapshots, strict=True):
                self.do(chain.client.call("evm_revert", snapshot))
            self.bridge.l1.clock.now = self.start

    def bring_to_an_end(self) -> None:
        """After deadlines and with all mail delivered, no leg is locked, and no strategy is half done."""
        self.wait(100)
        while any(rollup.deposits or rollup.withdrawals for rollup in self.bridge.rollups.values()):
            self.travel(1, 0)
        self.bridge.l1.clock.now += 3_000
        for pick in range(len(self.strategies)):
            self.meddle(pick, "abort")
            for chain_id in CHAINS:
                self.refund(pick, chain_id, patient=False)
        while any(rollup.deposits for rollup in self.bridge.rollups.values()):
            self.derive(0)
        self.every_market_is_solvent()
        for strategy in self.strategies:
            decision, states = self.do(self.end_of(strategy))
            self.ends[decision, *states] += 1
            assert decision != "NONE"
            assert (
                states == ["COMMITTED"] * len(states) if decision == "COMMIT" else "COMMITTED" not in states
            )
            assert "LOCKED" not in states

    async def end_of(self, strategy: Strategy) -> tuple[str, list[str]]:
        """What was decided, and what became of the legs on each rollup."""
        call = self.registry.interface.encode_call("strategyOf", strategy.digest)
        answer = await self.bridge.l1.call(self.registry.address, call)
        decision = DECISIONS[self.registry.interface.decode_result("strategyOf", answer)[0][3]]
        states = [
            STATES[(await self.escrows[one].read("lockOf", strategy.digest))[3]] for one in strategy.chains
        ]
        return decision, states


def _collateral(terms: Terms, held: int) -> int:
    worst = CAP - terms.strike if terms.is_call else terms.strike
    return 0 if held >= 0 else (worst * -held + 9_999) // 10_000


MUTANTS = (
    Mutant(
        "reserve-what-the-position-needs-now",
        "OptionsMarket",
        "uint256 short = collateral(terms, quantity < 0 ? quantity : -quantity);",
        "uint256 short = position[series][quantity < 0 ? taker : maker] > 0"
        " ? 0 : collateral(terms, quantity < 0 ? quantity : -quantity);",
    ),
    Mutant(
        "forget-to-free-the-makers-cash",
        "OptionsMarket",
        "        freeCash[made.maker] += made.makerCash;\n",
        "\n",
    ),
    Mutant(
        "refund-at-any-time",
        "LegEscrow",
        "if (block.timestamp <= lock.refundAfter) revert StillWaiting(lock.refundAfter, block.timestamp);",
        "",
    ),
    Mutant(
        "vote-yes-when-refused",
        "LegEscrow",
        "(strategy, yes, reason)), voteGas",
        "(strategy, true, reason)), voteGas",
    ),
    Mutant("commit-on-the-first-yes", "StrategyRegistry", "(state.missing == 0)", "(state.missing <= 1)"),
    Mutant("commit-late", "StrategyRegistry", "!yes || block.timestamp >= state.decideBy", "!yes"),
    Mutant(
        "decide-again",
        "StrategyRegistry",
        "if (state.decision != Decision.NONE || block.timestamp < state.decideBy) {",
        "if (block.timestamp < state.decideBy) {",
    ),
)


@pytest.fixture(scope="module")
def mutated(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Creation code of every mutant, by name."""
    return creation_codes(tmp_path_factory.mktemp("mutants"), MUTANTS)


@pytest.fixture(scope="module")
def engines() -> Iterator[None]:
    """L1 and two rollups with markets and escrows, for all runs of this file."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        stack = AsyncExitStack()
        Trading.runner = runner
        Trading.bridge = runner.run(stack.enter_async_context(hand_bridge(PLAN, Path(folder))))
        try:
            registry = deployments(PLAN).l1["StrategyRegistry"]
            Trading.registry = ours(Trading.bridge.l1, "StrategyRegistry", registry)
            runner.run(_list_series())
            yield
        finally:
            runner.run(stack.aclose())


async def _list_series() -> None:
    series = []
    for chain_id in CHAINS:
        market = ours(Trading.bridge.rollups[chain_id].chain, "OptionsMarket", OPTIONS_MARKET)
        nothing = Quote(0, 0, 0, 0).encoded()
        await market.send(NOBODY, "postQuotes", [(terms.encoded(), nothing) for terms in SERIES])
        series = [await market.read("seriesId", terms.encoded()) for terms in SERIES]
        for index, person in enumerate(PEOPLE):
            offer = Quote(10_000_000 * index, 30_000_001 * index + 1, 10**6, 10**6).encoded()
            await market.send(person.address, "postQuotes", [(terms.encoded(), offer) for terms in SERIES])
            # little enough that trades run out of it
            free = await market.read("freeCash", person.address)
            await market.send(person.address, "withdraw", free - CASH)
    Trading.series = tuple(series)


async def _place(contracts: dict[str, bytes]) -> None:
    bridge = Trading.bridge
    await put_contracts(bridge, PLAN, **contracts)
    code = contracts.get("OptionsMarket", artifact("OptionsMarket").creation_code)
    market = artifact("OptionsMarket").interface.encode_constructor(
        CASH_TOKEN, PRICE_ORACLE, BUNDLE_GUARD, CAP
    )
    for rollup in bridge.rollups.values():
        await rollup.chain.place(OPTIONS_MARKET, code + market)


def _hunt() -> None:
    """As many runs as it may take to meet a rare fault."""
    for number in range(1, 9):
        run_machine(Trading, number, examples=12, steps=40)


def _witnessed() -> bool:
    """Whether strategies of one and two rollups committed, were refused, were aborted in time and were refunded."""
    ends = {(decision, *sorted(states)) for decision, *states in Trading.ends}
    commits = {("COMMIT", "COMMITTED"), ("COMMIT", "COMMITTED", "COMMITTED")}
    aborts = {("ABORT", "REFUSED", "RELEASED"), ("ABORT", "RELEASED", "RELEASED")}
    return commits | aborts <= ends and "REFUNDED" in {state for _, *states in ends for state in states}


@pytest.mark.long
@pytest.mark.timeout(300)
def test_random_strategies_end_whole(engines: None) -> None:
    """Many runs, until every end was seen."""
    Trading.runner.run(_place({}))
    for number in range(1, 9):
        run_machine(Trading, number, examples=12, steps=40)
        if _witnessed():
            break
    assert _witnessed()


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_contracts_that_tear_strategies_are_caught(
    engines: None, mutated: dict[str, bytes], mutant: Mutant
) -> None:
    """The run above isn't green because it looks away: it fails on every mutant."""
    Trading.runner.run(_place({mutant.contract: mutated[mutant.name]}))
    with pytest.raises((AssertionError, Failed)):
        _hunt()
