"""Fees by kind of transaction, whatever the schedule: cash is conserved, fees are rounded against who pays, margin allows them."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.signing import UnsignedTransaction, sign_transaction
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import Call, read_message
from rollup_node.engines.options.transactions.interfaces import BY_NAME, EVENTS
from rollup_node.engines.options.transition import calls, fees
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.context import WEI_PER_CASH, Context
from rollup_node.engines.options.transition.fees import FLAT, FeeKind
from rollup_node.engines.options.transition.margins import Risks, margin_of, shortfall
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.testing import (
    AMM_LIMIT,
    EXPIRY,
    MARKET,
    PARAMETERS,
    SYMBOL,
    Desk,
    address,
    call_data,
    errors_of,
    key_of,
    order,
)
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.values import PARTS, PRICE_UNIT, WAD

DOLLAR = PRICE_UNIT
ONE = 10_000
FLATS = ("order", "cancel", "amm", "combo", "transfer", "withdrawal", "account", "listing")
RATES = ("taker", "maker", "amm", "combo", "liquidation")
MADE = replace(PARAMETERS, markets={1: replace(MARKET, amm_limit=AMM_LIMIT)}, step_roots=False)
USERS = ("alice", "bob", "carol", "dan")

schedules = st.builds(
    lambda flats, rates, halves, part: {
        **{f"{name}_fee": amount for name, amount in zip(FLATS, flats, strict=True)},
        **{f"{name}_fee_ppm": rate for name, rate in zip(RATES, rates, strict=True)},
        "liquidation_insurance_ppm": halves,
        "insurance_share_ppm": part,
    },
    st.lists(st.sampled_from([0, 1, 7, 250_000, 3 * DOLLAR]), min_size=8, max_size=8),
    st.lists(st.sampled_from([0, 1, 333, 10_001, 90_000]), min_size=5, max_size=5),
    st.sampled_from([0, 333_333, 500_000, PARTS]),
    st.sampled_from([0, 1, 200_000, PARTS]),
)


class Till:
    """A market under a schedule; every transaction is a block, and every block is checked against a count of its own."""

    def __init__(self, schedule: dict[str, Any]) -> None:
        self.desk = Desk(replace(MADE, **schedule))
        funds = {"alice": 50_000, "bob": 50_000, "carol": 900, "dan": 420, "lister": 100}
        self.desk.block(*(self.desk.deposit(name, dollars * DOLLAR) for name, dollars in funds.items()))
        self.desk.block(self.desk.update(3_000 * DOLLAR))
        self.owed = [0] * len(FeeKind)
        for is_call in (True, False):
            self.run(self.desk.send("lister", "listSeries", SYMBOL, EXPIRY, 3_000 * DOLLAR, is_call))
        self.run(self.desk.send("alice", "transfer", self.desk.account("alice"), 1, 9_000 * DOLLAR))

    def run(self, raw: bytes, *, marks: bool = False) -> Executed:
        """A block of one transaction."""
        before = self._shortfalls()
        executed = self.desk.block(raw)
        self._count(executed)
        broken = violations(self.desk.world)
        assert not broken, "; ".join(broken)
        assert tuple(self.owed) == self.desk.world.earnings.amounts, (
            "earned: the count of the receipts differs"
        )
        if not marks:
            for number, after in self._shortfalls().items():
                assert after <= before.get(number, 0), (
                    f"margin: account {number} is short of {after} by a fee"
                )
        return executed

    def _shortfalls(self) -> dict[int, int]:
        world, desk = self.desk.world, self.desk
        context = Context(desk.parameters, desk.number, desk.timestamp, Risks(world))
        return {number: shortfall(world, context, number) for number in world.accounts}

    def _count(self, executed: Executed) -> None:
        """What the receipts say was owed: rates of what the logs tell, flat fees by the calls that succeeded."""
        parameters = self.desk.parameters
        for receipt in executed.receipts:
            message = read_message(receipt.raw)
            if not isinstance(message.call, Call):
                continue
            name = message.call.function.name
            flat = FLAT.get(name)
            if receipt.status == "success" and flat is not None and not message.is_deposit:
                self.owed[flat.kind] += getattr(parameters, flat.parameter)
            for log in receipt.logs:
                if log.topics[0] == EVENTS["Trade"].topic:
                    self._trade(name, *abi.decode(EVENTS["Trade"].plain, log.data))
                if log.topics[0] == EVENTS["Liquidated"].topic:
                    self.owed[FeeKind.LIQUIDATION] += abi.decode(EVENTS["Liquidated"].plain, log.data)[-1]

    def _trade(self, call: str, *said: int) -> None:
        _, _, price, quantity, taker_fee, maker_fee = said
        kind = {"tradeAmm": FeeKind.AMM, "fillQuote": FeeKind.COMBO}.get(call, FeeKind.TAKER)
        parameters = self.desk.parameters
        rate = {
            FeeKind.AMM: parameters.amm_fee_ppm,
            FeeKind.COMBO: parameters.combo_fee_ppm,
            FeeKind.TAKER: parameters.taker_fee_ppm,
        }[kind]
        exact = price * abs(quantity)
        assert taker_fee * PARTS * ONE >= exact * rate, "rounding: the taker's fee is less than its rate"
        assert taker_fee * PARTS * ONE < (exact + ONE) * rate + PARTS * ONE, "rounding: by a unit at most"
        other = 0 if kind is FeeKind.AMM else parameters.maker_fee_ppm
        assert maker_fee * PARTS * ONE >= exact * other, "rounding: the maker's fee is less than its rate"
        self.owed[kind] += taker_fee
        self.owed[FeeKind.MAKER] += maker_fee

    def play(self, seed: int, moves: int) -> None:
        """A seeded crowd of few, then a shock."""
        rng, desk = random.Random(seed), self.desk
        desk.block(desk.deposit("fay", 3))  # hardly anything: most fees are more
        self.run(desk.send("fay", "cancelAll", desk.account("fay"), 0))
        for step in range(moves):
            user, other = rng.sample(USERS, 2)
            mine, theirs, series = desk.account(user), desk.account(other), rng.choice((1, 2))
            size = rng.choice((-1, 1)) * rng.choice((100, 2_300, ONE))
            match step % 8:
                case 0 | 1 | 2:
                    price = 240 * DOLLAR + rng.randrange(-30, 30) * 10_000
                    self.run(desk.send(user, "placeOrder", order(mine, series, price, size)))
                case 3:
                    book = desk.world.orders_of(mine)
                    self.run(desk.send(user, "cancelOrder", mine, book[0].id if book else 1 << 32))
                case 4:
                    amount = rng.choice((DOLLAR, desk.world.accounts[mine].cash))
                    self.run(desk.send(user, "transfer", mine, theirs, max(0, amount)))
                case 5:
                    cash = max(0, desk.world.accounts[mine].cash)
                    self.run(
                        desk.send(user, "withdraw", mine, address(user), rng.choice((1, cash // 2, cash)))
                    )
                case 6:
                    limit = 2**64 - 1 if size > 0 else 0
                    self.run(desk.send(user, "tradeAmm", mine, series, size > 0, abs(size), limit))
                case _:
                    legs = [(1, 240 * DOLLAR, size), (2, 239 * DOLLAR, -size)]
                    quote = desk.signed_quote(other, theirs, mine, step + 1, legs)
                    self.run(desk.send(user, "fillQuote", *quote))
        desk.block(desk.deposit("eve", 850 * DOLLAR))
        eve, bob, alice = (desk.account(name) for name in ("eve", "bob", "alice"))
        self.run(desk.send("bob", "placeOrder", order(bob, 1, 300 * DOLLAR, ONE)))
        self.run(desk.send("eve", "placeOrder", order(eve, 1, 240 * DOLLAR, -ONE)))
        self.run(desk.send("alice", "placeOrder", order(alice, 1, 600 * DOLLAR, -4 * ONE)))
        self.run(desk.update(3_600 * DOLLAR, volatility=WAD * 9 // 10), marks=True)


@settings(max_examples=12, deadline=None)
@given(schedules, st.integers(0, 2**32))
def test_every_schedule_conserves_cash_and_margin(schedule: dict[str, int], seed: int) -> None:
    """I1 under any schedule: what is paid is earned, once, by kind, rounded up; and no account is short because of a fee."""
    Till(schedule).play(seed, 8)


@pytest.mark.long  # the ring of every day has a part of it
@settings(max_examples=25, deadline=None)
@given(schedules, st.integers(0, 2**32))
def test_many_schedules_conserve_cash_and_margin(schedule: dict[str, int], seed: int) -> None:
    """The same, longer and more often."""
    Till(schedule).play(seed, 40)


def test_a_crowd_pays_every_kind() -> None:
    """What the mutants are hunted with meets all kinds of fees but those of accounts and gas."""
    till = Till(DEAR)
    till.play(3, 16)
    paid = {kind for kind in FeeKind if till.owed[kind]}
    assert set(FeeKind) - {FeeKind.GAS, FeeKind.ACCOUNT} == paid
    now = till.desk.world.globals
    assert sum(till.owed) >= now.sequencer_fees > 0


DEAR = (
    {f"{name}_fee": 7 + place for place, name in enumerate(FLATS)}
    | {f"{name}_fee_ppm": 3_333 for name in RATES}
    | {"withdrawal_fee": 2 * DOLLAR}
)


def _vanishes(old: Any) -> Any:
    return fees.note


def _rounds_down(old: Any) -> Any:
    return lambda amount, ppm: amount * ppm // PARTS


def _asks_no_margin(old: Any) -> Any:
    return lambda world, context, number: 0


def _counts_nothing(old: Any) -> Any:
    return lambda world, kind, amount: None


def _counts_makers_as_takers(old: Any) -> Any:
    return lambda world, kind, taker, maker, premium: old(world, kind, taker + maker, 0, premium)


def _keeps_the_purse(old: Any) -> Any:
    def sweep(world: Any, context: Any, arguments: Any) -> bytes:
        purse = world.globals.block_fees
        old(world, context, arguments)
        world.globals = replace(world.globals, block_fees=purse)
        return b""

    return sweep


def _pays_the_fund_twice(old: Any) -> Any:
    def take(world: Any, context: Any, payer: int, fee: int) -> None:
        old(world, context, payer, fee)
        world.globals = replace(world.globals, insurance=world.globals.insurance + fee // 2)

    return take


@pytest.mark.parametrize(
    ("name", "made", "caught"),
    [
        ("_earn", _vanishes, "I1"),
        ("share", _rounds_down, "rounding"),
        ("shortfall", _asks_no_margin, "margin"),
        ("note", _counts_nothing, "earned"),
        ("note_trade", _counts_makers_as_takers, "earned"),
        ("take_liquidation", _pays_the_fund_twice, "I1"),
    ],
)
def test_a_mutant_is_caught(name: str, made: Callable[[Any], Any], caught: str) -> None:
    """Each of these mistakes breaks the property within one crowd."""
    with patched(fees, name, made), pytest.raises(AssertionError, match=caught):
        Till(DEAR).play(3, 16)


def test_a_sweep_that_keeps_the_purse_is_caught() -> None:
    """What the sequencer has and the purse still has would be owed twice."""
    table: Any = calls._APPLY
    old = table["sweepFees"]
    table["sweepFees"] = _keeps_the_purse(old)
    try:
        with pytest.raises(AssertionError, match="I1"):
            Till(DEAR).play(3, 8)
    finally:
        table["sweepFees"] = old


def test_who_has_not_the_margin_for_a_fee_is_refused_and_pays_nothing() -> None:
    """A withdrawal of everything fails by its fee; of the rest it succeeds; a cancel that frees nothing isn't done on margin's account."""
    desk = Desk(replace(MADE, withdrawal_fee=5 * DOLLAR, cancel_fee=DOLLAR))
    desk.block(desk.deposit("alice", 100 * DOLLAR))
    alice = desk.account("alice")
    executed = desk.block(desk.send("alice", "withdraw", alice, address("alice"), 100 * DOLLAR))
    assert (["InsufficientCash"], 100 * DOLLAR) == (errors_of(executed), desk.world.accounts[alice].cash)
    executed = desk.block(desk.send("alice", "withdraw", alice, address("alice"), 95 * DOLLAR))
    assert ([""], 0) == (errors_of(executed), desk.world.accounts[alice].cash)
    executed = desk.block(desk.send("alice", "cancelAll", alice, 0))
    assert (["InsufficientMargin"], 0) == (errors_of(executed), desk.world.accounts[alice].cash)
    assert 5 * DOLLAR == desk.world.globals.sequencer_fees + desk.world.globals.insurance


def test_what_l1_forces_costs_nothing() -> None:
    """A fee that nobody could pay doesn't keep anybody in."""
    desk = Desk(replace(MADE, withdrawal_fee=10**15, cancel_fee=10**15, transfer_fee=10**15))
    desk.block(desk.deposit("alice", 100 * DOLLAR))
    alice, target = desk.account("alice"), BY_NAME["withdraw"].target
    everything = call_data("withdraw", alice, address("alice"), 100 * DOLLAR)
    executed = desk.block(desk.deposit("alice", 0, to=target, data=everything))
    assert ([""], 0, ()) == (
        errors_of(executed),
        desk.world.accounts[alice].cash,
        desk.world.earnings.amounts[:0],
    )
    assert not any(desk.world.earnings.amounts)


