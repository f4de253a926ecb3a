// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title CashToken
/// @notice The dollar of a devnet: an ERC-20 with 6 decimals, so that one unit is 1e-6 USD.
contract CashToken is ERC20, Ownable {
    /// @notice Deploy with nothing minted.
    /// @param owner The only account that may mint.
    constructor(address owner) ERC20("rollnet cash", "USDR") Ownable(owner) {}

    /// @notice Create cash.
    /// @param account Who receives it.
    /// @param amount In 1e-6 USD.
    function mint(address account, uint256 amount) external onlyOwner {
        _mint(account, amount);
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
