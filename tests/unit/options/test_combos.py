"""Locked combos: entry at the strategy's loss, legs that can't be closed alone, release, settlement over rollups, and what is refused."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bridge.wire.errors import Malformed
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads import portfolio
from rollup_node.engines.options.risk.comparison import compare
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.transactions.decode import decode_call
from rollup_node.engines.options.transactions.interfaces import EXCHANGE
from rollup_node.engines.options.transition.block import Executed
from rollup_node.engines.options.transition.combos import State
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, margin_of
from rollup_node.engines.options.transition.testing import Desk, address, call_data, order
from rollup_node.engines.options.transition.testing_combos import Rollups, Side
from rollup_node.engines.options.transition.testing_invariants import violations
from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT

BEAR_CALL: list[Side] = [(901, 3_000, True, -1), (902, 3_200, True, 1)]
CONDOR: list[Side] = [
    (902, 2_600, False, 1),
    (901, 2_800, False, -1),
    (901, 3_200, True, -1),
    (902, 3_400, True, 1),
]
MANY: list[Side] = [(chain, strike, is_call, 20 * size) for chain, strike, is_call, size in CONDOR]


def _sound(rollups: Rollups) -> None:
    for desk in rollups.desks.values():
        assert [] == violations(desk.world)


def _context(desk: Desk) -> Context:
    return Context(desk.parameters, desk.number, desk.timestamp, Risks(desk.world))


def _surplus(rollups: Rollups, chain: int) -> int:
    desk = rollups.desks[chain]
    return margin_of(desk.world, _context(desk), desk.account("alice")).surplus


def _locked(sides: Sequence[Side] = BEAR_CALL) -> tuple[Rollups, bytes]:
    rollups = Rollups()
    name, reasons = rollups.run(rollups.locks(sides))
    assert [] == reasons
    return rollups, name


def _held(account: Account) -> dict[int, int]:
    return dict(account.positions)


def test_a_combo_is_entered_and_locked_at_its_loss() -> None:
    """Twenty condors take 4,000 dollars of an account of 5,000: the legs alone would ask for 19,000."""
    rollups, _ = _locked(MANY)
    short, long = rollups.account(901), rollups.account(902)
    assert 4_000 * PRICE_UNIT == short.locked
    assert 0 == long.locked
    assert short.positions == short.locks
    assert long.positions == long.locks
    assert _surplus(rollups, 901) >= 0
    alone = Rollups((901,))
    desk, series = alone.desks[901], alone.series[3_200, True]
    sell = desk.send("alice", "tradeAmm", desk.account("alice"), series, False, 20 * QUANTITY_UNIT, 0)
    _, reasons = alone.run({901: [sell]})
    assert ["InsufficientMargin"] == [reason.split("(")[0] for reason in reasons]
    _sound(rollups)


def test_two_sides_of_a_condor_on_one_rollup_ask_for_one_width() -> None:
    """They can't both lose, and their cash is one account's."""
    rollups, _ = _locked(CONDOR)
    assert 200 * PRICE_UNIT == rollups.account(901).locked


def test_a_spread_that_is_whole_on_one_rollup_asks_for_no_more_than_unlocked() -> None:
    """There its legs hedge each other anyway; a lock over rollups mustn't make them dearer."""
    sides = [(901, 2_600, False, 1), (901, 2_800, False, -1), (902, 3_200, True, -1), (902, 3_400, True, 1)]
    rollups, name = _locked(sides)
    locked = [_surplus(rollups, chain) for chain in rollups.desks]
    assert [] == rollups.run(rollups.unlocks(sides, name))[1]
    free = [_surplus(rollups, chain) for chain in rollups.desks]
    assert all(one >= other for one, other in zip(locked, free, strict=True))


