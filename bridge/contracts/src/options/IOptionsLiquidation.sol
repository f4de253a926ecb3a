// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsLiquidation
/// @notice At 0x4200…0c05 of an options rollup: liquidations. All of it is derived; nobody can call it.
interface IOptionsLiquidation is IOptionsErrors {
    /// @notice An account below its maintenance margin: its orders are cancelled, and it can only reduce.
    event LiquidationFlagged(uint32 indexed account, int128 equity, int128 maintenance);
    /// @notice A part of an account's position was closed against the book.
    event Liquidated(uint32 indexed account, uint32 indexed series, int64 quantity, int128 cash, uint128 fee);
    /// @notice An account is above its initial margin again.
    event LiquidationEnded(uint32 indexed account);
    /// @notice Insurance paid for an account's deficit.
    event InsurancePaid(uint32 indexed account, uint128 amount);
    /// @notice What nobody paid is shared by all who withdraw.
    event LossShared(uint32 indexed account, uint128 amount);

    /// @notice Derived: liquidate an account.
    function liquidate(uint32 account) external;
}
