"""From human numbers to the market's integers, and back. Pure.

Prices and cash are integers in 1e-6 USD, quantities integers in 1e-4 of one unit of the underlying, symbols 32 bytes: on EVM rollups and on
options rollups alike. What only options rollups have, volatilities and discounts, are integers in 1e-18.
Conversion goes through the shortest decimal that names the float, so 0.1 is a tenth and not 0.1000000000000000055.
"""

from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from orchestrator.market.errors import UnitError

PRICE_SCALE = 1_000_000
"""Integers per USD."""
QUANTITY_SCALE = 10_000
"""Integers per unit of the underlying."""
WAD = 10**18
"""Integers per one of a volatility or a discount."""
MAX_UINT64 = 2**64 - 1
"""Prices and quoted sizes are 64 bits on chain."""


def price_units(usd: float | Decimal) -> int:
    """A price or an amount of cash in 1e-6 USD, rounded to the nearest (ties to even).

    Raises:
        UnitError: negative, not finite, or beyond 64 bits.
    """
    return _scaled(usd, PRICE_SCALE, "price", "USD")


def quantity_units(units: float | Decimal) -> int:
    """A quantity in 1e-4 units, which must be a whole number of them: quantities are never rounded silently.

    Raises:
        UnitError: not a multiple of 1e-4, negative, not finite, or beyond 64 bits.
    """
    scaled = _scaled(units, QUANTITY_SCALE, "quantity", "units")
    if Decimal(str(units)) * QUANTITY_SCALE != scaled:
        raise UnitError(f"quantity {units} is no multiple of 0.0001", "round it to four decimals")
    return scaled


def wad(number: float | Decimal) -> int:
    """A volatility or a discount in 1e-18, rounded to the nearest (ties to even).

    Raises:
        UnitError: negative, not finite, or beyond 64 bits.
    """
    return _scaled(number, WAD, "number", "ones")


def usd(price: int) -> float:
    """A price or an amount of cash in USD, for humans and pricing formulas."""
    return price / PRICE_SCALE


def symbol_bytes(symbol: str) -> bytes:
    """An underlying's symbol as the contracts carry it: ASCII, left-aligned in 32 bytes.

    Raises:
        UnitError: empty, longer than 32 characters, or not ASCII.
    """
    if not symbol or not symbol.isascii() or len(symbol) > 32:
        raise UnitError(f"underlying {symbol!r} isn't 1 to 32 ASCII characters", "use a ticker such as ETH")
    return symbol.encode().ljust(32, b"\0")


def _scaled(number: float | Decimal, scale: int, what: str, unit: str) -> int:
    try:
        exact = Decimal(str(number)) * scale
        scaled = int(exact.to_integral_value(rounding=ROUND_HALF_EVEN))
    except (InvalidOperation, OverflowError, ValueError) as exc:
        raise UnitError(f"{what} {number!r} is no number", f"give {unit} as a decimal number") from exc
    if not 0 <= scaled <= MAX_UINT64:
        raise UnitError(
            f"{what} {number} is outside 0 … {MAX_UINT64 / scale:g} {unit}", "choose a smaller number"
        )
    return scaled
