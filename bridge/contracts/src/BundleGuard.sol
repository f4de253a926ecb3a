// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title BundleGuard
/// @notice Tells contracts which atomic bundle, if any, the running transaction belongs to.
/// @dev Predeploy without constructor state. The rollup node surrounds the legs of a bundle with two system (deposit)
/// transactions, `open` and `close`, so a contract that calls `requireOpen` can never be run outside of exactly
/// that bundle: a leg replayed alone, in another bundle or reordered out of its own reverts.
contract BundleGuard {
    /// @notice The first 18 bytes of every system sender; the OP Stack's depositor is this with 0x0001.
    /// @dev A block may hold several system transactions, and the engine's pool takes one per sender and nonce, so each has
    /// its own sender. Nobody can find a key for any of them: that would take a 144-bit prefix of a hash.
    bytes18 public constant SYSTEM_SENDER_PREFIX = 0xDeaDDeaDDeaDDeaDDeaDDeaDDeaDDeaDDeaD;

    /// @notice Hash of the open bundle; zero when none is open.
    bytes32 public current;

    /// @notice Someone other than a system sender tried to open or close a bundle.
    /// @param caller Who tried.
    error NotSystemSender(address caller);

    /// @notice The bundle that the caller was signed for isn't the open one.
    /// @param expected Bundle that the caller was signed for.
    /// @param actual Bundle that is open; zero when none is.
    error BundleNotOpen(bytes32 expected, bytes32 actual);

    modifier onlySystem() {
        if (bytes18(bytes20(msg.sender)) != SYSTEM_SENDER_PREFIX) revert NotSystemSender(msg.sender);
        _;
    }

    /// @notice Open a bundle; replaces whatever was open.
    /// @param bundleHash Hash of the bundle whose legs follow.
    function open(bytes32 bundleHash) external onlySystem {
        current = bundleHash;
    }

    /// @notice Close the open bundle; harmless when none is open.
    function close() external onlySystem {
        current = bytes32(0);
    }

    /// @notice Revert unless exactly this bundle is open.
    /// @param bundleHash Bundle that the caller was signed for; zero, "no bundle", is never open.
    function requireOpen(bytes32 bundleHash) external view {
        bytes32 actual = current;
        if (bundleHash == bytes32(0) || bundleHash != actual) revert BundleNotOpen(bundleHash, actual);
    }
}
