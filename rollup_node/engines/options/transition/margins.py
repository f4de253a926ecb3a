"""Margin of accounts in the world: what the pure rules of ``risk`` say of their cash, positions and open orders.

Which trades are accepted follows from two margins, before and after. The one before is only asked where the one after isn't good enough.
"""

from dataclasses import fields
from typing import Final, NamedTuple

from bridge.wire.system import DEPOSITOR_PREFIX
from rollup_node.engines.options.book.orders import Resting
from rollup_node.engines.options.risk.margin import Margin, Mode, margin
from rollup_node.engines.options.risk.pending import Pending
from rollup_node.engines.options.risk.portfolio import Sums, sums_of
from rollup_node.engines.options.risk.rows import OracleState, RiskRow, SeriesRisk, Terms, series_risk
from rollup_node.engines.options.state.leaves import Account, Oracle
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.open_orders import OpenOrders
from rollup_node.engines.options.values import PARTS, ceil_divide

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
        self._open: dict[int, OpenOrders] = {}
        self.forgotten = 0
        """How often something was forgotten."""

    def __missing__(self, series: int) -> SeriesRisk:
        found = self[series] = self._made(series)
        return found

    def forget(self, underlying: int) -> None:
        """The rows, or the oracle, of an underlying changed."""
        self.forgotten += 1
        self._sums.clear()
        self._open.clear()
        self._oracles.pop(underlying, None)
        for series in [one for one, risk in self.items() if risk.underlying == underlying]:
            del self[series]

    def forget_all(self) -> None:
        """What was known is of a state that has been taken back."""
        self._sums.clear()
        self._open.clear()
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

    def open_orders(self, number: int, filled: tuple[Resting, int] | None = None) -> OpenOrders | None:
        """An account's open orders, kept likewise; None if it has none."""
        if not self._world.count_orders(number):
            self._open.pop(number, None)
            return None
        kept = self._open.get(number)
        if kept is None:
            kept = self._open[number] = OpenOrders()
        kept.update(self._world.unsorted_orders_of(number), filled)
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
    mode = Mode.PORTFOLIO if account.portfolio else Mode.STANDARD
    opened = context.risks.open_orders(number, filled)
    pending = opened.entries if opened else ()
    if account.locks or account.locked or account.due:
        return _with_locks(world, context, number, pending, mode)
    return margin(
        account.cash - account.reserved,
        account.positions,
        context.risks,
        pending=pending,
        mode=mode,
        sums=context.risks.sums(number, account) if account.portfolio else None,
        opened=opened.sums if opened else None,
    )


def pledged_abroad(world: World, number: int) -> dict[int, int]:
    """How much of each series an account holds for other rollups' short legs."""
    found: dict[int, int] = {}
    for _, combo in world.combos.of(number):
        if combo.account == number:
            for series, *_, quantity in combo.pledges:
                found[series] = found.get(series, 0) + max(quantity, 0)
    return found


def _with_locks(
    world: World, context: Context, number: int, pending: tuple[Pending, ...], mode: Mode
) -> Margin:
    """Margin of an account that locked combos have legs of.

    Long legs that are pledged to another rollup count for nothing: what they pay is another's. Locked short ones ask for what they can lose beyond what is pledged to
    them, or for what they would ask for unlocked, whichever is less. What other rollups owe for settled legs keeps an account from being
    liquidated, and allows nothing.
    """
    account = world.accounts[number]
    cash, locked = account.cash - account.reserved, dict(account.locks)
    abroad = pledged_abroad(world, number)
    free: list[tuple[int, int]] = []
    own: list[tuple[int, int]] = []
    for series, held in account.positions:
        for quantity, found in ((held - locked.get(series, 0), free), (held - abroad.get(series, 0), own)):
            if quantity:
                found.append((series, quantity))
    credited = margin(cash, free, context.risks, pending=pending, mode=mode, locked=account.locked)
    alone = margin(cash, own, context.risks, pending=pending, mode=mode)
    # what the locked legs cost to be rid of, below zero what they bring
    marks = credited.equity - alone.equity
    return Margin(
        equity=credited.equity,
        maintenance=min(credited.maintenance, alone.maintenance + marks) - account.due,
        initial=min(credited.initial, alone.initial + marks),
        covered=credited.covered,
        owing=credited.owing,
    )


def shortfall(world: World, context: Context, number: int, filled: tuple[Resting, int] | None = None) -> int:
    """By how much an account misses its initial margin; zero if it doesn't, or can never owe anything."""
    if number == context.deferred:
        return 0
    found = margin_of(world, context, number, filled)
    return 0 if found.covered else max(0, required(world, context, number, found.initial) - found.equity)


class Standing(NamedTuple):
    """What an account that is short lacks; micro-USD, none below zero."""

    shortfall: int
    """Of initial margin."""
    gap: int
    """Of maintenance margin."""
    deficit: int
    """Of being worth nothing: what would be others' to pay."""


def standing(
    world: World, context: Context, number: int, filled: tuple[Resting, int] | None = None
) -> Standing:
    """How an account stands."""
    found = margin_of(world, context, number, filled)
    gap = max(0, found.maintenance - found.equity) if found.owing else 0
    deficit = max(0, -found.equity - world.accounts[number].due)
    return Standing(shortfall(world, context, number, filled), gap, deficit)


def relieves(after: Standing, before: Standing) -> bool:
    """Whether what an account in need does is a relief: it lacks less, and has not paid for that with what others would have to make good.

    A position given up frees its whole margin; without this one could be bought back from a friend for more than its account is worth.
    """
    return after.shortfall < before.shortfall and after.gap <= before.gap and after.deficit <= before.deficit


def required(world: World, context: Context, number: int, initial: int) -> int:
    """An account's initial margin: more of it while a breaker of what it holds or has orders in, or the rollup's own, isn't at rest.

    Not in derived steps: liquidations go on as ever, with whoever can afford to stand on their other side.
    """
    if not world.globals.level:
        for oracle in world.oracles.values():
            if oracle.level:
                break
        else:
            return initial
        raised = [underlying for underlying, oracle in world.oracles.items() if oracle.level]
        series = {one for one, _ in world.accounts[number].positions} | set(world.series_with_orders(number))
        if not any(world.series[one].underlying in raised for one in series):
            return initial
    if context.actor.startswith(DEPOSITOR_PREFIX):
        return initial
    return ceil_divide(initial * context.parameters.breaker_initial_ppm, PARTS)


def require_margin(world: World, context: Context, number: int) -> None:
    """Refuse what leaves an account short."""
    account = world.accounts[number]
    if not account.positions and not world.count_orders(number):
        return
    missing = shortfall(world, context, number)
    if missing:
        raise Refused("InsufficientMargin", number, missing)
