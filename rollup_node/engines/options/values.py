"""Units, ranges and rounding of everything that the options engine settles: integers, and nothing else.

============================ ============================ ==============
price, cash                  micro-USD, 1e-6              int64, int128
quantity                     1e-4 of a contract           int64
volatility, discount, years  1e-18                        uint64
time                         unix seconds                 uint64
============================ ============================ ==============

Every value that leaves an arithmetic step is checked against its range; a value past it makes the transaction
invalid (``Overflow``). Every rounding is against the account: what it owes is rounded up, what it is owed is
rounded down.

Python's ``//`` floors and Solidity's ``/`` truncates. The two agree on operands that aren't negative; for
signed ones there is ``truncated``, which is Solidity's, and ``cash_for``, which says which way it rounds.
"""

from typing import Final

PRICE_UNIT: Final = 10**6
"""Prices and cash per dollar."""
QUANTITY_UNIT: Final = 10**4
"""Quantity per contract."""
WAD: Final = 10**18
"""Volatility, discount and year fractions per one."""
PARTS: Final = 10**6
"""Parts per million: shares, weights, shocks."""
SECONDS_PER_DAY: Final = 86_400
SECONDS_PER_YEAR: Final = 365 * SECONDS_PER_DAY

INT64_MAX: Final = 2**63 - 1
INT64_MIN: Final = -(2**63)
INT128_MAX: Final = 2**127 - 1
INT128_MIN: Final = -(2**127)
UINT32_MAX: Final = 2**32 - 1
UINT64_MAX: Final = 2**64 - 1


class Overflow(ArithmeticError):  # noqa: N818 - names what happened, as the contracts' error does
    """A value is past its range, or an input outside its domain; the transaction that made it is invalid."""


def int64(value: int) -> int:
    """The value, if it fits.

    Raises:
        Overflow: it doesn't.
    """
    if INT64_MIN <= value <= INT64_MAX:
        return value
    raise Overflow(f"{value} is past the range of a signed 64-bit number")


def int128(value: int) -> int:
    """The value, if it fits.

    Raises:
        Overflow: it doesn't.
    """
    if INT128_MIN <= value <= INT128_MAX:
        return value
    raise Overflow(f"{value} is past the range of a signed 128-bit number")


def uint64(value: int) -> int:
    """The value, if it fits.

    Raises:
        Overflow: it doesn't.
    """
    if 0 <= value <= UINT64_MAX:
        return value
    raise Overflow(f"{value} is past the range of an unsigned 64-bit number")


def truncated(dividend: int, divisor: int) -> int:
    """Signed quotient towards zero, as the EVM's ``SDIV``; the divisor is above zero."""
    return dividend // divisor if dividend >= 0 else -(-dividend // divisor)


def ceil_divide(dividend: int, divisor: int) -> int:
    """Signed quotient, rounded up; the divisor is above zero."""
    return -(-dividend // divisor)


def cash_for(price: int, quantity: int, *, against_account: bool = True) -> int:
    """What a quantity at a price brings an account: above zero it receives, below zero it pays.

    Who sells ``q`` receives ``cash_for(price, q)``, who buys ``q`` receives ``cash_for(price, -q)``, a
    negative number. Both are rounded against the account: the receipt down, the payment up in size. The two
    can therefore sum to -1: whoever moves cash between two accounts says who gets that dust.

    Args:
        price: Micro-USD per contract.
        quantity: 1e-4 contracts, signed as the cash flows.
        against_account: ``False`` rounds in the account's favour: the other side of a flow that must sum to zero.

    Raises:
        Overflow: the cash doesn't fit 128 bits.
    """
    product = price * quantity
    return int128(product // QUANTITY_UNIT if against_account else ceil_divide(product, QUANTITY_UNIT))
