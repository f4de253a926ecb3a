"""The market for ``options_*``: series, marks, books, trades.

Amounts are decimal text in the engine's own units (prices and cash 10⁻⁶ USD, quantities 10⁻⁴ contracts, volatilities 10⁻¹⁸): they may need
more bits than JSON's numbers keep. Numbers of accounts and series, times in unix seconds and block numbers are numbers.
Greeks are floats per contract: for looking at, nothing settles on them.
"""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from bridge.wire.errors import INVALID_PARAMS, RpcError
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.book.orders import SERIES_SHIFT, Resting, Side
from rollup_node.engines.options.pricing.vectors import Greeks
from rollup_node.engines.options.reads import views
from rollup_node.engines.options.reads.logs import Filter
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.risk.greeks import series_greeks
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import EVENTS
from rollup_node.engines.options.transactions.receipts import Log
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.amm import ask
from rollup_node.engines.options.transition.margins import oracle_state, terms_of
from rollup_node.engines.options.transition.oracle import LIVE, require_fresh
from rollup_node.engines.options.values import Overflow

STATUS: Final = ("live", "expired", "settled")
MAX_LEVELS: Final = 1_000
MAX_TRADES: Final = 1_000
TRADE_BLOCKS: Final = 5_000
"""Blocks that are searched for trades."""
FIGURES: Final = tuple(Greeks.__slots__)


def symbol_of(scene: Scene, underlying: int) -> str:
    """An underlying's name."""
    return scene.parameters.markets[underlying].symbol.rstrip(b"\0").decode()


def all_series(scene: Scene, symbol: str | None, whole: bool | None) -> list[dict[str, Any]]:
    """``options_getSeries``: those that can be traded, or all."""
    world = scene.world
    return [
        series_json(scene, number)
        for number, found in sorted(world.series.items())
        if (whole or found.status == LIVE) and symbol in (None, symbol_of(scene, found.underlying))
    ]


def series_json(scene: Scene, number: int) -> dict[str, Any]:
    """What a series is, and what it is worth."""
    found, row = views.series(scene, number), scene.world.risk.get(number)
    return {
        "series": number,
        "underlying": symbol_of(scene, found.underlying),
        "expiry": found.expiry,
        "strike": str(found.strike),
        "isCall": found.is_call,
        "tick": str(found.tick),
        "lot": str(found.lot),
        "status": STATUS[found.status],
        "settlement": str(found.settlement),
        "openInterest": str(found.open_interest),
        "mark": None if row is None else str(row.mark),
    }


def marks(scene: Scene, symbol: str | None) -> list[dict[str, Any]]:
    """``options_getMarks``: each market's oracle, and marks, scenario changes and Greeks of its live series."""
    world, found = scene.world, []
    for underlying, oracle in sorted(world.oracles.items()):
        if symbol not in (None, symbol_of(scene, underlying)):
            continue
        live = [
            number
            for number, one in sorted(world.series.items())
            if one.underlying == underlying and one.status == LIVE
        ]
        known = contracts(scene, live)
        found.append(
            {
                "underlying": symbol_of(scene, underlying),
                "spot": str(oracle.spot),
                "discount": str(oracle.discount),
                "confidence": str(oracle.confidence),
                "sequence": oracle.sequence,
                "timestamp": oracle.timestamp,
                "breaker": max(oracle.level, world.globals.level),
                "forwards": [{"expiry": one, "price": str(price)} for one, price in oracle.forwards],
                "series": [_mark(scene, number) | {"greeks": known.get(number)} for number in live],
            }
        )
    return found


def contracts(scene: Scene, numbers: list[int]) -> dict[int, dict[str, float]]:
    """Greeks of one contract of each series, where the oracle says enough."""
    world, found = scene.world, {}
    for underlying in sorted({world.series[number].underlying for number in numbers}):
        oracle = oracle_state(world, underlying)
        terms = [
            one
            for number in numbers
            if (one := terms_of(world, number)).underlying == underlying
            and one.expiry in oracle.forwards
            and number in oracle.volatilities
        ]
        if terms:
            table = np.column_stack([getattr(series_greeks(terms, oracle), name) for name in FIGURES])
            for one, figures in zip(terms, table.tolist(), strict=True):
                found[one.series] = dict(zip(FIGURES, figures, strict=True))
    return found


