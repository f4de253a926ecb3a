"""What a topology file may say of an options rollup: its feed, its market maker, its fees, its liquidations, its breakers."""

from typing import Annotated, Literal

from pydantic import Field

from orchestrator.topology.fields import (
    Cash,
    DurationBetween,
    PartsPerMillion,
    Price,
    Quantity,
    Share,
)
from orchestrator.topology.sections import Section, notes


class OracleSpec(Section):
    """The feed that an options rollup takes its marks from."""

    signers: int = Field(
        default=3,
        ge=1,
        le=16,
        description="Keys that sign what the feed says, derived from the public development mnemonic at `m/44'/60'/<seed>'/5/<index>`.",
        examples=[5],
        json_schema_extra=notes(unit="keys"),
    )
    needed: Annotated[int, Field(ge=1, le=16)] | None = Field(
        default=None,
        description="Signatures that an update needs; not more than `signers`.",
        examples=[3],
        json_schema_extra=notes(unit="signatures", default="more than half of `signers`"),
    )
    max_age: Annotated[float, DurationBetween("2s", "1d")] = Field(
        default=120.0,
        description="With older marks nothing that adds risk is accepted. In whole seconds, rounded up, as blocks count.",
        examples=["30s"],
    )


class AmmSpec(Section):
    """The market maker inside an options rollup: an account with a rule instead of an owner, so that there is liquidity from the first block."""

    cash: Cash = Field(
        default=10_000_000.0,
        description="What it starts with.",
        examples=[1_000_000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    exposure: Annotated[float, Field(ge=0, le=1e9)] = Field(
        default=10_000.0,
        description="What it gains or loses at most when volatility moves by a hundredth of itself; 0: there is no such market maker.",
        examples=[5000],
        json_schema_extra=notes(unit="USD"),
    )
    skew: Share = Field(
        default=0.2,
        description="By how much of itself it moves volatility at that exposure, against whoever adds to it.",
        examples=[0.1],
        json_schema_extra=notes(unit="share of volatility, at most six decimals"),
    )
    spread: Share = Field(
        default=0.02,
        description="By how much of itself it moves volatility against whoever trades.",
        examples=[0.05],
        json_schema_extra=notes(unit="share of volatility, at most six decimals"),
    )


class FeesSpec(Section):
    """What an options rollup charges beside `taker_fee` and `maker_fee`; whatever L1 forces is free."""

    amm: Share = Field(
        default=0.003,
        description="What whoever trades with the market maker inside pays.",
        examples=[0.001],
        json_schema_extra=notes(unit="share of the premium, at most six decimals"),
    )
    combo: Share = Field(
        default=0.003,
        description="What whoever fills a quote of several legs pays; its signer pays `maker_fee`.",
        examples=[0.001],
        json_schema_extra=notes(unit="share of each leg's premium, at most six decimals"),
    )
    liquidation: Share = Field(
        default=0.05,
        description="What a liquidated account pays.",
        examples=[0.02],
        json_schema_extra=notes(unit="share of what its liquidation trades, at most six decimals"),
    )
    liquidation_insurance: Share = Field(
        default=0.5,
        description="What of that goes to the insurance fund at once; of the rest it gets `insurance`, as of every fee.",
        examples=[1],
        json_schema_extra=notes(unit="share of that fee, at most six decimals"),
    )
    insurance: Share = Field(
        default=0.2,
        description="What the insurance fund gets of each block's fees; the rest is the sequencer's.",
        examples=[0.1],
        json_schema_extra=notes(unit="share of the fees, at most six decimals"),
    )
    per_order: Cash = Field(
        default=0.0,
        description="For each order that is placed or replaced.",
        examples=[0.01],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_cancel: Cash = Field(
        default=0.0,
        description="For each cancellation.",
        examples=[0.01],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_amm_trade: Cash = Field(
        default=0.0,
        description="For each trade with the market maker inside, beside `amm`.",
        examples=[0.05],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_combo: Cash = Field(
        default=0.0,
        description="For each quote that is filled or combo that is locked, beside `combo`.",
        examples=[0.1],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_transfer: Cash = Field(
        default=0.0,
        description="For each transfer of cash between accounts.",
        examples=[0.01],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_withdrawal: Cash = Field(
        default=0.0,
        description="For each withdrawal or message to L1.",
        examples=[1],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_account: Cash = Field(
        default=0.0,
        description="For each further account, session key or change of the margin's mode.",
        examples=[0.1],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    per_listing: Cash = Field(
        default=0.0,
        description="For each series that is listed.",
        examples=[1],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )


class LiquidationSpec(Section):
    """What becomes of accounts below maintenance margin: sold on the book, then by an auction whose price falls, then to the backstop vault."""

    close: Annotated[float, Field(ge=0.01, le=1), PartsPerMillion] = Field(
        default=0.5,
        description="What of a position is closed on the book in one block at most.",
        examples=[0.25],
        json_schema_extra=notes(unit="share of the position, at most six decimals"),
    )
    bound: Share = Field(
        default=0.1,
        description="How far from the mark it is closed there at worst.",
        examples=[0.05],
        json_schema_extra=notes(unit="share of the mark, at most six decimals"),
    )
    fast: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=30.0,
        description="First phase of an auction: the price falls from `start` to `middle`. Durations here are in whole seconds, rounded up, as "
        "blocks count.",
        examples=["15m"],
    )
    slow: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=120.0,
        description="Second phase: the price falls from `middle` to nothing.",
        examples=["12h"],
    )
    insolvent: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=60.0,
        description="Phase of what is worth nothing or less: bidders are paid more and more of its debt, and all of it at the end.",
        examples=["10m"],
    )
    start: Share = Field(
        default=0.95,
        description="What bidders pay when an auction begins; not less than `middle`.",
        examples=[0.98],
        json_schema_extra=notes(unit="share of the value, at most six decimals"),
    )
    middle: Share = Field(
        default=0.7,
        description="What they pay when its first phase ends.",
        examples=[0.8],
        json_schema_extra=notes(unit="share of the value, at most six decimals"),
    )
    buffer: Share = Field(
        default=0.15,
        description="By how much equity must be above maintenance margin before an auction ends.",
        examples=[0.05],
        json_schema_extra=notes(unit="share of maintenance margin, at most six decimals"),
    )
    insurance: Cash = Field(
        default=25_000.0,
        description="What the insurance fund pays in one block at most.",
        examples=[100_000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    penalty: Share = Field(
        default=0.05,
        description="What the backstop vault earns for taking over what is left, as far as the account has it.",
        examples=[0.02],
        json_schema_extra=notes(unit="share of the positions' gross value, at most six decimals"),
    )


class BreakersSpec(Section):
    """When an options rollup allows less: 1 reduce only, 2 cancel only, 3 withdrawals capped, 4 frozen but for what L1 forces. Off by default."""

    deviation: Share = Field(
        default=0.0,
        description="Deviation of the price from the one before, from its fast average, and of that from the slow one: each that is larger counts a level; 0: off.",
        examples=[0.1],
        json_schema_extra=notes(unit="share of the price, at most six decimals"),
    )
    fast_average: Annotated[float, DurationBetween("1s", "1d")] = Field(
        default=300.0,
        description="Period of the fast average. Durations here are in whole seconds, rounded up, as blocks count.",
        examples=["1m"],
    )
    slow_average: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=3600.0,
        description="Period of the slow average.",
        examples=["10m"],
    )
    heartbeat: Annotated[float, DurationBetween("1s", "1d")] | None = Field(
        default=None,
        description="Silence of the feed from which on only reducing is allowed; beyond `oracle.max_age` only cancelling.",
        examples=["30s"],
        json_schema_extra=notes(default="off"),
    )
    confidence: Share = Field(
        default=0.0,
        description="Confidence of the feed below which only reducing is allowed, and below half of it only cancelling; 0: off.",
        examples=[0.55],
        json_schema_extra=notes(unit="share of certainty, at most six decimals"),
    )
    insolvency: bool = Field(
        default=False,
        description="Whether withdrawals are capped while accounts in liquidation owe more than the insurance fund has.",
        examples=[True],
    )
    freeze: Share = Field(
        default=0.0,
        description="What may be missing beyond insurance before all is frozen but what L1 forces; 0: off. Needs `insolvency`.",
        examples=[0.1],
        json_schema_extra=notes(unit="share of what L1 holds, at most six decimals"),
    )
    volume: Cash = Field(
        default=0.0,
        description="Premiums that may be traded in a window before only reducing is allowed; 0: off.",
        examples=[1000000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    volume_window: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=3600.0,
        description="Of that.",
        examples=["10m"],
    )
    open_interest: Annotated[Quantity, Field(ge=0, le=1e9)] = Field(
        default=0.0,
        description="What may be held long of the underlying before only reducing is allowed; 0: off.",
        examples=[10000],
        json_schema_extra=notes(unit="units of the underlying, at most four decimals"),
    )
    cool_off: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=600.0,
        description="Time in which nothing asks for a level, before it falls by one.",
        examples=["1m"],
    )
    margin: Annotated[float, Field(ge=1, le=100), PartsPerMillion] = Field(
        default=1.5,
        description="What initial margin is multiplied by from the first level on.",
        examples=[2],
        json_schema_extra=notes(unit="times, at most six decimals"),
    )
    withdrawal_cap: Share = Field(
        default=0.1,
        description="What may leave in a window while withdrawals are capped; what L1 forces always leaves.",
        examples=[0.05],
        json_schema_extra=notes(unit="share of what L1 holds, at most six decimals"),
    )
    withdrawal_window: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=3600.0,
        description="Of that.",
        examples=["10m"],
    )


class OptionsSpec(Section):
    """What an options rollup is like. Underlying, strikes, expiries and the first spot are those of `market`."""

    roots: Literal["block", "step"] = Field(
        default="block",
        description="What a block commits to. `block`: the state after it; `step`: also the state after each of its transactions, so that a "
        "proof needs one step, at the price of hashing at each.",
        examples=["step"],
    )
    gas_free: bool = Field(
        default=True,
        description="Whether gas is counted and costs nothing; otherwise it is paid in dollars at the base fee. Trading fees are separate.",
        examples=[False],
    )
    tick: Price = Field(
        default=0.01,
        description="Prices are multiples of it.",
        examples=[0.05],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    lot: Annotated[Quantity, Field(ge=0.0001, le=1e6)] = Field(
        default=0.01,
        description="Quantities are multiples of it.",
        examples=[0.1],
        json_schema_extra=notes(unit="units of the underlying, at most four decimals"),
    )
    taker_fee: Share = Field(
        default=0.003,
        description="What whoever takes pays on a trade.",
        examples=[0.001],
        json_schema_extra=notes(unit="share of the premium, at most six decimals"),
    )
    maker_fee: Share = Field(
        default=0.001,
        description="What the resting side pays on a trade.",
        examples=[0],
        json_schema_extra=notes(unit="share of the premium, at most six decimals"),
    )
    cash: Cash = Field(
        default=10_000_000.0,
        description="What each user's account starts with; L1's portal holds as much.",
        examples=[10_000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    backstop: Cash = Field(
        default=1_000_000.0,
        description="What the backstop vault starts with: it takes over what auctions of liquidated accounts leave.",
        examples=[50_000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    settlement_average: Annotated[float, DurationBetween("1s", "1d")] = Field(
        default=1800.0,
        description="The settlement price is the average spot of so long before expiry. In whole seconds, rounded up.",
        examples=["10m"],
    )
    oracle: OracleSpec = Field(
        default=OracleSpec(),
        description="The feed that it takes its marks from.",
        json_schema_extra=notes(default="every default"),
    )
    amm: AmmSpec = Field(
        default=AmmSpec(),
        description="The market maker inside it.",
        json_schema_extra=notes(default="every default"),
    )
    fees: FeesSpec = Field(
        default=FeesSpec(),
        description="What else it charges.",
        examples=[{"per_withdrawal": 1}],
        json_schema_extra=notes(default="every default"),
    )
    liquidation: LiquidationSpec = Field(
        default=LiquidationSpec(),
        description="What becomes of accounts below maintenance margin.",
        examples=[{"fast": "15m", "slow": "12h"}],
        json_schema_extra=notes(default="every default"),
    )
    breakers: BreakersSpec = Field(
        default=BreakersSpec(),
        description="When it allows less.",
        examples=[{"deviation": 0.1}],
        json_schema_extra=notes(default="every default"),
    )
