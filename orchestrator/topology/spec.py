"""The spec: what a topology file may say.

These models are the single source: validation, the JSON Schema and the reference page all come from them. Every field
documents what it means, its unit (``x-unit``), default and constraint. A default that depends on other fields is
``None`` here and decided in ``resolve``; ``x-default`` says how. Durations are seconds once read. What an options rollup
may say is in ``options_spec``.
"""

from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.topology.fields import (
    DurationBetween,
    Name,
    Price,
    Quantity,
    RoleName,
    RollupName,
    SizeBetween,
    ascending,
)
from orchestrator.topology.options_spec import (
    AmmSpec,
    BreakersSpec,
    FeesSpec,
    LiquidationSpec,
    OptionsSpec,
    OracleSpec,
)
from orchestrator.topology.sections import Section, notes

MAX_ROLLUPS = 64

MAX_SERIES = 64
"""Series that an options rollup keeps alive at once: one step of its blocks updates the marks of all."""

OPTIONS = "options"
"""The engine of an options rollup."""

MAX_CHAIN_ID = 2**53 - 1
"""The greatest integer that JavaScript wallets hold exactly."""


Strikes = Annotated[
    tuple[Price, ...],
    Field(min_length=1, max_length=64),
    ascending("strikes"),
]


class L1Spec(Section):
    """The settlement chain, shared by all rollups."""

    block_time: Annotated[float, DurationBetween("100ms", "1m")] = Field(
        default=1.0,
        description="Time between two L1 blocks; nothing is published or settled faster than this.",
        examples=["1s"],
    )
    chain_id: int = Field(
        default=900,
        ge=1,
        le=MAX_CHAIN_ID,
        description="Chain id of the L1; no rollup may have the same.",
        examples=[900],
    )
    confirmations: int = Field(
        default=2,
        ge=0,
        le=64,
        description="Blocks on top of an L1 block before a sequencer builds on it. An L1 reorganisation that is shallower "
        "never touches a rollup; every one of them delays deposits by a block time.",
        examples=[4],
        json_schema_extra=notes(unit="L1 blocks"),
    )


class SettlementSpec(Section):
    """How a rollup's outputs become final on the L1."""

    kind: Literal["optimistic"] = Field(
        default="optimistic",
        description="`optimistic`: an output is final when nobody has challenged it in time.",
        examples=["optimistic"],
    )
    challenge_period: Annotated[float, DurationBetween("1s", "30d")] = Field(
        default=604800.0,
        description="How long an output may be challenged before it is final; rounded up to whole seconds, as the L1 counts.",
        examples=["5s"],
    )
    proposal_interval: Annotated[float, DurationBetween("50ms", "1d")] | None = Field(
        default=None,
        description="Time between two outputs on the L1, in whole blocks of the idle rollup (`block_time` or `l1.block_time`, whichever is "
        "shorter); blocks that come earlier bring outputs earlier. Not shorter than `block_time`.",
        examples=["10s"],
        json_schema_extra=notes(default="10s, or `block_time` if that is longer"),
    )


