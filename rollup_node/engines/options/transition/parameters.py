"""What is fixed for a rollup's whole life: its topology says it, every node of it has the same, and nothing here changes in a block."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollup_node.engines.options.values import PRICE_UNIT, QUANTITY_UNIT


@dataclass(frozen=True, slots=True)
class Market:
    """An underlying that can be traded."""

    symbol: bytes
    """32 bytes, left-aligned ASCII."""
    tick: int = PRICE_UNIT // 100
    """Prices are multiples of this, micro-USD."""
    lot: int = QUANTITY_UNIT // 100
    """Quantities are multiples of this."""
    strike_step: int = PRICE_UNIT
    """Strikes are multiples of this, micro-USD."""
    longest_life: int = 400 * 86_400
    """A series expires at most this far ahead when it is listed, seconds."""
    amm_limit: int = 0
    """Exposure of its market maker at most, as ``amm.quotes`` counts it; 0: there is none."""
    amm_skew: int = 200_000
    """By how much of itself the maker moves volatility at that limit, parts per million."""
    amm_spread: int = 20_000
    """By how much against whoever trades."""
    max_series: int = 64
    """Live series; so that one step updates the rows of all."""


@dataclass(frozen=True, slots=True)
class L1Ends:
    """Whom the rollup speaks to on L1, and listens to; zero: nobody."""

    messenger: bytes = bytes(20)
    """Its L1CrossDomainMessenger."""
    router: bytes = bytes(20)
    """MessageRouter."""
    registry: bytes = bytes(20)
    """StrategyRegistry."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of one options rollup."""

    chain_id: int
    markets: Mapping[int, Market]
    """By underlying id."""
    l1: L1Ends = L1Ends()
    """Its counterparts on L1."""
    gas_limit: int = 30_000_000
    """Of a block."""
    gas_free: bool = True
    """Whether gas is counted but costs nothing."""
    step_roots: bool = False
    """Whether the root is taken after each transaction, and the header commits to them."""

    signers_needed: int = 1
    """Signatures that an oracle update needs."""
    max_oracle_age: int = 120
    """Seconds; with older marks nothing that adds risk is accepted."""
    future_seconds: int = 0
    """How far an update's timestamp may lie after the block's."""

    taker_fee_ppm: int = 3_000
    """Of the premium."""
    maker_fee_ppm: int = 1_000
    """Of the premium."""
    insurance_share_ppm: int = 200_000
    """Of the block's fees, for the insurance fund; the rest is the sequencer's."""
    amm_fee_ppm: int = 3_000
    """Of the premium, of who trades with the market maker; it pays none."""
    combo_fee_ppm: int = 3_000
    """Of the premium of each leg, of who fills a quote; its signer pays as a maker."""
    order_fee: int = 0
    """Flat, micro-USD, of each order that is placed or replaced; so are the next ones, of what their names say."""
    cancel_fee: int = 0
    amm_fee: int = 0
    combo_fee: int = 0
    """Of a quote that is filled, once for all its legs."""
    transfer_fee: int = 0
    withdrawal_fee: int = 0
    """Also of a message to L1 without value. What L1 forces costs nothing."""
    account_fee: int = 0
    """Of a further account, a session key, a change of the margin's mode."""
    listing_fee: int = 0
    """Of a series that is listed."""

    max_accounts: int = 16
    """Of one owner."""
    max_bucket: int = 16
    """Addresses with the same first 28 bits of their hash."""
    max_keys: int = 8
    """Session keys of an account."""
    max_positions: int = 32
    """Of an account."""
    max_orders: int = 64
    """Resting orders of an account."""
    max_locks: int = 16
    """Combos that an account has locked at once."""
    max_snapshot_age: int = 60
    """Seconds by which the oracle's word that a combo is locked by may be older than this rollup's last one."""
    pledge_seconds: int = 7 * 86_400
    """How long another rollup's payment for a settled leg counts as owed; then it is a loss."""
    peers: Mapping[int, bytes] = field(default_factory=dict)
    """Portals on L1 of the other options rollups of the sequencing set, by chain id: with them combos can be locked."""
    max_actions: int = 256
    """In one transaction."""
    max_legs: int = 8
    """In one quote."""

    breaker_deviation_ppm: int = 0
    """How far the price may be from the one before, from its fast average, and that from its slow one; each that is further counts a
    level. 0, here and with the next: off."""
    breaker_fast_seconds: int = 300
    """Period of the fast average."""
    breaker_slow_seconds: int = 3_600
    """Period of the slow average."""
    breaker_heartbeat: int = 0
    """Seconds of the feed's silence from which on only reducing is allowed; beyond ``max_oracle_age`` only cancelling."""
    breaker_confidence_ppm: int = 0
    """Of the feed, below which only reducing is allowed; below half of it only cancelling."""
    breaker_insolvency: bool = False
    """Whether withdrawals are capped while accounts in liquidation owe more than the insurance fund has."""
    breaker_freeze_ppm: int = 0
    """Of what L1 holds: if more than this is missing beyond insurance, all is frozen but what L1 forces."""
    breaker_volume: int = 0
    """Premiums, micro-USD, that may be traded in a window before only reducing is allowed."""
    breaker_window: int = 3_600
    """Of that, seconds."""
    breaker_open_interest: int = 0
    """Of an underlying, 1e-4 contracts, above which only reducing is allowed."""
    breaker_cool_off: int = 600
    """Seconds in which nothing asks for a level, before it falls by one."""
    breaker_initial_ppm: int = 1_500_000
    """By how much initial margin is multiplied from the first level on; not below one."""
    withdrawal_cap_ppm: int = 100_000
    """Of what L1 holds, what may leave in a window while withdrawals are capped."""
    withdrawal_window: int = 3_600
    """Of that, seconds."""

    close_share_ppm: int = 500_000
    """How much of a position a block's liquidation closes at most."""
    bound_ppm: int = 100_000
    """How far from the mark, in parts of it, a liquidation trades at worst."""
    liquidation_fee_ppm: int = 50_000
    """Of what a liquidation trades."""
    liquidation_insurance_ppm: int = 500_000
    """Of that fee, for the insurance fund at once; the rest is shared with the block's other fees."""
    max_liquidations: int = 64
    """Accounts in one block; as many steps of auctions beside them."""
    max_insurance_loss: int = 25_000 * PRICE_UNIT
    """What the insurance fund pays in one block at most, micro-USD."""
    auction_start_ppm: int = 950_000
    """What of a portfolio's value a bidder pays when its auction begins."""
    auction_middle_ppm: int = 700_000
    """What of it when the first phase ends; it falls to nothing in the second."""
    auction_fast_seconds: int = 30
    """Of the first phase; on a venue with real money it is 15 minutes."""
    auction_slow_seconds: int = 120
    """Of the second phase; there 12 hours."""
    auction_insolvent_seconds: int = 60
    """Of the phase in which insurance pays bidders more and more of a portfolio's debt."""
    auction_buffer_ppm: int = 150_000
    """An auction ends when equity is above maintenance margin by so much of it."""
    backstop_penalty_ppm: int = 50_000
    """What of positions, at their marks, the backstop vault earns for taking them."""
    max_deleveraged: int = 64
    """Holders of the other side that one step of deleveraging asks."""
    settlement_accounts: int = 256
    """Accounts in one step of settlement."""
    twap_seconds: int = 1_800
    """The settlement price is the average spot of so long before expiry."""
