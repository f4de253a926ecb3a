// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Black76
/// @notice What a European option on a forward is worth, in integers.
/// @dev The same function as `rollup_node/engines/options/pricing/black76.py`, bit for bit: same domain, same refusals, same
/// roundings; the mathematics and its error bounds are told there and in `normal.py`. Inside, numbers have 96 binary places.
/// Shifts of signed numbers floor, as in Python; nothing below zero is divided.
library Black76 {
    /// @notice One strike.
    /// @param call Micro-USD per contract.
    /// @param put Micro-USD per contract.
    /// @param delta The call's, by the forward: D N(d1), 1e-18.
    struct Priced {
        int64 call;
        int64 put;
        uint64 delta;
    }

    /// @notice 10,000 % a year, 1e-18.
    uint256 internal constant VOLATILITY_LIMIT = 100e18;
    /// @notice Today's value of a dollar at expiry, 1e-18.
    uint256 internal constant DISCOUNT_LIMIT = 2e18;
    uint256 private constant WAD = 1e18;
    uint256 private constant SECONDS_PER_YEAR = 365 days;
    uint256 private constant PRICE_LIMIT = uint256(uint64(type(int64).max));

    uint256 private constant BITS = 96;
    uint256 private constant ONE = 1 << BITS;
    uint256 private constant GUARD_BITS = 44;
    int256 private constant LN_2 = 54916777467707473351141471128;
    uint256 private constant SPLIT = (7071067811865470000 * ONE) / WAD;
    uint256 private constant FAR = 37 * ONE;
    uint256 private constant TAIL_START = (65 * ONE) / 100;
    uint256 private constant ROOT_TWO_PI = 198595552305314927273837084509;

    /// @notice An argument is outside its domain, or a price past 64 bits.
    error Overflow();

    /// @notice Price the call and the put of one strike.
    /// @param forward Micro-USD, from 1 to 2**63 - 1.
    /// @param strike Micro-USD, from 1 to 2**63 - 1.
    /// @param volatility 1e-18 per year, up to VOLATILITY_LIMIT.
    /// @param secondsLeft To expiry, up to 2**32 - 1.
    /// @param discount Today's value of a dollar at expiry, 1e-18, from 1 to DISCOUNT_LIMIT.
    /// @return priced Call and put by parity, and the call's delta.
    function callPut(uint256 forward, uint256 strike, uint256 volatility, uint256 secondsLeft, uint256 discount)
        internal
        pure
        returns (Priced memory priced)
    {
        if (forward == 0 || forward > PRICE_LIMIT || strike == 0 || strike > PRICE_LIMIT) revert Overflow();
        if (volatility > VOLATILITY_LIMIT || secondsLeft > type(uint32).max) revert Overflow();
        if (discount == 0 || discount > DISCOUNT_LIMIT) revert Overflow();
        unchecked {
            (uint256 above, uint256 below) = _probabilities(forward, strike, _width(volatility, secondsLeft));
            priced.delta = uint64((above * discount) >> BITS);
            uint256 gain = forward * above;
            uint256 loss = strike * below;
            uint256 call = gain > loss ? ((gain - loss) * discount) / (WAD << BITS) : 0;
            int256 intrinsic = _floored((int256(forward) - int256(strike)) * int256(discount));
            if (int256(call) < intrinsic) call = uint256(intrinsic);
            uint256 most = (forward * discount) / WAD;
            if (call > most) call = most;
            uint256 put = uint256(int256(call) - intrinsic);
            if (call > PRICE_LIMIT || put > PRICE_LIMIT) revert Overflow();
            priced.call = int64(uint64(call));
            priced.put = int64(uint64(put));
        }
    }

    /// @dev A product with 18 decimals too many, rounded down also below zero.
    function _floored(int256 product) private pure returns (int256) {
        unchecked {
            if (product >= 0) return int256(uint256(product) / WAD);
            return -int256((uint256(-product) + WAD - 1) / WAD);
        }
    }

    /// @dev Standard deviation of the logarithm at expiry.
    function _width(uint256 volatility, uint256 secondsLeft) private pure returns (uint256) {
        unchecked {
            uint256 variance = ((volatility * volatility * secondsLeft) << (2 * GUARD_BITS)) / SECONDS_PER_YEAR;
            return (Math.sqrt(variance) << (BITS - GUARD_BITS)) / WAD;
        }
    }

    /// @dev N(d1) and N(d2).
    function _probabilities(uint256 forward, uint256 strike, uint256 deviation)
        private
        pure
        returns (uint256 above, uint256 below)
    {
        unchecked {
            if (deviation == 0) {
                above = forward > strike ? ONE : forward < strike ? 0 : ONE / 2;
                return (above, above);
            }
            int256 upper = forward < strike
                ? -int256((_logRatio(strike, forward) << BITS) / deviation)
                : int256((_logRatio(forward, strike) << BITS) / deviation);
            upper += int256(deviation / 2);
            return (_distribution(upper), _distribution(upper - int256(deviation)));
        }
    }

    /// @dev Logarithm of a ratio that isn't below one.
    function _logRatio(uint256 numerator, uint256 denominator) private pure returns (uint256) {
        unchecked {
            uint256 doublings = Math.log2(numerator) - Math.log2(denominator);
            denominator <<= doublings;
            if (numerator * numerator > 2 * denominator * denominator) {
                denominator <<= 1;
                ++doublings;
            } else if (2 * numerator * numerator < denominator * denominator) {
                numerator <<= 1;
                --doublings;
            }
            uint256 whole = doublings * uint256(LN_2);
            if (numerator < denominator) {
                return whole - _twiceArtanh(((denominator - numerator) << BITS) / (numerator + denominator));
            }
            return whole + _twiceArtanh(((numerator - denominator) << BITS) / (numerator + denominator));
        }
    }

    function _twiceArtanh(uint256 ratio) private pure returns (uint256) {
        unchecked {
            uint256 square = (ratio * ratio) >> BITS;
            uint256 total = ONE / 25;
            total = ((total * square) >> BITS) + ONE / 23;
            total = ((total * square) >> BITS) + ONE / 21;
            total = ((total * square) >> BITS) + ONE / 19;
            total = ((total * square) >> BITS) + ONE / 17;
            total = ((total * square) >> BITS) + ONE / 15;
            total = ((total * square) >> BITS) + ONE / 13;
            total = ((total * square) >> BITS) + ONE / 11;
            total = ((total * square) >> BITS) + ONE / 9;
            total = ((total * square) >> BITS) + ONE / 7;
            total = ((total * square) >> BITS) + ONE / 5;
            total = ((total * square) >> BITS) + ONE / 3;
            total = ((total * square) >> BITS) + ONE;
            return 2 * ((total * ratio) >> BITS);
        }
    }

    /// @dev e to the power of minus the exponent.
    function _expMinus(uint256 exponent) private pure returns (uint256) {
        unchecked {
            uint256 halvings = (exponent + uint256(LN_2) / 2) / uint256(LN_2);
            int256 rest = int256(halvings) * LN_2 - int256(exponent);
            int256 total = int256(ONE / 20922789888000);
            total = ((total * rest) >> BITS) + int256(ONE / 1307674368000);
            total = ((total * rest) >> BITS) + int256(ONE / 87178291200);
            total = ((total * rest) >> BITS) + int256(ONE / 6227020800);
            total = ((total * rest) >> BITS) + int256(ONE / 479001600);
            total = ((total * rest) >> BITS) + int256(ONE / 39916800);
            total = ((total * rest) >> BITS) + int256(ONE / 3628800);
            total = ((total * rest) >> BITS) + int256(ONE / 362880);
            total = ((total * rest) >> BITS) + int256(ONE / 40320);
            total = ((total * rest) >> BITS) + int256(ONE / 5040);
            total = ((total * rest) >> BITS) + int256(ONE / 720);
            total = ((total * rest) >> BITS) + int256(ONE / 120);
            total = ((total * rest) >> BITS) + int256(ONE / 24);
            total = ((total * rest) >> BITS) + int256(ONE / 6);
            total = ((total * rest) >> BITS) + int256(ONE / 2);
            total = ((total * rest) >> BITS) + int256(ONE);
            total = ((total * rest) >> BITS) + int256(ONE);
            return uint256(total) >> halvings;
        }
    }

    /// @dev Probability that a standard normal variable is below x.
    function _distribution(int256 x) private pure returns (uint256) {
        unchecked {
            return x <= 0 ? _lowerTail(uint256(-x)) : ONE - _lowerTail(uint256(x));
        }
    }

    function _lowerTail(uint256 distance) private pure returns (uint256) {
        unchecked {
            if (distance >= FAR) return 0;
            uint256 density = _expMinus((distance * distance) >> (BITS + 1));
            if (distance < SPLIT) return (density * _above(distance)) / _below(distance);
            uint256 fraction = distance + TAIL_START;
            fraction = distance + (4 << (2 * BITS)) / fraction;
            fraction = distance + (3 << (2 * BITS)) / fraction;
            fraction = distance + (2 << (2 * BITS)) / fraction;
            fraction = distance + (1 << (2 * BITS)) / fraction;
            return (density << (2 * BITS)) / (fraction * ROOT_TWO_PI);
        }
    }

    /// @dev Numerator of Hart's approximation, 1e18.
    function _above(uint256 x) private pure returns (uint256 total) {
        unchecked {
            total = 35262496599891100;
            total = ((total * x) >> BITS) + 700383064443688000;
            total = ((total * x) >> BITS) + 6373962203531650000;
            total = ((total * x) >> BITS) + 33912866078383000000;
            total = ((total * x) >> BITS) + 112079291497871000000;
            total = ((total * x) >> BITS) + 221213596169931000000;
            total = ((total * x) >> BITS) + 220206867912376000000;
        }
    }

    /// @dev Denominator of Hart's approximation, 1e18.
    function _below(uint256 x) private pure returns (uint256 total) {
        unchecked {
            total = 88388347648318400;
            total = ((total * x) >> BITS) + 1755667163182640000;
            total = ((total * x) >> BITS) + 16064177579207000000;
            total = ((total * x) >> BITS) + 86780732202946100000;
            total = ((total * x) >> BITS) + 296564248779674000000;
            total = ((total * x) >> BITS) + 637333633378831000000;
            total = ((total * x) >> BITS) + 793826512519948000000;
            total = ((total * x) >> BITS) + 440413735824752000000;
        }
    }
}
