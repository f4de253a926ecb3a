"""The plan: a topology with nothing left to decide.

A plan is frozen, printable (``rollnet topology plan``, ``rollnet up --dry-run``) and the same for the same file: keys,
chain ids and accounts come from names and the seed. What only the machine can decide (ports, process ids, the run
directory) is not in it; that belongs to the running devnet.
"""

from dataclasses import dataclass

SHARED_SEQUENCER = "shared-sequencer"
"""One sequencer orders all rollups."""
L1_BRIDGE = "l1-bridge"
"""Each rollup has its own sequencer; what crosses between rollups goes through the L1."""


@dataclass(frozen=True, slots=True)
class Account:
    """A funded key pair."""

    name: str
    """``user-0`` … for users; for roles as :attr:`Plan.roles` says."""
    address: str
    """EIP-55 checksum address."""
    private_key: str
    """0x-hex, 32 bytes; derived from the public development mnemonic, never a secret."""


@dataclass(frozen=True, slots=True)
class L1Plan:
    """The settlement chain: anvil with interval mining."""

    chain_id: int
    block_time_s: float
    """Seconds between blocks."""
    confirmations: int
    """L1 blocks on top of one before a sequencer builds on it."""


@dataclass(frozen=True, slots=True)
class SettlementPlan:
    """How a rollup's outputs become final on the L1."""

    challenge_period_s: int
    """Whole seconds, as the L1's clock counts."""
    proposal_interval: int
    """Blocks of the rollup between two outputs, at least one."""


@dataclass(frozen=True, slots=True)
class FeesPlan:
    """What an options rollup charges beside its taker's and maker's fees: shares first, then flat fees in USD."""

    amm: float
    """Of the premium, of who trades with the market maker inside."""
    combo: float
    """Of each leg's premium, of who fills a quote."""
    liquidation: float
    """Of what a liquidation trades."""
    liquidation_insurance: float
    """Of that fee, for the insurance fund at once."""
    insurance: float
    """Of each block's fees, for the insurance fund."""
    per_order: float
    per_cancel: float
    per_amm_trade: float
    per_combo: float
    per_transfer: float
    per_withdrawal: float
    per_account: float
    per_listing: float


@dataclass(frozen=True, slots=True)
class LiquidationPlan:
    """What becomes of accounts of an options rollup below maintenance margin; shares, but for what says otherwise."""

    close: float
    """Of a position, in one block on the book."""
    bound: float
    """Of the mark: how far from it."""
    fast_s: int
    """Of an auction whose price falls from ``start`` to ``middle``."""
    slow_s: int
    """Of the phase in which it falls to nothing."""
    insolvent_s: int
    """Of the phase in which bidders are paid more and more of a debt."""
    start: float
    """Of the value."""
    middle: float
    """Of the value."""
    buffer: float
    """Of maintenance margin, above it."""
    insurance: float
    """What the fund pays in one block at most, USD."""
    penalty: float
    """Of the positions' gross value, for the backstop vault."""


@dataclass(frozen=True, slots=True)
class BreakersPlan:
    """When an options rollup allows less; zero is off."""

    deviation: float
    """Of the price, as a share."""
    fast_average_s: int
    slow_average_s: int
    heartbeat_s: int
    """Of the feed."""
    confidence: float
    """Of the feed, as a share of certainty."""
    insolvency: bool
    """Whether deficits beyond insurance cap withdrawals."""
    freeze: float
    """Deficit beyond insurance that freezes all, as a share of what L1 holds."""
    volume: float
    """Premiums in a window, USD."""
    volume_window_s: int
    open_interest: float
    """Units of the underlying."""
    cool_off_s: int
    """Before a level falls by one."""
    margin: float
    """What initial margin is multiplied by."""
    withdrawal_cap: float
    """In a window, as a share of what L1 holds."""
    withdrawal_window_s: int


