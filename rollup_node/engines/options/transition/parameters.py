"""What is fixed for a rollup's whole life: its topology says it, every node of it has the same, and nothing here changes in a block."""

from collections.abc import Mapping
from dataclasses import dataclass

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
class Parameters:
    """Of one options rollup."""

    chain_id: int
    markets: Mapping[int, Market]
    """By underlying id."""
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
    max_actions: int = 256
    """In one transaction."""
    max_legs: int = 8
    """In one quote."""

    close_share_ppm: int = 500_000
    """How much of a position a block's liquidation closes at most."""
    bound_ppm: int = 100_000
    """How far from the mark, in parts of it, a liquidation trades at worst."""
    liquidation_fee_ppm: int = 50_000
    """Of what a liquidation trades; half of it goes to the insurance fund."""
    max_liquidations: int = 64
    """Accounts in one block."""
    settlement_accounts: int = 256
    """Accounts in one step of settlement."""
    twap_seconds: int = 1_800
    """The settlement price is the average spot of so long before expiry."""
