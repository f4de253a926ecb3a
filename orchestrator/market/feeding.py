"""Keeps options rollups fed: the oracle's updates, the listing of series, and the price on which expiries settle.

::

    state (spot) ─► feed.next_statement ─► update of each rollup, signed ─┐
                                            series that aren't listed yet ─┴─► the rollup ─► quotes of its market maker

On options rollups nobody posts quotes: their market maker is an account that quotes from the marks, so what this does is keep the marks
fresh. The number of an update is written down before it is signed: two signed updates with one number would be an equivocation, for which
a signer is taken out.
"""

from collections.abc import Callable, Sequence

from bridge.wire.journal import Journal
from orchestrator.market.board import Terms
from orchestrator.market.feed import Statement, next_statement, update_of
from orchestrator.market.maker_state import Progress, State
from orchestrator.market.options_venue import OptionsRollup, OptionsVenue, Seen
from orchestrator.market.units import price_units
from orchestrator.topology.plan import MarketPlan


class Feeding:
    """Says the same of the market to every options rollup.

    Args:
        market: the plan.
        series: everything that is to be listed.
        rollups: all that are fed.
        state: the spot, and what was said before.
        journal: where it says what it did.
        clock: unix seconds.
    """

    def __init__(
        self,
        market: MarketPlan,
        series: Sequence[Terms],
        rollups: Sequence[OptionsRollup],
        state: State,
        journal: Journal,
        clock: Callable[[], float],
    ) -> None:
        self._market, self._series, self._state = market, tuple(series), state
        self._journal, self._clock = journal, clock
        self._trusted_s = float(min((one.trusted_s for one in rollups), default=0))
        self._last: Statement | None = None

    async def look(self, venue: OptionsVenue, progress: Progress) -> None:
        """Bring one options rollup to where it should be.

        Raises:
            PeerUnreachable: it doesn't answer.
            VenueError: it refuses.
        """
        seen = await venue.look(self._market.underlying)
        said = self._last = next_statement(
            self._last,
            now=self._clock(),
            spot=price_units(self._state.spot),
            series=self._series,
            trusted_s=self._trusted_s,
        )
        missing = [
            terms for terms in self._series if terms not in seen.listed and terms.expiry > said.timestamp
        ]
        due = said.timestamp > seen.timestamp
        if due or missing:
            await self._bring(venue, seen, said if due else None, missing)
        if not progress.ready:
            progress.quotes = await venue.quoted(self._market.underlying)
            progress.ready = True
            self._journal.emit(
                "maker.ready", rollup=venue.name, series=len(self._series), quotes=progress.quotes
            )
        self._settled(venue, seen, progress)

    async def _bring(
        self, venue: OptionsVenue, seen: Seen, said: Statement | None, missing: Sequence[Terms]
    ) -> None:
        update = None
        if said is not None:
            sequence = self._state.next_sequence(venue.name, seen.sequence)
            update = update_of(self._market, {*self._series, *seen.listed}, said, sequence)
        await venue.bring(update, missing)
        if said is not None:
            self._journal.emit(
                "maker.fed",
                rollup=venue.name,
                sequence=sequence,
                timestamp=said.timestamp,
                spot=said.spot,
                signatures=venue.rollup.needed,
            )
        if missing:
            self._journal.emit("maker.listed", rollup=venue.name, series=len(missing))

    def _settled(self, venue: OptionsVenue, seen: Seen, progress: Progress) -> None:
        """Note prices on which expiries have settled here: EVM rollups settle on them too."""
        for expiry, price in seen.settled:
            self._state.settled_on(expiry, price)
            if expiry not in progress.done:
                progress.done.add(expiry)
                self._journal.emit("maker.settled", rollup=venue.name, expiry=expiry, price=price)
