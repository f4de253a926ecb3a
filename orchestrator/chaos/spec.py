"""The spec: what a scenario file may say; the faults themselves are in ``fault_spec``.

As with topologies these models are the single source: validation, the JSON Schema and the reference page come from them. Durations are
seconds once read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from orchestrator.chaos.fault_spec import KINDS, Duration, Fault, FaultSpec, LinkSpec, TargetSpec, WhenSpec
from orchestrator.checks import CHECKERS
from orchestrator.topology.errors import KeyPath
from orchestrator.topology.fields import DurationBetween, Name
from orchestrator.topology.sections import Section, notes
from orchestrator.topology.spec import SECTIONS as TOPOLOGY_SECTIONS
from orchestrator.topology.spec import TopologySpec
from orchestrator.topology.wording import Format

PATH, INLINE = "path", "inline"
"""The two ways to give a topology; pydantic puts these words into places, and ``load`` takes them out."""


def _way(value: Any) -> str:
    return INLINE if isinstance(value, dict | TopologySpec) else PATH


class LoadSpec(Section):
    """What users do all the while: an open loop, so that an outage does not slow down those who would notice it."""

    rate: float = Field(
        default=20.0,
        ge=0.1,
        le=1000,
        description="Bundles that users send in a second, on average, whatever became of the ones before.",
        examples=[20],
        json_schema_extra=notes(unit="bundles per second"),
    )
    mix: dict[str, Annotated[float, Field(ge=0, le=1000)]] | None = Field(
        default=None,
        min_length=1,
        description="How much of each kind of work comes for each bundle of the rate: `strategy` (option trades on several rollups, "
        "some with a leg that fails), `transfers` (a bundle of two), `local` (on one rollup), `withdrawal`, `deposit`. What is left out does not come.",
        examples=["{transfers: 1, local: 0.5}"],
        json_schema_extra=notes(
            default="half strategies and half transfers (transfers alone without a market), some of everything else",
            unit="operations per bundle of `rate`",
        ),
    )


class SteadyStateSpec(Section):
    """What must hold before the first fault; if it does not, the run says nothing, and the verdict is unknown."""

    blocks_advance_within: Duration = Field(
        default=10.0, description="Every rollup and L1 must make a block in this time.", examples=["5s"]
    )
    bundles_committed: int = Field(
        default=5, ge=1, le=10_000, description="Bundles of the load that must have committed.", examples=[5]
    )
    within: Duration = Field(default=30.0, description="Longest wait for all of it.", examples=["30s"])


class SettleSpec(Section):
    """From the last fault to the look at what is left: everything is healed, the load goes on for a while, then the rest drains."""

    quiet: Duration = Field(
        default=2.0,
        description="Load without any fault, once all has recovered: the phase `after`.",
        examples=["2s"],
    )
    drain_within: Duration = Field(
        default=60.0,
        description="Longest wait, once the load has stopped, until everything that was acknowledged has an end.",
        examples=["60s"],
    )


class RecoverySpec(Section):
    """How fast the devnet must be itself again, counted from the moment at which the heal of a fault begins."""

    first_commit_within: Duration = Field(
        default=15.0,
        description="Until a bundle commits that was sent since then; of each sequencing set and rollup that the fault touched.",
        examples=["3s"],
    )
    backlog_drained_within: Duration = Field(
        default=45.0,
        description="Until everything that was acknowledged before the end of the fault has an end.",
        examples=["20s"],
    )


class ExpectSpec(Section):
    """What a valid run must show."""

    invariants: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        default="all",
        description="Checkers by name, or `all`: "
        + ", ".join(f"`{checker.name}`" for checker in CHECKERS)
        + ".",
        examples=["all"],
        json_schema_extra=notes(written="`all`, or list of names"),
    )
    coverage: dict[str, Annotated[int, Field(ge=0, le=1_000_000)]] = Field(
        default={},
        max_length=32,
        description="How often something must have happened at least, or the run has shown too little and the verdict is unknown: words of "
        "coverage, or events of journals. 0 takes back what is asked by default. That every fault bit is always asked.",
        examples=["{in_flight: 1}"],
        json_schema_extra=notes(
            default="`committed: 1`, and `in_flight: 1` where a sequencer is killed", unit="times"
        ),
    )
    recovery: RecoverySpec = Field(
        default=RecoverySpec(),
        description="How fast it must recover.",
        json_schema_extra=notes(default="every default"),
    )
    blast_radius: tuple[str, ...] | None = Field(
        default=None,
        max_length=64,
        description="Nodes that no fault may make stall; not the maker, at which nobody looks.",
        examples=["[alpha, l1]"],
        json_schema_extra=notes(default="all that no fault touches", written="list of names"),
    )
    silence: Duration = Field(
        default=5.0,
        description="Longest time for which such a node may make no block and give no answer. One that does neither in the whole window of a "
        "fault is told from shorter times on, by what it did before.",
        examples=["5s"],
    )


class ScenarioSpec(Section):
    """A scenario, as its author wrote it."""

    name: Name = Field(
        description="Name of the scenario: a lower-case DNS label.", examples=["sequencer-kill"]
    )
    topology: Annotated[
        Annotated[str, Tag(PATH)] | Annotated[TopologySpec, Tag(INLINE)], Discriminator(_way)
    ] = Field(
        description="The devnet: the path of a topology file, from the scenario's folder, or a topology itself.",
        examples=["../topologies/pair.yaml"],
        json_schema_extra=notes(written="path, or map"),
    )
    seed: int = Field(
        default=0,
        ge=0,
        le=2**31 - 1,
        description="Of every random choice of the scenario: targets, load, messages that are struck. `--seed` overrides it.",
        examples=[7],
    )
    load: LoadSpec = Field(
        default=LoadSpec(),
        description="The load.",
        json_schema_extra=notes(default="every default"),
    )
    steady_state: SteadyStateSpec = Field(
        default=SteadyStateSpec(),
        description="What must hold before the first fault.",
        json_schema_extra=notes(default="every default"),
    )
    baseline: Annotated[float, DurationBetween("100ms", "24h")] = Field(
        default=3.0,
        description="Load without faults, once the devnet is steady: what the other phases are compared with.",
        examples=["3s"],
    )
    repeat_for: Annotated[float, DurationBetween("1s", "7d")] | None = Field(
        default=None,
        description="Begin the schedule again, with everything healed in between, until so much time has passed; `--minutes` overrides it.",
        examples=["10m"],
        json_schema_extra=notes(default="the schedule runs once"),
    )
    schedule: tuple[Fault, ...] = Field(
        min_length=1,
        max_length=256,
        description="The faults.",
        examples=["[{name: …, when: …, fault: kill, …}]"],
        json_schema_extra=notes(written="list of faults"),
    )
    settle: SettleSpec = Field(
        default=SettleSpec(),
        description="From the last fault to the end.",
        json_schema_extra=notes(default="every default"),
    )
    expect: ExpectSpec = Field(
        default=ExpectSpec(),
        description="What a valid run shows.",
        json_schema_extra=notes(default="every default"),
    )


SECTIONS: dict[tuple[str, ...], type[Section]] = {
    (): ScenarioSpec,
    ("load",): LoadSpec,
    ("steady_state",): SteadyStateSpec,
    ("settle",): SettleSpec,
    ("expect",): ExpectSpec,
    ("expect", "recovery"): RecoverySpec,
    **{("topology", *place): section for place, section in TOPOLOGY_SECTIONS.items()},
}
"""Every map of the file but the faults, by its place."""

FAULT_SECTIONS: dict[str, type[Section]] = {"when": WhenSpec, "target": TargetSpec}
"""The maps within a fault; ``links`` is a list of more."""


@dataclass(frozen=True)
class ScenarioFormat(Format):
    """The maps of one file: which keys a fault knows depends on its kind."""

    sections: Mapping[tuple[str, ...], type[Section]] = field(default_factory=lambda: SECTIONS)
    kinds: Mapping[int, str] = field(default_factory=dict)
    """What each entry of the schedule says under ``fault``, if it says anything."""

    def section_at(self, path: KeyPath) -> type[Section] | None:
        """The model of the map at a place."""
        match path:
            case ("schedule", int() as index):
                return KINDS.get(self.kinds.get(index, ""), FaultSpec)
            case ("schedule", int(), "links", int()):
                return LinkSpec
            case ("schedule", int(), str() as key):
                return FAULT_SECTIONS.get(key)
        return Format(self.sections).section_at(path)
