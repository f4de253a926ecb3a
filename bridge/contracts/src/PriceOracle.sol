// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";

/// @title PriceOracle
/// @notice Spot prices, and settlement prices that never change once fixed.
/// @dev A settlement price is fixed once per (underlying, expiry), at or after the expiry, so every series of one expiry
/// settles on one number whatever the order of settlements. Prices are in 1e-6 USD per unit of the underlying.
contract PriceOracle is Ownable {
    /// @notice A posted price.
    /// @param price In 1e-6 USD per unit.
    /// @param time Block time of the post, unix seconds; zero when nothing was posted.
    struct Price {
        uint64 price;
        uint64 time;
    }

    /// @notice Account that may post besides the owner.
    address public reporter;

    mapping(bytes32 underlying => Price) private _spot;
    mapping(bytes32 underlying => mapping(uint64 expiry => Price)) private _settlement;

    /// @notice The reporter changed.
    /// @param reporter The new reporter.
    event ReporterChanged(address indexed reporter);
    /// @notice A spot price was posted.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param price In 1e-6 USD per unit.
    event SpotPosted(bytes32 indexed underlying, uint64 price);
    /// @notice A settlement price was fixed for good.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param expiry Unix seconds.
    /// @param price In 1e-6 USD per unit.
    event SettlementFixed(bytes32 indexed underlying, uint64 indexed expiry, uint64 price);

    /// @notice Neither owner nor reporter.
    /// @param caller Who tried.
    error NotReporter(address caller);
    /// @notice The expiry lies in the future.
    /// @param expiry Unix seconds.
    /// @param time Block time, unix seconds.
    error NotExpired(uint64 expiry, uint64 time);
    /// @notice The settlement price was fixed before.
    /// @param price The fixed price, in 1e-6 USD per unit.
    error AlreadyFixed(uint64 price);

    modifier onlyReporter() {
        if (msg.sender != reporter && msg.sender != owner()) revert NotReporter(msg.sender);
        _;
    }

    /// @notice Deploy without prices.
    /// @param owner May post and choose the reporter.
    /// @param firstReporter May post.
    constructor(address owner, address firstReporter) Ownable(owner) {
        reporter = firstReporter;
        emit ReporterChanged(firstReporter);
    }

    /// @notice Choose who may post besides the owner.
    /// @param newReporter The zero address means the owner alone.
    function setReporter(address newReporter) external onlyOwner {
        reporter = newReporter;
        emit ReporterChanged(newReporter);
    }

    /// @notice Post the spot price.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param price In 1e-6 USD per unit.
    function postSpot(bytes32 underlying, uint64 price) external onlyReporter {
        _spot[underlying] = Price(price, uint64(block.timestamp));
        emit SpotPosted(underlying, price);
    }

    /// @notice Fix the settlement price of an expiry, once.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param expiry Unix seconds, not in the future.
    /// @param price In 1e-6 USD per unit.
    function fixSettlement(bytes32 underlying, uint64 expiry, uint64 price) external onlyReporter {
        if (block.timestamp < expiry) revert NotExpired(expiry, uint64(block.timestamp));
        Price storage settled = _settlement[underlying][expiry];
        if (settled.time != 0) revert AlreadyFixed(settled.price);
        _settlement[underlying][expiry] = Price(price, uint64(block.timestamp));
        emit SettlementFixed(underlying, expiry, price);
    }

    /// @notice The last posted spot price.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @return price In 1e-6 USD per unit.
    /// @return time Block time of the post, unix seconds; zero when nothing was posted.
    function spot(bytes32 underlying) external view returns (uint64 price, uint64 time) {
        Price memory posted = _spot[underlying];
        return (posted.price, posted.time);
    }

    /// @notice The settlement price of an expiry.
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param expiry Unix seconds.
    /// @return known Whether it is fixed.
    /// @return price In 1e-6 USD per unit; zero while unknown.
    function settlementPrice(bytes32 underlying, uint64 expiry) external view returns (bool known, uint64 price) {
        Price memory settled = _settlement[underlying][expiry];
        return (settled.time != 0, settled.price);
    }
}
