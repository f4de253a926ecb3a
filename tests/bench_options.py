"""Marks of the options engine, called by ``tests/bench.py``; each function measures one and returns the best of its rounds.

Times are the process's own, not the clock's: what else runs on the machine counts only by what it does to caches and clock rates.
"""

import gc
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from sortedcontainers import SortedDict

from bridge.wire.keccak import keccak256, keccak256_portably
from bridge.wire.transaction import decode_transaction
from rollup_node.engines.options.book.book import Book
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import Resting, Side, TimeInForce
from rollup_node.engines.options.book.root import BookRoot
from rollup_node.engines.options.engine import COLLECTOR
from rollup_node.engines.options.pricing.black76 import call_put
from rollup_node.engines.options.pricing.vectors import greeks
from rollup_node.engines.options.risk.margin import Mode, margin
from rollup_node.engines.options.risk.rows import OracleState, Terms, risk_row, series_risk
from rollup_node.engines.options.risk.scan import scan
from rollup_node.engines.options.risk.testing import NOW, risks_of
from rollup_node.engines.options.state.journal import Journal, undo
from rollup_node.engines.options.state.leaves import Account
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import read_message
from rollup_node.engines.options.transition.block import BlockContent, execute
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.liquidation import due
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.testing import PARAMETERS, Desk, event_names, order
from rollup_node.engines.options.values import PRICE_UNIT, WAD

ROUNDS = 10
OPTIONS = 100_000
"""Options whose Greeks are found at once."""
ACCOUNTS = 10_000
"""Accounts that one scan weighs."""


def best_s(
    work: Callable[[], object], rounds: int = ROUNDS, before: Callable[[], object] | None = None
) -> float:
    """The shortest of several rounds, seconds: what the machine does when nothing else asks it, with the collector as the engine sets it.

    Args:
        work: what is measured.
        rounds: how many.
        before: what is done before each, and isn't measured.
    """
    spans, usual = [], gc.get_threshold()
    gc.set_threshold(*COLLECTOR)
    try:
        for _ in range(rounds):
            if before is not None:
                before()
            start = time.process_time()
            work()
            spans.append(time.process_time() - start)
    finally:
        gc.set_threshold(*usual)
    return min(spans)


def greeks_ms() -> float:
    """Price and five Greeks of ``OPTIONS`` options, milliseconds; the mark is 20."""
    chance = np.random.default_rng(0)
    forward = chance.uniform(1_000, 5_000, OPTIONS)
    strike = forward * chance.uniform(0.5, 2.0, OPTIONS)
    volatility, years = chance.uniform(0.2, 1.5, OPTIONS), chance.uniform(0.01, 2.0, OPTIONS)
    discount, is_call = np.exp(-0.05 * years), chance.random(OPTIONS) < 0.5
    return best_s(lambda: greeks(forward, strike, volatility, years, discount, is_call)) * 1e3


