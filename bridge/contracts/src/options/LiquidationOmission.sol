// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {BlockHeader} from "@openzeppelin/contracts/utils/BlockHeader.sol";
import {AccountMargin} from "./AccountMargin.sol";
import {BlockSteps} from "./BlockSteps.sol";
import {RiskRows} from "./RiskRows.sol";
import {StateLeaves} from "./StateLeaves.sol";
import {StateTree} from "./StateTree.sol";

/// @title IL2OutputOracle
/// @notice What we ask of the OP Stack's contract.
interface IL2OutputOracle {
    /// @notice What was proposed.
    struct OutputProposal {
        bytes32 outputRoot;
        uint128 timestamp;
        uint128 l2BlockNumber;
    }

    /// @notice An output that stands.
    function getL2Output(uint256 index) external view returns (OutputProposal memory);
}

/// @title LiquidationOmission
/// @notice On L1: anyone shows that a block of an options rollup has left out a liquidation.
///
/// @dev The rule (decision 14): once rows are new, every account that is below maintenance margin is liquidated in the same block, the
/// worst first, up to a number. What a proof shows, against an output that was proposed:
///
///     output root ─► block hash ─► headers back to the block ─► extraData, the root over its steps
///        steps: the last that made rows new, and all after it until another section begins: none is the account's liquidation,
///               and they are fewer than a block may have
///        state after the first of these: the account, the series, rows and oracles of its positions ─► equity < maintenance
///
/// No honest block has such a proof: everything in it is what the block's maker has committed to, and an honest one would have had to
/// liquidate this account next. It is one round, without bisection, and needs nobody's word.
///
/// What it can't show: a maker that commits to wrong roots or wrong rows (that takes executing the step anew), that leaves the rows
/// themselves out, or whose rollup takes no roots of steps (`extraData` is empty then); accounts beyond the most that a block liquidates;
/// accounts with legs that combos hold.
contract LiquidationOmission {
    /// @notice What an output root is the hash of, version 0.
    struct Output {
        bytes32 version;
        bytes32 stateRoot;
        bytes32 messagePasserStorageRoot;
        bytes32 latestBlockhash;
    }

    /// @notice Steps of a block.
    /// @param headers Of the block, and of those after it up to the output's.
    /// @param count How many steps the block has.
    /// @param first Place of the first one here.
    /// @param steps The last that made rows new, and all after it up to one of another section.
    struct Section {
        bytes[] headers;
        uint256 count;
        uint256 first;
        BlockSteps.Step[] steps;
    }

    /// @notice An account and what its margin follows from.
    /// @param number Of the account.
    /// @param account Its leaf.
    /// @param series Leaves of the series of its positions, in their order.
    /// @param rows Risk rows, in the same order.
    /// @param oracles Of the underlyings, in any order.
    struct Holder {
        uint32 number;
        StateTree.Leaf account;
        StateTree.Leaf[] series;
        StateTree.Leaf[] rows;
        StateTree.Leaf[] oracles;
    }

    uint8 private constant LIQUIDATING = 4;

    /// @notice Where the rollup's outputs are proposed.
    IL2OutputOracle public immutable OUTPUTS;
    /// @notice The most accounts that a block liquidates.
    uint256 public immutable MOST_LIQUIDATIONS;

    /// @notice Who was first to show that a block has left out an account.
    mapping(bytes32 blockHash => mapping(uint32 account => address prover)) public shownBy;

    /// @notice A block has left out the liquidation of an account.
    event OmissionShown(
        bytes32 indexed blockHash, uint32 indexed account, address indexed prover, int128 equity, int128 maintenance
    );

    /// @notice The output isn't the one whose root this is.
    error WrongOutput(bytes32 root);
    /// @notice A header isn't the one that the next, or the output, names.
    error WrongHeader(uint256 place);
    /// @notice The block commits to no steps.
    error NoSteps();
    /// @notice The first step doesn't make rows new, or a later one does as well.
    error NotTheLastRows(uint256 place);
    /// @notice The steps don't go as far as the next section, or beyond its first.
    error NotTheSection(uint256 place);
    /// @notice The block liquidates the account.
    error Liquidated(uint256 place);
    /// @notice The block liquidates as many accounts as a block may.
    error SectionFull();
    /// @notice The account is being liquidated already.
    error AlreadyFlagged();
    /// @notice Combos hold legs of the account, or it is owed for such; its margin needs more than this shows.
    error LegsLocked();
    /// @notice Not one series and one row for each position.
    error WrongCount();
    /// @notice The account isn't below maintenance margin.
    error Solvent(int128 equity, int128 maintenance);
    /// @notice It was shown before.
    error AlreadyShown(address prover);

    /// @param outputs The rollup's L2OutputOracle.
    /// @param mostLiquidations The rollup's parameter `max_liquidations`.
    constructor(IL2OutputOracle outputs, uint256 mostLiquidations) {
        OUTPUTS = outputs;
        MOST_LIQUIDATIONS = mostLiquidations;
    }

    /// @notice Show an omission in a block that a proposed output rests on.
    /// @param outputIndex Of the output.
    /// @param output What its root is the hash of.
    /// @param section The steps.
    /// @param holder The account.
    function show(uint256 outputIndex, Output calldata output, Section calldata section, Holder calldata holder)
        external
    {
        bytes32 blockHash = keccak256(section.headers[0]);
        address before = shownBy[blockHash][holder.number];
        if (before != address(0)) revert AlreadyShown(before);
        AccountMargin.Margin memory found = check(OUTPUTS.getL2Output(outputIndex).outputRoot, output, section, holder);
        shownBy[blockHash][holder.number] = msg.sender;
        emit OmissionShown(blockHash, holder.number, msg.sender, found.equity, found.maintenance);
    }

    /// @notice Revert unless the block under an output root has left out the liquidation of the account.
    /// @param outputRoot As it was proposed.
    function check(bytes32 outputRoot, Output calldata output, Section calldata section, Holder calldata holder)
        public
        view
        returns (AccountMargin.Margin memory found)
    {
        if (keccak256(abi.encode(output)) != outputRoot) revert WrongOutput(outputRoot);
        _requireOmitted(stepsRootOf(output.latestBlockhash, section.headers), section, holder.number);
        uint8 flags;
        (found, flags) = marginOf(section.steps[0].root, holder);
        if (flags & LIQUIDATING != 0) revert AlreadyFlagged();
        if (holder.series.length == 0 || !AccountMargin.liquidatable(found)) {
            revert Solvent(found.equity, found.maintenance);
        }
    }

    /// @notice Margin of an account in a state.
    /// @param root Of the state.
    /// @param holder The account.
    function marginOf(bytes32 root, Holder calldata holder)
        public
        pure
        returns (AccountMargin.Margin memory found, uint8 flags)
    {
        StateLeaves.requireLeaf(root, StateLeaves.ACCOUNT, holder.number, holder.account);
        StateLeaves.Account memory account = StateLeaves.account(holder.account.data);
        if (account.locked) revert LegsLocked();
        if (holder.series.length != account.count || holder.rows.length != account.count) revert WrongCount();
        for (uint256 place = 0; place < holder.oracles.length; ++place) {
            StateTree.Leaf calldata oracle = holder.oracles[place];
            StateLeaves.requireLeaf(root, StateLeaves.ORACLE, StateLeaves.numberOf(oracle), oracle);
        }
        AccountMargin.Holding[] memory held = new AccountMargin.Holding[](account.count);
        for (uint256 place = 0; place < account.count; ++place) held[place] = _holding(root, holder, place);
        return (AccountMargin.of_(account.cash, account.portfolio, held), account.flags);
    }

    /// @notice Root over the steps of a block.
    /// @param last Hash of the last header's block.
    /// @param headers Of the block, and of those after it.
    function stepsRootOf(bytes32 last, bytes[] calldata headers) public pure returns (bytes32) {
        for (uint256 place = headers.length; place > 0; --place) {
            if (keccak256(headers[place - 1]) != last) revert WrongHeader(place - 1);
            if (place > 1) last = BlockHeader.getParentHash(headers[place - 1]);
        }
        bytes memory extra = BlockHeader.getExtraData(headers[0]);
        if (extra.length != 32) revert NoSteps();
        return bytes32(extra);
    }

    /// @dev The steps are the last new rows and the whole section after them, and the account's liquidation isn't there.
    function _requireOmitted(bytes32 stepsRoot, Section calldata section, uint32 number) private view {
        uint256 liquidations;
        uint256 length = section.steps.length;
        for (uint256 place = 0; place < length; ++place) {
            BlockSteps.requireStep(stepsRoot, section.count, section.first + place, section.steps[place]);
            (BlockSteps.Kind kind, uint32 account) = BlockSteps.kindOf(section.steps[place].raw);
            if ((kind == BlockSteps.Kind.ROWS) != (place == 0)) revert NotTheLastRows(place);
            if (kind == BlockSteps.Kind.LIQUIDATION) {
                if (account == number) revert Liquidated(place);
                ++liquidations;
            }
            bool ends = kind == BlockSteps.Kind.OTHER || section.first + place + 1 == section.count;
            if (ends != (place + 1 == length)) revert NotTheSection(place);
        }
        if (length == 0) revert NotTheSection(0);
        if (liquidations >= MOST_LIQUIDATIONS) revert SectionFull();
    }

    /// @dev A position, its series and its row shown to be in the state.
    function _holding(bytes32 root, Holder calldata holder, uint256 place)
        private
        pure
        returns (AccountMargin.Holding memory held)
    {
        (uint32 number, int64 quantity) = StateLeaves.position(holder.account.data, place);
        StateLeaves.requireLeaf(root, StateLeaves.SERIES, number, holder.series[place]);
        StateLeaves.requireLeaf(root, StateLeaves.RISK, number, holder.rows[place]);
        StateLeaves.Series memory series = StateLeaves.series(holder.series[place].data);
        (held.quantity, held.underlying, held.expiry) = (quantity, series.underlying, series.expiry);
        (held.strike, held.isCall) = (int256(uint256(series.strike)), series.isCall);
        (int64 mark, int64[16] memory changes) = StateLeaves.risk(holder.rows[place].data);
        held.mark = mark;
        if (series.over) return held; // its price is fixed: it can't move any more
        held.changes = changes;
        bytes calldata oracle = _oracleOf(holder, series.underlying);
        held.shortFloor = int256(RiskRows.shortFloor(StateLeaves.forward(oracle, series.expiry)));
        held.isolated = int256(RiskRows.isolated(StateLeaves.oracle(oracle).spot));
    }

    function _oracleOf(Holder calldata holder, uint256 underlying) private pure returns (bytes calldata) {
        for (uint256 place = 0; place < holder.oracles.length; ++place) {
            if (StateLeaves.numberOf(holder.oracles[place]) == underlying) return holder.oracles[place].data;
        }
        revert StateLeaves.UnknownLeaf(StateLeaves.ORACLE, underlying);
    }
}
