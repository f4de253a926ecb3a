// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BlockSteps} from "../options/BlockSteps.sol";
import {RiskRows} from "../options/RiskRows.sol";
import {StateLeaves} from "../options/StateLeaves.sol";
import {StateTree} from "../options/StateTree.sol";

/// @title RiskProbe
/// @notice Calls the options libraries for tests.
contract RiskProbe {
    /// @notice The row of a series by its leaf and its oracle's, both shown to be in the state.
    function row(bytes32 root, StateTree.Leaf calldata series, StateTree.Leaf calldata oracle)
        external
        pure
        returns (int64 mark, int64[16] memory changes)
    {
        StateLeaves.requireLeaf(root, StateLeaves.SERIES, StateLeaves.numberOf(series), series);
        StateLeaves.Series memory found = StateLeaves.series(series.data);
        StateLeaves.requireLeaf(root, StateLeaves.ORACLE, found.underlying, oracle);
        StateLeaves.Oracle memory said = StateLeaves.oracle(oracle.data);
        return RiskRows.row(
            RiskRows.Market(
                StateLeaves.forward(oracle.data, found.expiry),
                found.strike,
                StateLeaves.volatility(oracle.data, found.expiry, found.strike),
                found.expiry > said.timestamp ? found.expiry - said.timestamp : 0,
                said.discount,
                found.isCall
            )
        );
    }

    /// @notice Root of the state in which a leaf has this digest.
    function rootOf(bytes32 digest, uint256 index, bytes calldata proof) external pure returns (bytes32) {
        return StateTree.rootOf(digest, index, proof);
    }

    /// @notice What a step is, once it is shown to be one.
    function step(bytes32 root, uint256 count, uint256 place, BlockSteps.Step calldata one)
        external
        pure
        returns (BlockSteps.Kind kind, uint32 account)
    {
        BlockSteps.requireStep(root, count, place, one);
        return BlockSteps.kindOf(one.raw);
    }
}
