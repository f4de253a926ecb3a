// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IOptionsErrors} from "./IOptionsErrors.sol";

/// @title IOptionsExchange
/// @notice At 0x4200…0c02 of an options rollup: series, the order book, quotes on request, and the market maker.
/// @dev Prices in 1e-6 USD per contract, quantities in 1e-4 contracts, times in unix seconds.
interface IOptionsExchange is IOptionsErrors {
    /// @notice An order.
    /// @param account Whose.
    /// @param series In which.
    /// @param buy Or sell.
    /// @param price Limit.
    /// @param quantity How much.
    /// @param timeInForce 0 good till cancelled, 1 immediate or cancel, 2 fill or kill, 3 post only.
    /// @param selfTrade What to do instead of a trade with oneself: 0 cancel the newer, 1 cancel the older, 2 both, 3 decrement.
    /// @param reduceOnly Whether it may only bring the position nearer to zero.
    /// @param expiry Last second in which it counts; zero: as long as the series.
    /// @param clientId The sender's own name for it; not checked.
    struct Order {
        uint32 account;
        uint32 series;
        bool buy;
        uint64 price;
        uint64 quantity;
        uint8 timeInForce;
        uint8 selfTrade;
        bool reduceOnly;
        uint64 expiry;
        uint64 clientId;
    }

    /// @notice A leg of a request for quotes, from the taker's side; the quantity is signed.
    struct Leg {
        uint32 series;
        uint64 price;
        int64 quantity;
    }

    /// @notice What a maker signs (EIP-712, in the domain of actions): it takes the other side of all legs, or of none.
    struct Quote {
        uint32 maker;
        uint32 taker;
        uint64 nonce;
        uint64 expiry;
        Leg[] legs;
    }

    /// @notice A series is traded from now on.
    event SeriesListed(
        uint32 indexed series, bytes32 indexed underlying, uint64 expiry, uint64 strike, bool isCall
    );
    /// @notice An order rests in the book.
    event OrderRested(uint64 indexed order, uint32 indexed account, uint32 indexed series, bool buy, uint64 price, uint64 quantity);
    /// @notice Two accounts traded. `quantity` is signed as the taker sees it; the orders are zero outside of the book.
    event Trade(
        uint32 indexed series,
        uint32 indexed taker,
        uint32 indexed maker,
        uint64 takerOrder,
        uint64 makerOrder,
        uint64 price,
        int64 quantity,
        uint64 takerFee,
        uint64 makerFee
    );
    /// @notice So much of an order left without a trade: 0 its owner's wish, 1 expired, 2 rest of an immediate order, 3 self-trade,
    /// 4 short of margin, 5 replaced, 11 nothing to reduce, 12 liquidation, 13 series expired.
    event OrderCancelled(uint64 indexed order, uint32 indexed account, uint32 indexed series, uint64 quantity, uint8 reason);

    /// @notice List a series; anyone may, within the underlying's limits.
    function listSeries(bytes32 underlying, uint64 expiry, uint64 strike, bool isCall) external returns (uint32 series);
    /// @notice Place an order.
    function placeOrder(Order calldata order) external returns (uint64 id);
    /// @notice Cancel an order.
    function cancelOrder(uint32 account, uint64 order) external;
    /// @notice Cancel an account's orders in one series, or in all (series zero).
    function cancelAll(uint32 account, uint32 series) external;
    /// @notice Cancel an order and place another in its stead; all or nothing. The priority is a new order's.
    function replaceOrder(uint32 account, uint64 order, Order calldata replacement) external returns (uint64 id);
    /// @notice Trade all legs of a maker's signed quote at once.
    function fillQuote(Quote calldata quote, bytes calldata signature) external;

    /// @notice Trade with the market maker of the series' underlying; `limit` is the worst price.
    function tradeAmm(uint32 account, uint32 series, bool buy, uint64 quantity, uint64 limit) external;

    /// @notice What a series is.
    function seriesOf(uint32 series)
        external
        view
        returns (bytes32 underlying, uint64 expiry, uint64 strike, bool isCall, uint8 status, uint64 settlement);
    /// @notice Best bid and ask with their quantities; zeros where there is none.
    function bestOf(uint32 series) external view returns (uint64 bid, uint64 bidQuantity, uint64 ask, uint64 askQuantity);
}
