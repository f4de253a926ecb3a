"""Logarithm, exponential and normal distribution in integers: the same bits here and in ``Black76.sol``.

Numbers are fixed-point with 96 binary places (``ONE``): shifts floor in Python and in the EVM alike, also
below zero, and everything that is computed on the way fits 256 bits. Division truncates in Solidity, so
nothing below zero is ever divided.

* ``log_ratio``: powers of two are taken out until the ratio is within [1/sqrt 2, sqrt 2], then the series
  of ``ln(a/b) = 2 artanh((a-b)/(a+b))``; thirteen terms leave less than 1e-20. Swapping the two only swaps
  the sign, bit for bit.
* ``exp_minus``: powers of two are taken out, then Taylor on [-ln 2 / 2, ln 2 / 2]; seventeen terms leave
  less than 1e-20.
* ``distribution``: the rational approximation of Hart (1968) with the coefficients that G. West published in
  *Better approximations to cumulative normal functions*, Wilmott Magazine, May 2005, and his fraction beyond
  ``10 / sqrt 2``. The error is below 1e-16 everywhere, absolute (4.1e-17 at most was
  measured against 60 digits; a test holds it): that is Hart's own, the arithmetic here adds less than 1e-20.
"""

from typing import Final

from rollup_node.engines.options.values import WAD

BITS: Final = 96
"""Binary places."""
ONE: Final = 1 << BITS
"""The number one."""

_LN_2: Final = 54916777467707473351141471128
"""ln 2, rounded."""
_LN_2_HALF: Final = _LN_2 >> 1
_ODD_RECIPROCALS: Final = tuple(ONE // odd for odd in range(25, 0, -2))
"""1/25, 1/23 … 1/3, 1."""
_FACTORIALS: Final = (
    *(1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600),
    *(6227020800, 87178291200, 1307674368000, 20922789888000),
)
_TAYLOR: Final = tuple(ONE // factorial for factorial in reversed(_FACTORIALS))
"""1/16! … 1/2!, 1, 1."""

HART_NUMERATOR: Final = (
    35262496599891100,
    700383064443688000,
    6373962203531650000,
    33912866078383000000,
    112079291497871000000,
    221213596169931000000,
    220206867912376000000,
)
"""Hart's, 1e18, highest power first."""
HART_DENOMINATOR: Final = (
    88388347648318400,
    1755667163182640000,
    16064177579207000000,
    86780732202946100000,
    296564248779674000000,
    637333633378831000000,
    793826512519948000000,
    440413735824752000000,
)
"""Hart's, 1e18, highest power first."""
_SPLIT: Final = 7071067811865470000 * ONE // WAD
"""From here on the continued fraction."""
_FAR: Final = 37 * ONE
"""From here on the lower tail is zero: it is below 1e-299."""
_TAIL_START: Final = 65 * ONE // 100
_ROOT_TWO_PI: Final = 198595552305314927273837084509
"""sqrt(2 pi), rounded."""


def log_ratio(numerator: int, denominator: int) -> int:
    """Natural logarithm of a ratio.

    Args:
        numerator: From 1 to 2**64.
        denominator: From 1 to 2**64.
    """
    if numerator < denominator:
        return -log_ratio(denominator, numerator)
    doublings = numerator.bit_length() - denominator.bit_length()
    denominator <<= doublings
    if numerator * numerator > 2 * denominator * denominator:
        denominator <<= 1
        doublings += 1
    elif 2 * numerator * numerator < denominator * denominator:
        numerator <<= 1
        doublings -= 1
    below = numerator < denominator
    difference = denominator - numerator if below else numerator - denominator
    ratio = (difference << BITS) // (numerator + denominator)
    square = ratio * ratio >> BITS
    total = 0
    for reciprocal in _ODD_RECIPROCALS:
        total = (total * square >> BITS) + reciprocal
    artanh = total * ratio >> BITS
    return doublings * _LN_2 + (-2 * artanh if below else 2 * artanh)


def exp_minus(exponent: int) -> int:
    """e to the power of minus ``exponent``, which isn't below zero."""
    halvings = (exponent + _LN_2_HALF) // _LN_2
    rest = halvings * _LN_2 - exponent
    total = 0
    for term in _TAYLOR:
        total = (total * rest >> BITS) + term
    return total >> halvings


def distribution(x: int) -> int:
    """Probability that a standard normal variable is below ``x``, from 0 to ``ONE``."""
    distance = -x if x < 0 else x
    tail = _lower_tail(distance)
    return tail if x <= 0 else ONE - tail


def _lower_tail(distance: int) -> int:
    if distance >= _FAR:
        return 0
    density = exp_minus(distance * distance >> (BITS + 1))
    if distance >= _SPLIT:
        fraction = distance + _TAIL_START
        for part in (4, 3, 2, 1):
            fraction = distance + (part << 2 * BITS) // fraction
        # The density is below 2**60 out here, so that the shift fits the EVM's 256 bits.
        return (density << 2 * BITS) // (fraction * _ROOT_TWO_PI)
    above = below = 0
    for coefficient in HART_NUMERATOR:
        above = (above * distance >> BITS) + coefficient
    for coefficient in HART_DENOMINATOR:
        below = (below * distance >> BITS) + coefficient
    return density * above // below
