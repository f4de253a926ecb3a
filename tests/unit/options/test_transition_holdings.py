"""The table of what accounts hold, kept from block to block: whatever happens to the world, who is due is who the rule names."""

import random
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.risk.scan import missing
from rollup_node.engines.options.risk.testing import NOW, TERMS, oracle, risks_of
from rollup_node.engines.options.state.leaves import Account, Oracle, Series
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transition import holdings
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.holdings import Holdings
from rollup_node.engines.options.transition.liquidation import due
from rollup_node.engines.options.transition.margins import LIQUIDATING, Risks, final_row, margin_of
from rollup_node.engines.options.transition.testing import PARAMETERS
from rollup_node.engines.options.values import INT64_MAX, INT64_MIN, PRICE_UNIT

ROWS: Final = {series: risk.row for series, risk in risks_of().items()}
SETTLED: Final = (4, 5, 16)
SIZES: Final = (1, 300, 10_000, 10**6, 10**6, 10**9, 2**53 + 1, INT64_MAX)
CASH: Final = (0, -1, INT64_MAX, INT64_MIN, INT64_MAX // 2 + 1, 2**70, -(2**70))


def market() -> World:
    """Two underlyings with two expiries each, four strikes at each; three of the series have settled."""
    world = World()
    for terms in TERMS:
        settled = terms.series in SETTLED
        world.series[terms.series] = Series(
            terms.underlying, terms.expiry, terms.strike, terms.is_call, 1, 1, status=2 if settled else 0
        )
        row = ROWS[terms.series]
        world.risk[terms.series] = final_row(row.mark, 1) if settled else row
    for number in range(2):
        said = oracle(number)
        world.oracles[number] = Oracle(
            (),
            timestamp=NOW,
            spot=said.spot,
            discount=said.discount,
            confidence=said.confidence,
            forwards=tuple(said.forwards.items()),
            volatilities=tuple(
                sorted(
                    {
                        (one.expiry, one.strike, said.volatilities[one.series])
                        for one in TERMS
                        if one.underlying == number
                    }
                )
            ),
        )
    return world


def someone(chance: random.Random, world: World, number: int) -> Account:
    """An account at random, with cash of any size: often what its margin asks for, give or take what rounding makes of it."""
    most, first = chance.choice(SIZES), chance.choice((0, 8, 16, 24))
    listed = chance.choice(
        (range(len(TERMS)), range(first, first + 8))
    )  # of one expiry, positions hedge each other
    held = sorted(chance.sample(listed, chance.choice((0, 1, 2, 4, 8))))
    sign = chance.choice(((1,), (-1,), (1, -1), (1, -1)))
    positions = tuple((one, chance.choice(sign) * chance.randint(1, most)) for one in held)
    locked, due = (chance.choice((0, 0, 0, 0, 10**8)) for _ in range(2))
    found = Account(
        bytes(20),
        cash=chance.choice((*CASH, *[chance.randint(-(10**11), 10**12)] * 7)),
        reserved=chance.choice((0, 0, 0, 10**8)),
        portfolio=chance.random() < 0.5,
        flags=chance.choice((0, 0, 0, 0, LIQUIDATING)),
        positions=positions,
        locks=positions[:1] if locked else (),
        locked=locked,
        due=due,
    )
    if not positions or chance.random() < 0.4:
        return found
    mark = world.mark()
    world.accounts[number] = found
    now = margin_of(world, _context(world), number)
    world.undo(mark)
    return replace(found, cash=found.cash + now.maintenance - now.equity + chance.randint(-2, 1))


def named_by_the_rule(world: World, context: Context) -> list[int]:
    """Account by account, in Python's integers."""
    found = []
    for number, account in world.accounts.items():
        if account.flags & LIQUIDATING or account.positions or account.cash < 0:
            one = margin_of(world, context, number)
            if account.flags & LIQUIDATING or one.liquidatable:
                found.append((-missing(one.equity, one.maintenance), number))
    return [number for _, number in sorted(found)]


def history(seed: int, steps: int = 8) -> int:
    """Change, undo, seal and rewind a world at random, and ask each time who is due; how many those were."""
    chance, world, met = random.Random(seed), market(), 0
    world.seal(0)
    places: list[tuple[int, int | None]] = [(world.mark(), 0)]
    for step in range(1, steps + 1):
        for _ in range(chance.randint(0, 4)):
            number = chance.randint(1, 12)
            world.accounts[number] = someone(chance, world, number)
        what = chance.choice(("mark", "seal", "back", "back", "rows", "gone", "paid"))
        if what == "mark":
            places.append((world.mark(), None))
        elif what == "seal":
            world.seal(step)
            places.append((world.mark(), step))
        elif what == "back":
            _go_back(world, places, chance.randrange(len(places)))
        else:
            _change(chance, world, what)
        expected = named_by_the_rule(world, _context(world))
        assert expected == due(world, _context(world)), f"seed {seed}, step {step}: {what}"
        met += len(expected)
    return met


def _go_back(world: World, places: list[tuple[int, int | None]], place: int) -> None:
    mark, sealed = places[place]
    del places[place + 1 :]
    if sealed is None:
        world.undo(mark)
    else:
        world.rewind(sealed)


def _change(chance: random.Random, world: World, what: str) -> None:
    if what == "rows":
        moved = chance.choice([series for series in ROWS if series not in SETTLED])
        world.risk[moved] = replace(ROWS[moved], mark=chance.randint(0, 4_000 * PRICE_UNIT))
    elif world.accounts:
        number = chance.choice(list(world.accounts))
        account = replace(world.accounts[number], cash=chance.randint(-(10**12), 10**12))
        if what == "gone":
            del world.accounts[number]
        if what == "paid" or chance.random() < 0.5:  # what was gone is at another place now
            world.accounts[number] = account


def _context(world: World) -> Context:
    return Context(PARAMETERS, 9, NOW, Risks(world), moved=True)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32))
