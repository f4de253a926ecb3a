"""The options market's books again, in Python's integers, from its events alone: the reference that the contract is held against. Pure.

Cash in 1e-6 USD, quantities in 1e-4 units. A trade moves a position, its premium and its collateral at once, as
``OptionsMarket._move`` does; collateral and premium are those of :mod:`orchestrator.strategies.payoff`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.checks.observed import EventSeen, MarketSeen, Series
from orchestrator.strategies.model import Kind
from orchestrator.strategies.payoff import Holding, collateral, premium


def holding(series: Series, quantity: int) -> Holding:
    """A position in a series."""
    return Holding(Kind.CALL if series.is_call else Kind.PUT, series.strike, quantity, series.expiry)


def fair_premium(price: int, quantity: int) -> int:
    """What goes from buyer to seller: rounded up when the taker pays, down when it receives."""
    return abs(premium(price, quantity))


@dataclass(slots=True)
class Ledger:
    """Cash and positions of everybody in one market."""

    price_cap: int
    series: Mapping[str, Series]
    free: dict[str, int] = field(default_factory=dict)
    locked: dict[str, int] = field(default_factory=dict)
    positions: dict[tuple[str, str], int] = field(default_factory=dict)
    """By series and account."""
    exact: bool = True
    """False once something happened whose cash its event does not tell (reservations of strategies over the bridge)."""

    @classmethod
    def at_genesis(cls, market: MarketSeen) -> "Ledger":
        """As the market began."""
        free = {who: holder.free.before for who, holder in market.holders.items()}
        return cls(market.price_cap, market.series, free)

    def apply(self, event: EventSeen) -> str:
        """Take one event in; returns what is wrong with it, empty if nothing is."""
        about = event.arguments
        match event.name:
            case "Trade":
                return self._trade(event)
            case "Deposited":
                self._add(self.free, str(about["account"]), int(about["amount"]))
            case "Withdrawn":
                self._add(self.free, str(about["account"]), -int(about["amount"]))
            case "Settled":
                return self._settle(event)
            case "Reserved" | "Released":
                self.exact = False
        return ""

    def needed(self, account: str) -> int:
        """Collateral of an account's short positions."""
        return sum(
            collateral(holding(self.series[name], quantity), self.price_cap)
            for (name, who), quantity in self.positions.items()
            if who == account and name in self.series
        )

    def _trade(self, event: EventSeen) -> str:
        about = event.arguments
        name, quantity, paid = str(about["series"]), int(about["quantity"]), int(about["premium"])
        if name not in self.series:
            return f"a trade in series {name}, which is not listed"
        fair = fair_premium(int(about["price"]), quantity)
        self._move(name, str(about["taker"]), quantity, -paid if quantity > 0 else paid)
        self._move(name, str(about["maker"]), -quantity, paid if quantity > 0 else -paid)
        if paid != fair:
            return f"a premium of {paid} for {quantity} at {about['price']}, which is {fair}"
        short = [who for who in (str(about["taker"]), str(about["maker"])) if self.free.get(who, 0) < 0]
        return f"{short[0]} owes {-self.free[short[0]]} after it" if short and self.exact else ""

    def _move(self, name: str, account: str, quantity: int, cash: int) -> None:
        held = self.positions.get((name, account), 0)
        before = collateral(holding(self.series[name], held), self.price_cap)
        after = collateral(holding(self.series[name], held + quantity), self.price_cap)
        self.positions[name, account] = held + quantity
        self._add(self.locked, account, after - before)
        self._add(self.free, account, cash - (after - before))

    def _settle(self, event: EventSeen) -> str:
        about = event.arguments
        name, account, payment = str(about["series"]), str(about["account"]), int(about["payment"])
        held = self.positions.pop((name, account), 0)
        if held != int(about["quantity"]):
            return f"{account} settles {about['quantity']} of series {name} and holds {held}"
        before = collateral(holding(self.series[name], held), self.price_cap)
        self._add(self.locked, account, -before)
        self._add(self.free, account, before + (payment if held > 0 else -payment))
        return ""

    def _add(self, book: dict[str, int], account: str, amount: int) -> None:
        book[account] = book.get(account, 0) + amount
