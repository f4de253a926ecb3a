"""The report as frozen values: all that the writers print, and nothing that they have to compute.

Durations are integer nanoseconds; shares are fractions of 1. How numbers are made is said where they are made:
percentiles in :mod:`orchestrator.tracing.percentiles`, outcomes in :mod:`orchestrator.tracing.outcome`.
"""

from dataclasses import dataclass

from orchestrator.tracing.gas import Purpose
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import Quantile, Summary
from orchestrator.tracing.trace import Kind


@dataclass(frozen=True, slots=True)
class RunMeta:
    """Which run it is, and on what it ran."""

    name: str
    """The topology's name."""
    run: str
    """Name of the run directory."""
    seed: int | None
    host: str
    """CPU model, cores and load: latencies of two hosts don't compare."""


@dataclass(frozen=True, slots=True)
class OutcomeCount:
    """How many messages of one kind ended in one way."""

    kind: Kind
    outcome: Outcome
    count: int


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """End-to-end times of the messages with one outcome."""

    kind: Kind
    outcome: Outcome
    since: str
    """``submitted``, or ``intended`` for the response time of an open-loop load."""
    summary: Summary
    """Messages without an end count as unfinished in the row of those committed or executed: they might have been."""
    unmeasured: int
    """Messages with an end whose submission no journal holds."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """Time from one stage to the next."""

    kind: Kind
    stage: str
    since: str
    summary: Summary


@dataclass(frozen=True, slots=True)
class ShareRow:
    """What one edge of the critical paths contributed to the end-to-end time of all messages of a kind that ended well."""

    kind: Kind
    since: str
    until: str
    traced: bool
    """False for time that no stated cause explains."""
    messages: int
    """Messages whose critical path has this edge."""
    total_ns: int
    share: float
    """Of the summed end-to-end time; the shares of one kind sum to 1."""
    share_at_p99: float | None
    """Mean share among the messages between p98.5 and p99.5; None under 1,000 messages."""


@dataclass(frozen=True, slots=True)
class BlockingRow:
    """How often one rollup was the last that a bundle waited for."""

    stage: str
    node: str
    count: int
    joins: int
    """All joins at this stage, whoever was last."""
    margin: Quantile
    """Median time that a faster rollup would have won."""


@dataclass(frozen=True, slots=True)
class StageEdge:
    """One edge of the aggregate stage graph."""

    since: str
    until: str
    count: int
    summary: Summary


@dataclass(frozen=True, slots=True)
class MessageRow:
    """One message worth a look."""

    key: str
    kind: Kind
    outcome: Outcome
    legs: int
    end_to_end_ns: int | None
    reason: str | None
    failed_leg: int | None
    failed_rollup: str | None
    waited_for: str
    """The longest edge of its critical path, ``since → until (node)``; empty without an end."""
    waited_ns: int
    alarms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonRow:
    """How often messages had no effect for one reason."""

    reason: str
    rollup: str | None
    count: int


@dataclass(frozen=True, slots=True)
class GasRow:
    """What one payer paid on L1 for one purpose."""

    purpose: Purpose
    payer: str
    transactions: int
    gas: int
    wei: int
    """Gas and blob gas together."""


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node's lives and lines."""

    node: str
    role: str
    boots: int
    restarts: int
    """Lives after the first; clients and the orchestrator are commands, not servers, and have none."""
    events: int
    lost: int


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A fault, as the orchestrator noted it."""

    at_ns: int
    """Since the run's first event."""
    event: str
    node: str
    details: str
    in_flight: int
    """Messages submitted and not ended at that moment."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What speaks against trusting the numbers; all zero in a healthy run without faults."""

    torn: tuple[tuple[str, int], ...]
    """Unreadable lines by journal file."""
    lost: int
    """Numbers without a line, see :class:`~orchestrator.tracing.trace.NodeJournal`."""
    orphans: int
    """Stated causes that the message's journals don't hold."""
    skews: int
    """Effects older than their causes."""
    worst_skew_ns: int
    repeated: int
    """Events told again, usual after a crash."""


@dataclass(frozen=True, slots=True)
class Report:
    """One run, counted and measured."""

    meta: RunMeta
    outcomes: tuple[OutcomeCount, ...]
    """Every kind that occurred, every outcome that it can have, zero included."""
    latencies: tuple[LatencyRow, ...]
    stages: tuple[StageRow, ...]
    shares: tuple[ShareRow, ...]
    """Largest first within a kind."""
    blocking: tuple[BlockingRow, ...]
    stage_graph: tuple[StageEdge, ...]
    slowest: tuple[MessageRow, ...]
    """The slowest that ended, any kind."""
    aborted: tuple[MessageRow, ...]
    """The first that had no effect: aborted, expired, refused, refunded, or failed so far."""
    reasons: tuple[ReasonRow, ...]
    violations: tuple[MessageRow, ...]
    """Messages that are partial or contradict themselves, the first of them."""
    violations_total: int
    gas: tuple[GasRow, ...]
    """By purpose and payer; empty in a run whose journals tell of no payment."""
    nodes: tuple[NodeRow, ...]
    faults: tuple[FaultRow, ...]
    evidence: Evidence
    drawings: tuple[tuple[str, str], ...]
    """(title, Mermaid text): the first violation, the slowest message, the stage graph."""

    def count(self, outcome: Outcome, kind: Kind | None = None) -> int:
        """Messages with this outcome, of one kind or of all."""
        return sum(row.count for row in self.outcomes if row.outcome is outcome and kind in (None, row.kind))

    @property
    def total(self) -> int:
        """All messages."""
        return sum(row.count for row in self.outcomes)

    @property
    def endings(self) -> tuple[Outcome, ...]:
        """The outcomes that the kinds of this run can have."""
        here = {row.outcome for row in self.outcomes}
        return tuple(outcome for outcome in Outcome if outcome in here)

    @property
    def headline(self) -> str:
        """The one sentence to read first. A run without messages is unknown, not fine."""
        if not self.total:
            return "UNKNOWN: no message is in any journal"
        partial = self.count(Outcome.PARTIAL)
        counts = ", ".join(
            f"{self.count(outcome):,} {outcome}" for outcome in self.endings if outcome is not Outcome.PARTIAL
        )
        said = f"no partial bundle among {self.total:,} messages: {counts}"
        if partial:
            said = f"‼ PARTIAL: {partial:,} of {self.total:,} messages broke atomicity; {counts}"
        elif self.violations_total:
            said = f"‼ CONTRADICTION: the journals of {self.violations_total:,} messages contradict themselves; {said}"
        torn = sum(lines for _, lines in self.evidence.torn)
        if torn or self.evidence.lost:
            said += f" (evidence incomplete: {torn:,} torn journal lines, {self.evidence.lost:,} numbers without a line)"
        return said