class RollupSpec(Section):
    """One rollup; `{}` takes every default. The key is its name: a lower-case DNS label, not `l1`, `sequencer`, `maker`, `relayer` or `links`."""

    engine: Literal["evm", "options"] = Field(
        default="evm",
        description="Execution engine. `evm`: anvil; `options`: the native options engine, an order book with portfolio margin on the "
        "topology's `market`.",
        examples=["options"],
    )
    options: OptionsSpec | None = Field(
        default=None,
        description="What an options rollup is like; on rollups with `engine: options` alone.",
        examples=[{"roots": "step"}],
        json_schema_extra=notes(default="every default"),
    )
    chain_id: Annotated[int, Field(ge=1, le=MAX_CHAIN_ID)] | None = Field(
        default=None,
        description="Chain id, unique in the devnet.",
        examples=[10],
        json_schema_extra=notes(
            default="a hash of the rollup's name, so that adding a rollup changes no other"
        ),
    )
    block_gas_limit: int = Field(
        default=30_000_000,
        ge=3_000_000,
        le=1_000_000_000,
        description="Gas that one block may use, deposits from the L1 included: they may take all but a million of it, "
        "and 20 million at most.",
        examples=[60000000],
        json_schema_extra=notes(unit="gas"),
    )
    block_time: Annotated[float, DurationBetween("50ms", "1m")] | None = Field(
        default=None,
        description="Longest time without a block. Slots with work make blocks earlier, and so does every L1 block, which "
        "opens an epoch on each rollup: the longest gap is the shorter of this and `l1.block_time`. Not shorter than "
        "`messaging.slot`.",
        examples=["2s"],
        json_schema_extra=notes(default="2s, or `messaging.slot` if that is longer"),
    )
    dev_methods: bool = Field(
        default=False,
        description="Serve the engine's control methods (`anvil_*`, `evm_*`) on the rollup's endpoint. They bypass the sequencer.",
        examples=[True],
    )
    data_availability: Literal["calldata", "blob"] = Field(
        default="calldata",
        description="How batches are posted on the L1: as a transaction's `calldata`, or as an EIP-4844 `blob`. Rollups that share "
        "a sequencer are posted together and must agree.",
        examples=["blob"],
    )
    settlement: SettlementSpec = Field(
        default=SettlementSpec(),
        description="How outputs become final on the L1.",
        json_schema_extra=notes(default="every default"),
    )


class MessagingSpec(Section):
    """How transactions and bundles are ordered across the rollups."""

    mode: Literal["shared-sequencer", "l1-bridge"] = Field(
        default="shared-sequencer",
        description="`shared-sequencer`: one sequencer orders all rollups in slots, bundles are atomic across them; "
        "`l1-bridge`: each rollup has its own sequencer, and rollups talk only through the L1.",
        examples=["shared-sequencer"],
    )
    slot: Annotated[float, DurationBetween("5ms", "60s")] = Field(
        default=0.2,
        description="Shortest time between two slots: the beat at which bundles are decided.",
        examples=["200ms"],
    )
    mempool_limit: int = Field(
        default=10_000,
        ge=1,
        le=1_000_000,
        description="Admitted transactions and bundles that may wait for a slot; beyond it the sequencer refuses new ones.",
        examples=[5000],
        json_schema_extra=notes(unit="transactions and bundles"),
    )
    publish_every: Annotated[float, DurationBetween("50ms", "10m")] | None = Field(
        default=None,
        description="Longest time a decided slot waits for its superbatch on the L1. Not shorter than `slot`.",
        examples=["1s"],
        json_schema_extra=notes(default="1s, or `slot` if that is longer"),
    )
    sequencing_window: Annotated[float, DurationBetween("1s", "7d")] | None = Field(
        default=None,
        description="How long a sequencer may stay silent: after so long without a batch on the L1, blocks with deposits alone "
        "follow by themselves. In L1 blocks, rounded up, at least four and at least what a batch needs to get there.",
        examples=["60s"],
        json_schema_extra=notes(
            default="60s, or `publish_every` and `l1.confirmations` plus four L1 blocks if that is longer"
        ),
    )


