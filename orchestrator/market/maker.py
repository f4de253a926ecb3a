"""The market maker, a node: ``python -m orchestrator.market.maker`` (configuration: ``bridge.wire.configuration``).

::

    start ─► state (start time, spot; survives restarts) ─► per rollup: spot ► quotes ► settlements, again and again
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
import uvloop

from bridge.wire.configuration import read_configuration
from bridge.wire.errors import PeerUnreachable
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.server import run_until_signalled
from orchestrator.market.board import Board
from orchestrator.market.errors import MakerConfigError, MarketError, VenueError
from orchestrator.market.quoting import listed_series, offers_due
from orchestrator.market.status import serve_status
from orchestrator.market.units import price_units
from orchestrator.market.venue import Venue
from orchestrator.market.wallet import Wallet
from orchestrator.topology.plan import MarketPlan

STARTING_S = 0.05
"""Pause between two attempts at a rollup that isn't quoted yet, so that the maker may start before the rollups, seconds."""

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
            return cls(
                **{
                    **fields,
                    "port": int(fields["port"]),
                    "rollups": rollups,
                    "market": MarketPlan(**{**market, **lists}),
                }
            )
        except (ValueError, TypeError, KeyError) as exc:
            raise MakerConfigError(
                f"this is no maker configuration: {exc!r}", "start it with rollnet up"
            ) from exc


@dataclass(slots=True)
class State:
    """What outlives the process."""

    path: Path
    start: int
    """Unix seconds that the expiries count from."""
    spot: float
    """USD per unit."""
    settlements: dict[int, int]
    """Settlement price (1e-6 USD per unit) of each expiry that has passed: one number for all rollups."""

    @classmethod
    def load(cls, path: Path, market: MarketPlan, now: float) -> "State":
        """The saved state, or a new one that starts now."""
        with contextlib.suppress(FileNotFoundError):
            fields = orjson.loads(path.read_bytes())
            settlements = {int(expiry): int(price) for expiry, price in fields["settlements"].items()}
            return cls(path, int(fields["start"]), float(fields["spot"]), settlements)
        state = cls(path, int(now), market.spot, {})
        state.save()
        return state

    def settlement(self, expiry: int) -> int:
        """The price on which an expiry settles: the spot when it is first asked for, and that for ever and everywhere."""
        if expiry not in self.settlements:
            self.settlements[expiry] = price_units(self.spot)
            self.save()
        return self.settlements[expiry]

    def save(self) -> None:
        """Write beside and rename: a crash leaves the old state or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        settlements = {str(expiry): price for expiry, price in self.settlements.items()}
        beside.write_bytes(orjson.dumps({"start": self.start, "spot": self.spot, "settlements": settlements}))
        beside.replace(self.path)


@dataclass(slots=True)
class Progress:
    """How far one rollup is."""

    ready: bool = False
    """Every live series stands quoted."""
    quotes: int = 0
    """Posted since this start."""
    settled: int = 0
    """Positions settled since this start."""
    error: str = ""
    """Why the last look failed; empty when it didn't."""
    done: set[int] = field(default_factory=set)
    """Expiries that are settled."""


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
        self._progress = {name: Progress() for name, _, _ in config.rollups}
        self._wake = {name: asyncio.Event() for name in self._progress}

    async def run(self) -> None:
        """Serve all rollups until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, url, chain_id in self._config.rollups:
                group.create_task(self._serve(name, url, chain_id))

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

    async def _serve(self, name: str, url: str, chain_id: int) -> None:
        async with Client(url) as client:
            venue = Venue(name, chain_id, client, self._wallet)
            while True:
                self._wake[name].clear()
                progress = self._progress[name]
                try:
                    await self._look(venue, progress)
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
            if expiry > self._clock():
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