@pytest.mark.parametrize("call", ["transfer", "deposit", "payPledge", "value"])
def test_cash_that_goes_to_another_account_costs_the_same_on_every_way(call: str) -> None:
    """By a transfer, with a call that is meant for L1's deposits, or as plain value: the sender's own fee; what L1 sends is free."""
    desk = Desk(replace(MADE, transfer_fee=7))
    desk.block(desk.deposit("alice", 100), desk.deposit("bob", 1))
    alice, bob = desk.account("alice"), desk.account("bob")
    arguments = {"transfer": (alice, bob, 40), "deposit": (bob,), "payPledge": (bob, bytes(32), bytes(32))}
    value = 0 if call == "transfer" else 40 * WEI_PER_CASH
    if call == "value":
        raw = _plain(desk, "alice", "bob", value)
    else:
        raw = desk.send("alice", call, *arguments[call], value=value)
    assert [""] == errors_of(desk.block(raw))
    assert (53, 41) == (desk.world.accounts[alice].cash, desk.world.accounts[bob].cash)
    assert 7 == desk.world.earnings.amounts[FeeKind.TRANSFER]
    forced = {"to": address("bob")} if call == "value" else {
        "to": BY_NAME[call].target, "data": call_data(call, *arguments[call])
    }  # fmt: skip
    assert [""] == errors_of(desk.block(desk.deposit("alice", 0, value=value, **forced)))
    assert (13, 81) == (desk.world.accounts[alice].cash, desk.world.accounts[bob].cash)


