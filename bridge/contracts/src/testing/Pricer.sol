// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Black76} from "../options/Black76.sol";

/// @title Pricer
/// @notice Calls the pricing library for tests, many inputs at once.
contract Pricer {
    /// @notice One input.
    /// @param forward Micro-USD.
    /// @param strike Micro-USD.
    /// @param volatility 1e-18 per year.
    /// @param secondsLeft To expiry.
    /// @param discount 1e-18.
    struct Input {
        uint256 forward;
        uint256 strike;
        uint256 volatility;
        uint256 secondsLeft;
        uint256 discount;
    }

    /// @notice Price one input.
    /// @param input What to price.
    /// @return Call, put and delta.
    function price(Input calldata input) external pure returns (Black76.Priced memory) {
        return Black76.callPut(input.forward, input.strike, input.volatility, input.secondsLeft, input.discount);
    }

    /// @notice Price many inputs; an overflow of one doesn't touch the others.
    /// @param inputs What to price.
    /// @return known Per input whether it has prices.
    /// @return priced Per input call, put and delta; zeros after an overflow.
    function prices(Input[] calldata inputs)
        external
        view
        returns (bool[] memory known, Black76.Priced[] memory priced)
    {
        known = new bool[](inputs.length);
        priced = new Black76.Priced[](inputs.length);
        for (uint256 index = 0; index < inputs.length; ++index) {
            try this.price(inputs[index]) returns (Black76.Priced memory found) {
                (known[index], priced[index]) = (true, found);
            } catch (bytes memory reason) {
                // Anything but the library's own refusal is a fault of it, and must not pass for one.
                require(bytes4(reason) == Black76.Overflow.selector, "Pricer: a foreign error");
            }
        }
    }
}
