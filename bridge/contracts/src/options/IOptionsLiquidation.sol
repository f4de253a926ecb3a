// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsLiquidation
/// @notice At 0x4200…0c05 of an options rollup: liquidations. All of it is derived but for bids: nobody decides who is liquidated, or when.
/// @dev Cash in 1e-6 USD, quantities in 1e-4 contracts, shares in parts per million, times in unix seconds.
interface IOptionsLiquidation is IOptionsErrors {
    /// @notice An account below its maintenance margin: its orders are cancelled, and it can only reduce.
    event LiquidationFlagged(uint32 indexed account, int128 equity, int128 maintenance);
    /// @notice A part of an account's position was closed against the book.
    event Liquidated(uint32 indexed account, uint32 indexed series, int64 quantity, int128 cash, uint128 fee);
    /// @notice An account is above its initial margin again.
    event LiquidationEnded(uint32 indexed account);
    /// @notice Insurance paid for an account's deficit.
    event InsurancePaid(uint32 indexed account, uint128 amount);
    /// @notice What nobody paid is shared by all who withdraw.
    event LossShared(uint32 indexed account, uint128 amount);

    /// @notice The book gave less than was asked of it: the whole portfolio is up for auction.
    event AuctionStarted(uint32 indexed account, int128 equity, int128 maintenance);
    /// @notice An auction changed: 0 what is for sale is worth something, and bidders pay; 1 it is worth nothing or less, and bidders
    /// are paid; 2 its time stands still while marks are old.
    event AuctionMoved(uint32 indexed account, uint8 phase);
    /// @notice A bidder took a share of everything. It paid `price`, below zero it was paid; the account paid `fee` of it. With the positions
    /// went `cash`, below zero a debt.
    event AuctionBid(
        uint32 indexed account,
        uint32 indexed bidder,
        uint32 share,
        int128 price,
        uint128 fee,
        uint32[] series,
        int64[] quantities,
        int128 cash
    );
    /// @notice An auction is over: the account is above maintenance margin and a buffer, or nothing is left to sell. What bids brought in
    /// is the account's.
    event AuctionEnded(uint32 indexed account, int128 reserved);
    /// @notice The backstop vault took a share of everything, as a bidder would, when time was up.
    event BackstopTook(
        uint32 indexed account,
        uint32 indexed vault,
        uint32 share,
        int128 price,
        uint32[] series,
        int64[] quantities,
        int128 cash
    );
    /// @notice A holder of the other side gave it up at the mark; `quantity` is signed as the liquidated account sees it.
    event Deleveraged(
        uint32 indexed account, uint32 indexed holder, uint32 indexed series, int64 quantity, uint64 price
    );

    /// @notice Take a share of an account that is up for auction: of each position in whole lots, and of its cash.
    /// @param bidder The account that takes it; above its initial margin afterwards.
    /// @param account Up for auction.
    /// @param share Parts per million of what is for sale now; no more than what cures the account.
    /// @param limit The most to pay; below zero, the least to be paid.
    function bid(uint32 bidder, uint32 account, uint32 share, int128 limit) external;
    /// @notice Derived: liquidate an account.
    function liquidate(uint32 account) external;
    /// @notice Derived: an auction ends, turns, stops or goes on.
    function advanceAuction(uint32 account) external;
    /// @notice Derived: time is up, the backstop vault takes what it has the margin for.
    function backstop(uint32 account) external;
    /// @notice Derived: these holders give up the other side of a position, as far as that leaves them with their margin.
    function deleverage(uint32 account, uint32 series, uint32[] calldata holders) external;

    /// @notice An account's auction; all zero if there is none.
    /// @return started When, moved on by pauses.
    /// @return phase As `AuctionMoved` says.
    /// @return value Of what is for sale, at the marks.
    /// @return reserved What bids have brought in.
    /// @return priceShare Of a slice's value: what its bidder pays, or is paid.
    /// @return most The largest share that can be bid for.
    function auctionOf(uint32 account)
        external
        view
        returns (uint64 started, uint8 phase, int128 value, int128 reserved, uint32 priceShare, uint32 most);
    /// @notice The backstop vault: its owner, an address without a key, and its account; zero while nobody has sent it anything.
    function backstopVault() external view returns (address owner, uint32 account);
}
