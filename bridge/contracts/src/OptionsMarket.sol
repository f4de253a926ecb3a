// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {SignedMath} from "@openzeppelin/contracts/utils/math/SignedMath.sol";
import {BundleGuard} from "./BundleGuard.sol";
import {LEG_ESCROW} from "./OpStack.sol";
import {PriceOracle} from "./PriceOracle.sol";

/// @title OptionsMarket
/// @notice European calls and puts, quoted by makers, written against full cash collateral, settled in cash at expiry.
///
/// @dev Solvency is an invariant, not a risk parameter. A short put locks its strike. A call's payoff would have no
/// bound, so settlement prices above `PRICE_CAP` count as the cap, and a short call locks `PRICE_CAP - strike`. At any time
///
///     cash held == sum(freeCash) + sum(lockedCash) + sum(reservedCash) + sum(settlementPool)     and     sum(position[series]) == 0
///
/// A trade can be reserved first and executed or released later, by the leg escrow alone, for strategies that are decided elsewhere.
/// A reservation takes the maker's quote at its price and sets aside, for both sides, all that the trade can ever need: from the buyer the
/// premium, from the seller the collateral of the quantity by itself, less the premium. Collateral is subadditive,
/// collateral(a + b) <= collateral(a) + collateral(b), so whatever both sides trade meanwhile, executing can't lack cash; what it
/// doesn't need (a closing trade needs less) becomes free.
///
/// Units: prices and cash in 1e-6 USD (prices per one unit of the underlying), quantities in 1e-4 units, times in unix
/// seconds. Rounding, to whole 1e-6 USD, is always against the account that acts or claims: premiums up when the taker
/// pays and down when it receives, collateral up, a long's payoff down, a short's payment up. What the roundings
/// at settlement leave over stays in `settlementPool` of its series, which is never negative once all have settled.
contract OptionsMarket is ReentrancyGuardTransient {
    using SafeERC20 for IERC20;
    using SafeCast for uint256;

    /// @notice What a series is; its id is keccak256(abi.encode(underlying, strike, expiry, isCall)).
    /// @param underlying Symbol, left-aligned ASCII.
    /// @param strike In 1e-6 USD per unit; at most the price cap.
    /// @param expiry Unix seconds; trading stops and settlement starts here.
    /// @param isCall A call if true, a put otherwise.
    struct Series {
        bytes32 underlying;
        uint64 strike;
        uint64 expiry;
        bool isCall;
    }

    /// @notice A maker's standing offer in one series.
    /// @param bid Price at which the maker buys.
    /// @param ask Price at which the maker sells.
    /// @param bidSize How much the maker still buys, in 1e-4 units.
    /// @param askSize How much the maker still sells, in 1e-4 units.
    struct Quote {
        uint64 bid;
        uint64 ask;
        uint64 bidSize;
        uint64 askSize;
    }

    /// @notice A quote with the series that it is for; the series is listed when new.
    struct QuoteInput {
        Series series;
        Quote quote;
    }

    /// @notice A trade that is set aside until it is executed or released.
    /// @param series Id of the series; zero when there is no such reservation.
    /// @param maker Whose offer was taken.
    /// @param quantity As the taker sees it, in 1e-4 units.
    /// @param taker Who took it.
    /// @param price In 1e-6 USD per unit.
    /// @param premium Goes from buyer to seller when executed.
    /// @param posts How often the maker had posted quotes by then.
    /// @param makerCash Set aside from the maker.
    /// @param takerCash Set aside from the taker.
    struct Reservation {
        bytes32 series;
        address maker;
        int88 quantity;
        address taker;
        uint64 price;
        uint128 premium;
        uint64 posts;
        uint128 makerCash;
        uint128 takerCash;
    }

    /// @notice One row of a maker's board.
    struct BoardRow {
        bytes32 id;
        Series series;
        Quote quote;
    }

    /// @notice Quantities are in 1 / QUANTITY_SCALE units of the underlying.
    uint256 public constant QUANTITY_SCALE = 10_000;

    /// @notice The token that cash is.
    IERC20 public immutable CASH;
    /// @notice Where settlement prices come from.
    PriceOracle public immutable ORACLE;
    /// @notice Which bundle is open.
    BundleGuard public immutable GUARD;
    /// @notice Settlement prices above this count as this, in 1e-6 USD per unit.
    uint64 public immutable PRICE_CAP;

    /// @notice Cash that an account can trade with or withdraw.
    mapping(address account => uint256) public freeCash;
    /// @notice Cash that is locked behind an account's short positions.
    mapping(address account => uint256) public lockedCash;
    /// @notice Signed quantity held: positive is long, negative is short.
    mapping(bytes32 series => mapping(address account => int256)) public position;
    /// @notice Paid in by settled shorts minus paid out to settled longs.
    mapping(bytes32 series => int256) public settlementPool;

    mapping(bytes32 series => Series) private _series;
    mapping(bytes32 series => mapping(address maker => Quote)) private _quotes;
    bytes32[] private _listed;

    /// @notice Cash that is set aside for an account's reserved trades.
    mapping(address account => uint256) public reservedCash;
    mapping(bytes32 reservation => Reservation) private _reservations;
    mapping(address maker => uint64) private _posts;

    /// @notice Cash came in.
    event Deposited(address indexed from, address indexed account, uint256 amount);
    /// @notice Cash went out.
    event Withdrawn(address indexed account, uint256 amount);
    /// @notice A series can be quoted and traded from now on.
    event SeriesListed(bytes32 indexed series, bytes32 underlying, uint64 strike, uint64 expiry, bool isCall);
    /// @notice A maker replaced its offer.
    event Quoted(bytes32 indexed series, address indexed maker, Quote quote);
    /// @notice A trade. `quantity` is signed as the taker sees it, `premium` goes from buyer to seller.
    event Trade(
        bytes32 indexed series,
        address indexed maker,
        address indexed taker,
        int256 quantity,
        uint256 price,
        uint256 premium,
        bytes32 bundle
    );
    /// @notice A trade was set aside; both sides' cash with it.
    event Reserved(bytes32 indexed reservation, bytes32 indexed series, address indexed taker, address maker, int256 quantity);
    /// @notice A reserved trade won't happen; both sides have their cash back.
    event Released(bytes32 indexed reservation);
    /// @notice A position was settled; `payment` is what a long received or a short paid.
    event Settled(bytes32 indexed series, address indexed account, int256 quantity, uint256 payment, uint64 price);

    /// @notice No such series is listed.
    error UnknownSeries(bytes32 series);
    /// @notice The series has expired: it can be neither traded nor quoted.
    error SeriesExpired(uint64 expiry, uint256 time);
    /// @notice The strike is zero or above the cap.
    error StrikeOutOfRange(uint64 strike, uint64 priceCap);
    /// @notice A maker would buy for more than it sells for.
    error CrossedQuote(uint64 bid, uint64 ask);
    /// @notice The maker's price is worse than the taker's limit.
    error LimitExceeded(uint256 price, uint256 limit);
    /// @notice The maker offers less than asked for.
    error QuoteSizeExceeded(uint256 quantity, uint256 available);
    /// @notice The account's free cash doesn't cover premium and collateral.
    error InsufficientCash(address account, uint256 needed, uint256 available);
    /// @notice A trade of nothing.
    error ZeroQuantity();
    /// @notice The quantity doesn't fit in 64 bits.
    error QuantityTooLarge(uint256 quantity);
    /// @notice Maker and taker are one account.
    error SelfTrade(address account);
    /// @notice The oracle hasn't fixed the settlement price.
    error SettlementPriceUnknown(bytes32 underlying, uint64 expiry);
    /// @notice Only the leg escrow reserves.
    error NotEscrow(address caller);
    /// @notice There is such a reservation already.
    error AlreadyReserved(bytes32 reservation);
    /// @notice There is no such reservation, or not any more.
    error NotReserved(bytes32 reservation);

    modifier onlyEscrow() {
        if (msg.sender != LEG_ESCROW) revert NotEscrow(msg.sender);
        _;
    }

    /// @notice Deploy without series.
    /// @param cash The token that cash is; must be a plain ERC-20 without fees on transfer.
    /// @param oracle Where settlement prices come from.
    /// @param guard Which bundle is open.
    /// @param priceCap Bound on settlement prices, in 1e-6 USD per unit.
    constructor(IERC20 cash, PriceOracle oracle, BundleGuard guard, uint64 priceCap) {
        CASH = cash;
        ORACLE = oracle;
        GUARD = guard;
        PRICE_CAP = priceCap;
    }

    /// @notice Bring in own cash.
    /// @param amount In 1e-6 USD; must be approved before.
    function deposit(uint256 amount) external {
        depositFor(msg.sender, amount);
    }

    /// @notice Take out free cash.
    /// @param amount In 1e-6 USD.
    function withdraw(uint256 amount) external nonReentrant {
        uint256 available = freeCash[msg.sender];
        if (amount > available) revert InsufficientCash(msg.sender, amount, available);
        freeCash[msg.sender] = available - amount;
        emit Withdrawn(msg.sender, amount);
        CASH.safeTransfer(msg.sender, amount);
    }

    /// @notice Replace own offers, listing series that are new.
    /// @param inputs One offer per series; sizes of zero withdraw an offer.
    function postQuotes(QuoteInput[] calldata inputs) external nonReentrant {
        ++_posts[msg.sender];
        for (uint256 i = 0; i < inputs.length; ++i) {
            Quote calldata quote_ = inputs[i].quote;
            if (quote_.bid > quote_.ask) revert CrossedQuote(quote_.bid, quote_.ask);
            bytes32 id = _list(inputs[i].series);
            _quotes[id][msg.sender] = quote_;
            emit Quoted(id, msg.sender, quote_);
        }
    }

    /// @notice Trade against a maker's offer, whole or not at all.
    /// @param series Id of the series.
    /// @param maker Whose offer to take.
    /// @param quantity In 1e-4 units; positive buys at the ask, negative sells at the bid.
    /// @param limitPrice Highest price to pay or lowest to accept, in 1e-6 USD per unit.
    /// @param bundle Zero, or the bundle that must be open: this trade then never happens outside of it.
    /// @return premium What went from buyer to seller, in 1e-6 USD.
    function trade(bytes32 series, address maker, int256 quantity, uint256 limitPrice, bytes32 bundle)
        external
        nonReentrant
        returns (uint256 premium)
    {
        if (bundle != bytes32(0)) GUARD.requireOpen(bundle);
        Series memory terms = _requireTradable(series, maker, msg.sender, quantity);
        uint256 price;
        (price, premium) = _takeQuote(series, maker, quantity, limitPrice);
        bool takerBuys = quantity > 0;
        _move(series, terms, msg.sender, quantity, premium, takerBuys);
        _move(series, terms, maker, -quantity, premium, !takerBuys);
        emit Trade(series, maker, msg.sender, quantity, price, premium, bundle);
    }

    /// @notice Set a trade aside; only the leg escrow. Reverts as `trade` would.
    /// @param id Names the reservation; used once.
    /// @param series Id of the series.
    /// @param maker Whose offer to take.
    /// @param taker Who takes it.
    /// @param quantity In 1e-4 units; positive buys at the ask, negative sells at the bid.
    /// @param limitPrice Highest price to pay or lowest to accept, in 1e-6 USD per unit.
    function reserve(
        bytes32 id,
        bytes32 series,
        address maker,
        address taker,
        int256 quantity,
        uint256 limitPrice
    ) external onlyEscrow nonReentrant {
        if (_reservations[id].series != bytes32(0)) revert AlreadyReserved(id);
        Series memory terms = _requireTradable(series, maker, taker, quantity);
        (uint256 price, uint256 premium) = _takeQuote(series, maker, quantity, limitPrice);
        uint256 short = collateral(terms, quantity < 0 ? quantity : -quantity);
        uint256 fromSeller = Math.saturatingSub(short, premium);
        Reservation memory made = Reservation({
            series: series,
            maker: maker,
            quantity: int88(quantity),
            taker: taker,
            price: uint64(price),
            premium: premium.toUint128(),
            posts: _posts[maker],
            makerCash: (quantity > 0 ? fromSeller : premium).toUint128(),
            takerCash: (quantity > 0 ? premium : fromSeller).toUint128()
        });
        _setAside(maker, made.makerCash);
        _setAside(taker, made.takerCash);
        _reservations[id] = made;
        emit Reserved(id, series, taker, maker, quantity);
    }

    /// @notice Execute a reserved trade at its price; only the leg escrow. Nothing that happened since can make it fail.
    /// @param id The reservation.
    function executeReserved(bytes32 id) external onlyEscrow nonReentrant {
        Reservation memory made = _takeReservation(id);
        Series memory terms = _series[made.series];
        bool takerBuys = made.quantity > 0;
        _move(made.series, terms, made.taker, made.quantity, made.premium, takerBuys);
        _move(made.series, terms, made.maker, -int256(made.quantity), made.premium, !takerBuys);
        emit Trade(made.series, made.maker, made.taker, made.quantity, made.price, made.premium, bytes32(0));
    }

    /// @notice Give a reserved trade up; only the leg escrow. The maker offers the quantity again unless it posted quotes since.
    /// @param id The reservation.
    function releaseReserved(bytes32 id) external onlyEscrow nonReentrant {
        Reservation memory made = _takeReservation(id);
        if (made.posts == _posts[made.maker]) {
            Quote storage quote_ = _quotes[made.series][made.maker];
            uint64 size = uint64(SignedMath.abs(made.quantity));
            if (made.quantity > 0) quote_.askSize += size;
            else quote_.bidSize += size;
        }
        emit Released(id);
    }

    /// @notice Settle one account in one series; anyone may call, twice is harmless.
    /// @param series Id of the series.
    /// @param account Whose position to settle.
    /// @return payment What a long received or a short paid, in 1e-6 USD.
    function settle(bytes32 series, address account) external nonReentrant returns (uint256 payment) {
        (Series memory terms, uint64 price) = _settlement(series);
        return _settle(series, terms, price, account);
    }

    /// @notice Settle many accounts in one series.
    /// @param series Id of the series.
    /// @param accounts Whose positions to settle; those without one are passed over.
    function settleMany(bytes32 series, address[] calldata accounts) external nonReentrant {
        (Series memory terms, uint64 price) = _settlement(series);
        for (uint256 i = 0; i < accounts.length; ++i) _settle(series, terms, price, accounts[i]);
    }

    /// @notice What a series is.
    /// @param series Id of the series.
    function seriesOf(bytes32 series) external view returns (Series memory) {
        return _requireListed(series);
    }

    /// @notice A maker's offer.
    /// @param series Id of the series.
    /// @param maker Whose offer.
    function quoteOf(bytes32 series, address maker) external view returns (Quote memory) {
        return _quotes[series][maker];
    }

    /// @notice A reserved trade; all zero when there is none.
    /// @param id The reservation.
    function reservationOf(bytes32 id) external view returns (Reservation memory) {
        return _reservations[id];
    }

    /// @notice Every listed series with one maker's offers, in the order of listing.
    /// @param maker Whose offers; all zero where it has none.
    function board(address maker) external view returns (BoardRow[] memory rows) {
        rows = new BoardRow[](_listed.length);
        for (uint256 i = 0; i < rows.length; ++i) {
            bytes32 id = _listed[i];
            rows[i] = BoardRow(id, _series[id], _quotes[id][maker]);
        }
    }

    /// @notice An account's positions in every listed series, in the order of listing.
    /// @param account Whose positions.
    function positionsOf(address account) external view returns (int256[] memory quantities) {
        quantities = new int256[](_listed.length);
        for (uint256 i = 0; i < quantities.length; ++i) quantities[i] = position[_listed[i]][account];
    }

    /// @notice Bring in cash for someone.
    /// @param account Whose free cash grows.
    /// @param amount In 1e-6 USD; taken from the caller, who must have approved it.
    function depositFor(address account, uint256 amount) public nonReentrant {
        CASH.safeTransferFrom(msg.sender, address(this), amount);
        freeCash[account] += amount;
        emit Deposited(msg.sender, account, amount);
    }

    /// @notice The id of a series, listed or not.
    /// @param terms What the series is.
    function seriesId(Series memory terms) public pure returns (bytes32) {
        return keccak256(abi.encode(terms.underlying, terms.strike, terms.expiry, terms.isCall));
    }

    /// @notice What a position locks.
    /// @param terms What the series is.
    /// @param quantity Signed, in 1e-4 units; longs lock nothing.
    /// @return Cash in 1e-6 USD, rounded up.
    function collateral(Series memory terms, int256 quantity) public view returns (uint256) {
        if (quantity >= 0) return 0;
        uint256 worst = terms.isCall ? PRICE_CAP - terms.strike : terms.strike;
        return Math.ceilDiv(worst * SignedMath.abs(quantity), QUANTITY_SCALE);
    }

    /// @notice What a position pays at expiry.
    /// @param terms What the series is.
    /// @param quantity Signed, in 1e-4 units.
    /// @param price Settlement price in 1e-6 USD per unit; above the cap it counts as the cap.
    /// @return What a long receives, rounded down, or a short pays, rounded up; in 1e-6 USD.
    function payoff(Series memory terms, int256 quantity, uint64 price) public view returns (uint256) {
        uint256 capped = Math.min(price, PRICE_CAP);
        uint256 perUnit = terms.isCall
            ? Math.saturatingSub(capped, terms.strike)
            : Math.saturatingSub(terms.strike, capped);
        uint256 total = perUnit * SignedMath.abs(quantity);
        return quantity < 0 ? Math.ceilDiv(total, QUANTITY_SCALE) : total / QUANTITY_SCALE;
    }

    function _list(Series calldata terms) private returns (bytes32 id) {
        _requireLive(terms.expiry);
        id = seriesId(terms);
        if (_series[id].expiry != 0) return id;
        if (terms.strike == 0 || terms.strike > PRICE_CAP) revert StrikeOutOfRange(terms.strike, PRICE_CAP);
        _series[id] = terms;
        _listed.push(id);
        emit SeriesListed(id, terms.underlying, terms.strike, terms.expiry, terms.isCall);
    }

    function _takeQuote(bytes32 series, address maker, int256 quantity, uint256 limitPrice)
        private
        returns (uint256 price, uint256 premium)
    {
        uint256 size = SignedMath.abs(quantity);
        if (size > type(uint64).max) revert QuantityTooLarge(size);
        Quote storage quote_ = _quotes[series][maker];
        uint64 available = quantity > 0 ? quote_.askSize : quote_.bidSize;
        if (size > available) revert QuoteSizeExceeded(size, available);
        if (quantity > 0) {
            price = quote_.ask;
            if (price > limitPrice) revert LimitExceeded(price, limitPrice);
            quote_.askSize = available - uint64(size);
            premium = Math.ceilDiv(price * size, QUANTITY_SCALE);
        } else {
            price = quote_.bid;
            if (price < limitPrice) revert LimitExceeded(price, limitPrice);
            quote_.bidSize = available - uint64(size);
            premium = price * size / QUANTITY_SCALE;
        }
    }

    /// Moves one side of a trade: position, premium and collateral together, so that premium received counts towards
    /// collateral, and collateral set free by a closing trade towards the premium.
    function _move(
        bytes32 series,
        Series memory terms,
        address account,
        int256 quantity,
        uint256 premium,
        bool pays
    ) private {
        int256 held = position[series][account];
        uint256 unlocked = collateral(terms, held);
        uint256 locked = collateral(terms, held + quantity);
        uint256 needed = locked + (pays ? premium : 0);
        uint256 available = freeCash[account] + unlocked + (pays ? 0 : premium);
        if (needed > available) revert InsufficientCash(account, needed, available);
        freeCash[account] = available - needed;
        lockedCash[account] = lockedCash[account] - unlocked + locked;
        position[series][account] = held + quantity;
    }

    function _setAside(address account, uint256 amount) private {
        uint256 available = freeCash[account];
        if (amount > available) revert InsufficientCash(account, amount, available);
        freeCash[account] = available - amount;
        reservedCash[account] += amount;
    }

    /// Ends a reservation: the cash that was set aside is free again on both sides.
    function _takeReservation(bytes32 id) private returns (Reservation memory made) {
        made = _reservations[id];
        if (made.series == bytes32(0)) revert NotReserved(id);
        delete _reservations[id];
        reservedCash[made.maker] -= made.makerCash;
        freeCash[made.maker] += made.makerCash;
        reservedCash[made.taker] -= made.takerCash;
        freeCash[made.taker] += made.takerCash;
    }

    function _settle(bytes32 series, Series memory terms, uint64 price, address account)
        private
        returns (uint256 payment)
    {
        int256 held = position[series][account];
        if (held == 0) return 0;
        payment = payoff(terms, held, price);
        position[series][account] = 0;
        if (held > 0) {
            freeCash[account] += payment;
            settlementPool[series] -= payment.toInt256();
        } else {
            uint256 unlocked = collateral(terms, held);
            lockedCash[account] -= unlocked;
            freeCash[account] += unlocked - payment;
            settlementPool[series] += payment.toInt256();
        }
        emit Settled(series, account, held, payment, price);
    }

    function _settlement(bytes32 series) private view returns (Series memory terms, uint64 price) {
        terms = _requireListed(series);
        bool known;
        (known, price) = ORACLE.settlementPrice(terms.underlying, terms.expiry);
        if (!known) revert SettlementPriceUnknown(terms.underlying, terms.expiry);
    }

    function _requireTradable(bytes32 series, address maker, address taker, int256 quantity)
        private
        view
        returns (Series memory terms)
    {
        if (quantity == 0) revert ZeroQuantity();
        if (maker == taker) revert SelfTrade(maker);
        terms = _requireListed(series);
        _requireLive(terms.expiry);
    }

    function _requireListed(bytes32 series) private view returns (Series memory terms) {
        terms = _series[series];
        if (terms.expiry == 0) revert UnknownSeries(series);
    }

    function _requireLive(uint64 expiry) private view {
        if (block.timestamp >= expiry) revert SeriesExpired(expiry, block.timestamp);
    }
}