def _plain(desk: Desk, sender: str, receiver: str, wei: int) -> bytes:
    known = desk.world.addresses
    nonce = next(one.nonce for some in known.values() for one in some if one.address == address(sender))
    unsigned = UnsignedTransaction(
        desk.parameters.chain_id, nonce, 0, 0, 100_000, address(receiver), b"", wei
    )
    return sign_transaction(unsigned, key_of(sender))


def test_a_liquidations_fee_is_shared_twice() -> None:
    """Half of it, rounded up, is the fund's at once; of the rest it has its share of any fee, so the sequencer keeps 40 parts of a hundred."""
    desk = Desk(MADE)
    desk.block(desk.deposit("alice", 5_000))
    context = Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))
    fees.take_liquidation(desk.world, context, desk.account("alice"), 1_001)
    now = desk.world.globals
    assert (501, 500, 0) == (now.insurance, now.block_fees, now.sequencer_fees)
    desk.block()
    now = desk.world.globals
    assert (601, 0, 400) == (now.insurance, now.block_fees, now.sequencer_fees)
    assert 1_001 == desk.world.earnings.amounts[FeeKind.LIQUIDATION]


def test_actions_pay_for_what_they_carry_each_by_itself() -> None:
    """The account that an action is about pays, not who brings it; of several, one that is refused pays nothing."""
    desk = Desk(replace(MADE, transfer_fee=3))
    desk.block(desk.deposit("alice", 100), desk.deposit("bob", 100), desk.deposit("relay", 0, wei=1))
    alice, bob = desk.account("alice"), desk.account("bob")
    members = [("alice", alice, nonce, "transfer", (alice, bob, 40)) for nonce in (1, 2, 3)]
    desk.block(desk.act("relay", *members))
    assert (14, 180) == (desk.world.accounts[alice].cash, desk.world.accounts[bob].cash)
    assert 6 == desk.world.earnings.amounts[FeeKind.TRANSFER]


