"""The market maker, a node: ``python -m orchestrator.market.maker`` (configuration: ``bridge.wire.configuration``).

::

    start ─► state (start time, spot; survives restarts) ─► per EVM rollup: spot ► quotes ► settlements, again and again
                                                        └─► per options rollup: oracle update ► listings (feeding)
                                                                  │
                       GET /status ◄── progress ◄─────────────────┘       POST /spot ─► state, and every rollup at once

It is an ordinary user: public JSON-RPC, signed transactions, nonces from the chain. What was listed is on the chain and when
the expiries count from is in its data directory, so a restart goes on where it was. Rollups are served independently of
one another, and one that doesn't answer is tried again.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.wire.configuration import read_configuration
from bridge.wire.errors import PeerUnreachable
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.server import run_until_signalled
from orchestrator.market.board import Board
from orchestrator.market.errors import MakerConfigError, MarketError, VenueError
from orchestrator.market.feeding import Feeding
from orchestrator.market.maker_state import Progress, State
from orchestrator.market.options_venue import OptionsRollup, OptionsVenue
from orchestrator.market.quoting import listed_series, offers_due
from orchestrator.market.status import serve_status
from orchestrator.market.units import price_units
from orchestrator.market.venue import Venue
from orchestrator.market.wallet import Wallet
from orchestrator.topology.plan import MarketPlan

STARTING_S = 0.05
"""Pause between two attempts at a rollup that isn't quoted yet, so that the maker may start before the rollups, seconds."""
SETTLED_S = 30.0
"""After an expiry, how long the price on which options rollups settle is waited for, seconds; then it is the spot."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that the maker is told."""

    name: str
    port: int
    """Of the status endpoint, on loopback."""
    rollups: tuple[tuple[str, str, int], ...]
    """(name, public JSON-RPC URL, chain id) of every EVM rollup."""
    private_key: str
    market: MarketPlan
    data_dir: str
    journal: str
    refresh_s: float = 1.0
    """Longest time between two looks at a rollup, seconds."""
    threshold: float = 0.01
    """Share of its price by which a quote may be off before it is renewed."""
    options: tuple[OptionsRollup, ...] = ()
    """Every options rollup: their market makers quote by themselves, from the marks that they are fed."""

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> "Config":
        """From decoded JSON; the port may be text.

        Raises:
            MakerConfigError: it is no configuration of a maker.
        """
        try:
            market: dict[str, Any] = fields["market"]
            lists = {key: tuple(market[key]) for key in ("expiries_s", "strikes")}
            rollups = tuple((str(name), str(url), int(chain)) for name, url, chain in fields["rollups"])
            options = tuple(
                OptionsRollup(**{**one, "signers": tuple(one["signers"])})
                for one in fields.get("options", ())
            )
            return cls(
                **{
                    **fields,
                    "port": int(fields["port"]),
                    "rollups": rollups,
                    "options": options,
                    "market": MarketPlan(**{**market, **lists}),
                }
            )
        except (ValueError, TypeError, KeyError) as exc:
            raise MakerConfigError(
                f"this is no maker configuration: {exc!r}", "start it with rollnet up"
            ) from exc


