// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {StateTree} from "./StateTree.sol";

/// @title StateLeaves
/// @notice Fields of the leaves that margin follows from.
/// @dev Places are those of `rollup_node/engines/options/state/leaves.py`: kind, version, then the fields in order, big-endian, each
/// as wide as its type. Whatever is read here has been shown to be in the state before.
library StateLeaves {
    /// @notice What an account's margin follows from, without its positions.
    /// @param cash Micro-USD, without what is reserved for pledges and bids.
    /// @param portfolio Whether positions are margined against each other.
    /// @param flags Bits of what is going on with it.
    /// @param count Of positions.
    /// @param locked Whether combos hold some of them, or other rollups owe it for such.
    struct Account {
        int256 cash;
        bool portfolio;
        uint8 flags;
        uint256 count;
        bool locked;
    }

    /// @notice An option.
    /// @param underlying Its number.
    /// @param expiry Unix seconds.
    /// @param strike Micro-USD.
    /// @param isCall Call or put.
    /// @param over Whether its settlement price is known.
    struct Series {
        uint32 underlying;
        uint64 expiry;
        uint64 strike;
        bool isCall;
        bool over;
    }

    /// @notice What the oracle says of an underlying, without its lists.
    /// @param timestamp Unix seconds.
    /// @param spot Micro-USD.
    /// @param discount 1e-18.
    struct Oracle {
        uint64 timestamp;
        uint64 spot;
        uint64 discount;
    }

    uint256 internal constant ACCOUNT = 1;
    uint256 internal constant SERIES = 3;
    uint256 internal constant RISK = 4;
    uint256 internal constant ORACLE = 6;
    uint256 internal constant SCENARIOS = 16;
    uint256 private constant VERSION = 1;
    uint256 private constant ID_BITS = 28;
    uint256 private constant POSITION = 12;
    uint256 private constant POSITIONS = 66;

    /// @notice The leaf is of a version that isn't known here, or the number can't be one.
    error UnknownLeaf(uint256 kind, uint256 number);
    /// @notice The leaf ends before its fields do.
    error EndsEarly(uint256 length);
    /// @notice The oracle says nothing of this expiry, or of this strike.
    error OracleSilent(uint256 expiry, uint256 strike);

    /// @notice Revert unless the state has this leaf, and it is of the known version.
    /// @param root Of the state.
    /// @param kind Of the leaf.
    /// @param number Within its kind.
    function requireLeaf(bytes32 root, uint256 kind, uint256 number, StateTree.Leaf calldata leaf) internal pure {
        if (number >> ID_BITS != 0 || leaf.data.length < 2) revert UnknownLeaf(kind, number);
        if (uint8(leaf.data[0]) != kind || uint8(leaf.data[1]) != VERSION) revert UnknownLeaf(kind, number);
        StateTree.requireLeaf(root, (kind << ID_BITS) | number, leaf);
    }

    /// @notice The number within its kind that a proof is about.
    function numberOf(StateTree.Leaf calldata leaf) internal pure returns (uint256) {
        return StateTree.indexOf(leaf.proof) & ((1 << ID_BITS) - 1);
    }

    function account(bytes calldata data) internal pure returns (Account memory found) {
        found.cash = int256(int128(uint128(_number(data, 30, 16)))) - int128(uint128(_number(data, 46, 16)));
        found.portfolio = _number(data, 62, 1) == 1;
        found.flags = uint8(_number(data, 63, 1));
        found.count = _number(data, 64, 2);
        // how many legs are locked stands behind the positions, what is asked and owed for them at the end
        found.locked =
            _number(data, POSITIONS + POSITION * found.count, 2) != 0 || _number(data, data.length - 32, 32) != 0;
    }

    function position(bytes calldata data, uint256 place) internal pure returns (uint32 number, int64 quantity) {
        uint256 offset = POSITIONS + POSITION * place;
        return (uint32(_number(data, offset, 4)), int64(uint64(_number(data, offset + 4, 8))));
    }

    function series(bytes calldata data) internal pure returns (Series memory found) {
        found.underlying = uint32(_number(data, 2, 4));
        found.expiry = uint64(_number(data, 6, 8));
        found.strike = uint64(_number(data, 14, 8));
        found.isCall = _number(data, 22, 1) == 1;
        found.over = _number(data, 39, 1) != 0;
    }

    function risk(bytes calldata data) internal pure returns (int64 mark, int64[SCENARIOS] memory changes) {
        mark = int64(uint64(_number(data, 2, 8)));
        for (uint256 scenario = 0; scenario < SCENARIOS; ++scenario) {
            changes[scenario] = int64(uint64(_number(data, 10 + 8 * scenario, 8)));
        }
    }

    function oracle(bytes calldata data) internal pure returns (Oracle memory found) {
        uint256 offset = _afterSigners(data);
        found.timestamp = uint64(_number(data, offset + 9, 8));
        found.spot = uint64(_number(data, offset + 17, 8));
        found.discount = uint64(_number(data, offset + 25, 8));
    }

    /// @notice The forward of an expiry, micro-USD.
    function forward(bytes calldata data, uint64 expiry) internal pure returns (uint64) {
        uint256 offset = _afterSigners(data) + 41;
        uint256 count = _number(data, offset, 2);
        for (offset += 2; count > 0; --count) {
            if (_number(data, offset, 8) == expiry) return uint64(_number(data, offset + 8, 8));
            offset += 16;
        }
        revert OracleSilent(expiry, 0);
    }

    /// @notice The volatility of a strike, 1e-18.
    function volatility(bytes calldata data, uint64 expiry, uint64 strike) internal pure returns (uint64) {
        uint256 offset = _afterSigners(data) + 41;
        offset += 2 + 16 * _number(data, offset, 2);
        uint256 count = _number(data, offset, 2);
        for (offset += 2; count > 0; --count) {
            if (_number(data, offset, 8) == expiry && _number(data, offset + 8, 8) == strike) {
                return uint64(_number(data, offset + 16, 8));
            }
            offset += 24;
        }
        revert OracleSilent(expiry, strike);
    }

    /// @dev Where the level stands, behind the signers.
    function _afterSigners(bytes calldata data) private pure returns (uint256) {
        return 4 + 20 * _number(data, 2, 2);
    }

    function _number(bytes calldata data, uint256 offset, uint256 size) private pure returns (uint256 found) {
        if (offset + size > data.length) revert EndsEarly(data.length);
        assembly ("memory-safe") {
            found := shr(sub(256, mul(8, size)), calldataload(add(data.offset, offset)))
        }
    }
}
