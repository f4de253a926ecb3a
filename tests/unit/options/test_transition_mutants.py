"""Each invariant is there because a mutant breaks it: a seeded crowd hunts them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition import (
    accounts,
    block,
    calls,
    liquidation,
    orders,
    settlement,
    trading,
)
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import margin_of
from rollup_node.engines.options.transition.testing_floor import crowd


@contextmanager
def _patched(target: Any, name: str, made: Callable[[Any], Any]) -> Iterator[None]:
    old = getattr(target, name)
    setattr(target, name, made(old))
    try:
        yield
    finally:
        setattr(target, name, old)


def _free_premium(old: Any) -> Any:
    def make(
        world: World, context: Context, series: int, taker: int, maker: int, price: int, quantity: int
    ) -> Any:
        accounts.credit(world, maker, 1)
        return old(world, context, series, taker, maker, price, quantity)

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
        world: World, context: Context, series: int, taker: int, maker: int, price: int, quantity: int
    ) -> Any:
        made.append(price)
        return old(world, context, series, taker, maker, price + (len(made) > 10), quantity)

    return make


def _pays_twice(old: Any) -> Any:
    return lambda payoff, quantity, **how: old(payoff, quantity, **how) + (quantity > 0)


MUTANTS: list[tuple[str, Any, str, Callable[[Any], Any]]] = [
    ("I1", trading, "make", _free_premium),
    ("I1", trading, "WEI_PER_CASH", _lost_dust),
    ("I2", trading, "moved", _one_sided),
    ("I3", orders, "with_relief", _no_margin),
    ("I3", orders, "shortfall", _makers_trade_always),
    ("I4", calls, "spend_nonce", _nonces_are_not_noted),
    ("I6", block._Run, "_step", _failure_leaves_a_trace),
    ("I7", trading, "make", _remembers),
    ("I8", settlement, "cash_for", _pays_twice),
]  # fmt: skip


@pytest.mark.parametrize(
    ("which", "target", "name", "made"), MUTANTS, ids=[f"{one[0]}-{one[3].__name__[1:]}" for one in MUTANTS]
)
def test_a_mutant_is_caught(which: str, target: Any, name: str, made: Callable[[Any], Any]) -> None:
    """Each of these mistakes breaks an invariant within a few hundred blocks of the crowd."""
    with _patched(target, name, made), pytest.raises(AssertionError, match=which):
        _crowds()


def _crowds() -> None:
    for seed in range(4):
        crowd(seed, 60)


def test_nobody_is_liquidated_into_a_greater_shortfall() -> None:
    """I9: each partial close lessens what is missing or is not done, and the fund pays what is below zero and nothing more."""
    closes, covers = [], []

    def watched(old: Any) -> Any:
        def close(world: World, context: Context, number: int, series: int) -> None:
            before = liquidation._gap(margin_of(world, context, number))
            old(world, context, number, series)
            closes.append((before, liquidation._gap(margin_of(world, context, number))))

        return close

    def covered(old: Any) -> Any:
        def cover(world: World, context: Context, number: int, deficit: int) -> None:
            account, fund = world.accounts[number], world.globals.insurance
            old(world, context, number, deficit)
            paid = fund - world.globals.insurance
            covers.append((paid, max(0, -account.cash)))

        return cover

    with _patched(liquidation, "_close", watched), _patched(liquidation, "_cover", covered):
        crowd(3, 60)
    assert closes
    assert all(after <= before for before, after in closes)
    assert all(0 <= paid <= missing for paid, missing in covers)