def test_who_is_due_is_who_the_rule_names_however_the_world_came_about(seed: int) -> None:
    """With a table that is never made anew: in both modes, at any size, with locked legs, dues, flags, debts and settled series."""
    history(seed)


@pytest.mark.long
def test_it_is_over_many_histories() -> None:
    """The same at length; enough of those met are due that it means something."""
    assert sum(history(seed, 16) for seed in range(300)) > 3_000


def _reads_each_account_once(old: Callable[[object, object], bool]) -> Callable[[object, object], bool]:
    known: list[object] = []

    def differs(account: object, read: object) -> bool:
        new = old(account, read) and not any(account is one for one in known)
        known.append(account)
        return new

    return differs


def _counts_changes(old: Callable[[object, object], bool]) -> Callable[[Any, Any], bool]:
    return lambda account, read: old(account, read) and account.positions != read.positions


def _keeps_what_nobody_holds(old: Any) -> Any:
    def read(table: Holdings, rows: Any, accounts: Any) -> None:
        before = table.quantities[rows]
        old(table, rows, accounts)
        if before.shape == table.quantities[rows].shape:
            table.quantities[rows] += before * (table.quantities[rows] == 0)

    return read


MUTANTS: list[tuple[Any, str, Callable[[Any], Any]]] = [
    (holdings, "is_not", _reads_each_account_once),
    (holdings, "is_not", _counts_changes),
    (Holdings, "_read", _keeps_what_nobody_holds),
]


@pytest.mark.parametrize(("target", "name", "made"), MUTANTS, ids=[one[2].__name__[1:] for one in MUTANTS])
def test_a_mutant_is_caught(target: Any, name: str, made: Callable[[Any], Any]) -> None:
    """A table that misses a change, or what an undo brought back: within a few histories someone else is due."""
    with patched(target, name, made), pytest.raises(AssertionError, match="seed"):
        sum(map(history, range(100)))


def test_a_table_belongs_to_its_world_and_goes_with_it() -> None:
    """A restored world starts with a table of its own; the other's is let go of with it."""
    one, other = market(), market()
    short = Account(bytes(20), cash=0, positions=((0, -10_000),))
    one.accounts[1] = other.accounts[2] = short
    assert ([1], [2]) == (due(one, _context(one)), due(other, _context(other)))
    table = weakref.ref(holdings.holdings(one))
    one.forget_past()  # changes name their tables: without them nothing goes round in circles
    del one
    assert table() is None


def test_only_rows_that_changed_are_read() -> None:
    """What the table is kept for: a block reads those whose accounts are other objects than before, and nothing when there are none."""
    world = market()
    for number in range(1, 6):
        world.accounts[number] = Account(bytes(20), positions=((number, 1),))
    read: list[list[int]] = []

    def noted(old: Any) -> Any:
        def inner(table: Holdings, rows: Any, accounts: Any) -> None:
            read.append(rows.tolist())
            old(table, rows, accounts)

        return inner

    with patched(Holdings, "_read", noted):
        holdings.holdings(world)
        mark = world.mark()
        world.accounts[3] = replace(world.accounts[3], cash=1)
        world.accounts[9] = Account(bytes(20))
        holdings.holdings(world)
        world.undo(mark)
        holdings.holdings(world)
        holdings.holdings(world)
    assert [[0, 1, 2, 3, 4], [2, 5], [2]] == read


def test_a_series_that_was_never_listed_is_not_asked_about() -> None:
    """Listing, buyer and seller are taken back together, and nobody else has changed."""
    world = market()
    world.accounts[1] = Account(bytes(20), positions=((3, -1),))
    before, mark = due(world, _context(world)), world.mark()
    world.series[40], world.risk[40] = world.series[0], world.risk[0]
    for number, quantity in ((2, 1), (3, -1)):
        world.accounts[number] = Account(bytes(20), positions=((40, quantity),))
    assert [1, 3] == sorted(due(world, _context(world)))
    world.undo(mark)
    assert before == due(world, _context(world)) == [1]
    assert [3] == holdings.holdings(world).series.tolist()
