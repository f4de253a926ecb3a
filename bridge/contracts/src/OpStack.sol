// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

// The rollup's end of the OP Stack's messenger pair, at the same address on every rollup.
address constant L2_CROSS_DOMAIN_MESSENGER = 0x4200000000000000000000000000000000000007;
// Our mailbox on every rollup.
address constant CROSS_ROLLUP_MAILBOX = 0x4200000000000000000000000000000000000B04;
// Our escrow of strategies' legs on every rollup.
address constant LEG_ESCROW = 0x4200000000000000000000000000000000000B05;

/// @title ICrossDomainMessenger
/// @notice What we use of the OP Stack's CrossDomainMessenger; L1 and L2 ends are called alike.
interface ICrossDomainMessenger {
    /// @notice Send a message to the other chain; the value travels with it.
    /// @param target Whom to call there.
    /// @param message Call data.
    /// @param minGasLimit Gas that the call is guaranteed to have there.
    function sendMessage(address target, bytes calldata message, uint32 minGasLimit) external payable;

    /// @notice Who sent the message that is being relayed; reverts when none is.
    function xDomainMessageSender() external view returns (address);
}

/// @title IL1CrossDomainMessenger
/// @notice What we ask of the messenger's L1 end besides.
interface IL1CrossDomainMessenger is ICrossDomainMessenger {
    /// @notice Gas limit of the deposit that a message becomes.
    function baseGas(bytes calldata message, uint32 minGasLimit) external pure returns (uint64);

    /// @notice The rollup's configuration on L1.
    function systemConfig() external view returns (ISystemConfig);
}

/// @title ISystemConfig
/// @notice What we ask of a rollup's configuration.
interface ISystemConfig {
    /// @notice How the OP Stack meters deposits (ResourceMetering).
    /// @param maxResourceLimit L2 gas that the deposits of one L1 block may buy.
    struct ResourceConfig {
        uint32 maxResourceLimit;
        uint8 elasticityMultiplier;
        uint8 baseFeeMaxChangeDenominator;
        uint32 minimumBaseFee;
        uint32 systemTxMaxGas;
        uint128 maximumBaseFee;
    }

    /// @notice How deposits are metered.
    function resourceConfig() external view returns (ResourceConfig memory);
}
