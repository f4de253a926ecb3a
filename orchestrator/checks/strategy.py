"""Strategies: what was traded is what was declared, premiums are what prices say, and nobody is ever short without cover.

Every trade of a market is booked again in :mod:`orchestrator.checks.ledger`, in the order of its chain; in the end the contract's books must be those
of the reference; for an options rollup, its positions those of :mod:`orchestrator.checks.options_books`. A strategy's legs together have the payoff that was declared if each is the trade that was declared; where one
is not, the counter-example says what that comes to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from orchestrator.checks import options_books
from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.ledger import Ledger, holding
from orchestrator.checks.observed import EventSeen, MarketSeen, RollupSeen, Series
from orchestrator.checks.telling import event_of, operation, place, short
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Leg, Operation
from orchestrator.market.options_board import series_id
from orchestrator.strategies.payoff import Holding, payoff

NAME, OF_WHAT = "strategy", "trades"


def check(facts: RunFacts) -> CheckResult:
    """Judge every trade, every strategy of the load that took effect, and every market's books."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    trades: list[CounterExample] = []
    books: list[CounterExample] = []
    notes: list[str] = []
    seen = 0
    for name, rollup in observed.rollups.items():
        if rollup.ledger is not None:
            again = options_books.booked(name, rollup)
            trades += again.wrong
            books += options_books.differences(name, rollup.ledger, again)
            seen += again.trades
            if not again.exact:
                notes.append(f"{name}: liquidations moved positions; its ledger is not booked again")
        if rollup.market is None:
            continue
        booked = _booked(name, rollup, rollup.market)
        trades += booked.wrong
        books += _books(name, rollup.market, booked.ledger)
        seen += booked.trades
        if not booked.ledger.exact:
            notes.append(f"{name}: strategies over the bridge set cash aside; its cash is not booked again")
    strategies = [one for one in facts.bundles if any(leg.trade for leg in one.legs)]
    for one in strategies:
        trades += _declared(facts, one)
    if strategies:
        notes.append(f"{len(strategies)} strategies were declared")
    unknown = [f"{name} was not observed" for name in facts.unobserved]
    # wrong trades make wrong books: then the trades are what to look at
    return judged(NAME, seen, OF_WHAT, trades or books, notes=notes, unknown=unknown)


@dataclass(frozen=True, slots=True)
class _Booked:
    trades: int
    ledger: Ledger
    wrong: tuple[CounterExample, ...]


def _booked(name: str, rollup: RollupSeen, market: MarketSeen) -> _Booked:
    ledger, trades = Ledger.at_genesis(market), 0
    wrong: list[CounterExample] = []
    for block in rollup.blocks:
        for index, sent in enumerate(block.transactions):
            for event in sent.events:
                if event.contract != "OptionsMarket":
                    continue
                trades += event.name == "Trade"
                if why := ledger.apply(event):
                    where = place(Placed(name, block.number, index, sent))
                    wrong.append(CounterExample((f"{name}: {why}", where)))
    return _Booked(trades, ledger, tuple(wrong))


def _books(name: str, market: MarketSeen, ledger: Ledger) -> Iterator[CounterExample]:
    for who, holder in sorted(market.holders.items()):
        held = {series: held[who] for series, held in market.positions.items() if held.get(who)}
        mine = {
            series: quantity
            for (series, owner), quantity in ledger.positions.items()
            if owner == who and quantity
        }
        if held != mine:
            series = min(each for each in held.keys() | mine.keys() if held.get(each) != mine.get(each))
            yield CounterExample(
                (
                    f"{name}: {who} holds {held.get(series, 0)} of series {short(series)}, and traded {mine.get(series, 0)}",
                )
            )
        if ledger.exact and (lacking := ledger.needed(who) - holder.locked.after) > 0:
            yield CounterExample(
                (f"{name}: {who} is short without cover: {lacking} of collateral are missing",)
            )
        booked = (ledger.free.get(who, 0), ledger.locked.get(who, 0))
        if ledger.exact and booked != (holder.free.after, holder.locked.after):
            yield CounterExample(
                (
                    f"{name}: the books of {who} are not those of its trades",
                    f"free {holder.free.after}, by its trades {booked[0]}",
                    f"locked {holder.locked.after}, by its trades {booked[1]}",
                )
            )


def _declared(facts: RunFacts, one: Operation) -> Iterator[CounterExample]:
    """One strategy that took effect: each leg traded what it said, within its limit, and together they pay what was declared."""
    where = [facts.placed.get(leg.transaction, ()) for leg in one.legs]
    if not all(where):
        return  # it had no effect, or only half of one, which atomicity tells
    placed = [found for found, *_ in where]
    for leg, found in zip(one.legs, placed, strict=True):
        if why := _leg(leg, _trades(found), one.id):
            lines = (why, *_payoffs(facts, one, placed), place(found), operation(facts, one))
            yield CounterExample(lines, (event_of(one),))


def _payoffs(facts: RunFacts, one: Operation, placed: list[Placed]) -> Iterator[str]:
    """Where the legs together pay something else than was declared: the first price at which they have a kink."""
    assert facts.observed is not None, "the caller looked"
    declared: list[Holding] = []
    traded: list[Holding] = []
    cap = 0
    for leg, found in zip(one.legs, placed, strict=True):
        rollup = facts.observed.rollups[found.rollup]
        listed, capped = _listed(rollup), rollup.market is not None
        if leg.trade is None or leg.trade[0] not in listed:
            continue
        cap = max(cap, rollup.market.price_cap if rollup.market is not None else listed[leg.trade[0]].strike)
        declared.append(replace(holding(listed[leg.trade[0]], leg.trade[1]), capped=capped))
        traded += [
            replace(
                holding(listed[options_books.series_name(event)], int(event.arguments["quantity"])),
                capped=capped,
            )
            for event in _trades(found)
            if options_books.series_name(event) in listed
        ]
    for price in sorted({0, cap, *(each.strike for each in declared)}):
        wanted, got = payoff(declared, price, cap), payoff(traded, price, cap)
        if wanted != got:
            yield f"together the legs pay {got} at a price of {price}, and were declared to pay {wanted}"
            return


def _listed(rollup: RollupSeen) -> Mapping[str, Series]:
    """What is listed on a rollup, by the names that legs have for it."""
    if rollup.market is not None:
        return rollup.market.series
    known = rollup.ledger.series if rollup.ledger is not None else {}
    return {"0x" + series_id(int(number)).hex(): series for number, series in known.items()}


def _trades(found: Placed) -> list[EventSeen]:
    return [event for event in found.transaction.events if event.name == "Trade"]


def _leg(leg: Leg, events: list[EventSeen], bundle: str) -> str:
    """What is wrong with the trade of a leg; empty if nothing is."""
    if leg.trade is None:
        return ""
    series, quantity, limit = leg.trade
    if len(events) != 1:
        return f"a leg made {len(events)} trades"
    about = events[0].arguments
    traded = options_books.series_name(events[0])
    if (traded, about["quantity"]) != (series, quantity):
        return f"a leg traded {about['quantity']} of {short(traded)} instead of {quantity} of {short(series)}"
    if (
        about.get("bundle", bundle) != bundle
    ):  # on an options rollup the bundle is in what the account signed, not in the log
        return f"a leg traded for bundle {short(str(about['bundle']))}"
    price = int(about["price"])
    if price > limit if quantity > 0 else price < limit:
        return f"a leg traded at {price}, its limit is {limit}"
    return ""
