// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title BridgeIntruder
/// @notice A hostile target for tests: when it is called, or paid, it calls back into whatever it was told to.
contract BridgeIntruder {
    /// @notice A call to make.
    struct Call {
        address target;
        uint256 value;
        bytes data;
    }

    /// @notice How it takes being called.
    enum Mood {
        ACCEPT,
        REFUSE,
        BURN_ALL_GAS
    }

    /// @notice How it takes being called.
    Mood public mood;
    /// @notice Times that it was called or paid and accepted, calls within its own script left out.
    uint256 public visits;
    /// @notice Times that it was called or paid within its own script.
    uint256 public nested;
    /// @notice Gas that it had at the last visit.
    uint256 public gasSeen;
    /// @notice Who called at the last visit.
    address public caller;
    /// @notice What the question was answered before and after the script of the last visit; empty if it reverted.
    bytes public before;
    /// @notice See `before`.
    bytes public afterwards;
    /// @notice What became of the script's calls at the last visit: whether they succeeded, and what they returned.
    bool[] public successes;
    /// @notice See `successes`.
    bytes[] public results;

    Call[] private script;
    Call private question;
    bool private inside;

    /// @notice It was told to refuse.
    error Refused(uint256 value);

    receive() external payable {
        _visit();
    }

    fallback() external payable {
        _visit();
    }

    /// @notice Set its mood.
    function feel(Mood mood_) external {
        mood = mood_;
    }

    /// @notice Set what it does at each visit.
    function rehearse(Call[] calldata script_) external {
        delete script;
        for (uint256 i; i < script_.length; ++i) script.push(script_[i]);
    }

    /// @notice Set what it asks before and after its script.
    function ask(address target, bytes calldata data) external {
        question = Call(target, 0, data);
    }

    /// @notice Make calls; revert if one reverts, and as it does.
    function act(Call[] calldata calls) external payable {
        for (uint256 i; i < calls.length; ++i) {
            (bool success, bytes memory result) = calls[i].target.call{value: calls[i].value}(calls[i].data);
            if (success) continue;
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    function _visit() private {
        uint256 gas = gasleft();
        if (mood == Mood.REFUSE) revert Refused(msg.value);
        if (mood == Mood.BURN_ALL_GAS) while (true) {}
        if (inside) {
            ++nested;
            return;
        }
        (inside, gasSeen, caller) = (true, gas, msg.sender);
        ++visits;
        before = _answer();
        delete successes;
        delete results;
        for (uint256 i; i < script.length; ++i) {
            (bool success, bytes memory result) = script[i].target.call{value: script[i].value}(script[i].data);
            successes.push(success);
            results.push(result);
        }
        afterwards = _answer();
        inside = false;
    }

    function _answer() private view returns (bytes memory) {
        if (question.target == address(0)) return "";
        (bool success, bytes memory answer) = question.target.staticcall(question.data);
        return success ? answer : bytes("");
    }
}
