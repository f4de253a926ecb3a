"""What the maker remembers: over its restarts (:class:`State`), and of this life (:class:`Progress`)."""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from orchestrator.market.units import price_units
from orchestrator.topology.plan import MarketPlan


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
    sequences: dict[str, int] = field(default_factory=dict)
    """Number of the last oracle update that was signed for each options rollup."""

    @classmethod
    def load(cls, path: Path, market: MarketPlan, now: float) -> "State":
        """The saved state, or a new one that starts now."""
        with contextlib.suppress(FileNotFoundError):
            fields = orjson.loads(path.read_bytes())
            settlements = {int(expiry): int(price) for expiry, price in fields["settlements"].items()}
            sequences = {str(name): int(last) for name, last in fields.get("sequences", {}).items()}
            return cls(path, int(fields["start"]), float(fields["spot"]), settlements, sequences)
        state = cls(path, int(now), market.spot, {})
        state.save()
        return state

    def settlement(self, expiry: int) -> int:
        """The price on which an expiry settles: the spot when it is first asked for, and that for ever and everywhere."""
        if expiry not in self.settlements:
            self.settlements[expiry] = price_units(self.spot)
            self.save()
        return self.settlements[expiry]

    def settled_on(self, expiry: int, price: int) -> None:
        """An options rollup has settled an expiry on a price, 1e-6 USD per unit; the first that is told counts for the others."""
        if expiry not in self.settlements:
            self.settlements[expiry] = price
            self.save()

    def next_sequence(self, rollup: str, seen: int) -> int:
        """A number for an oracle update that no other of this rollup will ever have, written down.

        Args:
            rollup: its name.
            seen: of the last update that the rollup knows.
        """
        self.sequences[rollup] = max(seen, self.sequences.get(rollup, 0)) + 1
        self.save()
        return self.sequences[rollup]

    def save(self) -> None:
        """Write beside and rename: a crash leaves the old state or the new one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".new")
        settlements = {str(expiry): price for expiry, price in self.settlements.items()}
        fields = {
            "start": self.start,
            "spot": self.spot,
            "settlements": settlements,
            "sequences": self.sequences,
        }
        beside.write_bytes(orjson.dumps(fields))
        beside.replace(self.path)


@dataclass(slots=True)
class Progress:
    """How far one rollup is."""

    ready: bool = False
    """Every live series stands quoted."""
    quotes: int = 0
    """Posted since this start; of an options rollup, the series that its own market maker quoted both ways when it was ready."""
    settled: int = 0
    """Positions settled since this start."""
    error: str = ""
    """Why the last look failed; empty when it didn't."""
    done: set[int] = field(default_factory=set)
    """Expiries that are settled."""
