// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {CrossRollupMailbox} from "../CrossRollupMailbox.sol";
import {CROSS_ROLLUP_MAILBOX} from "../OpStack.sol";

/// @title Puppet
/// @notice A contract for tests that does as it is told: when it sends, and when it is called.
contract Puppet {
    /// @notice How it takes being called.
    enum Mood {
        ACCEPT,
        REFUSE,
        BURN_ALL_GAS
    }

    /// @notice How it takes being called.
    Mood public mood;
    /// @notice Whom it calls when it is called with data; nobody if zero.
    address public scriptTarget;
    /// @notice What with.
    bytes public script;
    /// @notice Whether the scripted call succeeded.
    bool public scriptSuccess;
    /// @notice What it returned or reverted with.
    bytes public scriptResult;
    /// @notice Calls with data that it accepted.
    uint256 public calls;
    /// @notice Gas that it had at the last one.
    uint256 public gasSeen;
    /// @notice Sender of the message of the last one, after the scripted call.
    bytes32 public senderSeen;
    /// @notice Source of the message of the last one, after the scripted call.
    uint64 public chainSeen;

    /// @notice It was told to refuse.
    error Refused(uint256 value);

    /// @notice Take ether, or refuse it.
    receive() external payable {
        if (mood == Mood.REFUSE) revert Refused(msg.value);
        if (mood == Mood.BURN_ALL_GAS) _burn();
    }

    /// @notice Take a call, or refuse it.
    fallback() external payable {
        gasSeen = gasleft();
        if (mood == Mood.REFUSE) revert Refused(msg.value);
        if (mood == Mood.BURN_ALL_GAS) _burn();
        ++calls;
        if (scriptTarget != address(0)) (scriptSuccess, scriptResult) = scriptTarget.call(script);
        try CrossRollupMailbox(CROSS_ROLLUP_MAILBOX).xSender() returns (bytes32 sender) {
            senderSeen = sender;
            chainSeen = CrossRollupMailbox(CROSS_ROLLUP_MAILBOX).xChainId();
        } catch {}
    }

    /// @notice Set its mood.
    function feel(Mood mood_) external {
        mood = mood_;
    }

    /// @notice Set what it does when it is called with data.
    function rehearse(address target, bytes calldata data) external {
        (scriptTarget, script) = (target, data);
    }

    /// @notice Make a call, and revert as it does.
    function act(address target, uint256 value, bytes calldata data) external payable returns (bytes memory result) {
        bool success;
        (success, result) = target.call{value: value}(data);
        if (success) return result;
        assembly ("memory-safe") {
            revert(add(result, 32), mload(result))
        }
    }

    function _burn() private pure {
        while (true) {}
    }
}
