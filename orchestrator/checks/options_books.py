"""The positions of an options rollup again, from its events alone: the reference that its ledger is held against. Pure.

A trade moves a position from one account to another, settlement takes it away. What liquidations move besides is not booked again here: then
only single trades are judged, and the run's invariants on the engine itself speak for the rest.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from orchestrator.checks.facts import Placed
from orchestrator.checks.observed import EventSeen, LedgerSeen, RollupSeen
from orchestrator.checks.telling import place
from orchestrator.checks.verdict import CounterExample
from orchestrator.market.options_board import series_id

EXCHANGE, RISK, LIQUIDATION = "IOptionsExchange", "IOptionsRisk", "IOptionsLiquidation"


@dataclass(slots=True)
class Books:
    """Positions of everybody on one options rollup."""

    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    """By account and series, 1e-4 units."""
    trades: int = 0
    exact: bool = True
    """False once positions moved otherwise."""
    wrong: list[CounterExample] = field(default_factory=list)

    def apply(self, event: EventSeen) -> str:
        """Take one event in; returns what is wrong with it, empty if nothing is."""
        about = event.arguments
        if event.contract == LIQUIDATION:
            self.exact = False
        elif event.contract == RISK:
            return self._settled(str(about["account"]), str(about["series"]), int(about["quantity"]))
        elif event.contract == EXCHANGE:
            self.trades += 1
            quantity, price = int(about["quantity"]), int(about["price"])
            self._move(str(about["taker"]), str(about["series"]), quantity)
            self._move(str(about["maker"]), str(about["series"]), -quantity)
            if not quantity or price < 0 or about["taker"] == about["maker"]:
                return f"account {about['taker']} traded {quantity} at {price} with account {about['maker']}"
        return ""

    def _settled(self, account: str, series: str, quantity: int) -> str:
        held = self.positions.pop((account, series), 0)
        if held != quantity and self.exact:
            return f"account {account} settles {quantity} of series {series} and holds {held}"
        return ""

    def _move(self, account: str, series: str, quantity: int) -> None:
        self.positions[account, series] = self.positions.get((account, series), 0) + quantity


def booked(name: str, rollup: RollupSeen) -> Books:
    """A rollup's events, in the order of its chain, and what is wrong with them."""
    books = Books()
    for block in rollup.blocks:
        for event in block.derived:
            if why := books.apply(event):
                books.wrong.append(CounterExample((f"{name}: {why}", f"{name} block {block.number}")))
        for index, sent in enumerate(block.transactions):
            for event in sent.events:
                if why := books.apply(event):
                    where = place(Placed(name, block.number, index, sent))
                    books.wrong.append(CounterExample((f"{name}: {why}", where)))
    return books


def differences(name: str, ledger: LedgerSeen, books: Books) -> Iterator[CounterExample]:
    """Where the rollup's ledger isn't what was traded."""
    if not books.exact:
        return
    for number, account in sorted(ledger.accounts.items(), key=lambda item: int(item[0])):
        mine = {series: held for (who, series), held in books.positions.items() if who == number and held}
        for series in sorted(account.positions.keys() | mine.keys(), key=int):
            held, traded = account.positions.get(series, 0), mine.get(series, 0)
            if held != traded:
                said = f"{name}: account {number} holds {held} of series {series}, and traded {traded}"
                yield CounterExample((said,))


def series_name(event: EventSeen) -> str:
    """A trade's series as a load's legs name it: 32 bytes in hexadecimal, on both kinds of rollup."""
    said = event.arguments["series"]
    return "0x" + series_id(int(said)).hex() if event.contract == EXCHANGE else str(said)