def scan_ms() -> float:
    """Maintenance margin of ``ACCOUNTS`` accounts in 64 series and 16 scenarios, milliseconds; the mark is 15."""
    strikes = [(2_000 + 60 * step) * PRICE_UNIT for step in range(32)]
    terms = [Terms(series, 0, NOW + 2_592_000, strikes[series // 2], series % 2 == 0) for series in range(64)]
    forward = 3_000 * PRICE_UNIT
    volatilities = {one.series: 7 * WAD // 10 for one in terms}
    said = OracleState(0, forward, {NOW + 2_592_000: forward}, volatilities, WAD, WAD, 1, NOW)
    risks = [series_risk(one, risk_row(one, said), said) for one in terms]
    chance = np.random.default_rng(0)
    quantities = chance.integers(-(10**5), 10**5, (ACCOUNTS, 64))
    cash = chance.integers(0, 10**12, ACCOUNTS)
    return best_s(lambda: scan(cash, quantities, risks)) * 1e3


def margins_us() -> dict[int, float]:
    """One account's portfolio margin by its number of positions, microseconds."""
    risks, drawn = risks_of(), {}
    for count in (4, 16, 32):
        positions = [(series, 10_000 * (-1) ** series) for series in range(count)]

        def thousand(positions: list[tuple[int, int]] = positions) -> None:
            for _ in range(1_000):
                margin(10**9, positions, risks)

        drawn[count] = best_s(thousand) * 1e3
    return drawn


def black76_us() -> float:
    """One integer call, put and delta, microseconds; a row of a risk update takes seventeen."""
    strikes = [(2_000 + step) * PRICE_UNIT for step in range(1_000)]
    forward, volatility, seconds = 3_000 * PRICE_UNIT, 7 * WAD // 10, 2_592_000
    return best_s(lambda: [call_put(forward, strike, volatility, seconds, WAD) for strike in strikes]) * 1e3


OPERATIONS = 200_000
"""Of the mixed flow on a book: half are new orders, four tenths cancels, one tenth takes what stands at the best prices."""
RESTING = 5_000
"""Orders of a thousand accounts that the flow begins with."""
A_BLOCK = 3_000
"""Changes of books that a block of 30 million gas has room for at most: an order takes 21,000 and more, a match 10,000."""
MANY_BLOCKS = 50_000
"""Changes that a busy node keeps, to rewind many blocks: memory that no cache holds."""
_Operation = tuple[int, int, int, int, int]


class BookRates(NamedTuple):
    """The same mixed flow, operations a second."""

    block: float
    """A block's changes can be undone; the mark is 900,000."""
    many_blocks: float
    """Those of many blocks can."""
    default: float
    """As ``block``, with Python's own thresholds of the collector."""
    bare: float
    """The least that could be called a book (a dictionary by price): no checks, no accounts, no outcome, nothing can be undone."""


def book_operations() -> BookRates:
    """All in turns, so that they share the machine's moods."""
    before, flow = _mixed_flow()
    drawn: list[list[float]] = [[], [], [], []]
    usual = gc.get_threshold()
    gc.freeze()  # the schedule is no part of the book
    try:
        for _ in range(ROUNDS):
            gc.set_threshold(*COLLECTOR)
            drawn[0].append(_run_book(before, flow, A_BLOCK))
            drawn[1].append(_run_book(before, flow, MANY_BLOCKS))
            gc.set_threshold(*usual)
            drawn[2].append(_run_book(before, flow, A_BLOCK))
            drawn[3].append(_run_bare(before, flow))
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
    return BookRates(*(OPERATIONS / min(spans) for spans in drawn))


def book_undo_us() -> float:
    """Taking one operation of the mixed flow back, microseconds."""
    before, flow = _mixed_flow()
    journal: Journal = []
    book = Book(1, journal)
    for one in before + flow:
        _apply(book, one)
    changes = len(journal)
    start = time.process_time()
    undo(journal, 0)
    return (time.process_time() - start) / changes * 1e6


def book_root_ms() -> float:
    """Roots of a book of 10,000 orders after 1,000 of them changed, milliseconds."""
    chance, book, root = random.Random(0), Book(1, []), BookRoot()
    for number in range(10_000):
        submit(book, number % 1_000, Side.BUY, chance.randrange(1, 200), 5)
    root.update(book)
    spans = []
    for _ in range(ROUNDS):
        orders: list[Resting] = chance.sample(list(book), 1_000)
        for resting in orders:
            book.resize(resting, chance.randrange(1, 9))
        start = time.process_time()
        root.update(orders)
        spans.append(time.process_time() - start)
    return min(spans) * 1e3


def state_root_ms() -> float:
    """Root of a state of 10,000 accounts after 100 of them changed, encoding included, milliseconds."""
    world = World()
    for number in range(1, ACCOUNTS + 1):
        positions = tuple((series, number) for series in range(8))
        world.accounts[number] = Account(number.to_bytes(20, "big"), cash=number, positions=positions)
    world.root()
    chance, spans = random.Random(0), []
    for cash in range(ROUNDS):
        for number in chance.sample(range(1, ACCOUNTS + 1), 100):
            world.accounts[number] = replace(world.accounts[number], cash=cash)
        start = time.process_time()
        world.root()
        spans.append(time.process_time() - start)
    return min(spans) * 1e3


def keccak_us() -> tuple[float, float]:
    """One hash of 64 bytes, microseconds: as nodes do it, and with the implementation that is everywhere."""
    data = bytes(64)
    return (
        best_s(lambda: [keccak256(data) for _ in range(1_000)]) * 1e3,
        best_s(lambda: [keccak256_portably(data) for _ in range(1_000)]) * 1e3,
    )


def _mixed_flow() -> tuple[list[_Operation], list[_Operation]]:
    """Operations on a book of its own, so that every cancel is of an order that rests: kind, account, side or id, price, quantity."""
    chance, book = random.Random(0), Book(1, [])
    flow: list[_Operation] = []
    resting: list[tuple[int, int]] = []
    while len(flow) < RESTING + OPERATIONS:
        kind = 0 if len(flow) < RESTING else chance.choices((0, 1, 2), (50, 40, 10))[0]
        account, side, away = (
            chance.randrange(1_000),
            chance.choice(list(Side)),
            min(int(chance.expovariate(0.05)), 99),
        )
        if kind == 1:
            place = chance.randrange(len(resting))
            resting[place], resting[-1] = resting[-1], resting[place]
            account, order = resting.pop()
            if order not in book.accounts.get(account, {}):
                continue
            flow.append((kind, account, order, 0, 0))
        elif kind == 0:
            price = 10_000 + away if side is Side.SELL else 9_999 - away
            flow.append((kind, account, side, price, chance.randrange(1, 20)))
            resting.append((account, book.sequence))
        else:
            flow.append(
                (kind, account, side, 9_900 if side is Side.SELL else 10_100, chance.randrange(1, 20))
            )
        _apply(book, flow[-1])
    return flow[:RESTING], flow[RESTING:]


def _apply(book: Book, operation: _Operation) -> None:
    kind, account, side, price, quantity = operation
    if kind == 1:
        book.cancel(account, side)
    else:
        submit(book, account, Side(side), price, quantity, TimeInForce.IOC if kind else TimeInForce.GTC)


def _run_book(before: list[_Operation], flow: list[_Operation], kept: int) -> float:
    journal: Journal = []
    book, immediate = Book(1, journal), TimeInForce.IOC
    for one in before:
        _apply(book, one)
    start = time.process_time()
    for kind, account, side, price, quantity in flow:
        if kind == 0:
            submit(book, account, side, price, quantity)  # type: ignore[arg-type]
        elif kind == 1:
            book.cancel(account, side)
        else:
            submit(book, account, side, price, quantity, immediate)  # type: ignore[arg-type]
        if len(journal) >= kept:
            journal.clear()  # what can't be undone any more
    return time.process_time() - start


def _run_bare(before: list[_Operation], flow: list[_Operation]) -> float:
    sides: tuple[SortedDict, SortedDict] = SortedDict(), SortedDict()
    orders: dict[int, tuple[SortedDict, int]] = {}
    number = 1 << 32
    start = 0.0
    for place, (kind, _, side, price, quantity) in enumerate(before + flow):
        if place == len(before):
            start = time.process_time()
        if kind == 0:
            number += 1
            mine, rank = sides[side], price if side else -price
            level = mine.get(rank)
            if level is None:
                level = mine[rank] = {}
            level[number] = [quantity]
            orders[number] = mine, rank
        elif kind == 1:
            found = orders.pop(side, None)
            if found is not None:
                mine, rank = found
                level = mine[rank]
                del level[side]
                if not level:
                    del mine[rank]
        else:
            number += 1
            _take_bare(sides[1 - side], orders, -price if side else price, quantity)
    return time.process_time() - start


def _take_bare(
    other: SortedDict, orders: dict[int, tuple[SortedDict, int]], limit: int, quantity: int
) -> None:
    while quantity and other:
        rank = other.keys()[0]
        if rank > limit:
            break
        level = other[rank]
        for identity in list(level):
            order = level[identity]
            traded = min(quantity, order[0])
            quantity -= traded
            order[0] -= traded
            if not order[0]:
                del level[identity], orders[identity]
            if not quantity:
                break
        if not level:
            del other[rank]


CHANGED = 500
"""Accounts that change between two searches for whom to liquidate: as a busy block's trades change them."""


class Searches(NamedTuple):
    """Finding whom a block liquidates, milliseconds."""

    steady: float
    """``CHANGED`` accounts have traded since the last block that looked."""
    cold: float
    """Nothing is known of any account yet: the first such block after a start."""


def liquidation_ms() -> dict[Mode, Searches]:
    """Finding whom a block liquidates among ``ACCOUNTS`` accounts of eight positions each in 42 series, from the world as it is, by mode.

    A few in a hundred are short of margin. What is known of series is found anew each time, as when marks have moved.
    """
    chance = random.Random(0)
    desk = Desk()
    listed = desk.open_market({"alice": 1_000}, tuple(range(2_000, 4_001, 100)))
    world = desk.world
    drawn = [
        (
            chance.randrange(10**11),
            tuple((one, chance.randint(1, 10**5)) for one in sorted(chance.sample(listed, 8))),
        )
        for _ in range(ACCOUNTS)
    ]

    worlds = [world]

    def restart() -> None:
        worlds[:] = [World(world.globals)]
        for table, fresh in zip(world.tables, worlds[0].tables, strict=True):
            for key, value in table.items():
                fresh[key] = value

    def find() -> None:
        [found] = worlds
        due(found, Context(PARAMETERS, 9, desk.timestamp, Risks(found), moved=True))

    def trade() -> None:
        for number in chance.sample(range(1_000, 1_000 + ACCOUNTS), CHANGED):
            account = world.accounts[number]
            (series, quantity), *others = account.positions
            positions = ((series, quantity + 100 or 100), *others)
            world.accounts[number] = replace(account, cash=account.cash - 10**6, positions=positions)

    spans = {}
    for mode in Mode:
        for number, (cash, held) in enumerate(drawn, 1_000):
            positions = tuple((one, quantity - 50_001) for one, quantity in held)
            portfolio = mode is Mode.PORTFOLIO
            world.accounts[number] = Account(bytes(20), cash=cash, portfolio=portfolio, positions=positions)
        cold = best_s(find, before=restart)
        worlds[:] = [world]
        find()
        spans[mode] = Searches(best_s(find, before=trade) * 1e3, cold * 1e3)
    return spans


TRADES = 1_500
MAKERS = 100
"""Accounts that trade, each with positions in sixteen series."""


def margined_trades() -> tuple[float, float, float]:
    """Trades a second of processor time through the whole transition; the mark is 5,000.

    A trade is one raw EIP-1559 transaction whose order takes one that rests: decoded, its signature recovered, margin of sixteen positions
    and the open orders found for the taker when it comes in and again for the maker when it is matched, the match settled and logged, all of it
    noted so that it can be undone. The state's root is taken at the end of the block.

    Returns:
        With everything; with signatures recovered before, as when a round of staging is repeated; and with everything where the maker's order
        comes in just before, in the same block: two signed transactions and three margins for each trade.
    """
    played = replace(PARAMETERS, step_roots=False, gas_limit=10**12)
    desk = Desk(played)
    makers, takers = ([f"{kind} {number}" for number in range(MAKERS)] for kind in ("maker", "taker"))
    strikes = (2_800, 2_900, 3_000, 3_100, 3_200, 3_300, 3_400, 3_500)
    series = desk.open_market(dict.fromkeys(makers + takers, 10_000_000), strikes)
    accounts = {name: desk.account(name) for name in makers + takers}

    def sent(name: str, number: int, dollars: int, quantity: int) -> bytes:
        wanted = order(accounts[name], number, dollars * PRICE_UNIT, quantity)
        return desk.send(name, "placeOrder", wanted)

    def pairs(sellers: list[str], buyers: list[str], dollars: int) -> list[bytes]:
        return [
            sent(name, series[step % len(series)], dollars, quantity)
            for step, (seller, buyer) in enumerate(zip(sellers, buyers, strict=True))
            for name, quantity in ((seller, -100), (buyer, 100))
        ]

    for turn in range(len(series)):
        apart = [makers[(place + turn) % MAKERS] for place in range(MAKERS)]
        desk.block(*pairs(apart, [takers[(place + turn) % MAKERS] for place in range(MAKERS)], 240))
    each, own = range(TRADES), [series[step // MAKERS % len(series)] for step in range(TRADES)]
    desk.block(*(sent(makers[step % MAKERS], own[step], 240, -100) for step in each))
    alone = [sent(takers[step * 7 % MAKERS], own[step], 240, 100) for step in each]
    both = pairs(
        [makers[step % MAKERS] for step in each], [makers[(step * 7 + 1) % MAKERS] for step in each], 239
    )
    drawn = [
        _trades_per_s(desk, flow, known=known)
        for flow, known in ((alone, False), (alone, True), (both, False))
    ]
    return drawn[0], drawn[1], drawn[2]


def _trades_per_s(desk: Desk, flow: list[bytes], *, known: bool) -> float:
    """Of a block of ``TRADES`` trades, taken back each time; the best of some rounds."""
    content = BlockContent(desk.number + 1, desk.timestamp + 1, 0, flow)
    mark, spans = desk.world.mark(), []
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    try:
        for _ in range(ROUNDS):
            if not known:
                read_message.cache_clear()
                decode_transaction.cache_clear()
            start = time.process_time()
            executed = execute(desk.world, desk.parameters, content)
            spans.append(time.process_time() - start)
            names = [name for receipt in executed.receipts for name in event_names(receipt)]
            assert names.count("Trade") == TRADES, "not every order has traded"
            desk.world.undo(mark)
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
    return TRADES / min(spans[known:])
