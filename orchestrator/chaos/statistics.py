"""How the load fared in each part of a run. Pure.

Latency counts from the time at which the schedule wanted an operation sent (an open loop), so an operation that waited for a dead sequencer
shows all of its wait. It belongs to the part in which it was wanted: to a fault's window if it lies in one, else to the phase.
An operation that has no end took longer than any other; one that certainly had no effect took no time at all and is counted beside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.checks import RunFacts
from orchestrator.checks.windows import Window
from orchestrator.load.history import Kind, Operation, Result
from orchestrator.tracing.percentiles import Quantile, quantile

QUANTILES = (500, 950, 990)
"""Per mille."""
WARM_UP, BASELINE, RECOVERY, AFTER, DRAIN = "warm-up", "baseline", "recovery", "after", "drain"
SETTLE = "settle"
PHASES = (WARM_UP, BASELINE, RECOVERY, AFTER, DRAIN, SETTLE)
"""Names that no fault may have: its window is a part of the run like them."""
SINGLE = "single transactions"
BUNDLES = "bundles"
OVER_L1 = "deposits and withdrawals"
GROUPS = {
    Kind.BUNDLE: BUNDLES,
    Kind.TRANSACTION: SINGLE,
    Kind.WITHDRAWAL: OVER_L1,
    Kind.DEPOSIT: OVER_L1,
}
"""What is shown together."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of time, or several, that are looked at as one."""

    name: str
    fault: bool
    """Whether it is a fault's window."""
    spans: tuple[tuple[int, int], ...]
    """Beginnings and ends, monotonic nanoseconds."""

    @property
    def seconds(self) -> float:
        """How long it is in all."""
        return sum(end - begin for begin, end in self.spans) / 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of operation in one part."""

    part: Part
    group: str
    """As in :data:`GROUPS`, or ``all``."""
    ok: int
    fail: int
    info: int
    quantiles: tuple[Quantile, ...]
    """In the order of :data:`QUANTILES`."""
    worst_ns: int | None
    """Longest of those that ended."""

    @property
    def per_second(self) -> float:
        """Operations that ended well, by the time of their beginning."""
        return self.ok / self.part.seconds if self.part.seconds else 0.0


def parts_of(facts: RunFacts) -> tuple[Part, ...]:
    """The parts of a run in order: warm-up, baseline, each fault, recovery, after."""
    begins = {phase.name: phase.begun_ns for phase in reversed(facts.phases)}
    last = begins.get(DRAIN, max((one.intended_ns for one in facts.operations), default=0) + 1)
    if WARM_UP not in begins:
        return ()
    if BASELINE not in begins:
        return (Part(WARM_UP, False, ((begins[WARM_UP], last),)),)
    windows = [window for window in facts.windows if begins[BASELINE] <= window.begun_ns < last]
    struck = min((window.begun_ns for window in windows), default=last)
    after = next((phase.begun_ns for phase in facts.phases if phase.name == AFTER), last)
    between = _gaps(struck, max(struck, after), windows)
    parts = [
        Part(WARM_UP, False, ((begins[WARM_UP], begins[BASELINE]),)),
        Part(BASELINE, False, ((begins[BASELINE], struck),)),
        *(Part(window.name, True, ((window.begun_ns, _end(window, last)),)) for window in windows),
        Part(RECOVERY, False, between),
        Part(AFTER, False, ((after, last),)),
    ]
    return tuple(part for part in parts if part.seconds > 0)


def rows_of(facts: RunFacts, parts: Sequence[Part]) -> tuple[Row, ...]:
    """For each part all operations, then each kind."""
    sorted_in: dict[int, list[Operation]] = {index: [] for index in range(len(parts))}
    for operation in facts.operations:
        place = _part_at(operation.intended_ns, parts)
        if place is not None:
            sorted_in[place].append(operation)
    rows = []
    for index, part in enumerate(parts):
        rows.append(_row(part, "all", sorted_in[index]))
        for group in dict.fromkeys(GROUPS.values()):
            some = [one for one in sorted_in[index] if GROUPS[one.kind] == group]
            if some:
                rows.append(_row(part, group, some))
    return tuple(rows)


def _part_at(moment_ns: int, parts: Sequence[Part]) -> int | None:
    """The first fault whose window holds the moment, else the phase."""
    holding = [
        index
        for index, part in enumerate(parts)
        if any(begin <= moment_ns < end for begin, end in part.spans)
    ]
    return min(holding, key=lambda index: (not parts[index].fault, index), default=None)


def _row(part: Part, group: str, operations: Iterable[Operation]) -> Row:
    operations = tuple(operations)
    counts = {result: sum(one.result is result for one in operations) for result in Result}
    ended = sorted(one.latency_ns for one in operations if one.latency_ns is not None)
    return Row(
        part=part,
        group=group,
        ok=counts[Result.OK],
        fail=counts[Result.FAIL],
        info=counts[Result.INFO],
        quantiles=tuple(quantile(ended, per_mille, counts[Result.INFO]) for per_mille in QUANTILES),
        worst_ns=ended[-1] if ended else None,
    )


def _gaps(begin: int, end: int, windows: Sequence[Window]) -> tuple[tuple[int, int], ...]:
    """What of a stretch lies in no window."""
    gaps, at = [], begin
    for window in sorted(windows, key=lambda one: one.begun_ns):
        if window.begun_ns > at:
            gaps.append((at, min(window.begun_ns, end)))
        at = max(at, _end(window, end))
    if at < end:
        gaps.append((at, end))
    return tuple((first, last) for first, last in gaps if last > first)


def _end(window: Window, last: int) -> int:
    return last if window.ended_ns is None else max(window.ended_ns, window.begun_ns)