@dataclass(frozen=True, slots=True)
class OptionsPlan:
    """What an options rollup is like, beside its market."""

    oracle_signers: tuple[Account, ...]
    """Who signs what its feed says. They send nothing, and hold nothing."""
    signatures_needed: int
    """Of an update of the feed."""
    max_oracle_age_s: int
    """With older marks nothing that adds risk is accepted, seconds."""
    step_roots: bool
    """Whether blocks commit to the state after each of their transactions."""
    gas_free: bool
    tick: float
    """Prices are multiples of it, USD."""
    lot: float
    """Quantities are multiples of it, units of the underlying."""
    taker_fee: float
    """Share of the premium."""
    maker_fee: float
    """Share of the premium."""
    cash: float
    """What each user starts with, USD."""
    backstop_cash: float
    """What the backstop vault starts with, USD."""
    settlement_average_s: int
    """The settlement price is the average spot of so long before expiry, seconds."""
    amm_cash: float
    """What the market maker inside it starts with, USD."""
    amm_exposure: float
    """What that gains or loses at most when volatility moves by a hundredth of itself, USD; 0: there is none."""
    amm_skew: float
    """By how much of itself it moves volatility at that exposure."""
    amm_spread: float
    """By how much of itself it moves volatility against whoever trades."""
    fees: FeesPlan
    """What else it charges."""
    breakers: BreakersPlan
    """When it allows less."""
    liquidation: LiquidationPlan
    """What becomes of accounts below maintenance margin."""


@dataclass(frozen=True, slots=True)
class RollupPlan:
    """One rollup: a node and its execution engine."""

    name: str
    chain_id: int
    engine: str
    """``evm`` or ``options``."""
    block_gas_limit: int
    """Gas."""
    block_time_s: float
    """Longest time without a block, seconds; slots with work produce blocks earlier."""
    dev_methods: bool
    """Whether the engine's own control methods (``anvil_*``, …) are served."""
    data_availability: str
    """How batches are posted on L1: ``calldata`` or ``blob``."""
    settlement: SettlementPlan
    options: OptionsPlan | None = None
    """Of rollups with that engine."""


@dataclass(frozen=True, slots=True)
class MessagingPlan:
    """How rollups are ordered and talk."""

    mode: str
    """:data:`SHARED_SEQUENCER` or :data:`L1_BRIDGE`."""
    slot_s: float
    """Shortest time between two slots, seconds."""
    mempool_limit: int
    """Admitted items (transactions and bundles) that may wait for a slot."""
    publish_every_s: float
    """Longest time a decided slot waits for its superbatch, seconds."""
    sequencing_window: int
    """L1 blocks within which a batch must follow its origin; beyond it deposit-only blocks follow by themselves."""


@dataclass(frozen=True, slots=True)
class MarketPlan:
    """The options market that every rollup carries."""

    underlying: str
    """Symbol, such as ``ETH``."""
    spot: float
    """Price of one unit of the underlying, USD."""
    volatility: float
    """Annualised, 0.6 = 60 %."""
    rate: float
    """Continuously compounded risk-free rate, per year."""
    spread: float
    """The maker's full bid-ask spread as a share of the mid price."""
    depth: float
    """Units of the underlying quoted per side and series."""
    expiries_s: tuple[float, ...]
    """Time to expiry of the listed series, seconds from the devnet's start."""
    strikes: tuple[float, ...]
    """Listed strikes, USD, ascending."""
    price_cap: float
    """Settlement prices above this count as this, USD: it bounds a call's payoff, so that cash collateralises it in full."""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """What a node may use of its machine at most; ``None`` is no limit."""

    node: str
    """Its name."""
    memory_bytes: int | None = None
    """Beyond it the kernel kills the node; there is no swap."""
    cpus: float | None = None
    """Processor seconds per second."""
    pids: int | None = None
    """Processes and threads at once."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole devnet, decided."""

    name: str
    seed: int
    runtime: str
    """``auto``, ``process`` or ``docker``."""
    l1: L1Plan
    rollups: tuple[RollupPlan, ...]
    """In the order of the file."""
    messaging: MessagingPlan
    market: MarketPlan | None
    users: tuple[Account, ...]
    """Funded on every chain."""
    roles: tuple[Account, ...]
    """Who acts for the devnet: ``sequencer`` (publishes for a shared set), ``maker`` (quotes), ``deployer`` (owns contracts),
    ``guardian`` (may pause), ``relayer`` (carries messages), then for each rollup ``<rollup>-proposer`` and
    ``<rollup>-challenger`` (deletes wrong outputs) and, in mode ``l1-bridge``, ``<rollup>-batcher`` before them. Find one with
    :meth:`role`."""
    limits: tuple[NodeLimits, ...] = ()
    """Of every node that has one."""

    def role(self, name: str) -> Account:
        """The account of a role.

        Raises:
            KeyError: this devnet has no such role.
        """
        for account in self.roles:
            if account.name == name:
                return account
        raise KeyError(name)
