"""What an options rollup offers, read by its own methods, as the same board that an EVM rollup's market gives."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from orchestrator.market.board import Board, Quote, Row, Terms
from orchestrator.market.units import QUANTITY_SCALE

Ask = Callable[..., Awaitable[Any]]
"""A JSON-RPC call: method and parameters."""

ONE: Final = QUANTITY_SCALE
"""One unit of the underlying: what is priced where nobody says how much is wanted."""


async def read_options_board(ask: Ask, underlying: str, quantity: int = ONE) -> Board:
    """The board of an options rollup.

    Args:
        ask: its public JSON-RPC endpoint.
        underlying: symbol.
        quantity: for which its market maker is asked, 1e-4 units.
    """
    series = await ask("options_getSeries", underlying, True)
    quotes = await ask("options_getQuotes", underlying, hex(quantity))
    return options_board(series, quotes)


def options_board(series: Sequence[Mapping[str, Any]], quotes: Sequence[Mapping[str, Any]]) -> Board:
    """The board in what the two methods answered. A side on which the maker doesn't trade the quantity has size zero. Pure."""
    by_series = {entry["series"]: entry for entry in quotes}
    return Board(
        tuple(
            Row(series_id(entry["series"]), terms_of(entry), _quote(by_series.get(entry["series"])))
            for entry in series
        )
    )


def series_id(number: int) -> bytes:
    """The number of a series in the 32 bytes that boards have for its name."""
    return number.to_bytes(32, "big")


def series_number(identity: bytes) -> int:
    """The other way round."""
    return int.from_bytes(identity, "big")


def terms_of(entry: Mapping[str, Any]) -> Terms:
    """What a series is, from an entry of ``options_getSeries``."""
    return Terms(entry["underlying"], int(entry["strike"]), entry["expiry"], entry["isCall"])


def lots_problem(quantity: int, lot: int) -> str | None:
    """Why a quantity can't be traded in lots; None if it can."""
    if quantity % lot:
        return f"{quantity / QUANTITY_SCALE:g} is no multiple of the lot, {lot / QUANTITY_SCALE:g}"
    return None


def _quote(entry: Mapping[str, Any] | None) -> Quote:
    if entry is None:
        return Quote(0, 0, 0, 0)
    quantity = int(entry["quantity"])
    bid, ask = entry["bid"], entry["ask"]
    return Quote(int(bid or 0), int(ask or 0), 0 if bid is None else quantity, 0 if ask is None else quantity)