def book(scene: Scene, number: int, levels: int | None) -> dict[str, Any]:
    """``options_getBook``: price levels of both sides, the best first."""
    views.series(scene, number)
    count = min(20 if levels is None else levels, MAX_LEVELS)
    found = scene.world.books.get(number)
    sides = {
        name: [] if found is None else [[str(price), str(total)] for price, total in found.depth(side, count)]
        for name, side in (("bids", Side.BUY), ("asks", Side.SELL))
    }
    sequence = 1 if found is None else found.sequence & ((1 << SERIES_SHIFT) - 1)
    return {"series": number, "block": scene.number, "sequence": sequence, **sides}


def quotes(scene: Scene, symbol: str | None, quantity: int) -> list[dict[str, Any]]:
    """``options_getQuotes``: what the market makers bid and ask for a quantity of each series that can be traded, as of this block.

    Null where a maker doesn't trade so much that way, or marks are too old to trade on; whether its margin and the trader's are enough
    shows when it is tried.
    """
    if not quantity:
        raise RpcError(INVALID_PARAMS, "expected a quantity above zero, in 1e-4 contracts")
    world, context = scene.world, scene.context()

    def price(number: int, signed: int) -> str | None:
        try:
            require_fresh(world, context, world.series[number].underlying)
            return str(ask(world, context, number, signed))
        except (Refused, Overflow):
            return None

    return [
        {
            "series": number,
            "quantity": str(quantity),
            "bid": price(number, -quantity),
            "ask": price(number, quantity),
        }
        for number, found in sorted(world.series.items())
        if found.status == LIVE
        and found.expiry > context.timestamp
        and symbol in (None, symbol_of(scene, found.underlying))
    ]


def order_json(order: Resting) -> dict[str, Any]:
    """A resting order."""
    return {
        "order": str(order.id),
        "account": order.account,
        "series": order.id >> SERIES_SHIFT,
        "buy": order.side is Side.BUY,
        "price": str(order.price),
        "quantity": str(order.quantity),
        "reduceOnly": order.reduce_only,
        "expiry": order.expiry,
    }


def trades(scene: Scene, number: int | None, limit: int | None) -> list[dict[str, Any]]:
    """``options_getTrades``: up to this block, the newest first."""
    if limit is not None and not 0 < limit <= MAX_TRADES:
        raise RpcError(INVALID_PARAMS, f"expected 1 to {MAX_TRADES} trades, got {limit}")
    count, found = limit or 100, list[dict[str, Any]]()
    wanted = trade_filter(number)
    for block in range(scene.number, max(0, scene.number - TRADE_BLOCKS), -1):
        head = scene.archive.head_of(block)
        if head is None:
            break
        if wanted.may_match(head.sealed.bloom):
            found += trades_of(Scene(scene.chain, block), wanted)
        if len(found) >= count:
            break
    return found[:count]


def trade_filter(number: int | None) -> Filter:
    """Logs of trades, of one series if it is given."""
    event = EVENTS["Trade"]
    topics = [frozenset({event.topic})]
    if number is not None:
        topics.append(frozenset({number.to_bytes(32, "big")}))
    return Filter(frozenset({event.source}), tuple(topics))


def trades_of(scene: Scene, wanted: Filter) -> Iterator[dict[str, Any]]:
    """Trades of one block, the newest first."""
    for receipt in reversed(scene.receipts()):
        for log in reversed(receipt.logs):
            if wanted.matches(log):
                place = {"block": scene.number, "timestamp": scene.head.sealed.timestamp}
                yield trade_json(log) | place | {"transaction": to_hex(receipt.hash)}


def trade_json(log: Log) -> dict[str, Any]:
    """What a ``Trade`` says."""
    series, taker, maker = (int.from_bytes(topic, "big") for topic in log.topics[1:])
    first, second, price, quantity, fee, other = abi.decode(EVENTS["Trade"].plain, log.data)
    return {
        "series": series,
        "taker": taker,
        "maker": maker,
        "takerOrder": str(first),
        "makerOrder": str(second),
        "price": str(price),
        "quantity": str(quantity),
        "takerFee": str(fee),
        "makerFee": str(other),
    }


def _mark(scene: Scene, number: int) -> dict[str, Any]:
    row = views.row(scene, number)
    return {"series": number, "mark": str(row.mark), "changes": list(map(str, row.changes))}
