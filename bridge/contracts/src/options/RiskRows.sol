// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Black76} from "./Black76.sol";

/// @title RiskRows
/// @notice The mark of a series and its changes in sixteen scenarios, and what a short of it needs at least.
/// @dev The same integers as `risk/grid.py` and `risk/rows.py` of the engine.
library RiskRows {
    uint256 internal constant SCENARIOS = 16;
    uint256 private constant PARTS = 1e6;
    uint256 private constant RISE = 450_000;
    uint256 private constant FALL = 250_000;
    uint256 private constant LEAST_VOLATILITY = 50_000;
    uint256 private constant REFERENCE = 30 days;
    uint256 private constant SHORT_FLOOR = 5_000;
    uint256 private constant ISOLATED = 90_000;
    int256 private constant FAR_WEIGHT = 320_000;

    /// @notice What a row follows from.
    /// @param forward Micro-USD.
    /// @param strike Micro-USD.
    /// @param volatility 1e-18.
    /// @param secondsLeft Until expiry.
    /// @param discount 1e-18.
    /// @param isCall Call or put.
    struct Market {
        uint256 forward;
        uint256 strike;
        uint256 volatility;
        uint256 secondsLeft;
        uint256 discount;
        bool isCall;
    }

    /// @notice Compute a row anew.
    function row(Market memory market) internal pure returns (int64 mark, int64[SCENARIOS] memory changes) {
        uint256 root = Math.sqrt((REFERENCE * PARTS * PARTS) / Math.max(market.secondsLeft, 1 days));
        uint256 fallen = (FALL * root) / PARTS;
        fallen = fallen < PARTS - LEAST_VOLATILITY ? PARTS - fallen : LEAST_VOLATILITY;
        uint256 risen = (market.volatility * (PARTS + (RISE * root) / PARTS)) / PARTS;
        fallen = (market.volatility * fallen) / PARTS;
        mark = _price(market, market.forward, market.volatility);
        for (uint256 scenario = 0; scenario < SCENARIOS; ++scenario) {
            bool far = scenario >= 14;
            uint256 moved = Math.max((market.forward * _factor(scenario)) / PARTS, 1);
            int256 change = int256(_price(market, moved, far || scenario & 1 == 0 ? risen : fallen)) - mark;
            changes[scenario] = int64(far ? _floor(change * FAR_WEIGHT) : change);
        }
    }

    /// @notice Least margin of a short contract in portfolio mode, micro-USD.
    function shortFloor(uint256 forward) internal pure returns (uint256) {
        return Math.ceilDiv(forward * SHORT_FLOOR, PARTS);
    }

    /// @notice Maintenance margin of a short contract in standard mode besides its mark, micro-USD.
    function isolated(uint256 spot) internal pure returns (uint256) {
        return Math.ceilDiv(spot * ISOLATED, PARTS);
    }

    /// @dev The forward in a scenario, parts per million of itself.
    function _factor(uint256 scenario) private pure returns (uint256) {
        if (scenario >= 14) return scenario == 14 ? PARTS + 500_000 : PARTS - 500_000;
        uint256 size = 50_000 * ((scenario / 2 + 1) / 2);
        return (scenario / 2) & 1 == 1 ? PARTS + size : PARTS - size;
    }

    function _price(Market memory market, uint256 forward, uint256 volatility) private pure returns (int64) {
        Black76.Priced memory priced =
            Black76.callPut(forward, market.strike, volatility, market.secondsLeft, market.discount);
        return market.isCall ? priced.call : priced.put;
    }

    function _floor(int256 product) private pure returns (int256 quotient) {
        quotient = product / int256(PARTS);
        if (product < 0 && quotient * int256(PARTS) != product) --quotient;
    }
}
