// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title AccountMargin
/// @notice What an account is worth, and must be worth not to be liquidated.
/// @dev The same integers as `risk/portfolio.py` and `risk/standard.py` of the engine, for positions alone: liquidation begins by
/// cancelling orders. Products of 64-bit numbers, 32 of them, never come near 256 bits.
library AccountMargin {
    /// @notice A position and what margin needs to know of its series. Micro-USD.
    /// @param quantity 1e-4 contracts, below zero if short.
    /// @param mark Of a contract.
    /// @param changes Of the mark, by scenario.
    /// @param underlying Its number.
    /// @param expiry Unix seconds.
    /// @param strike Per contract.
    /// @param isCall Call or put.
    /// @param shortFloor Least margin of a short contract, portfolio mode.
    /// @param isolated Margin of a short contract besides its mark, standard mode.
    struct Holding {
        int256 quantity;
        int256 mark;
        int64[16] changes;
        uint256 underlying;
        uint256 expiry;
        int256 strike;
        bool isCall;
        int256 shortFloor;
        int256 isolated;
    }

    /// @notice Micro-USD.
    /// @param equity Cash and marks, rounded down.
    /// @param maintenance What it must be, rounded up.
    /// @param owing Whether the account may come to owe at all: it is short, or its cash is below zero.
    struct Margin {
        int128 equity;
        int128 maintenance;
        bool owing;
    }

    int256 private constant QUANTITY_UNIT = 1e4;

    /// @notice A figure is past 128 bits.
    error Overflow();

    /// @notice Margin of an account.
    /// @param cash Micro-USD.
    /// @param portfolio Portfolio or standard mode.
    /// @param held Its positions.
    function of_(int256 cash, bool portfolio, Holding[] memory held) internal pure returns (Margin memory found) {
        int256 value;
        found.owing = cash < 0;
        for (uint256 place = 0; place < held.length; ++place) {
            value += held[place].quantity * held[place].mark;
            if (held[place].quantity < 0) found.owing = true;
        }
        found.equity = _fitting(cash + _floor(value));
        found.maintenance = _fitting(portfolio ? -_floor(-_scanned(held)) : _max(-_floor(-_inCash(held) - value), 0));
    }

    /// @notice Whether the account is to be liquidated.
    function liquidatable(Margin memory found) internal pure returns (bool) {
        return found.owing && found.equity < found.maintenance;
    }

    /// @dev Portfolio mode: by underlying the worst scenario, or the floor of shorts; micro-USD times quantity.
    function _scanned(Holding[] memory held) private pure returns (int256 total) {
        for (uint256 place = 0; place < held.length; ++place) {
            if (!_isFirst(held, place, false)) continue;
            int256[17] memory losses;
            for (uint256 other = place; other < held.length; ++other) {
                Holding memory one = held[other];
                if (one.underlying != held[place].underlying) continue;
                _lose(losses, one);
            }
            int256 worst;
            for (uint256 scenario = 0; scenario < 17; ++scenario) worst = _max(worst, losses[scenario]);
            total += worst;
        }
    }

    /// @dev Add what a position loses in each scenario, and the floor of a short; 64-bit factors, so nothing overflows.
    function _lose(int256[17] memory losses, Holding memory one) private pure {
        unchecked {
            int256 quantity = one.quantity;
            for (uint256 scenario = 0; scenario < 16; ++scenario) {
                losses[scenario] -= quantity * one.changes[scenario];
            }
            if (quantity < 0) losses[16] -= quantity * one.shortFloor;
        }
    }

    /// @dev Standard mode: by expiry of an underlying all shorts alone, or the most that all can lose; micro-USD times quantity.
    function _inCash(Holding[] memory held) private pure returns (int256 total) {
        for (uint256 place = 0; place < held.length; ++place) {
            if (!_isFirst(held, place, true)) continue;
            (int256 alone, int256 dearest, int256 slope) = _shorts(held, place);
            int256 lowest = _paid(held, place, 0);
            for (uint256 other = place; other < held.length; ++other) {
                if (!_together(held, place, other)) continue;
                int256 paid = _paid(held, place, held[other].strike);
                if (paid < lowest) lowest = paid;
            }
            int256 most = _max(-lowest, 0) + _max(-slope, 0) * dearest;
            total += alone < most ? alone : most;
        }
    }

    /// @dev All shorts of an expiry alone; the dearest call among them; calls bought less those sold.
    function _shorts(Holding[] memory held, uint256 place)
        private
        pure
        returns (int256 alone, int256 dearest, int256 slope)
    {
        for (uint256 other = place; other < held.length; ++other) {
            Holding memory one = held[other];
            if (!_together(held, place, other)) continue;
            if (one.isCall) slope += one.quantity;
            if (one.quantity >= 0) continue;
            alone -= one.quantity * (one.mark + one.isolated);
            if (one.isCall) dearest = _max(dearest, one.mark + one.isolated);
        }
    }

    /// @dev What the positions of an expiry pay at a settlement price.
    function _paid(Holding[] memory held, uint256 place, int256 price) private pure returns (int256 total) {
        for (uint256 other = place; other < held.length; ++other) {
            Holding memory one = held[other];
            if (!_together(held, place, other)) continue;
            total += one.quantity * _max(one.isCall ? price - one.strike : one.strike - price, 0);
        }
    }

    function _isFirst(Holding[] memory held, uint256 place, bool byExpiry) private pure returns (bool) {
        for (uint256 before = 0; before < place; ++before) {
            if (byExpiry ? _together(held, before, place) : held[before].underlying == held[place].underlying) {
                return false;
            }
        }
        return true;
    }

    function _together(Holding[] memory held, uint256 one, uint256 other) private pure returns (bool) {
        return held[one].underlying == held[other].underlying && held[one].expiry == held[other].expiry;
    }

    function _max(int256 one, int256 other) private pure returns (int256) {
        return one > other ? one : other;
    }

    /// @dev Per contract, rounded down also below zero.
    function _floor(int256 value) private pure returns (int256 quotient) {
        quotient = value / QUANTITY_UNIT;
        if (value < 0 && quotient * QUANTITY_UNIT != value) --quotient;
    }

    function _fitting(int256 value) private pure returns (int128) {
        if (value != int128(value)) revert Overflow();
        return int128(value);
    }
}
