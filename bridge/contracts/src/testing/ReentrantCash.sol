// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title ReentrantCash
/// @notice A hostile token for tests: while it moves, it calls back into whoever moves it.
contract ReentrantCash is ERC20 {
    /// @notice Call data of the call back; empty means a harmless token.
    bytes public attack;

    /// @notice Deploy with a balance for the caller.
    constructor() ERC20("hostile", "BAD") {
        _mint(msg.sender, 1e30);
    }

    /// @notice Choose the call back.
    /// @param data Call data, sent to the contract that moves the token.
    function setAttack(bytes calldata data) external {
        attack = data;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (attack.length == 0) return;
        (bool success, bytes memory reason) = msg.sender.call(attack);
        if (success) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
