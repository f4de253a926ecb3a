"""End-to-end and stage latencies, with the messages that never ended in the denominator."""

from collections import Counter, defaultdict

from orchestrator.report.model import LatencyRow, StageRow
from orchestrator.tracing.analysis import Analysis
from orchestrator.tracing.critical_path import INTENDED
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.percentiles import summarize
from orchestrator.tracing.stages import PREDECESSOR
from orchestrator.tracing.trace import Kind

SUBMITTED = "submitted"
MEASURED = (
    Outcome.COMMITTED,
    Outcome.ABORTED,
    Outcome.EXPIRED,
    Outcome.REFUSED,
    Outcome.EXECUTED,
    Outcome.FINALIZED,
    Outcome.REFUNDED,
)
"""Outcomes with a latency of their own. A partial bundle never ended as it should, and a failed message has not ended yet: they count
as unfinished."""


class LatencyTables:
    """Collects durations message by message."""

    def __init__(self) -> None:
        self._service: defaultdict[tuple[Kind, Outcome], list[int]] = defaultdict(list)
        self._response: defaultdict[tuple[Kind, Outcome], list[int]] = defaultdict(list)
        self._unmeasured: Counter[tuple[Kind, Outcome]] = Counter()
        self._unfinished: Counter[Kind] = Counter()
        self._scheduled_unfinished: Counter[Kind] = Counter()
        self._stages: defaultdict[tuple[Kind, str], list[int]] = defaultdict(list)
        self._awaited: Counter[tuple[Kind, str]] = Counter()

    def add(self, found: Analysis) -> None:
        """Count one message."""
        place = found.kind, found.outcome
        scheduled = found.intended_ns is not None
        if found.outcome not in MEASURED:
            self._unfinished[found.kind] += 1
            self._scheduled_unfinished[found.kind] += scheduled
        elif found.service_ns is None or found.end_to_end_ns is None:
            self._unmeasured[place] += 1
        else:
            self._service[place].append(found.service_ns)
            if scheduled:
                self._response[place].append(found.end_to_end_ns)
        for time in found.stage_times:
            self._stages[found.kind, time.stage].append(time.duration_ns)
        for stage in found.awaited:
            self._awaited[found.kind, stage] += 1

    def latency_rows(self) -> tuple[LatencyRow, ...]:
        """Response time first where the load was scheduled, then service time."""
        rows = []
        for kind in Kind:
            for outcome in MEASURED:
                place = kind, outcome
                open_end = outcome is (Outcome.EXECUTED if kind is Kind.MESSAGE else Outcome.COMMITTED)
                responses, services = self._response[place], self._service[place]
                late = self._scheduled_unfinished[kind] * open_end
                hanging = self._unfinished[kind] * open_end
                unmeasured = self._unmeasured[place]
                if responses or late:
                    rows.append(LatencyRow(kind, outcome, INTENDED, summarize(responses, late), unmeasured))
                if services or hanging or unmeasured:
                    rows.append(
                        LatencyRow(kind, outcome, SUBMITTED, summarize(services, hanging), unmeasured)
                    )
        return tuple(rows)

    def stage_rows(self) -> tuple[StageRow, ...]:
        """In the order in which a message meets the stages."""
        return tuple(
            StageRow(
                kind, str(stage), str(since), summarize(self._stages[kind, stage], self._awaited[kind, stage])
            )
            for kind in Kind
            for stage, since in PREDECESSOR[kind].items()
            if self._stages[kind, stage] or self._awaited[kind, stage]
        )
