"""Two ways of doing the same work, side by side, as frozen values: all that the writers print, and nothing that they have to compute.

Durations are integer nanoseconds, cash is in 1e-6 USD, money on L1 in wei. Means are exact and add up; quantiles are guarded by the number of
samples as in every report (:mod:`orchestrator.tracing.percentiles`).
"""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

from orchestrator.tracing.critical_path import Segment
from orchestrator.tracing.gas import Cost, Purpose
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import Quantile

LIMIT = Fraction(3, 2)
"""How much longer than the topology's own waits a message may take."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How long something took."""

    finished: int
    unfinished: int
    """Not done when the run was drained: longer than any other."""
    minimum_ns: int | None
    maximum_ns: int | None
    p50: Quantile
    p95: Quantile


@dataclass(frozen=True, slots=True)
class StageRow:
    """Time from one stage to the next."""

    stage: str
    since: str
    times: Distribution
    on_the_way: bool
    """Whether it is part of the end-to-end time; false for what comes after the end."""


@dataclass(frozen=True, slots=True)
class PaidRow:
    """What one side paid on L1 for one purpose."""

    purpose: Purpose
    payers: tuple[str, ...]
    transactions: int
    cost: Cost


@dataclass(frozen=True, slots=True)
class Gas:
    """What one side paid on L1."""

    rows: tuple[PaidRow, ...]
    """In the order of purposes."""
    strategies_own: Cost
    """Summed over all strategies: what was paid for each alone."""
    strategies_shared: Cost
    """Summed over all strategies: their shares of superbatches and outputs."""
    messages_own: Cost
    messages_shared: Cost
    """The same over the plain messages."""
    overhead: Cost
    """What served none of them: batches and outputs of idle blocks, and the maker's work."""


@dataclass(frozen=True, slots=True)
class Locked:
    """How long a strategy's cash was tied up."""

    times: Distribution
    """From the first lock to the end of the last."""
    cash: int | None
    """Mean cash of a strategy; None where nothing states it."""
    cash_ns: int | None
    """Mean cash times time of a strategy, 1e-6 USD x nanoseconds."""
    bound: bool
    """Whether `cash_ns` is an upper bound: all the cash for the whole time, because the parts of legs are not known."""


@dataclass(frozen=True, slots=True)
class Way:
    """One run's critical path."""

    key: str
    end_to_end_ns: int
    segments: tuple[Segment, ...]
    """They sum to `end_to_end_ns`."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one mode made of the work."""

    mode: str
    run_dir: str
    ready_s: float
    worked_s: float
    """From the first departure until everything had ended, seconds."""
    strategies: int
    outcomes: tuple[tuple[Outcome, int], ...]
    """Of the strategies; only those that occurred, in the order of outcomes."""
    reasons: tuple[tuple[str, int], ...]
    """Why strategies did not commit, most frequent first."""
    end_to_end: Distribution
    """Of the committed strategies."""
    stages: tuple[StageRow, ...]
    gas: Gas
    locked: Locked
    median: Way | None
    """The critical path of the strategy at the median; None if none committed."""
    alarms: tuple[str, ...]
    """Contradictions in the journals; none in a healthy run."""

    def count(self, outcome: Outcome) -> int:
        """Strategies with this outcome."""
        return dict(self.outcomes).get(outcome, 0)

    @property
    def all_committed(self) -> bool:
        """Whether every strategy did, and at least one."""
        return 0 < self.strategies == self.count(Outcome.COMMITTED)


@dataclass(frozen=True, slots=True)
class Wait:
    """A time that the topology itself imposes on a message."""

    until: str
    """The stage that has to wait."""
    seconds: float
    why: str
    """What it is made of."""


class Standing(StrEnum):
    """What the measured time says against the waits."""

    WITHIN = "within"
    BEYOND = "beyond"
    UNKNOWN = "unknown"
    """Too few messages, or too many without an end."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The plain messages over the L1 bridge, against the topology's own waits."""

    count: int
    outcomes: tuple[tuple[Outcome, int], ...]
    end_to_end: Distribution
    stages: tuple[StageRow, ...]
    waits: tuple[Wait, ...]
    """Of the pair of rollups whose waits are longest."""
    ratio_per_mille: Quantile
    """p50 of each message's time over the sum of its own pair's waits, in thousandths (held as a quantile of integers)."""

    @property
    def waits_s(self) -> float:
        """Their sum, seconds."""
        return sum(wait.seconds for wait in self.waits)

    @property
    def ratio(self) -> Fraction | None:
        """As a number; None unless measured."""
        value = self.ratio_per_mille.value_ns
        return None if value is None else Fraction(value, 1000)

    @property
    def standing(self) -> Standing:
        """Against :data:`LIMIT`."""
        if self.ratio is None:
            beyond = self.ratio_per_mille.standing == "beyond-drain"
            return Standing.BEYOND if beyond else Standing.UNKNOWN
        return Standing.WITHIN if self.ratio <= LIMIT else Standing.BEYOND


@dataclass(frozen=True, slots=True)
class Comparison:
    """The same strategies both ways."""

    strategy: str
    topology: str
    seed: int
    host: str
    command: str
    """What makes it again."""
    bundle: Side
    """In mode ``shared-sequencer``."""
    bridge: Side
    """In mode ``l1-bridge``."""
    messages: Messages | None
    """None if none were sent."""

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both, the shared sequencer first."""
        return self.bundle, self.bridge

    @property
    def both_committed(self) -> bool:
        """Whether every strategy committed in both modes."""
        return all(side.all_committed for side in self.sides)

    @property
    def slower(self) -> Fraction | None:
        """How many times longer a strategy takes over the bridge, median strategy to median strategy."""
        bundle, bridge = (side.median for side in self.sides)
        if bundle is None or bridge is None or bundle.end_to_end_ns <= 0:
            return None
        return Fraction(bridge.end_to_end_ns, bundle.end_to_end_ns)
