"""What the journals know: where every message spent its time, and whether it stayed atomic.

::

    run directory ─► collect ─► trace        events grouped by message      (collect reads files; all else is pure)
                                  │
                    graph ◄───────┘          causes as a DiGraph, repeats joined, orphans and skew counted
                      ├─► outcome            committed · aborted · … · executed · refunded · unknown
                      ├─► stages             time from stage to stage
                      └─► critical_path      who was waited for; sums exactly to the end-to-end time
                            │
                 analysis ◄─┘─► render, mermaid     one message
                    └─► percentiles, stage_graph    all messages ─► orchestrator.report
"""

from orchestrator.tracing.analysis import Analysis, analyse
from orchestrator.tracing.collect import load_trace, load_traces
from orchestrator.tracing.errors import (
    AmbiguousMessageError,
    NoJournalError,
    TracingError,
    UnknownMessageError,
)
from orchestrator.tracing.mermaid import render_mermaid
from orchestrator.tracing.outcome import Outcome
from orchestrator.tracing.render import render_tree, trace_to_json
from orchestrator.tracing.trace import Kind, Trace, TraceSet, find_trace, group_events

__all__ = [
    "AmbiguousMessageError",
    "Analysis",
    "Kind",
    "NoJournalError",
    "Outcome",
    "Trace",
    "TraceSet",
    "TracingError",
    "UnknownMessageError",
    "analyse",
    "find_trace",
    "group_events",
    "load_trace",
    "load_traces",
    "render_mermaid",
    "render_tree",
    "trace_to_json",
]
