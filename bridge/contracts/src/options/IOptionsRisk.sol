// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsRisk
/// @notice At 0x4200…0c04 of an options rollup: risk rows and settlement. All of it is derived; nobody can call it.
interface IOptionsRisk is IOptionsErrors {
    /// @notice Marks and scenario values of series were computed anew from the oracle's word.
    event RiskUpdated(bytes32 indexed underlying, uint64 indexed sequence, uint32[] series);
    /// @notice A series expired, and settles at a price in 1e-6 USD.
    event SeriesSettled(uint32 indexed series, uint64 price);
    /// @notice An account's position in a settled series was paid out; `amount` is signed as the account sees it.
    event PositionSettled(uint32 indexed account, uint32 indexed series, int64 quantity, int128 amount);
    /// @notice The breaker of an underlying, or (zero) of the whole rollup, went to another level: 0 normal, 1 reduce only,
    /// 2 cancel only, 3 withdrawals capped, 4 frozen but for what L1 forces.
    event BreakerMoved(bytes32 indexed underlying, uint8 level);
    /// @notice Fees of the block went to the sequencer and to the insurance fund.
    event FeesSwept(uint128 sequencer, uint128 insurance);

    /// @notice Derived: compute the rows of these series.
    function updateRows(bytes32 underlying, uint32[] calldata series) external;
    /// @notice Derived: take out the orders of a series whose time is over.
    function expireOrders(uint32 series) external;
    /// @notice Derived: settle a series that has expired for these accounts.
    function settle(uint32 series, uint32[] calldata accounts) external;
    /// @notice Derived: the end of the block.
    function sweepFees() external;
    /// @notice Derived: bring the breaker of an underlying, or (zero) of the whole rollup, to where it has to be.
    function moveBreaker(bytes32 underlying) external;

    /// @notice The breaker's level of an underlying, the rollup's own counted in; zero: the highest of all.
    function levelOf(bytes32 underlying) external view returns (uint8 level);
    /// @notice The mark of a series, its scenario changes, and the oracle's sequence that they come from.
    function rowOf(uint32 series) external view returns (int64 mark, int64[16] memory changes, uint64 sequence);
}
