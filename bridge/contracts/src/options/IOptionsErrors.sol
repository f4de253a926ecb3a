// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

/// @title IOptionsErrors
/// @notice Why an options rollup refuses a transaction: its receipt has status 0, and one of these is the revert data.
interface IOptionsErrors {
    /// @notice The address runs no code here.
    error UnknownTarget(address target);
    /// @notice The target has no function of that selector, or none that may be called in this way.
    error UnknownFunction(address target, bytes4 selector);
    /// @notice The calldata isn't the one encoding of a call: too short, too long, or a value out of its type's range.
    error MalformedCall(bytes4 selector);
    /// @notice Only these functions take value, and only so much of it as is a whole number of cash units.
    error ValueRefused(uint256 value);
    /// @notice A value is past its range.
    error OutOfRange();
    /// @notice The gas limit is lower than what the call uses.
    error OutOfGas(uint256 needed, uint256 limit);
    /// @notice From L1, and in bundles, only some functions can be called; and the oracle only before a block's rows are made.
    error WrongSection(bytes4 selector);
    /// @notice The transaction must run in the bundle that it names.
    error BundleNotOpen(bytes32 expected, bytes32 actual);

    /// @notice There is no such account.
    error UnknownAccount(uint32 account);
    /// @notice The signer has no right to do this with the account.
    error NotAuthorized(uint32 account, address signer);
    /// @notice The account can't do this: it is frozen, being liquidated, or has trades set aside that its mode of margin must stay for.
    error AccountFrozen(uint32 account);
    /// @notice The owner, the bucket or the account has no room for one more.
    error LimitReached(uint256 limit);
    /// @notice Less cash than the operation needs.
    error InsufficientCash(uint32 account, int256 needed, int256 available);
    /// @notice The operation would leave the account short of its requirement by so much.
    error InsufficientMargin(uint32 account, int256 shortfall);
    /// @notice The action's signature isn't one.
    error BadSignature();
    /// @notice The action expired.
    error ActionExpired(uint64 expiry, uint64 time);
    /// @notice This signer's action nonce was used, or a later one was.
    error NonceUsed(uint32 account, address signer, uint64 nonce, uint64 last);

    /// @notice There is no such series.
    error UnknownSeries(uint32 series);
    /// @notice The series is no longer traded.
    error SeriesExpired(uint32 series);
    /// @notice The series exists.
    error SeriesExists(uint32 series);
    /// @notice There is no such underlying.
    error UnknownUnderlying(bytes32 underlying);
    /// @notice A series needs a strike and an expiry that its underlying allows.
    error SeriesRefused(uint64 expiry, uint64 strike);
    /// @notice The oracle says no forward or volatility of a live series.
    error SeriesUnquoted(uint32 series);
    /// @notice The price is zero or no multiple of the tick.
    error TickViolation(uint64 price, uint64 tick);
    /// @notice The quantity is zero or no multiple of the lot.
    error LotViolation(uint64 quantity, uint64 lot);
    /// @notice The order expired.
    error OrderExpired(uint64 expiry, uint64 time);
    /// @notice There is no such order of the account.
    error UnknownOrder(uint64 order);
    /// @notice The account has as many orders, or positions, as it may have.
    error TooMany(uint32 account, uint256 limit);
    /// @notice A post-only order would trade at once.
    error WouldCross(uint64 price, uint64 best);
    /// @notice A fill-or-kill order can't be filled; so much of it could be.
    error NotFillable(uint64 quantity, uint64 available);
    /// @notice A reduce-only order wouldn't reduce the position.
    error NotReducing(uint32 account, uint32 series);
    /// @notice The order would trade with the same account.
    error SelfTrade(uint32 account);
    /// @notice The market maker has no price for this: there is none, or it has as much of it as it takes.
    error NotQuoted(uint32 series);
    /// @notice The price is worse than the limit.
    error LimitExceeded(uint256 price, uint256 limit);

    /// @notice Marks are older than risk-increasing transactions allow.
    error StaleOracle(bytes32 underlying, uint64 timestamp);
    /// @notice The update isn't the next one: its sequence or its timestamp isn't later, or the latter is past the block's.
    error UpdateOutOfOrder(uint64 sequence, uint64 timestamp);
    /// @notice Too few of the feed's signers signed.
    error TooFewSigners(uint256 signers, uint256 threshold);
    /// @notice The two updates don't contradict each other.
    error NoEquivocation();
    /// @notice The breaker of the underlying allows less than this.
    error BreakerOpen(bytes32 underlying, uint8 level);
    /// @notice The breaker lets only so much more leave for L1 in this window; what L1 forces is never capped.
    error WithdrawalCapped(uint256 amount, uint256 left);

    /// @notice A combo is locked and unlocked on all its rollups at once: in a bundle, by its accounts' owners themselves.
    error OnlyInBundle();
    /// @notice The legs have no maximum loss, or are none: several underlyings or expiries, more calls sold than bought, a leg twice or
    /// of nothing, several accounts here or none, or too many.
    error NotACombo();
    /// @notice A leg is on a rollup that isn't an options rollup of the same sequencing set.
    error UnknownRollup(uint64 chainId);
    /// @notice The combo was made by a word of the oracle that this rollup hasn't heard yet, or by an old one.
    error SnapshotMissed(uint64 snapshot, uint64 timestamp);
    /// @notice The account doesn't hold so much of the series outside of other combos.
    error LegMissing(uint32 series, int64 needed, int64 free);
    /// @notice A locked combo holds this much of the position: it can't be closed alone.
    error LegLocked(uint32 account, uint32 series);
    /// @notice There is no such combo, or it is settled.
    error UnknownCombo(bytes32 name);

    /// @notice The account isn't up for auction, or no longer.
    error NoAuction(uint32 account);
    /// @notice A bid is for nothing, or for more than what cures the account (parts per million).
    error ShareRefused(uint256 share, uint256 most);
    /// @notice The slice costs more than the limit; below zero: it pays less.
    error CostExceeded(int256 cost, int256 limit);
}
