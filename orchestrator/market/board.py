"""What a rollup's market offers, as one call returns it. Pure."""

from dataclasses import dataclass
from typing import Any

from bridge.contracts.artifacts import artifact
from orchestrator.market.errors import VenueError
from orchestrator.market.units import symbol_bytes


@dataclass(frozen=True, slots=True)
class Terms:
    """What a series is."""

    underlying: str
    strike: int
    """1e-6 USD per unit."""
    expiry: int
    """Unix seconds."""
    is_call: bool

    def encoded(self) -> tuple[bytes, int, int, bool]:
        """The contract's ``Series`` struct."""
        return symbol_bytes(self.underlying), self.strike, self.expiry, self.is_call


@dataclass(frozen=True, slots=True)
class Quote:
    """A maker's offer."""

    bid: int
    """The maker buys at this, 1e-6 USD per unit."""
    ask: int
    """The maker sells at this, 1e-6 USD per unit."""
    bid_size: int
    """1e-4 units that the maker still buys."""
    ask_size: int
    """1e-4 units that the maker still sells."""

    def encoded(self) -> tuple[int, int, int, int]:
        """The contract's ``Quote`` struct."""
        return self.bid, self.ask, self.bid_size, self.ask_size


@dataclass(frozen=True, slots=True)
class Row:
    """One series with one maker's offer."""

    series: bytes
    """32 bytes."""
    terms: Terms
    quote: Quote


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that one maker has quoted on one rollup, in the order of listing."""

    rows: tuple[Row, ...]

    def expiries(self, underlying: str) -> tuple[int, ...]:
        """Unix seconds, ascending."""
        return tuple(sorted({row.terms.expiry for row in self.rows if row.terms.underlying == underlying}))

    def find(self, terms: Terms) -> Row | None:
        """The row of a series, or None when the maker doesn't quote it."""
        return next((row for row in self.rows if row.terms == terms), None)


def board_call(maker: str) -> bytes:
    """Call data that asks the market for a maker's board."""
    return artifact("OptionsMarket").interface.encode_call("board", maker)


def decode_board(data: bytes) -> Board:
    """The board in what the market answered; series that the maker never quoted are someone else's and left out.

    Raises:
        VenueError: no market answered.
    """
    if not data:
        raise VenueError("there is no options market on this rollup", "give the topology a market section")
    (rows,) = artifact("OptionsMarket").interface.decode_result("board", data)
    return Board(tuple(row for row in map(_row, rows) if row.quote != Quote(0, 0, 0, 0)))


def _row(raw: tuple[Any, ...]) -> Row:
    series, (underlying, strike, expiry, is_call), quote = raw
    symbol = underlying.rstrip(b"\0").decode("ascii", errors="replace")
    return Row(series, Terms(symbol, strike, expiry, is_call), Quote(*quote))
