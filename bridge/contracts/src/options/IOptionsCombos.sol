// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsCombos
/// @notice At 0x4200…0c07 of an options rollup: strategies whose legs lie on several options rollups of one sequencing set, held together so
/// that each rollup asks for what the strategy can lose there, and no more.
/// @dev A combo is locked, and unlocked, on all its rollups in one bundle, with the same legs in the same order everywhere: derivation
/// takes no bundle in which one of them is missing. Both are transactions of the account's owner, not actions.
interface IOptionsCombos is IOptionsErrors {
    /// @notice A leg.
    /// @param chainId Of its rollup.
    /// @param account That holds it there.
    /// @param underlying Symbol, left-aligned.
    /// @param expiry Unix seconds.
    /// @param strike 1e-6 USD.
    /// @param isCall Or put.
    /// @param quantity 1e-4 contracts; below zero it is sold.
    struct Leg {
        uint64 chainId;
        uint32 account;
        bytes32 underlying;
        uint64 expiry;
        uint64 strike;
        bool isCall;
        int64 quantity;
    }

    /// @notice Legs of an account are locked.
    /// @param name The bundle's.
    /// @param required What they can lose here beyond what is pledged to them.
    event ComboLocked(
        uint32 indexed combo, uint32 indexed account, bytes32 indexed name, bytes32 legsHash, uint128 required
    );
    /// @notice Legs of an account are free again.
    event ComboUnlocked(uint32 indexed combo, uint32 indexed account, bytes32 indexed name);
    /// @notice An account is being liquidated: its short legs are free, and can be sold; what is pledged to them still comes.
    event ComboBroken(uint32 indexed combo, uint32 indexed account, bytes32 indexed name);
    /// @notice A settled long leg's payoff is on its way to where it was pledged.
    event PledgeSent(uint32 indexed account, bytes32 indexed name, uint64 chainId, uint32 to, uint128 amount);
    /// @notice Legs are settled; this much other rollups owe for theirs.
    event PledgeOwed(uint32 indexed account, bytes32 indexed name, uint128 amount);
    /// @notice Something was paid for another rollup's leg.
    event PledgePaid(uint32 indexed account, bytes32 indexed name, uint128 amount);
    /// @notice What was owed didn't come; nobody counts on it any more.
    event PledgeLapsed(uint32 indexed account, bytes32 indexed name, uint128 amount);

    /// @notice Lock the caller's legs here, after some trades.
    /// @param legs Of the whole combo, on all its rollups.
    /// @param snapshot Time of the oracle's word that they were chosen by; all rollups have heard it.
    /// @param calls Calls of IOptionsExchange (placeOrder, tradeAmm, fillQuote) that come first. The margin of the legs' account is looked
    /// at when all is done, so the legs need never be margined one by one.
    /// @return combo Its number here.
    function lockCombo(Leg[] calldata legs, uint64 snapshot, bytes[] calldata calls) external returns (uint32 combo);
    /// @notice Free the caller's legs here.
    /// @param legs As they were locked.
    /// @param snapshot As it was locked with.
    /// @param name The bundle that it was locked in.
    function unlockCombo(Leg[] calldata legs, uint64 snapshot, bytes32 name) external;
    /// @notice Pay for a leg that is settled on another rollup, with value. Anyone may, L1 does.
    function payPledge(uint32 account, bytes32 name, bytes32 legsHash) external payable;
    /// @notice Derived: what is owed to a combo hasn't come for too long.
    function lapsePledge(uint32 combo) external;
}
