// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @notice One trade of a strategy.
/// @param series Id of the series.
/// @param maker Whose offer to take.
/// @param quantity In 1e-4 units; positive buys at the ask, negative sells at the bid.
/// @param limitPrice Highest price to pay or lowest to accept, in 1e-6 USD per unit.
struct Leg {
    bytes32 series;
    address maker;
    int256 quantity;
    uint256 limitPrice;
}

/// @dev Under which name the market of a rollup keeps a leg's reservation.
function reservationId(bytes32 strategy, uint256 leg) pure returns (bytes32) {
    return keccak256(abi.encode("LEG.v1", strategy, leg));
}