class MarketSpec(Section):
    """The options market that every rollup carries, and options rollups need. Left out: no contracts, no maker, no quotes."""

    underlying: str = Field(
        pattern=r"^[A-Z][A-Z0-9]{0,9}$",
        description="Symbol of what the options are on: capital letters and digits, ten at most.",
        examples=["ETH"],
    )
    spot: Price = Field(
        description="Price of one unit of the underlying when the devnet starts.",
        examples=[2000],
        json_schema_extra=notes(unit="USD, at most six decimals"),
    )
    volatility: float = Field(
        ge=0.01,
        le=10,
        description="Annualised volatility that the maker quotes with; 0.6 is 60 %.",
        examples=[0.6],
        json_schema_extra=notes(unit="per square root of a year"),
    )
    rate: float = Field(
        default=0.0,
        ge=-0.5,
        le=1,
        description="Continuously compounded risk-free rate; 0.05 is 5 %.",
        examples=[0.05],
        json_schema_extra=notes(unit="per year"),
    )
    spread: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="The maker's full bid-ask spread as a share of the mid price; 0.02 is 2 %.",
        examples=[0.02],
        json_schema_extra=notes(unit="share of the mid price"),
    )
    depth: Quantity = Field(
        default=100.0,
        ge=0.0001,
        le=1e9,
        description="What the maker quotes on each side of each series.",
        examples=[100],
        json_schema_extra=notes(unit="units of the underlying, at most four decimals"),
    )
    expiries: Annotated[
        tuple[Annotated[float, DurationBetween("1s", "3650d")], ...], ascending("expiries")
    ] = Field(
        default=(604800.0, 2592000.0),
        min_length=1,
        max_length=32,
        description="Times to expiry of the listed series, counted from the devnet's start, rising.",
        examples=[["7d", "30d"]],
    )
    strikes: Strikes | None = Field(
        default=None,
        description="Listed strikes, rising, each below `price_cap` times `spot`.",
        examples=[[1800, 2000, 2200]],
        json_schema_extra=notes(
            unit="USD, at most six decimals",
            default="nine strikes around `spot`, a round step of at most 5 % apart",
        ),
    )
    price_cap: float = Field(
        default=4.0,
        ge=1.5,
        le=100,
        description="Settlement prices above this many times `spot` count as that: it bounds a call's payoff, "
        "so that cash collateralises it in full.",
        examples=[4],
        json_schema_extra=notes(unit="times `spot`"),
    )


Memory = Annotated[int, SizeBetween("32MiB", "1024GiB")]
Cpus = Annotated[float, Field(ge=0.05, le=1024)]
Pids = Annotated[int, Field(ge=32, le=1_000_000)]


def _limit(description: str, example: Any, default: str, **more: str) -> Any:
    """A limit; none unless the file says so."""
    return Field(
        default=None,
        description=description,
        examples=[example],
        json_schema_extra=notes(default=default, **more),
    )


class LimitsSpec(Section):
    """Limits of one node, or of all with one role; what is left out stays as it is said one level up."""

    memory: Memory | None = _limit(
        "Memory of the whole node, its engine included.", "512MiB", "as said for its role, or for all"
    )
    cpus: Cpus | None = _limit(
        "Processor time.", 1.5, "as said for its role, or for all", unit="seconds per second"
    )
    pids: Pids | None = _limit("Processes and threads at once.", 200, "as said for its role, or for all")


class ResourcesSpec(Section):
    """What nodes may use at most. Limits hold on Docker; on processes they are told and not enforced."""

    memory: Memory | None = _limit(
        "Memory of each node, its engine included. A node that needs more is killed by the kernel; there is no swap.",
        "512MiB",
        "no limit",
    )
    cpus: Cpus | None = _limit(
        "Processor time of each node. A node that needs more waits.",
        1.5,
        "no limit",
        unit="seconds per second",
    )
    pids: Pids | None = _limit(
        "Processes and threads that each node may have at once. An EVM rollup takes about ten on two processors, more on more.",
        200,
        "no limit",
    )
    roles: dict[RoleName, LimitsSpec] = Field(
        default_factory=dict,
        description="Limits of all nodes with a role: `l1`, `sequencer`, `rollup`, `relayer` or `maker`.",
        examples=[{"rollup": {"memory": "1GiB"}}],
        json_schema_extra=notes(default="as said for all"),
    )
    nodes: dict[str, LimitsSpec] = Field(
        default_factory=dict,
        description="Limits of single nodes by name, as `rollnet up --dry-run` lists them.",
        examples=[{"alpha": {"memory": "2GiB", "pids": 400}}],
        json_schema_extra=notes(default="as said for their roles, or for all"),
    )


