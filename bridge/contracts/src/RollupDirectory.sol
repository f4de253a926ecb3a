// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICrossDomainMessenger, IL1CrossDomainMessenger} from "./OpStack.sol";

/// @title RollupDirectory
/// @notice On L1: which L1CrossDomainMessenger speaks for which rollup.
/// @dev Fixed at construction, for good: whoever could add a messenger later could speak for any rollup, so nobody can. A messenger
/// calls only for withdrawals that its portal has finalized; that and the sender that it reports are the whole authority
/// of a message from a rollup. Everything that a caller puts in the call data is claim, and is compared with this.
abstract contract RollupDirectory {
    /// @notice A rollup and its messenger on L1.
    /// @param chainId The rollup.
    /// @param messenger Its L1CrossDomainMessenger.
    struct Rollup {
        uint64 chainId;
        IL1CrossDomainMessenger messenger;
    }

    /// @notice The messenger of a rollup; zero when there is no such rollup.
    mapping(uint64 chainId => IL1CrossDomainMessenger) public messengerOf;
    /// @notice The rollup of a messenger; zero when it is no rollup's.
    mapping(address messenger => uint64) public chainOf;

    /// @notice A rollup was entered.
    event RollupRegistered(uint64 indexed chainId, address indexed messenger);

    /// @notice A chain id or messenger is zero or was entered before.
    error BadRollup(uint64 chainId, address messenger);
    /// @notice The caller is no rollup's messenger.
    error NotMessenger(address caller);
    /// @notice The message wasn't sent by the one contract on the rollup that we listen to.
    error NotPeer(uint64 chainId, address sender);

    constructor(Rollup[] memory rollups) {
        for (uint256 i = 0; i < rollups.length; ++i) {
            (uint64 chainId, address messenger) = (rollups[i].chainId, address(rollups[i].messenger));
            bool known = chainOf[messenger] != 0 || address(messengerOf[chainId]) != address(0);
            if (chainId == 0 || messenger == address(0) || known) revert BadRollup(chainId, messenger);
            messengerOf[chainId] = rollups[i].messenger;
            chainOf[messenger] = chainId;
            emit RollupRegistered(chainId, messenger);
        }
    }

    /// @dev The rollup whose contract `peer` sent the message that is being relayed; reverts when it is anything else.
    function _rollupOf(address peer) internal view returns (uint64 chainId) {
        chainId = chainOf[msg.sender];
        if (chainId == 0) revert NotMessenger(msg.sender);
        address sender = ICrossDomainMessenger(msg.sender).xDomainMessageSender();
        if (sender != peer) revert NotPeer(chainId, sender);
    }
}
