// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Memory} from "@openzeppelin/contracts/utils/Memory.sol";
import {RLP} from "@openzeppelin/contracts/utils/RLP.sol";
import {IOptionsLiquidation} from "./IOptionsLiquidation.sol";
import {IOptionsRisk} from "./IOptionsRisk.sol";

/// @title BlockSteps
/// @notice Transactions of a block of an options rollup and the roots after them, as the block's header commits to them.
/// @dev The same tree as `transition/sealing.py`: leaves hashed twice, nodes once, an odd one goes up as it is. A path says by itself
/// whether a step is the last, and whether one follows another, as long as all are proven with one count.
library BlockSteps {
    /// @notice A step with its proof.
    /// @param raw The transaction.
    /// @param root Of the state after it.
    /// @param siblings From the leaf up; where there is none on a level, none.
    struct Step {
        bytes raw;
        bytes32 root;
        bytes32[] siblings;
    }

    /// @notice What a step is, as far as liquidations are concerned.
    enum Kind {
        OTHER,
        ROWS,
        LIQUIDATION,
        DERIVED
    }

    /// @dev Sends what follows from the state alone; nobody has its key.
    address internal constant DERIVED_SENDER = 0xDEADDEADdEADDEaDdEaDdeadDeadDeaDDeAd0c00;
    address internal constant RISK = 0x4200000000000000000000000000000000000c04;
    address internal constant LIQUIDATION = 0x4200000000000000000000000000000000000C05;
    bytes1 private constant DEPOSIT_TYPE = 0x7e;

    /// @notice The block doesn't have this step at this place.
    error NotAStep(uint256 place);

    /// @notice Revert unless a block of `count` steps has this one at `place`.
    function requireStep(bytes32 stepsRoot, uint256 count, uint256 place, Step calldata step) internal pure {
        bytes32 leaf = Hashes.efficientKeccak256(keccak256(step.raw), step.root);
        if (place >= count || rootOf(keccak256(bytes.concat(leaf)), count, place, step.siblings) != stepsRoot) {
            revert NotAStep(place);
        }
    }

    /// @notice Root of the tree of `count` steps that has this leaf at `place`; zero if there are too many or too few siblings.
    function rootOf(bytes32 node, uint256 count, uint256 place, bytes32[] calldata siblings)
        internal
        pure
        returns (bytes32)
    {
        uint256 used;
        for (; count > 1; count = (count + 1) / 2) {
            if (place ^ 1 < count) {
                if (used == siblings.length) return 0;
                bytes32 other = siblings[used++];
                node = place & 1 == 1 ? Hashes.efficientKeccak256(other, node) : Hashes.efficientKeccak256(node, other);
            }
            place /= 2;
        }
        return used == siblings.length ? node : bytes32(0);
    }

    /// @notice What a transaction is.
    /// @return kind `DERIVED` is any other derived step of the section, such as one of an auction; the derived steps of later sections are
    /// `OTHER`, as is what users send.
    /// @return account Of a liquidation.
    function kindOf(bytes calldata raw) internal pure returns (Kind kind, uint32 account) {
        if (raw.length == 0 || raw[0] != DEPOSIT_TYPE) return (Kind.OTHER, 0);
        Memory.Slice[] memory fields = RLP.decodeList(raw[1:]);
        bytes memory sender = RLP.readBytes(fields[1]);
        if (sender.length != 20 || address(bytes20(sender)) != DERIVED_SENDER) return (Kind.OTHER, 0);
        address target = RLP.readAddress(fields[2]);
        bytes memory data = RLP.readBytes(fields[7]);
        bytes4 selector = bytes4(data);
        if (target == LIQUIDATION && selector == IOptionsLiquidation.liquidate.selector) {
            return (Kind.LIQUIDATION, _firstArgument(data));
        }
        if (target != RISK) return (Kind.DERIVED, 0);
        if (selector == IOptionsRisk.updateRows.selector) return (Kind.ROWS, 0);
        bool later = selector == IOptionsRisk.expireOrders.selector || selector == IOptionsRisk.settle.selector
            || selector == IOptionsRisk.moveBreaker.selector || selector == IOptionsRisk.sweepFees.selector;
        return (later ? Kind.OTHER : Kind.DERIVED, 0);
    }

    function _firstArgument(bytes memory data) private pure returns (uint32 argument) {
        if (data.length < 36) return 0;
        assembly ("memory-safe") {
            argument := and(mload(add(data, 36)), 0xffffffff)
        }
    }
}