_SMALLEST_CHAOS: dict[str, Any] = {
    "schedule": [
        {
            "name": "the sequencer dies",
            "when": {"after": "1s"},
            "fault": "kill",
            "target": "sequencer",
            "restart_after": "1s",
        }
    ]
}


class TopologySpec(Section):
    """A devnet, as its author wrote it."""

    name: Name = Field(
        description="Name of the topology: a lower-case DNS label. Run directories carry it.",
        examples=["my-devnet"],
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Accounts are derived from it, and every random choice of a run. Seed 0 gives Foundry's well-known accounts.",
        examples=[7],
    )
    l1: L1Spec = Field(
        default=L1Spec(),
        description="The settlement chain.",
        json_schema_extra=notes(default="every default"),
    )
    rollups: dict[RollupName, RollupSpec] = Field(
        min_length=1,
        max_length=MAX_ROLLUPS,
        description="The rollups by name, 1 to 64; one more line is one more rollup.",
        examples=[{"alpha": {}}],
    )
    messaging: MessagingSpec = Field(
        default=MessagingSpec(),
        description="How transactions and bundles are ordered.",
        json_schema_extra=notes(default="every default"),
    )
    market: MarketSpec | None = Field(
        default=None, description="The options market.", json_schema_extra=notes(default="no market")
    )
    runtime: Literal["auto", "process", "docker"] = Field(
        default="auto",
        description="Where nodes run. `process`: processes of this machine; `docker`: containers "
        "of a Docker engine; `auto`: containers if an engine answers and has the image or can build it, else processes, unless "
        "`$ROLLNET_RUNTIME` says `process` or `docker`. `rollnet up` says which it took, and why.",
        examples=["process"],
    )
    resources: ResourcesSpec | None = Field(
        default=None,
        description="What nodes may use of their machine at most.",
        examples=[{"memory": "512MiB", "roles": {"l1": {"memory": "1GiB"}}}],
        json_schema_extra=notes(default="no limits"),
    )
    accounts: int = Field(
        default=10,
        ge=1,
        le=256,
        description="Funded users on every chain, derived from the public development mnemonic at `m/44'/60'/<seed>'/0/<index>`.",
        examples=[20],
        json_schema_extra=notes(unit="accounts"),
    )
    chaos: dict[str, Any] | None = Field(
        default=None,
        description="What `rollnet chaos run` does to this devnet when it is given this file: a scenario without `name` and `topology`, "
        "in the format of the [chaos reference](chaos.md). `rollnet up` checks it and leaves it alone.",
        examples=[_SMALLEST_CHAOS],
        json_schema_extra=notes(default="no chaos", written="map, as in the [chaos reference](chaos.md)"),
    )


SECTIONS: dict[tuple[str, ...], type[Section]] = {
    (): TopologySpec,
    ("l1",): L1Spec,
    ("rollups", "<name>"): RollupSpec,
    ("rollups", "<name>", "settlement"): SettlementSpec,
    ("rollups", "<name>", "options"): OptionsSpec,
    ("rollups", "<name>", "options", "oracle"): OracleSpec,
    ("rollups", "<name>", "options", "amm"): AmmSpec,
    ("rollups", "<name>", "options", "fees"): FeesSpec,
    ("rollups", "<name>", "options", "liquidation"): LiquidationSpec,
    ("rollups", "<name>", "options", "breakers"): BreakersSpec,
    ("messaging",): MessagingSpec,
    ("market",): MarketSpec,
    ("resources",): ResourcesSpec,
    ("resources", "roles", "<name>"): LimitsSpec,
    ("resources", "nodes", "<name>"): LimitsSpec,
}
"""Every map of the file by its place, in the order of the reference page; ``<name>`` stands for a name that the user gives."""
