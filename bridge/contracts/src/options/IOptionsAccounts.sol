// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsAccounts
/// @notice At 0x4200…0c01 of an options rollup: accounts, their keys and their cash; and actions that others bring.
/// @dev Cash is in 1e-6 USD; the rollup's native coin has 18 decimals, so that one unit of cash is 1e12 wei.
interface IOptionsAccounts is IOptionsErrors {
    /// @notice A call, signed for an account with EIP-712 in the domain {rollnet options, 1, chain id, this address}.
    /// @param account For which account.
    /// @param nonce Higher than every one that this signer has used for this account.
    /// @param expiry Last second, by the block's time, in which it counts.
    /// @param bundle Bundle in which it must run; zero: anywhere.
    /// @param target System address.
    /// @param call Selector and arguments; the account that they name must be the same.
    struct Action {
        uint32 account;
        uint64 nonce;
        uint64 expiry;
        bytes32 bundle;
        address target;
        bytes call;
    }

    /// @notice An account was opened.
    event AccountOpened(uint32 indexed account, address indexed owner);
    /// @notice Cash came in, from L1 or from another rollup.
    event Deposited(uint32 indexed account, uint256 amount);
    /// @notice Cash went out, to L1.
    event Withdrawn(uint32 indexed account, address indexed to, uint256 amount);
    /// @notice Cash moved between accounts.
    event Transferred(uint32 indexed from, uint32 indexed to, uint256 amount);
    /// @notice A session key counts for the account until `expiry`.
    event KeyRegistered(uint32 indexed account, address indexed key, uint8 scope, uint64 expiry);
    /// @notice A session key no longer counts.
    event KeyRevoked(uint32 indexed account, address indexed key);
    /// @notice The account is margined in another mode.
    event ModeChanged(uint32 indexed account, bool portfolio);
    /// @notice An action was executed.
    event ActionExecuted(uint32 indexed account, address indexed signer, uint64 nonce);
    /// @notice A member of `actAll` was refused; `reason` is its error.
    event ActionRefused(uint32 indexed account, uint256 indexed index, bytes reason);

    /// @notice Open a further account of the sender.
    function openAccount() external returns (uint32 account);
    /// @notice Let a key sign for the account: scope is 1 trade, 2 cancel, 4 transfer, or a sum of them.
    function registerKey(uint32 account, address key, uint8 scope, uint64 expiry) external;
    /// @notice Take a key's rights away; its used nonces are remembered.
    function revokeKey(uint32 account, address key) external;
    /// @notice Choose between portfolio margin and standard margin.
    function setMode(uint32 account, bool portfolio) external;
    /// @notice Move cash to another account.
    function transfer(uint32 from, uint32 to, uint128 amount) external;
    /// @notice Send cash to L1, where it is proven and finalized like every withdrawal.
    function withdraw(uint32 account, address to, uint128 amount) external;
    /// @notice Cash for an account, from the call's value.
    function deposit(uint32 account) external payable;
    /// @notice Execute one signed action.
    function act(Action calldata action, bytes calldata signature) external;
    /// @notice Execute signed actions, each by itself: one that is refused undoes nothing but itself. In a bundle, all or none.
    function actAll(Action[] calldata actions, bytes[] calldata signatures) external;

    /// @notice The accounts of an owner, the primary one first.
    function accountsOf(address owner) external view returns (uint32[] memory);
    /// @notice An account's cash.
    function cashOf(uint32 account) external view returns (int128);
    /// @notice Equity and requirements of an account, open orders included.
    function marginOf(uint32 account) external view returns (int128 equity, int128 initial, int128 maintenance);
    /// @notice Positions of an account, by series.
    function positionsOf(uint32 account) external view returns (uint32[] memory series, int64[] memory quantities);
}
