"""Each invariant is there because a mutant breaks it: a seeded crowd hunts them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rollup_node.engines.options.book import matching
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transition import (
    accounts,
    block,
    calls,
    insurance,
    liquidation,
    orders,
    settlement,
    trading,
)
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import margin_of
from rollup_node.engines.options.transition.testing_floor import crowd


def _free_premium(old: Any) -> Any:
    def make(
        world: World,
        context: Context,
        series: int,
        taker: int,
        maker: int,
        price: int,
        quantity: int,
        *kind: Any,
    ) -> Any:
        accounts.credit(world, maker, 1)
        return old(world, context, series, taker, maker, price, quantity, *kind)

    return make


def _lost_dust(old: Any) -> Any:
    return 0


def _one_sided(old: Any) -> Any:
    return lambda account, series, quantity, cash=0: old(account, series, quantity + (quantity > 5_200), cash)


def _no_margin(old: Any) -> Any:
    return lambda world, context, accounts, operation: operation()


def _makers_trade_always(old: Any) -> Any:
    return lambda *_, **__: 0


def _nonces_are_not_noted(old: Any) -> Any:
    def spend(world: World, context: Context, number: int, signer: bytes, nonce: int, scope: int) -> None:
        account = world.accounts[number]
        world.accounts[number] = replace(account, nonce=nonce)

    return spend


def _failure_leaves_a_trace(old: Any) -> Any:
    def step(self: Any, message: Any) -> Any:
        receipt = old(self, message)
        if receipt.status == "failed":
            now = self._world.globals
            self._world.globals = replace(now, next_combo=now.next_combo + 1)
        return receipt

    return step


def _remembers(old: Any) -> Any:
    made: list[int] = []

    def make(
        world: World,
        context: Context,
        series: int,
        taker: int,
        maker: int,
        price: int,
        quantity: int,
        *kind: Any,
    ) -> Any:
        made.append(price)
        return old(world, context, series, taker, maker, price + (len(made) > 10), quantity, *kind)

    return make


def _pays_twice(old: Any) -> Any:
    return lambda payoff, quantity, **how: old(payoff, quantity, **how) + (quantity > 0)


def _crosses(old: Any) -> Any:
    return lambda book, other, limit, account, quantity, self_trade, check: (quantity, 0, (), ())


def _stops_after_one_maker(old: Any) -> Any:
    def match(
        book: Any, other: Any, limit: int, account: int, quantity: int, self_trade: Any, check: Any
    ) -> Any:
        level = other.levels.get(other.best)
        part = min(quantity, level.ring.next.quantity) if level else quantity
        left, *rest = old(book, other, limit, account, part, self_trade, check)
        return left + quantity - part, *rest

    return match


def _shortfalls_do_not_count(old: Any) -> Any:
    return lambda margin: 0


def _the_fund_is_generous(old: Any) -> Any:
    def cover(world: World, context: Context, number: int, deficit: int) -> None:
        old(world, context, number, deficit + 1)

    return cover


MUTANTS: list[tuple[str, Any, str, Callable[[Any], Any]]] = [
    ("I1", trading, "make", _free_premium),
    ("I1", trading, "WEI_PER_CASH", _lost_dust),
    ("I2", trading, "moved", _one_sided),
    ("I3", orders, "with_relief", _no_margin),
    ("I3", orders, "shortfall", _makers_trade_always),
    ("I4", calls, "spend_nonce", _nonces_are_not_noted),
    ("I5", matching, "_match", _crosses),
    ("I5", matching, "_match", _stops_after_one_maker),
    ("I6", block._Run, "_step", _failure_leaves_a_trace),
    ("I7", trading, "make", _remembers),
    ("I8", settlement, "cash_for", _pays_twice),
    ("I9", liquidation, "gap", _shortfalls_do_not_count),
    ("I9", insurance, "cover", _the_fund_is_generous),
]  # fmt: skip


@pytest.mark.parametrize(
    ("which", "target", "name", "made"), MUTANTS, ids=[f"{one[0]}-{one[3].__name__[1:]}" for one in MUTANTS]
)
def test_a_mutant_is_caught(which: str, target: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Each of these mistakes breaks an invariant within a few hundred blocks of the crowd."""
    with patched(target, name, made), pytest.raises(AssertionError, match=which):
        _crowds()


def _crowds() -> None:
    for seed in (4, 15, 0, 1, 2, 3):  # who comes first meets most
        with _liquidations_watched():
            crowd(seed, 60)


@contextmanager
def _liquidations_watched() -> Iterator[Counter[str]]:
    """I9, at each close and each time that the fund pays; counts both."""
    met: Counter[str] = Counter()

    def watched(old: Any) -> Any:
        def close(world: World, context: Context, number: int, series: int) -> bool:
            before = _missing(world, context, number)
            whole: bool = old(world, context, number, series)
            after = _missing(world, context, number)
            assert after <= before, (
                f"I9: a close of account {number} has made {after} of a shortfall of {before}"
            )
            met["closes"] += 1
            return whole

        return close

    def covered(old: Any) -> Any:
        def cover(world: World, context: Context, number: int, deficit: int) -> None:
            account, fund = world.accounts[number], world.globals.insurance
            old(world, context, number, deficit)
            paid = fund - world.globals.insurance
            missing = max(0, -account.cash)
            assert 0 <= paid <= missing, f"I9: the fund has paid {paid} where {missing} are missing"
            assert not world.accounts[number].cash, f"I9: account {number} isn't even after it was covered"
            met["covers"] += 1

        return cover

    with patched(liquidation, "_close", watched), patched(insurance, "cover", covered):
        yield met


def _missing(world: World, context: Context, number: int) -> int:
    margin = margin_of(world, context, number)
    return max(0, margin.maintenance - margin.equity)


def test_nobody_is_liquidated_into_a_greater_shortfall() -> None:
    """I9: each partial close lessens what is missing or is not done, and the fund pays what is below zero and nothing more."""
    with _liquidations_watched() as met:
        crowd(3, 60)
    assert met["closes"]
