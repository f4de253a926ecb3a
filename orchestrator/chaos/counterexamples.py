"""The message of a counter-example as a Mermaid sequence. Pure.

A counter-example names journal events and operations; the first message that one of them belongs to is drawn.
"""

from orchestrator.checks import CounterExample, RunFacts
from orchestrator.tracing.mermaid import render_mermaid
from orchestrator.tracing.trace import Kind, Trace

HISTORY_PREFIX = "history/"


def drawn_counterexample(facts: RunFacts, found: CounterExample) -> str:
    """The drawing; empty if it rests on no message."""
    key = subject_of(facts, found)
    if key is None:
        return ""
    events = facts.events_of[key]
    kind = Kind.BUNDLE if any(event.bundle_id for event in events) else Kind.TRANSACTION
    return render_mermaid(Trace(key, kind, events))


def subject_of(facts: RunFacts, found: CounterExample) -> str | None:
    """The bundle or transaction that it is about."""
    by_event = {event.id: event.bundle_id or event.msg_id for event in facts.events}
    by_operation = {f"{HISTORY_PREFIX}{one.op}": one.id for one in facts.operations}
    for identity in found.events:
        key = by_event.get(identity) or by_operation.get(identity)
        if key is not None and key in facts.events_of:
            return key
    return None
