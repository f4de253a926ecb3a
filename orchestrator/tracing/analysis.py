"""One message, fully understood: everything that trees and reports show, computed in one pass and free of I/O."""

from dataclasses import dataclass

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.critical_path import INTENDED, Blocking, Segment, blocking, critical_path, segments
from orchestrator.tracing.graph import MessageGraph, Skew, build_graph
from orchestrator.tracing.message_outcome import judge
from orchestrator.tracing.outcome import Outcome, Verdict
from orchestrator.tracing.stages import START, StageTime, stage_times, stages_awaited
from orchestrator.tracing.trace import Kind, Trace


@dataclass(frozen=True, slots=True)
class Analysis:
    """What one message did, and where its time went."""

    key: str
    kind: Kind
    verdict: Verdict
    built: MessageGraph
    start: Event | None
    """The ``bundle.submitted`` or ``message.submitted`` that counts; None if no journal holds it, then nothing can be measured."""
    intended_ns: int | None
    """When an open-loop schedule wanted it sent, monotonic nanoseconds."""
    end_to_end_ns: int | None
    """Response time: from the intended time, or from the submission if there was no schedule, to the end."""
    service_ns: int | None
    """From the submission to the end: what the system itself took."""
    stage_times: tuple[StageTime, ...]
    awaited: tuple[Stage, ...]
    """Stages it was on its way to when the journals ended."""
    path: tuple[str, ...]
    """Event ids of the critical path; empty while there is no end."""
    segments: tuple[Segment, ...]
    """The critical path as durations; they sum to `end_to_end_ns`, exactly."""
    blocking: tuple[Blocking, ...]
    skews: tuple[Skew, ...]
    alarms: tuple[str, ...]

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        return self.verdict.outcome


def analyse(trace: Trace) -> Analysis:
    """Understand one message: graph → verdict → stage durations → critical path."""
    built = build_graph(trace)
    verdict = judge(trace, built)
    start = built.first.get((START[trace.kind], 0))
    sink = verdict.sink
    intended = _intended(start)
    alarms = list(verdict.alarms)
    skews = list(built.skews)
    path: list[str] = []
    parts: tuple[Segment, ...] = ()
    end_to_end = service = None
    if sink is not None:
        path, cyclic = critical_path(built, sink.id)
        if cyclic:
            alarms.append(f"the causes of {path[0]} form a cycle: a journal is corrupt")
        if start is not None:
            if start.id in path:
                path = path[path.index(start.id) :]
            service = sink.mono_ns - start.mono_ns
            end_to_end = sink.mono_ns - (start.mono_ns if intended is None else intended)
            parts = segments([built.events[identity] for identity in path], start, intended)
            if intended is not None and intended > start.mono_ns:
                skews.append(Skew(INTENDED, start.id, intended - start.mono_ns))
            skews += [
                Skew(start.id, path[0], -part.duration_ns)
                for part in parts
                if not part.traced and part.duration_ns < 0
            ]
    return Analysis(
        key=trace.key,
        kind=trace.kind,
        verdict=verdict,
        built=built,
        start=start,
        intended_ns=intended,
        end_to_end_ns=end_to_end,
        service_ns=service,
        stage_times=stage_times(trace.kind, built.first, verdict),
        awaited=stages_awaited(trace.kind, built.first, verdict),
        path=tuple(path),
        segments=parts,
        blocking=blocking(built),
        skews=tuple(skews),
        alarms=tuple(alarms),
    )


def _intended(start: Event | None) -> int | None:
    stated = None if start is None else start.attrs.get("intended_ns")
    return stated if isinstance(stated, int) else None