def test_gas_never_takes_an_account_below_its_margin() -> None:
    """Cash that margin needs pays no gas: the transaction isn't in the block, and the account is as it was."""
    parameters = Parameters(901, {1: MARKET}, gas_free=False, signers_needed=2)
    desk = Desk(parameters)
    desk.block(desk.deposit("alice", 1_000 * DOLLAR), desk.deposit("bob", 50_000 * DOLLAR), desk.deposit("lister", DOLLAR), desk.deposit("pusher", DOLLAR))  # fmt: skip
    desk.block(desk.update(3_000 * DOLLAR))
    desk.block(desk.send("lister", "listSeries", SYMBOL, EXPIRY, 3_000 * DOLLAR, True))
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, 1, 240 * DOLLAR, ONE)),
        desk.send("alice", "placeOrder", order(alice, 1, 240 * DOLLAR, -ONE)),
    )
    context = Context(parameters, 9, desk.timestamp, Risks(desk.world))
    surplus = margin_of(desk.world, context, alice).surplus
    assert surplus > 0
    cash = desk.world.accounts[alice].cash

    def priced(gas_price: int) -> bytes:
        call = BY_NAME["cancelAll"]
        unsigned = UnsignedTransaction(
            901, 2, gas_price, gas_price, 1_000_000, call.target, call_data("cancelAll", alice, 0)
        )
        return sign_transaction(unsigned, key_of("alice"))

    dear = desk.block(priced((surplus + 1) * WEI_PER_CASH // 1_000_000))
    assert ("invalid", cash) == (dear.results[0].status, desk.world.accounts[alice].cash)
    assert "margin" in dear.results[0].reason
    fair = desk.block(priced(surplus * WEI_PER_CASH // 1_000_000))
    assert ("success", True) == (fair.results[0].status, desk.world.accounts[alice].cash < cash)
    assert [] == violations(desk.world)
