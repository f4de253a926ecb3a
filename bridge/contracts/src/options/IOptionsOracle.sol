// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsOracle
/// @notice At 0x4200…0c03 of an options rollup: what its feed's signers say of the markets.
interface IOptionsOracle is IOptionsErrors {
    /// @notice A forward price for one expiry, in 1e-6 USD.
    struct Forward {
        uint64 expiry;
        uint64 price;
    }

    /// @notice An implied volatility for one strike of one expiry, in 1e-18 per year.
    struct Volatility {
        uint64 expiry;
        uint64 strike;
        uint64 volatility;
    }

    /// @notice What k of n signers say (EIP-712, in the domain of actions).
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param sequence Higher than the one before.
    /// @param timestamp Unix seconds, later than the one before, not later than the block.
    /// @param spot In 1e-6 USD.
    /// @param discount Of all expiries, in 1e-18.
    /// @param confidence In 1e-18; one is certain.
    /// @param forwards In ascending order of their expiries.
    /// @param volatilities In ascending order of expiry and strike; every live series is among them.
    struct Update {
        bytes32 underlying;
        uint64 sequence;
        uint64 timestamp;
        uint64 spot;
        uint64 discount;
        uint64 confidence;
        Forward[] forwards;
        Volatility[] volatilities;
    }

    /// @notice The market of an underlying moved.
    event OracleUpdated(bytes32 indexed underlying, uint64 indexed sequence, uint64 timestamp, uint64 spot);
    /// @notice A signer said two things at once, and is no signer any more.
    event SignerRemoved(address indexed signer, bytes32 indexed underlying, uint64 sequence);

    /// @notice Bring an update, with signatures in ascending order of their signers.
    function update(Update calldata value, bytes[] calldata signatures) external;
    /// @notice Show that a signer signed two different updates with one sequence.
    function proveEquivocation(
        Update calldata one,
        bytes calldata oneSignature,
        Update calldata other,
        bytes calldata otherSignature
    ) external;

    /// @notice Spot price, its sequence and its timestamp.
    function spotOf(bytes32 underlying) external view returns (uint64 spot, uint64 sequence, uint64 timestamp);
}
