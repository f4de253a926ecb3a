"""The timeline of faults that the orchestrator noted, with what was in flight when each struck."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from orchestrator.report.model import FaultRow
from orchestrator.tracing.trace import TraceSet

FAULT_PREFIX = "fault."
"""``fault.kill``, ``fault.restart``, ``fault.pause``, ``fault.resume``, …"""


def fault_rows(traces: TraceSet, spans: Sequence[tuple[int, int | None]]) -> tuple[FaultRow, ...]:
    """Every fault in order of time.

    Args:
        traces: the run.
        spans: for each message, submission and end in monotonic nanoseconds.
    """
    faults = [event for event in traces.node_events if event.event.startswith(FAULT_PREFIX)]
    if not faults:
        return ()
    zero = min(
        [traces.node_events[0].mono_ns, *(trace.events[0].mono_ns for trace in traces.traces.values())]
    )
    starts = sorted(start for start, _ in spans)
    ends = sorted(end for _, end in spans if end is not None)
    return tuple(
        FaultRow(
            at_ns=event.mono_ns - zero,
            event=event.event,
            node=str(event.attrs.get("node", "?")),
            details=" ".join(f"{name}={value}" for name, value in event.attrs.items() if name != "node"),
            in_flight=bisect_right(starts, event.mono_ns) - bisect_left(ends, event.mono_ns),
        )
        for event in faults
    )
