// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";

/// @title StateTree
/// @notice Proofs of leaves in the state of an options rollup.
/// @dev The same rules, and the same bytes of a proof, as `rollup_node/engines/options/state/tree.py`: a sparse Merkle tree of depth 32,
/// in which whatever is empty is zero at every height. Every proof has 32 steps, so no node passes for a leaf.
library StateTree {
    /// @notice A leaf and what stands beside its path.
    /// @param data Its encoding; empty if there is none.
    /// @param proof Index (4 bytes), a bit for each sibling that isn't empty (4 bytes, the leaf's is the lowest), and those.
    struct Leaf {
        bytes data;
        bytes proof;
    }

    uint256 internal constant DEPTH = 32;

    /// @notice Not the bytes of a proof, or of another index.
    error MalformedProof(uint256 index);
    /// @notice The tree of this root doesn't have this leaf.
    error NotInState(uint256 index);

    /// @notice Revert unless the tree has this leaf at this index.
    function requireLeaf(bytes32 root, uint256 index, Leaf calldata leaf) internal pure {
        bytes32 digest = leaf.data.length == 0 ? bytes32(0) : keccak256(leaf.data);
        if (rootOf(digest, index, leaf.proof) != root) revert NotInState(index);
    }

    /// @notice Root of the tree in which the leaf has this digest.
    /// @param digest Of the leaf; zero: there is none.
    /// @param index Of the leaf.
    /// @param proof As in `Leaf`.
    function rootOf(bytes32 digest, uint256 index, bytes calldata proof) internal pure returns (bytes32) {
        if (proof.length < 8 || index >> DEPTH != 0 || indexOf(proof) != index) revert MalformedProof(index);
        uint256 present = uint32(bytes4(proof[4:8]));
        uint256 offset = 8;
        unchecked {
            for (uint256 height = 0; height < DEPTH; ++height) {
                bytes32 sibling;
                if ((present >> height) & 1 == 1) {
                    if (proof.length < offset + 32) revert MalformedProof(index);
                    assembly ("memory-safe") {
                        sibling := calldataload(add(proof.offset, offset))
                    }
                    if (sibling == 0) revert MalformedProof(index);
                    offset += 32;
                }
                digest = (index >> height) & 1 == 1 ? _node(sibling, digest) : _node(digest, sibling);
            }
        }
        if (offset != proof.length) revert MalformedProof(index);
        return digest;
    }

    /// @notice The index that a proof is about.
    function indexOf(bytes calldata proof) internal pure returns (uint256) {
        return uint32(bytes4(proof[:4]));
    }

    function _node(bytes32 left, bytes32 right) private pure returns (bytes32) {
        return left == 0 && right == 0 ? bytes32(0) : Hashes.efficientKeccak256(left, right);
    }
}
