"""Coverage: did the run show anything? Every fault bit, and what had to happen for the verdict to mean something did happen.

A miss is no violation; it makes the verdict *unknown*. Words for ``expectations.json`` stand in :data:`WORDS`; any other word is the name of a
journal event.
"""

from collections import Counter
from collections.abc import Callable, Mapping

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.verdict import CheckResult, judged
from orchestrator.checks.windows import Window
from orchestrator.load.history import Kind, Operation, Result

NAME, OF_WHAT = "coverage", "operations"


def check(facts: RunFacts) -> CheckResult:
    """Count, and hold against what is expected."""
    unknown = [
        f"{window.name} was not shown to have had an effect"
        for window in facts.windows
        if window.bit is False
    ]
    notes = [
        f"{window.name}: nobody looked whether it had an effect"
        for window in facts.windows
        if window.bit is None
    ]
    if facts.damaged:
        unknown.append(
            f"{facts.damaged} lines in the middle of the history are torn: what they said is missing"
        )
    notes += [
        f"{window.name}: {in_flight(facts, window.struck_ns)} bundles in flight" for window in _deadly(facts)
    ]
    expected = _usual(facts) | dict(facts.expected.coverage)
    events = Counter(event.event for event in facts.events)
    for word, least in expected.items():
        count = WORDS[word](facts) if word in WORDS else events[word]
        notes.append(f"{word}: {count}")
        if count < least:
            unknown.append(f"{word}: {count} seen, {least} needed")
    sent = sum(bool(one.id) for one in facts.operations)
    return judged(NAME, sent, OF_WHAT, notes=notes, unknown=unknown)


def in_flight(facts: RunFacts, moment_ns: int) -> int:
    """Acknowledged bundles without a known end at a moment."""
    return sum(
        one.acknowledged_ns is not None
        and one.acknowledged_ns <= moment_ns
        and (one.ended_ns is None or one.ended_ns > moment_ns)
        for one in facts.bundles
    )


def _usual(facts: RunFacts) -> dict[str, int]:
    """What every run must show; one in which a sequencer dies, with a bundle in its hands."""
    return {"committed": 1} | ({"in_flight": 1} if _deadly(facts) else {})


def _kills_a_sequencer(facts: RunFacts, window: Window) -> bool:
    sequencers = {event.node for event in facts.events if event.role == "sequencer"}
    return window.kind in ("kill", "crash_at", "out_of_memory") and bool(window.nodes & sequencers)


def _deadly(facts: RunFacts) -> list[Window]:
    """Faults that ended a sequencer."""
    return [window for window in facts.windows if _kills_a_sequencer(facts, window)]


def _caught(facts: RunFacts) -> int:
    """Bundles in flight when a fault struck; the most of all faults, or of those that ended a sequencer if there are any."""
    return max((in_flight(facts, window.struck_ns) for window in _deadly(facts) or facts.windows), default=0)


def _ended(outcome: str) -> Callable[[RunFacts], int]:
    return lambda facts: sum(one.outcome == outcome for one in facts.bundles)


def _counted(holds: Callable[[Operation], bool]) -> Callable[[RunFacts], int]:
    return lambda facts: sum(holds(one) for one in facts.operations)


def _recovered(facts: RunFacts) -> int:
    return sum(
        one.result is Result.INFO and any(leg.transaction in facts.placed for leg in one.legs)
        for one in facts.operations
    )


WORDS: Mapping[str, Callable[[RunFacts], int]] = {
    "committed": _ended("committed"),
    "aborted": _ended("aborted"),
    "expired": _ended("expired"),
    "in_flight": _caught,
    "retried": _counted(lambda one: one.attempts > 1),
    "info": _counted(lambda one: one.result is Result.INFO),
    "recovered": _recovered,
    "deposits": _counted(lambda one: one.kind is Kind.DEPOSIT and one.outcome == "executed"),
    "withdrawals": _counted(lambda one: one.kind is Kind.WITHDRAWAL and one.outcome == "included"),
    "sightings": lambda facts: len(facts.sightings),
    "faults": lambda facts: sum(window.bit is True for window in facts.windows),
}
"""What each word counts: bundles by their end, bundles ``in_flight`` when a fault struck, operations sent more than once (``retried``), without a
known end (``info``) and of those that took effect (``recovered``), ``deposits`` and ``withdrawals`` that took effect, ``sightings`` of nodes, and
``faults`` that were shown to have had an effect."""