class Maker:
    """Quotes every rollup.

    Args:
        config: what to do.
        state: what it did before.
        journal: where it says so.
        clock: unix seconds; rollups' block times follow the same clock.
    """

    def __init__(
        self, config: Config, state: State, journal: Journal, clock: Callable[[], float] = time.time
    ) -> None:
        self._config, self._state, self._journal, self._clock = config, state, journal, clock
        self._market = config.market
        self._series = listed_series(config.market, state.start)
        self._wallet = Wallet(config.private_key)
        self._feeding = Feeding(config.market, self._series, config.options, state, journal, clock)
        names = (*(name for name, _, _ in config.rollups), *(one.name for one in config.options))
        self._progress = {name: Progress() for name in names}
        self._wake = {name: asyncio.Event() for name in self._progress}

    async def run(self) -> None:
        """Serve all rollups until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, url, chain_id in self._config.rollups:
                group.create_task(self._quote(name, url, chain_id))
            for rollup in self._config.options:
                group.create_task(self._feed(rollup))

    def status(self) -> dict[str, Any]:
        """The answer of ``GET /status``."""
        return {
            "ready": all(progress.ready for progress in self._progress.values()),
            "series": len(self._series),
            "start": self._state.start,
            "expiries": sorted({terms.expiry for terms in self._series}),
            "spot": self._state.spot,
            "quotes": sum(progress.quotes for progress in self._progress.values()),
            "rollups": {
                name: {
                    "ready": progress.ready,
                    "quotes": progress.quotes,
                    "settled": progress.settled,
                    "error": progress.error,
                }
                for name, progress in self._progress.items()
            },
        }

    def move_spot(self, spot: float) -> None:
        """Quote around another spot price from now on.

        Raises:
            UnitError: not a price.
        """
        price_units(spot)
        self._state.spot = spot
        self._state.save()
        self._journal.emit("maker.spot", spot=spot)
        for event in self._wake.values():
            event.set()

    async def _quote(self, name: str, url: str, chain_id: int) -> None:
        async with Client(url) as client:
            venue = Venue(name, chain_id, client, self._wallet)
            await self._serve(name, lambda progress: self._look(venue, progress))

    async def _feed(self, rollup: OptionsRollup) -> None:
        async with Client(rollup.url) as client:
            venue = OptionsVenue(rollup, client, self._wallet)
            await self._serve(rollup.name, lambda progress: self._feeding.look(venue, progress))

    async def _serve(self, name: str, look: Callable[[Progress], Awaitable[None]]) -> None:
        """Look at a rollup again and again, whatever comes of it."""
        progress = self._progress[name]
        while True:
            self._wake[name].clear()
            try:
                await look(progress)
                progress.error = ""
            except (PeerUnreachable, VenueError) as exc:
                if progress.error != str(exc):
                    log.warning("venue.failed", rollup=name, error=str(exc))
                progress.error = str(exc)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._config.refresh_s if progress.ready else STARTING_S):
                    await self._wake[name].wait()

    async def _look(self, venue: Venue, progress: Progress) -> None:
        """Bring one rollup to where it should be."""
        spot = price_units(self._state.spot)
        if await venue.spot(self._market.underlying) != spot:
            await venue.post_spot(self._market.underlying, spot)
        board = await venue.board()
        due = offers_due(
            self._market,
            self._series,
            board,
            spot=self._state.spot,
            now=self._clock(),
            threshold=self._config.threshold,
        )
        if due:
            await venue.post(due)
            progress.quotes += len(due)
            self._journal.emit("maker.quoted", rollup=venue.name, quotes=len(due), spot=self._state.spot)
        if not progress.ready:
            progress.ready = True
            self._journal.emit("maker.ready", rollup=venue.name, series=len(self._series))
        await self._settle(venue, board, progress)

    async def _settle(self, venue: Venue, board: Board, progress: Progress) -> None:
        for expiry in sorted({terms.expiry for terms in self._series} - progress.done):
            late = self._clock() - expiry
            if late < 0 or (
                expiry not in self._state.settlements and self._config.options and late < SETTLED_S
            ):
                continue
            price = self._state.settlement(expiry)
            price = await venue.fix_settlement(self._market.underlying, expiry, price)
            rows = [(row.series, row.terms) for row in board.rows if row.terms.expiry == expiry]
            positions = await venue.settle(rows)
            progress.settled += positions
            progress.done.add(expiry)
            self._journal.emit(
                "maker.settled", rollup=venue.name, expiry=expiry, price=price, positions=positions
            )


async def run(config: Config) -> None:
    """Run until SIGTERM."""
    state = State.load(Path(config.data_dir) / "maker.json", config.market, time.time())
    with Journal(Path(config.journal), config.name, "maker") as journal:
        journal.emit("node.started", start=state.start)
        maker = Maker(config, state, journal)
        async with serve_status(maker.status, maker.move_spot, config.port), asyncio.TaskGroup() as group:
            quoting = group.create_task(maker.run())
            await run_until_signalled()
            quoting.cancel()
        journal.emit("node.stopped")


def main() -> None:
    """Entry point of ``python -m orchestrator.market.maker``."""
    try:
        config = Config.parse(read_configuration())
        structlog.contextvars.bind_contextvars(node=config.name)
        uvloop.run(run(config))
    except (MarketError, OSError) as exc:
        log.error("node.failed", error=str(exc))
        sys.exit(1)


if __name__ == "__main__":
    main()
