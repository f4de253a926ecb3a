// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {ICrossDomainMessenger, L2_CROSS_DOMAIN_MESSENGER} from "./OpStack.sol";
import {OptionsMarket} from "./OptionsMarket.sol";
import {Leg, reservationId} from "./StrategyLeg.sol";
import {StrategyRegistry} from "./StrategyRegistry.sol";

/// @title LegEscrow
/// @notice On every rollup with a market: the participant of the two-phase commit that the StrategyRegistry on L1 coordinates.
///
/// @dev A strategy's legs on this rollup are locked together or not at all. A lock sets aside what the trades need, from both
/// sides, at the quotes of that moment; then this contract votes yes, and from there on can do nothing by itself: only the registry's
/// decision, or the deadline, moves it. A lock that can't be had is a vote of no, with the reason.
///
///     NONE ─lock─► LOCKED ─commit──► COMMITTED     the trades happen
///                  LOCKED ─abort───► RELEASED      everyone has their cash back
///                  LOCKED ─refund──► REFUNDED      the same, by anyone, after `refundAfter`: the decision never came
///     NONE ─lock─► REFUSED                         a vote of no; nothing was locked
///     NONE ─abort► RELEASED                        the decision overtook the lock, which is refused when it comes
///
/// The refund is what keeps a dead L1 or sequencer from holding capital for ever; it is also the one way in which a strategy can come apart.
/// If the registry committed (before `decideBy`) and its deposit reached this rollup only after `refundAfter`, and somebody had
/// refunded by then, this leg is missing while others traded. The registry demands `refundAfter - decideBy` of at least its margin,
/// which must exceed the longest way of a deposit: a rollup's sequencing window, for within it the deposit is derived even
/// without a sequencer, and the time that a failed relay takes to be repeated. Beyond that margin nothing can be promised
/// to both sides at once (the Two Generals); the event `CommitMissed` says that it happened.
contract LegEscrow {
    /// @notice What became of a strategy's legs here.
    enum State {
        NONE,
        LOCKED,
        REFUSED,
        COMMITTED,
        RELEASED,
        REFUNDED
    }

    /// @notice A strategy's legs here.
    /// @param account Who trades.
    /// @param refundAfter Unix seconds; later anyone may release them.
    /// @param legs How many.
    /// @param state What became of them.
    struct Lock {
        address account;
        uint64 refundAfter;
        uint8 legs;
        State state;
    }

    /// @notice Gas that locking one leg may take.
    uint256 public constant LEG_GAS = 200_000;

    /// @dev Gas for the vote and what surrounds it.
    uint256 private constant _VOTE_GAS = 150_000;
    /// @dev How much of the reason of a refusal is passed on, bytes.
    uint256 private constant _MAX_REASON = 256;

    /// @notice The StrategyRegistry on L1.
    address public immutable REGISTRY;
    /// @notice Where the legs are traded.
    OptionsMarket public immutable MARKET;

    mapping(bytes32 strategy => Lock) private _locks;

    /// @notice One leg is set aside.
    event LegLocked(bytes32 indexed strategy, uint256 indexed leg, address indexed account);
    /// @notice The legs can't be had; nothing is set aside.
    event LegRefused(bytes32 indexed strategy, address indexed account, bytes reason);
    /// @notice The legs were traded.
    event LegCommitted(bytes32 indexed strategy);
    /// @notice The legs were given up, as decided on L1.
    event LegReleased(bytes32 indexed strategy);
    /// @notice The legs were given up because no decision came in time.
    event LegRefunded(bytes32 indexed strategy);
    /// @notice A commit came when the legs weren't locked (any more): the strategy came apart.
    event CommitMissed(bytes32 indexed strategy, State state);

    /// @notice The caller isn't the messenger.
    error NotMessenger(address caller);
    /// @notice The messenger speaks for someone on L1 who isn't the registry.
    error NotRegistry(address sender);
    /// @notice Only this contract calls itself so.
    error NotSelf(address caller);
    /// @notice The order came when the decision was due already.
    error TooLate(uint64 decideBy, uint256 time);
    /// @notice The series expires while the leg may be locked.
    error ExpiresWhileLocked(uint64 expiry, uint64 refundAfter);
    /// @notice The market refused without a reason.
    error Unexplained();
    /// @notice Too little gas to tell what can't be had from what can't be paid for.
    error NotEnoughGas(uint256 needed, uint256 available);
    /// @notice The legs aren't locked.
    error NotLocked(bytes32 strategy, State state);
    /// @notice The decision may still come.
    error StillWaiting(uint64 refundAfter, uint256 time);

    /// Only what the registry sent may pass; the messenger says who sent it.
    modifier onlyRegistry() {
        if (msg.sender != L2_CROSS_DOMAIN_MESSENGER) revert NotMessenger(msg.sender);
        address sender = ICrossDomainMessenger(msg.sender).xDomainMessageSender();
        if (sender != REGISTRY) revert NotRegistry(sender);
        _;
    }

    /// @notice Deploy without locks.
    /// @param registry The StrategyRegistry on L1.
    /// @param market Where the legs are traded.
    constructor(address registry, OptionsMarket market) {
        REGISTRY = registry;
        MARKET = market;
    }

    /// @notice Lock a strategy's legs and vote; only the registry, through the messenger. A second order of the same changes nothing.
    /// @param strategy Id of the strategy.
    /// @param account Who trades.
    /// @param decideBy When the registry's decision is due, unix seconds; too late to lock from then on.
    /// @param refundAfter From when on anyone may release the legs, unix seconds.
    /// @param voteGas Gas that the vote has on L1.
    /// @param legs What to trade.
    function lockLegs(
        bytes32 strategy,
        address account,
        uint64 decideBy,
        uint64 refundAfter,
        uint32 voteGas,
        Leg[] calldata legs
    ) external onlyRegistry {
        Lock storage lock = _locks[strategy];
        if (lock.state != State.NONE) return;
        uint256 needed = legs.length * LEG_GAS + _VOTE_GAS;
        // Short of gas, the legs would seem not to be had. The messenger keeps an order that reverts, and anyone repeats it.
        if (gasleft() < needed) revert NotEnoughGas(needed, gasleft());
        bytes memory reason;
        if (block.timestamp >= decideBy) {
            reason = abi.encodeWithSelector(TooLate.selector, decideBy, block.timestamp);
        } else {
            try this.reserveLegs(strategy, account, refundAfter, legs) {
                reason = "";
            } catch (bytes memory why) {
                reason = why.length == 0 ? abi.encodeWithSelector(Unexplained.selector) : why;
            }
        }
        bool yes = reason.length == 0;
        _locks[strategy] = Lock(account, refundAfter, uint8(legs.length), yes ? State.LOCKED : State.REFUSED);
        if (!yes) {
            if (reason.length > _MAX_REASON) {
                assembly ("memory-safe") {
                    mstore(reason, _MAX_REASON)
                }
            }
            emit LegRefused(strategy, account, reason);
        }
        ICrossDomainMessenger(L2_CROSS_DOMAIN_MESSENGER).sendMessage(
            REGISTRY, abi.encodeCall(StrategyRegistry.vote, (strategy, yes, reason)), voteGas
        );
    }

    /// @notice Set all legs aside or revert; called by this contract itself, so that half a lock is undone as a whole.
    function reserveLegs(bytes32 strategy, address account, uint64 refundAfter, Leg[] calldata legs) external {
        if (msg.sender != address(this)) revert NotSelf(msg.sender);
        for (uint256 i = 0; i < legs.length; ++i) {
            Leg calldata leg = legs[i];
            uint64 expiry = MARKET.seriesOf(leg.series).expiry;
            // Settling could otherwise begin between lock and trade, and one side know the outcome.
            if (expiry <= refundAfter) revert ExpiresWhileLocked(expiry, refundAfter);
            MARKET.reserve(
                reservationId(strategy, i), leg.series, leg.maker, account, leg.quantity, leg.limitPrice
            );
            emit LegLocked(strategy, i, account);
        }
    }

    /// @notice Apply the decision; only the registry, through the messenger. Again, or late, it changes nothing.
    /// @param strategy Id of the strategy.
    /// @param commit Trade the legs if true, give them up otherwise.
    function decideLegs(bytes32 strategy, bool commit) external onlyRegistry {
        Lock storage lock = _locks[strategy];
        State state = lock.state;
        if (state == State.LOCKED) {
            lock.state = commit ? State.COMMITTED : State.RELEASED;
            for (uint256 i = 0; i < lock.legs; ++i) {
                if (commit) MARKET.executeReserved(reservationId(strategy, i));
                else MARKET.releaseReserved(reservationId(strategy, i));
            }
            if (commit) emit LegCommitted(strategy);
            else emit LegReleased(strategy);
        } else if (commit && state != State.COMMITTED) {
            emit CommitMissed(strategy, state);
        } else if (state == State.NONE) {
            lock.state = State.RELEASED;
            emit LegReleased(strategy);
        }
    }

    /// @notice Give up legs whose decision never came; anyone may, after `refundAfter`.
    /// @param strategy Id of the strategy.
    function refundLegs(bytes32 strategy) external {
        Lock storage lock = _locks[strategy];
        if (lock.state != State.LOCKED) revert NotLocked(strategy, lock.state);
        if (block.timestamp <= lock.refundAfter) revert StillWaiting(lock.refundAfter, block.timestamp);
        lock.state = State.REFUNDED;
        for (uint256 i = 0; i < lock.legs; ++i) MARKET.releaseReserved(reservationId(strategy, i));
        emit LegRefunded(strategy);
    }

    /// @notice What became of a strategy's legs here.
    /// @param strategy Id of the strategy.
    function lockOf(bytes32 strategy) external view returns (Lock memory) {
        return _locks[strategy];
    }

    /// @notice The trades that are set aside for a strategy; empty when nothing is.
    /// @param strategy Id of the strategy.
    function reservationsOf(bytes32 strategy)
        external
        view
        returns (OptionsMarket.Reservation[] memory reservations)
    {
        Lock memory lock = _locks[strategy];
        if (lock.state != State.LOCKED) return reservations;
        reservations = new OptionsMarket.Reservation[](lock.legs);
        for (uint256 i = 0; i < lock.legs; ++i) {
            reservations[i] = MARKET.reservationOf(reservationId(strategy, i));
        }
    }
}