@pytest.mark.parametrize(
    "sides",
    [
        BEAR_CALL,
        CONDOR,
        [(901, 2_600, False, 1), (901, 2_800, False, -1), (902, 3_200, True, -1), (902, 3_400, True, 1)],
    ],
)
def test_what_the_rollups_ask_for_is_what_the_comparison_says(sides: list[Side]) -> None:
    """``rollnet strategy show --margin`` has its figures from a pure function; the state transition comes to the same."""
    rollups, _ = _locked(sides)
    chains = list(dict.fromkeys(chain for chain, *_ in sides))
    desk = rollups.desks[chains[0]]
    context = _context(desk)
    risks = {number: context.risks[number] for number in rollups.series.values()}
    series = [rollups.series[strike, is_call] for _, strike, is_call, _ in sides]
    legs = [
        (side[3] * QUANTITY_UNIT, risks[number].terms) for side, number in zip(sides, series, strict=True)
    ]
    said = compare(legs, risks, [chain for chain, *_ in sides])
    for chain, part in zip(chains, said.parts, strict=True):
        one = rollups.desks[chain]
        found = margin_of(one.world, _context(one), one.account("alice"))
        account = rollups.account(chain)
        marks = sum(
            -(-quantity * risks[number].mark // QUANTITY_UNIT) for number, quantity in account.positions
        )
        asked = account.cash - (found.equity - found.maintenance)
        assert part.locked == pytest.approx(max(asked + marks, 0), abs=3)


def test_a_locked_leg_cannot_be_sold() -> None:
    """Neither to the market maker nor in the book."""
    rollups, _ = _locked()
    desk = rollups.desks[902]
    mine, series = desk.account("alice"), rollups.series[3_200, True]
    mark = desk.world.risk[series].mark // 10_000 * 10_000
    assert [f"LegLocked({mine}, {series})"] == rollups.single(
        902, desk.send("alice", "tradeAmm", mine, series, False, QUANTITY_UNIT, 0)
    )
    rollups.single(
        902, desk.send("bob", "placeOrder", order(desk.account("bob"), series, mark, QUANTITY_UNIT))
    )
    assert [f"LegLocked({mine}, {series})"] == rollups.single(
        902, desk.send("alice", "placeOrder", order(mine, series, mark, -QUANTITY_UNIT))
    )
    assert 1 == desk.world.count_orders(desk.account("bob"))  # whose order doesn't suffer from it
    assert {series: QUANTITY_UNIT} == _held(rollups.account(902))
    _sound(rollups)


def test_a_locked_long_is_worth_nothing_to_its_account() -> None:
    """It can't be borrowed against: what it pays belongs to the short leg's rollup."""
    rollups, _ = _locked()
    assert rollups.account(902).cash == _surplus(rollups, 902)


def test_what_the_credit_leaves_can_be_withdrawn_and_no_more() -> None:
    """All cash but the maximum loss."""
    rollups, _ = _locked()
    desk, cash = rollups.desks[901], rollups.account(901).cash
    mine = desk.account("alice")
    most = cash - 200 * PRICE_UNIT
    assert [] == rollups.single(901, desk.send("alice", "withdraw", mine, address("alice"), most))
    (reason,) = rollups.single(901, desk.send("alice", "withdraw", mine, address("alice"), 1))
    assert reason.startswith("InsufficientMargin")


def test_a_combo_is_freed_everywhere_or_nowhere() -> None:
    """Free legs are margined alone again; where that can't be, the combo stays locked on all its rollups."""
    rollups, name = _locked()
    assert ([], []) == (
        rollups.run(rollups.unlocks(BEAR_CALL, name))[1],
        list(rollups.desks[902].world.combos),
    )
    assert ((), 0) == (rollups.account(901).locks, rollups.account(901).locked)
    rollups, name = _locked(MANY)
    _, reasons = rollups.run(rollups.unlocks(MANY, name))
    assert ["InsufficientMargin"] == [reason.split("(")[0] for reason in reasons]
    assert rollups.account(902).locks
    _sound(rollups)


@pytest.mark.parametrize("dollars", [2_000, 2_750, 3_000, 3_100, 3_250.5, 9_000])
def test_settlement_pays_longs_where_they_are_pledged(dollars: float) -> None:
    """The short's rollup is owed exactly what the long's sends, and ends with what one account with all legs would have."""
    rollups, _ = _locked(CONDOR)
    before = {chain: rollups.account(chain).cash for chain in rollups.desks}
    ended = rollups.expire(dollars)
    owed = rollups.account(901).due
    paid = max(2_600 - dollars, 0) + max(dollars - 3_400, 0)
    assert paid * PRICE_UNIT == owed
    assert before[902] == rollups.account(902).cash
    deposits = rollups.carried(ended)
    assert bool(owed) == bool(deposits[901])
    for raw in deposits[901]:
        assert [] == rollups.single(901, raw)
    payoff = paid - max(2_800 - dollars, 0) - max(dollars - 3_200, 0)
    assert (payoff * PRICE_UNIT, 0) == (rollups.account(901).cash - before[901], rollups.account(901).due)
    assert all(not desk.world.combos for desk in rollups.desks.values())
    _sound(rollups)


def test_an_account_that_is_owed_is_not_liquidated_and_cannot_spend_it() -> None:
    """Its cash is below zero until the other rollup has paid; then it has all of it."""
    rollups, _ = _locked(BEAR_CALL)
    desk, mine = rollups.desks[901], rollups.desks[901].account("alice")
    spare = rollups.account(901).cash - 200 * PRICE_UNIT
    rollups.single(901, desk.send("alice", "withdraw", mine, address("alice"), spare))
    ended = rollups.expire(9_000)
    assert (-5_800 * PRICE_UNIT, 5_800 * PRICE_UNIT) == (rollups.account(901).cash, rollups.account(901).due)
    found = margin_of(desk.world, _context(desk), mine)
    assert (False, True) == (found.liquidatable, found.surplus < 0)
    rollups.single(901)
    assert not rollups.account(901).flags & LIQUIDATING
    rollups.single(901, *rollups.carried(ended)[901])
    assert (0, 0) == (rollups.account(901).cash, rollups.account(901).due)
    _sound(rollups)


def test_a_payment_that_is_early_counts_and_one_that_is_late_is_not_lost() -> None:
    """Rollups don't settle in the same instant; and a rollup that is silent for too long isn't counted on."""
    rollups, _ = _locked(BEAR_CALL)
    carried = rollups.carried({902: _expire(rollups, 902)})
    assert [] == rollups.single(901, *carried[901])
    _expire(rollups, 901)
    assert (0, {}) == (rollups.account(901).due, dict(rollups.desks[901].world.combos))
    rollups, _ = _locked(BEAR_CALL)
    ended = rollups.expire(9_000)
    before = rollups.account(901).cash
    rollups.single(901, seconds=rollups.desks[901].parameters.pledge_seconds)
    assert 0 == rollups.account(901).due
    rollups.single(901, *rollups.carried(ended)[901])
    assert before + 5_800 * PRICE_UNIT <= rollups.account(901).cash
    _sound(rollups)


def _expire(rollups: Rollups, chain: int) -> Executed:
    both = rollups.desks
    rollups.desks = {chain: both[chain]}
    ended = rollups.expire(9_000)[chain]
    rollups.desks = both
    return ended


def _change(sides: list[Side], place: int, **changes: int) -> list[Side]:
    chain, strike, is_call, size = sides[place]
    changed = (changes.get("chain", chain), changes.get("strike", strike), is_call, changes.get("size", size))
    return [*sides[:place], changed, *sides[place + 1 :]]


@pytest.mark.parametrize(
    ("sides", "error"),
    [
        (_change(BEAR_CALL, 1, size=-1), "NotACombo"),
        (_change(BEAR_CALL, 0, size=-2), "NotACombo"),
        (_change(BEAR_CALL, 1, size=0), "NotACombo"),
        ([*BEAR_CALL, BEAR_CALL[1]], "NotACombo"),
    ],
    ids=["all short", "more short than long", "nothing", "a leg twice"],
)
def test_legs_without_a_maximum_loss_are_refused(sides: list[Side], error: str) -> None:
    """On every rollup alike."""
    rollups = Rollups()
    _, reasons = rollups.run(rollups.locks(sides, trade=False))
    assert [error] * 2 == [reason.split("(")[0] for reason in reasons]


def test_what_one_does_not_hold_cannot_be_locked() -> None:
    """Nothing, too little, or what another combo holds already: and the other rollup's half doesn't happen either."""
    rollups = Rollups()
    _, reasons = rollups.run(rollups.locks(BEAR_CALL, trade=False))
    assert ["LegMissing", "LegMissing"] == [reason.split("(")[0] for reason in reasons]
    rollups.run(rollups.locks(BEAR_CALL))
    _, reasons = rollups.run(rollups.locks(BEAR_CALL, trade=False))
    assert ["LegMissing", "LegMissing"] == [reason.split("(")[0] for reason in reasons]
    half = [(901, 3_000, True, -1), (902, 3_200, True, 1)]
    bought = rollups.trades(901, [(901, 3_000, True, -1)])
    desk = rollups.desks[901]
    assert [] == rollups.single(901, desk.send("alice", "tradeAmm", *_arguments(bought[0])))
    _, reasons = rollups.run(rollups.locks(half, trade=False))  # here there is one more, there not
    assert ["LegMissing"] == [reason.split("(")[0] for reason in reasons]
    assert 1 == len(desk.world.combos)
    _sound(rollups)


def _arguments(data: bytes) -> Sequence[object]:
    return decode_call(EXCHANGE, data).arguments


def test_a_lock_without_its_twin_is_no_bundle() -> None:
    """One rollup's half alone, twice, with other words, or with another's calldata under the same nonce: derivation knows none of them."""
    rollups = Rollups()
    both = rollups.locks(BEAR_CALL)
    for parts in ({901: both[901]}, {902: both[902]}, {901: both[901], 902: rollups.locks(CONDOR)[902]}):
        with pytest.raises(Malformed, match="every rollup that a combo names"):
            rollups.run(parts)
    desk = rollups.desks[901]
    twice = [desk.send("alice", "lockCombo", rollups.legs(BEAR_CALL), rollups.heard, ())]
    with pytest.raises(Malformed, match="once"):
        rollups.run({901: [*both[901], *twice], 902: both[902]})
    desk.block()  # nonces anew
    plain = rollups.desks[902].send("alice", "transfer", 1, 1, 0, nonce=0)
    with pytest.raises(Malformed, match="every rollup that a combo names"):
        rollups.run({901: both[901], 902: [plain]})
    name, _ = rollups.run(both)
    with pytest.raises(Malformed, match="unlocks a combo of rollups"):
        rollups.run({902: rollups.unlocks(BEAR_CALL, name)[902]})


def test_only_an_owner_locks_and_only_in_a_bundle() -> None:
    """Not alone, not as an action, not for somebody else, not with a rollup that isn't of the set."""
    rollups = Rollups()
    desk = rollups.desks[901]
    mine = desk.account("alice")
    assert ["OnlyInBundle()"] == rollups.single(901, *rollups.locks(BEAR_CALL)[901])
    arguments = (rollups.legs(BEAR_CALL), rollups.heard, ())
    action = desk.act("bob", ("alice", mine, 1, "lockCombo", arguments))
    _, reasons = rollups.run({901: [action]})
    assert ["OnlyInBundle()"] == reasons
    legs = rollups.legs(BEAR_CALL)
    parts = {
        chain: [one.send("bob", "lockCombo", legs, rollups.heard, ())] for chain, one in rollups.desks.items()
    }
    assert ["NotAuthorized"] * 2 == [reason.split("(")[0] for reason in rollups.run(parts)[1]]
    legs = (legs[0], (10, *legs[1][1:]))
    foreign = desk.send("alice", "lockCombo", legs, rollups.heard, ())
    with pytest.raises(Malformed):
        rollups.run({901: [foreign]})
    single = desk.block(*desk.bundle(foreign, name=b"\1" * 32))
    assert ["UnknownRollup(10)"] == [one.reason for one in single.results if one.reason]


def test_strangers_do_not_unlock_and_unknown_combos_are_refused() -> None:
    """The owner's signature, the right name, the right legs."""
    rollups, name = _locked()
    legs = rollups.legs(BEAR_CALL)
    stranger = {
        chain: [one.send("bob", "unlockCombo", legs, 1, name)] for chain, one in rollups.desks.items()
    }
    assert ["NotAuthorized"] * 2 == [reason.split("(")[0] for reason in rollups.run(stranger)[1]]
    _, reasons = rollups.run(rollups.unlocks(BEAR_CALL, b"\7" * 32))
    assert ["UnknownCombo"] * 2 == [reason.split("(")[0] for reason in reasons]
    _, reasons = rollups.run(rollups.unlocks(BEAR_CALL[::-1], name))
    assert ["UnknownCombo"] * 2 == [reason.split("(")[0] for reason in reasons]


def test_old_and_unheard_words_of_the_oracle_are_refused() -> None:
    """All rollups of a combo have the snapshot that it was chosen by, and not long ago."""
    rollups = Rollups()
    legs, heard = rollups.legs(BEAR_CALL), rollups.heard
    for snapshot in (heard + 1, heard):
        if snapshot == heard:
            for chain, desk in rollups.desks.items():
                desk.timestamp += desk.parameters.max_snapshot_age
                rollups.single(chain, desk.update(3_000 * PRICE_UNIT))
        parts = {
            chain: [one.send("alice", "lockCombo", legs, snapshot, ())]
            for chain, one in rollups.desks.items()
        }
        assert ["SnapshotMissed"] * 2 == [reason.split("(")[0] for reason in rollups.run(parts)[1]]


def test_expired_series_are_neither_locked_nor_freed() -> None:
    """From the expiry on, a combo is settled."""
    rollups, name = _locked()
    rollups.expire(3_000)
    _, reasons = rollups.run(rollups.locks(BEAR_CALL, trade=False))
    assert ["SeriesExpired"] * 2 == [reason.split("(")[0] for reason in reasons]
    _, reasons = rollups.run(rollups.unlocks(BEAR_CALL, name))
    assert ["UnknownCombo"] * 2 == [reason.split("(")[0] for reason in reasons]


def test_only_trades_come_with_a_lock() -> None:
    """The deferred margin is for what the lock then secures; nothing else slips through with it."""
    rollups = Rollups()
    desk = rollups.desks[901]
    legs, snapshot = rollups.legs(BEAR_CALL), rollups.heard
    cancel = call_data("cancelAll", desk.account("alice"), 0)
    parts = {
        chain: [one.send("alice", "lockCombo", legs, snapshot, (cancel,))]
        for chain, one in rollups.desks.items()
    }
    assert ["UnknownFunction"] * 2 == [reason.split("(")[0] for reason in rollups.run(parts)[1]]


def test_liquidation_leaves_locked_legs_alone() -> None:
    """What is free is sold; the combo's rollups keep their halves, and settle them."""
    rollups, _ = _locked()
    desk = rollups.desks[901]
    mine, naked = desk.account("alice"), rollups.series[3_400, True]
    sell = desk.send("alice", "tradeAmm", mine, naked, False, 6 * QUANTITY_UNIT, 0)
    assert [] == rollups.single(901, sell)
    offer = order(desk.account("bob"), naked, 700 * PRICE_UNIT, -20 * QUANTITY_UNIT)
    rollups.single(901, desk.send("bob", "placeOrder", offer))
    rollups.single(901, desk.update(4_000 * PRICE_UNIT), seconds=2)
    for _ in range(12):
        rollups.single(901)
    account = rollups.account(901)
    assert -QUANTITY_UNIT == _held(account)[rollups.series[3_000, True]]
    assert abs(_held(account).get(naked, 0)) < 6 * QUANTITY_UNIT
    assert State.LOCKED == next(iter(desk.world.combos.values())).state
    _sound(rollups)


def test_short_legs_that_would_ask_for_less_alone_can_be_sold_in_a_liquidation() -> None:
    """A width of 1,000: margined alone until that is dear, and then closed like any other; the pledge still comes."""
    sides: list[Side] = [(901, 3_000, True, -1), (902, 4_000, True, 1)]
    rollups = Rollups(strikes=(3_000, 4_000))
    assert [] == rollups.run(rollups.locks(sides))[1]
    desk, series = rollups.desks[901], rollups.series[3_000, True]
    mine = desk.account("alice")
    found = margin_of(desk.world, _context(desk), mine)
    assert found.initial < 1_000 * PRICE_UNIT == rollups.account(901).locked
    desk.block(desk.send("alice", "withdraw", mine, address("alice"), found.surplus))
    offer = order(desk.account("bob"), series, 440 * PRICE_UNIT, -QUANTITY_UNIT)
    rollups.single(901, desk.send("bob", "placeOrder", offer))
    rollups.single(901, desk.update(3_300 * PRICE_UNIT), seconds=2)
    for _ in range(8):
        rollups.single(901)
    account = rollups.account(901)
    assert account.cash >= 0
    assert ((), 0) == (account.locks, account.locked)
    assert abs(_held(account).get(series, 0)) < QUANTITY_UNIT
    assert rollups.account(902).locks
    ended = rollups.expire(5_000)
    before = rollups.account(901).cash
    rollups.single(901, *rollups.carried(ended)[901])
    assert before + 1_000 * PRICE_UNIT == rollups.account(901).cash
    _sound(rollups)


def test_reads_tell_what_is_locked_where_it_is_pledged_and_what_is_owed() -> None:
    """``options_getCombos`` on both rollups, before and after settlement."""

    def told(rollups: Rollups, chain: int) -> list[dict[str, Any]]:
        desk = rollups.desks[chain]
        return portfolio.combos(cast("Any", SimpleNamespace(world=desk.world)), desk.account("alice"))

    rollups, name = _locked()
    (short,), (long,) = told(rollups, 901), told(rollups, 902)
    assert (short["name"], short["legsHash"]) == (to_hex(name), long["legsHash"])
    assert ("locked", str(200 * PRICE_UNIT), "0") == (short["state"], short["required"], long["required"])
    pledge = {"strike": str(3_200 * PRICE_UNIT), "isCall": True, "quantity": str(QUANTITY_UNIT)}
    for one, direction, other in ((short, "is paid", 902), (long, "pays", 901)):
        where = {"chainId": other, "account": rollups.desks[other].account("alice")}
        series = one["legs"][0]["series"]
        assert [{"direction": direction, "series": series, **where, **pledge}] == one["pledges"]
    rollups.expire(9_000)
    (owed,) = told(rollups, 901)
    assert ("owed", str(5_800 * PRICE_UNIT), []) == (owed["state"], owed["due"], owed["legs"])
    assert [] == told(rollups, 902)
