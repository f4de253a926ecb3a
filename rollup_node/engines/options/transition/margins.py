"""Margin of accounts in the world: what the pure rules of ``risk`` say of their cash, positions and open orders.

Which trades are accepted follows from two margins, before and after. The one before is only asked where the one after isn't good enough.
"""

from dataclasses import fields
from typing import Final

from rollup_node.engines.options.book.orders import Resting, Side
from rollup_node.engines.options.risk.margin import Margin, Mode, margin
from rollup_node.engines.options.risk.pending import Pending, gather
from rollup_node.engines.options.risk.portfolio import Sums, sums_of
from rollup_node.engines.options.risk.rows import OracleState, RiskRow, SeriesRisk, Terms, series_risk
from rollup_node.engines.options.state.leaves import Account, Oracle
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.context import Context

LIQUIDATING: Final = 4
"""Flag of an account that is being liquidated: it can only reduce."""


_MOVES: Final = [
    one.name for one in fields(SeriesRisk) if one.name not in ("terms", "row", "underlying", "mark")
]
"""What a series whose price is fixed has none of."""


class Risks(dict[int, SeriesRisk]):
    """What margin needs to know of each series, made from the world's rows when it is first asked for.

    Lasts for a block; whoever changes rows forgets them here (:meth:`forget`). A dictionary, because margin reads it for every position.
    """

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self._oracles: dict[int, OracleState] = {}
        self._sums: dict[int, Sums] = {}
        self.forgotten = 0
        """How often something was forgotten."""

    def __missing__(self, series: int) -> SeriesRisk:
        found = self[series] = self._made(series)
        return found

    def forget(self, underlying: int) -> None:
        """The rows, or the oracle, of an underlying changed."""
        self.forgotten += 1
        self._sums.clear()
        self._oracles.pop(underlying, None)
        for series in [one for one, risk in self.items() if risk.underlying == underlying]:
            del self[series]

    def forget_all(self) -> None:
        """What was known is of a state that has been taken back."""
        self._sums.clear()
        self._oracles.clear()
        self.clear()

    def sums(self, number: int, account: Account) -> Sums:
        """What an account's positions come to.

        Kept by account for as long as rows last, and brought up to date by the positions that differ from those summed up last, whatever
        has happened to the account meanwhile: so nothing that moves positions, or takes moves back, has to tell.
        """
        kept = self._sums.get(number)
        if kept is None or kept.positions is not account.positions:
            kept = self._sums[number] = sums_of(account.positions, self, kept)
        return kept

    def oracle(self, underlying: int) -> OracleState:
        """What the oracle says, by series."""
        found = self._oracles.get(underlying)
        if found is None:
            found = self._oracles[underlying] = oracle_state(self._world, underlying)
        return found

    def _made(self, number: int) -> SeriesRisk:
        terms, row = terms_of(self._world, number), self._world.risk.get(number)
        if row is None:
            raise Refused("UnknownSeries", number)
        if self._world.series[number].status:  # its price is fixed: it can't move any more
            nothing = dict.fromkeys(_MOVES, 0)
            return SeriesRisk(terms=terms, row=row, underlying=terms.underlying, mark=row.mark, **nothing)
        return series_risk(terms, row, self.oracle(terms.underlying))


def terms_of(world: World, number: int) -> Terms:
    """What a series is, as the risk rules have it."""
    found = world.series[number]
    return Terms(number, found.underlying, found.expiry, found.strike, found.is_call)


def oracle_state(world: World, underlying: int) -> OracleState:
    """An oracle's word, as the risk rules have it: volatilities by series."""
    said: Oracle = world.oracles[underlying]
    places = {(expiry, strike): volatility for expiry, strike, volatility in said.volatilities}
    volatilities = {
        number: places[found.expiry, found.strike]
        for number, found in world.series.items()
        if found.underlying == underlying and (found.expiry, found.strike) in places
    }
    return OracleState(
        underlying, said.spot, dict(said.forwards), volatilities, said.discount, said.confidence, said.sequence,
        said.timestamp,
    )  # fmt: skip


def final_row(mark: int, sequence: int) -> RiskRow:
    """The row of a series whose settlement price is known."""
    return RiskRow(mark, (0,) * 16, sequence)


def margin_of(
    world: World, context: Context, number: int, filled: tuple[Resting, int] | None = None
) -> Margin:
    """Margin of an account.

    Args:
        world: the state.
        context: keeps what is known of series.
        number: of the account.
        filled: a resting order of its, and how much of it has just been filled, though the book doesn't show that yet.
    """
    account = world.accounts[number]
    return margin(
        account.cash,
        account.positions,
        context.risks,
        pending=pending_of(world, number, filled),
        mode=Mode.PORTFOLIO if account.portfolio else Mode.STANDARD,
        sums=context.risks.sums(number, account) if account.portfolio else None,
    )


def pending_of(world: World, number: int, filled: tuple[Resting, int] | None = None) -> tuple[Pending, ...]:
    """An account's open orders, by series."""
    if not world.count_orders(number):
        return ()
    done, taken = (filled[0].id, filled[1]) if filled else (0, 0)
    orders = []
    for order in world.orders_of(number):
        quantity = order.quantity if order.id != done else order.quantity - taken
        if quantity:
            orders.append((order.id >> 32, order.side is Side.BUY, order.price, quantity))
    return gather(orders)


def shortfall(world: World, context: Context, number: int, filled: tuple[Resting, int] | None = None) -> int:
    """By how much an account misses its initial margin; zero if it doesn't, or can never owe anything."""
    found = margin_of(world, context, number, filled)
    return 0 if found.covered else max(0, -found.surplus)


def require_margin(world: World, context: Context, number: int) -> None:
    """Refuse what leaves an account short."""
    account = world.accounts[number]
    if not account.positions and not world.count_orders(number):
        return
    missing = shortfall(world, context, number)
    if missing:
        raise Refused("InsufficientMargin", number, missing)
