// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {OptionsMarket} from "../OptionsMarket.sol";
import {LegEscrow} from "../LegEscrow.sol";
import {Leg} from "../StrategyLeg.sol";

/// @title IOptionsEscrow
/// @notice At 0x4200…0b05 of an options rollup, where EVM rollups have the LegEscrow: legs of strategies that the StrategyRegistry on L1 decides.
/// @dev Functions, events and errors that LegEscrow has are the same here, so that registry, keeper and clients don't tell the two apart.
/// In a `Leg`, `series` is the number of the series as a word. `maker` is the owner of the underlying's market maker (0x4200…0d00 and the
/// underlying's number) for its quote; with anyone else the leg takes the best orders of the book up to the limit, whoever's they are. The reason of a
/// refusal is one of the errors here or in IOptionsErrors.
interface IOptionsEscrow {
    /// @notice What an options rollup knows of a strategy beyond what LegEscrow would.
    /// @param number Of the combo's leaf in the state, which lasts as long as the legs are locked; no other combo ever has it.
    /// @param account Who trades.
    /// @param state 0 prepared, 1 committed, 2 aborted.
    /// @param pledge Of that account, in 1e-6 USD; nothing once it isn't prepared any more.
    /// @param series Of the legs, each once; none once it isn't prepared any more.
    /// @param quantities Signed, in 1e-4 contracts.
    struct Combo {
        uint32 number;
        uint32 account;
        uint8 state;
        int128 pledge;
        uint32[] series;
        int64[] quantities;
    }

    /// @notice One leg is set aside.
    event LegLocked(bytes32 indexed strategy, uint256 indexed leg, address indexed account);
    /// @notice The legs can't be had; nothing is set aside.
    event LegRefused(bytes32 indexed strategy, address indexed account, bytes reason);
    /// @notice The legs were traded; IOptionsExchange.Trade tells of each match.
    event LegCommitted(bytes32 indexed strategy);
    /// @notice The legs were given up, as decided on L1.
    event LegReleased(bytes32 indexed strategy);
    /// @notice The legs were given up because no decision came in time.
    event LegRefunded(bytes32 indexed strategy);
    /// @notice A commit came when the legs weren't locked (any more): the strategy came apart.
    event CommitMissed(bytes32 indexed strategy, LegEscrow.State state);

    /// @notice The caller isn't the messenger.
    error NotMessenger(address caller);
    /// @notice The messenger speaks for someone on L1 who isn't the registry.
    error NotRegistry(address sender);
    /// @notice Only the escrow's own address asks this.
    error NotSelf(address caller);
    /// @notice The order came when the decision was due already.
    error TooLate(uint64 decideBy, uint256 time);
    /// @notice The series expires while the leg may be locked.
    error ExpiresWhileLocked(uint64 expiry, uint64 refundAfter);
    /// @notice The legs aren't locked.
    error NotLocked(bytes32 strategy, LegEscrow.State state);
    /// @notice The decision may still come.
    error StillWaiting(uint64 refundAfter, uint256 time);

    /// @notice Lock a strategy's legs and vote; only the registry, through the messenger.
    function lockLegs(
        bytes32 strategy,
        address account,
        uint64 decideBy,
        uint64 refundAfter,
        uint32 voteGas,
        Leg[] calldata legs
    ) external;
    /// @notice What locking would do; only for calls from the escrow's own address, which nobody can send transactions from.
    function reserveLegs(bytes32 strategy, address account, uint64 refundAfter, Leg[] calldata legs) external;
    /// @notice Apply the decision; only the registry, through the messenger.
    function decideLegs(bytes32 strategy, bool commit) external;
    /// @notice Give up legs whose decision never came; anyone may, after `refundAfter`.
    function refundLegs(bytes32 strategy) external;

    /// @notice What became of a strategy's legs here.
    function lockOf(bytes32 strategy) external view returns (LegEscrow.Lock memory);
    /// @notice What is set aside for a strategy, by leg; empty when nothing is. `maker` and `price` are those of a leg's first match, and the
    /// whole pledge of the strategy's account stands with the first leg.
    function reservationsOf(bytes32 strategy) external view returns (OptionsMarket.Reservation[] memory reservations);
    /// @notice The combo of a strategy that was locked here; all zero when there is none.
    function comboOf(bytes32 strategy) external view returns (Combo memory);
}
