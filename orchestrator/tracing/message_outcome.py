"""How a message over the L1 bridge ended, judged from its events alone.

It ends in exactly one way, executed or refunded; a withdrawal that carries nothing else ends when L1's portal has called its target. A
failed call is no end: the destination keeps the message, and it is tried again or, once it has expired, refunded.

What a reorganisation takes back, an observer says (:data:`TAKEN_BACK`); that the same stage is then reached in another block is no
contradiction. Without such a word it is one: it happened twice.
"""

from itertools import pairwise

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.graph import MessageGraph
from orchestrator.tracing.outcome import Outcome, Verdict, judge_bundle
from orchestrator.tracing.trace import Kind, Trace

TAKEN_BACK = frozenset({"message.set_back", "message.dropped"})
"""Events that say that a chain no longer knows what was told of it."""
CROSSING = "withdrawal"
"""Attribute of the stages of a message that a withdrawal carries: the withdrawal's hash."""
_ONWARD = frozenset(
    {Stage.MESSAGE_DEPOSITED, Stage.MESSAGE_EXECUTED, Stage.MESSAGE_FAILED, Stage.MESSAGE_REFUNDED}
)
_AT_MOST_ONCE = {
    Stage.MESSAGE_FINALIZED: "l1_tx",
    Stage.MESSAGE_EXECUTED: "block",
    Stage.MESSAGE_REFUNDED: "block",
}
"""Stages that happen once, and the attribute that tells a second happening from a second telling."""


def judge(trace: Trace, built: MessageGraph) -> Verdict:
    """Judge one message of any kind; pure."""
    if trace.kind is not Kind.MESSAGE:
        return judge_bundle(trace, built)
    executed, refunded, failed, finalized = (
        built.first.get((stage, 0))
        for stage in (
            Stage.MESSAGE_EXECUTED,
            Stage.MESSAGE_REFUNDED,
            Stage.MESSAGE_FAILED,
            Stage.MESSAGE_FINALIZED,
        )
    )
    alarms = _twice(trace)
    if executed and refunded and not _taken_back(trace, *sorted((executed.mono_ns, refunded.mono_ns))):
        alarms.append(f"executed in block {_block(executed)} and refunded in block {_block(refunded)}")
    outcome, sink, reason = Outcome.UNKNOWN, None, None
    if executed:
        outcome, sink = Outcome.EXECUTED, executed
    elif refunded:
        outcome, sink, reason = Outcome.REFUNDED, refunded, _reason(failed)
    elif failed:
        outcome, reason = Outcome.FAILED, _reason(failed)
    elif finalized and not _goes_on(trace):
        outcome, sink = Outcome.FINALIZED, finalized
        if finalized.attrs.get("success") is False:
            outcome, reason = Outcome.FAILED, "its call failed on L1"
    return Verdict(outcome, 1, sink, reason, None, None, tuple(alarms))


def _goes_on(trace: Trace) -> bool:
    """Whether it has somewhere to go after L1."""
    return any(event.event in _ONWARD or CROSSING in event.attrs for event in trace.events)


def _twice(trace: Trace) -> list[str]:
    found = []
    for stage, telling in _AT_MOST_ONCE.items():
        told = [event for event in trace.events if event.event == stage]
        for earlier, later in pairwise(told):
            then, now = earlier.attrs.get(telling), later.attrs.get(telling)
            same = then == now or not (then and now)
            if not same and not _taken_back(trace, earlier.mono_ns, later.mono_ns):
                verb = stage.partition(".")[2]
                found.append(f"{verb} in {telling} {then} and again in {telling} {now}")
    return found


def _taken_back(trace: Trace, since_ns: int, until_ns: int) -> bool:
    """Whether an observer said in between that a chain had changed its mind."""
    return any(event.event in TAKEN_BACK and since_ns <= event.mono_ns <= until_ns for event in trace.events)


def _block(event: Event) -> object:
    return event.attrs.get("block", "?")


def _reason(failed: Event | None) -> str | None:
    reason = None if failed is None else failed.attrs.get("reason")
    return None if reason is None else str(reason)
