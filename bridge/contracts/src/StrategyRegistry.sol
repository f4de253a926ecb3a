// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {LegEscrow} from "./LegEscrow.sol";
import {LEG_ESCROW} from "./OpStack.sol";
import {RollupDirectory} from "./RollupDirectory.sol";
import {Leg} from "./StrategyLeg.sol";

/// @title StrategyRegistry
/// @notice On L1, once per devnet: decides strategies whose legs lie on several rollups, all or nothing.
///
/// @dev Two-phase commit (protocols 2.3, row 3b, and the end of 2.5). `open` sends each rollup the order to lock its legs, by deposit;
/// each answers with a vote, by withdrawal; the decision goes out by deposits. The usual trouble with two-phase commit is a
/// coordinator that dies between votes and decision while everyone waits. Here the coordinator is this contract: it decides as soon
/// as the last yes or the first no is finalized, anyone may make it decide after `decideBy` (then: abort), and it decides once
/// and for ever. Its decisions can be sent again by anyone, as often as needed; escrows apply them once.
///
///     open ─► NONE ─all voted yes before decideBy──────────────────► COMMIT
///             NONE ─one voted no, or decideBy passed──────────────► ABORT
///
/// Times: now < decideBy, and decideBy + MARGIN <= refundAfter. `decideBy` is L1's time, `refundAfter` the rollups'; a commit is decided before
/// `decideBy`, so its deposits have at least MARGIN to arrive before anyone can take a leg back. What happens if that isn't enough
/// stands with LegEscrow.
///
/// Only the trader itself opens: the account that trades is the caller, or, for a contract on L1, its alias, since on a rollup someone
/// else may have the contract's address. The id binds caller, legs and times; whoever knows it knows what it commits to.
contract StrategyRegistry is RollupDirectory {
    /// @notice What was decided.
    enum Decision {
        NONE,
        COMMIT,
        ABORT
    }

    /// @notice What a rollup answered.
    enum Vote {
        NONE,
        YES,
        NO
    }

    /// @notice The legs on one rollup.
    /// @param chainId The rollup.
    /// @param legs What to trade there, together.
    struct Participant {
        uint64 chainId;
        Leg[] legs;
    }

    /// @notice A strategy.
    /// @param account Who trades, on every rollup.
    /// @param decideBy When the decision is due at the latest, by L1's clock.
    /// @param missing Rollups that haven't voted yes.
    /// @param decision What was decided.
    /// @param refundAfter From when on the rollups may give the legs up by themselves.
    struct Strategy {
        address account;
        uint64 decideBy;
        uint8 missing;
        Decision decision;
        uint64 refundAfter;
    }

    /// @notice A rollup in a strategy.
    /// @param legs How many it was ordered to lock; zero when it doesn't take part.
    /// @param vote What it answered.
    struct Part {
        uint8 legs;
        Vote vote;
    }

    /// @notice Most rollups in a strategy.
    uint256 public constant MAX_PARTICIPANTS = 16;
    /// @notice Most legs per rollup.
    uint256 public constant MAX_LEGS = 8;
    /// @notice Most legs in a strategy: the vote that decides must fit into an L1 block with all that it sends (13 million gas).
    uint256 public constant MAX_LEGS_IN_ALL = 32;
    /// @notice Longest time that legs may be locked, seconds.
    uint64 public constant MAX_LOCK = 7 days;

    /// @dev Gas on a rollup: to take an order or a decision in, and for each leg in it (LegEscrow.LEG_GAS, with EIP-150's 64th).
    uint256 private constant _ORDER_GAS = 260_000;
    uint256 private constant _ORDER_LEG_GAS = 204_000;
    uint256 private constant _DECISION_GAS = 60_000;
    uint256 private constant _DECISION_LEG_GAS = 140_000;
    /// @dev Gas on L1: to count a vote, and to send one decision (the portal burns for the deposit's gas too).
    uint256 private constant _COUNT_GAS = 120_000;
    uint256 private constant _SEND_GAS = 480_000;

    /// @notice Least time between `decideBy` and `refundAfter`, seconds: the longest way of a deposit.
    uint64 public immutable MARGIN;

    mapping(bytes32 strategy => Strategy) private _strategies;
    mapping(bytes32 strategy => uint64[]) private _chains;
    /// @notice A rollup in a strategy.
    mapping(bytes32 strategy => mapping(uint64 chainId => Part)) public parts;

    /// @notice A strategy was opened.
    event StrategyOpened(
        bytes32 indexed strategy, address indexed opener, address indexed account, uint64 decideBy, uint64 refundAfter
    );
    /// @notice A rollup was ordered to lock its legs. `legHash` is keccak256(abi.encode(legs)).
    event LegsOrdered(bytes32 indexed strategy, uint64 indexed chainId, bytes32 legHash);
    /// @notice A rollup voted; `reason` is why not.
    event Voted(bytes32 indexed strategy, uint64 indexed chainId, bool yes, bytes reason);
    /// @notice The strategy was decided, for ever.
    event Decided(bytes32 indexed strategy, bool commit);
    /// @notice The decision is on its way to a rollup.
    event DecisionSent(bytes32 indexed strategy, uint64 indexed chainId);
    /// @notice The decision couldn't be sent just now; anyone can send it with `announce`.
    event DecisionUnsent(bytes32 indexed strategy, uint64 indexed chainId);

    /// @notice The times aren't in order, or too close or too far.
    error BadTimes(uint64 decideBy, uint64 refundAfter, uint256 time);
    /// @notice No rollups, or too many.
    error BadParticipants(uint256 count);
    /// @notice No legs on a rollup, or too many.
    error BadLegs(uint64 chainId, uint256 count);
    /// @notice Too many legs in all.
    error TooManyLegs(uint256 count);
    /// @notice There is no such rollup.
    error UnknownRollup(uint64 chainId);
    /// @notice A rollup is named twice.
    error DuplicateRollup(uint64 chainId);
    /// @notice The very same strategy was opened before.
    error AlreadyOpen(bytes32 strategy);
    /// @notice There is no such strategy.
    error UnknownStrategy(bytes32 strategy);
    /// @notice The rollup doesn't take part, or has voted.
    error NoVoteExpected(bytes32 strategy, uint64 chainId);
    /// @notice The decision isn't due yet.
    error NotDue(bytes32 strategy, uint64 decideBy, uint256 time);
    /// @notice Nothing is decided that could be sent.
    error NotDecided(bytes32 strategy);

    /// @notice Deploy for good.
    /// @param rollups All rollups that legs can lie on.
    /// @param margin Least time between `decideBy` and `refundAfter`, seconds.
    constructor(Rollup[] memory rollups, uint64 margin) RollupDirectory(rollups) {
        MARGIN = margin;
    }

    /// @notice Open a strategy: every rollup is ordered to lock its legs.
    /// @param salt Tells otherwise equal strategies apart.
    /// @param participants The legs by rollup.
    /// @param decideBy When to abort at the latest, unix seconds.
    /// @param refundAfter From when on rollups may release legs without a decision, unix seconds.
    /// @return strategy Its id.
    function open(bytes32 salt, Participant[] calldata participants, uint64 decideBy, uint64 refundAfter)
        external
        returns (bytes32 strategy)
    {
        if (
            decideBy <= block.timestamp || refundAfter < decideBy + MARGIN
                || refundAfter > block.timestamp + MAX_LOCK
        ) revert BadTimes(decideBy, refundAfter, block.timestamp);
        if (participants.length == 0 || participants.length > MAX_PARTICIPANTS) {
            revert BadParticipants(participants.length);
        }
        strategy = strategyId(msg.sender, salt, participants, decideBy, refundAfter);
        if (_strategies[strategy].account != address(0)) revert AlreadyOpen(strategy);
        address account = _accountOf(msg.sender);
        _strategies[strategy] =
            Strategy(account, decideBy, uint8(participants.length), Decision.NONE, refundAfter);
        emit StrategyOpened(strategy, msg.sender, account, decideBy, refundAfter);
        uint32 voteGas = _voteGas(participants);
        for (uint256 i = 0; i < participants.length; ++i) _order(strategy, participants[i], voteGas);
    }

    /// @notice Count a rollup's vote; only its escrow, by a finalized withdrawal.
    /// @param strategy Id of the strategy.
    /// @param yes Whether its legs are locked.
    /// @param reason Why not.
    function vote(bytes32 strategy, bool yes, bytes calldata reason) external {
        uint64 chainId = _rollupOf(LEG_ESCROW);
        Part storage part = parts[strategy][chainId];
        if (part.legs == 0 || part.vote != Vote.NONE) revert NoVoteExpected(strategy, chainId);
        part.vote = yes ? Vote.YES : Vote.NO;
        emit Voted(strategy, chainId, yes, reason);
        Strategy storage state = _strategies[strategy];
        if (yes) --state.missing;
        if (state.decision != Decision.NONE) return;
        if (!yes || block.timestamp >= state.decideBy) _decide(strategy, Decision.ABORT);
        else if (state.missing == 0) _decide(strategy, Decision.COMMIT);
    }

    /// @notice Abort a strategy that wasn't decided in time; anyone may.
    /// @param strategy Id of the strategy.
    function abort(bytes32 strategy) external {
        Strategy storage state = _known(strategy);
        if (state.decision != Decision.NONE || block.timestamp < state.decideBy) {
            revert NotDue(strategy, state.decideBy, block.timestamp);
        }
        _decide(strategy, Decision.ABORT);
    }

    /// @notice Send a decision to all its rollups again; anyone may, any number of times.
    /// @param strategy Id of the strategy.
    function announce(bytes32 strategy) external {
        Decision decision = _known(strategy).decision;
        if (decision == Decision.NONE) revert NotDecided(strategy);
        uint64[] memory chains = _chains[strategy];
        for (uint256 i = 0; i < chains.length; ++i) this.sendDecision(strategy, chains[i]);
    }

    /// @notice Send a decision to one of its rollups again; anyone may, any number of times.
    /// @param strategy Id of the strategy.
    /// @param chainId The rollup.
    function sendDecision(bytes32 strategy, uint64 chainId) external {
        Decision decision = _strategies[strategy].decision;
        uint8 legs = parts[strategy][chainId].legs;
        if (decision == Decision.NONE || legs == 0) revert NotDecided(strategy);
        emit DecisionSent(strategy, chainId);
        messengerOf[chainId].sendMessage(
            LEG_ESCROW,
            abi.encodeCall(LegEscrow.decideLegs, (strategy, decision == Decision.COMMIT)),
            uint32(_decisionGas(legs))
        );
    }

    /// @notice A strategy and the rollups that take part.
    /// @param strategy Id of the strategy.
    function strategyOf(bytes32 strategy) external view returns (Strategy memory, uint64[] memory chains) {
        return (_strategies[strategy], _chains[strategy]);
    }

    /// @notice The id of a strategy, open or not.
    /// @param opener Who opens it.
    function strategyId(
        address opener,
        bytes32 salt,
        Participant[] calldata participants,
        uint64 decideBy,
        uint64 refundAfter
    ) public view returns (bytes32) {
        return keccak256(
            abi.encode(
                "STRATEGY.v1", block.chainid, address(this), opener, salt, participants, decideBy, refundAfter
            )
        );
    }

    function _order(bytes32 strategy, Participant calldata participant, uint32 voteGas) private {
        (uint64 chainId, uint256 legs) = (participant.chainId, participant.legs.length);
        if (address(messengerOf[chainId]) == address(0)) revert UnknownRollup(chainId);
        if (parts[strategy][chainId].legs != 0) revert DuplicateRollup(chainId);
        if (legs == 0 || legs > MAX_LEGS) revert BadLegs(chainId, legs);
        parts[strategy][chainId] = Part(uint8(legs), Vote.NONE);
        _chains[strategy].push(chainId);
        emit LegsOrdered(strategy, chainId, keccak256(abi.encode(participant.legs)));
        Strategy memory state = _strategies[strategy];
        messengerOf[chainId].sendMessage(
            LEG_ESCROW,
            abi.encodeCall(
                LegEscrow.lockLegs,
                (strategy, state.account, state.decideBy, state.refundAfter, voteGas, participant.legs)
            ),
            uint32(_ORDER_GAS + legs * _ORDER_LEG_GAS)
        );
    }

    /// The decision stands whether or not it can be sent right now: a portal may have no room in this block.
    function _decide(bytes32 strategy, Decision decision) private {
        _strategies[strategy].decision = decision;
        emit Decided(strategy, decision == Decision.COMMIT);
        uint64[] memory chains = _chains[strategy];
        for (uint256 i = 0; i < chains.length; ++i) {
            try this.sendDecision(strategy, chains[i]) {}
            catch {
                emit DecisionUnsent(strategy, chains[i]);
            }
        }
    }

    function _known(bytes32 strategy) private view returns (Strategy storage state) {
        state = _strategies[strategy];
        if (state.account == address(0)) revert UnknownStrategy(strategy);
    }

    /// A contract's account on rollups is its alias, as for its deposits (OP Stack: address aliasing).
    function _accountOf(address opener) private view returns (address) {
        if (opener == tx.origin) return opener;
        unchecked {
            return address(uint160(opener) + uint160(0x1111000000000000000000000000000000001111));
        }
    }

    /// Gas that the vote which decides may need: the last one sends all decisions.
    function _voteGas(Participant[] calldata participants) private pure returns (uint32) {
        uint256 gas = _COUNT_GAS;
        uint256 legs;
        for (uint256 i = 0; i < participants.length; ++i) {
            legs += participants[i].legs.length;
            gas += _SEND_GAS + _decisionGas(participants[i].legs.length);
        }
        if (legs > MAX_LEGS_IN_ALL) revert TooManyLegs(legs);
        return uint32(gas);
    }

    function _decisionGas(uint256 legs) private pure returns (uint256) {
        return _DECISION_GAS + legs * _DECISION_LEG_GAS;
    }
}
