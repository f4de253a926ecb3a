"""Liveness, once faults are healed: it goes on, what no fault touched never stopped, and nothing is left half done.

A *blast radius* is claimed only where it can be: with a shared sequencer dead its rollups decide nothing, but they answer reads, and L1 takes
deposits; with one rollup dead the others' work goes on; and in any case a node that no fault touches neither falls silent nor dies.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.telling import event_of, operation, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.checks.windows import Window
from orchestrator.load.history import Kind, Operation, Result
from orchestrator.topology.names import L1
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets

RECOVERY, DRAINED, BLAST_RADIUS = "recovery", "drained", "blast radius"
SHORTEST_S = 3.0
"""A shorter window says nothing about who goes on during it, seconds."""
BEFORE_S = 5.0
"""Who did not go on in this time before a fault proves nothing during it, seconds."""
ENOUGH = 5
"""So many operations must have been sent to somebody who should go on, before their absence says anything."""
SINGLE_LIFETIME_S = 60.0
"""A single transaction that waits for longer has expired, seconds."""
GRACE_S = 10.0
"""Beyond a deadline, seconds: slots have a time of their own."""


def recovery(facts: RunFacts) -> CheckResult:
    """After each fault the next operation commits, within the run's budget if it has one."""
    found: list[CounterExample] = []
    unknown: list[str] = []
    notes: list[str] = []
    healed = [window for window in facts.windows if window.ended_ns is not None]
    for window in healed:
        assert window.ended_ns is not None, "those are healed"
        done = [
            one.ended_ns
            for one in facts.operations
            if one.took_effect and one.ended_ns is not None and one.ended_ns > window.ended_ns
        ]
        tried = sum(
            one.ended_ns is None or one.ended_ns > window.ended_ns for one in facts.operations if one.id
        )
        if not done and tried:
            found.append(
                CounterExample(
                    (f"nothing took effect after {window.name} ended at {when(facts, window.ended_ns)}",),
                    window.events,
                )
            )
        elif not done:
            unknown.append(f"nothing was sent after {window.name} ended")
        else:
            took = (min(done) - window.ended_ns) / 1e9
            notes.append(f"{window.name}: the next operation took effect after {took:.2f} s")
            budget = facts.expected.recovery_s
            if budget is not None and took > budget:
                found.append(CounterExample((f"{notes[-1]}, the budget is {budget:g} s",), window.events))
    unknown += [f"{window.name} was never healed" for window in facts.windows if window.ended_ns is None]
    return judged(RECOVERY, len(healed), "healed faults", found, notes=notes, unknown=unknown)


def drained(facts: RunFacts) -> CheckResult:
    """In the end every operation has an end: nothing waits that should have been over."""
    if facts.observed is None:
        return judged(DRAINED, 0, "operations")
    found: list[CounterExample] = []
    unknown: list[str] = []
    open_ones = 0
    for one in facts.operations:
        status = facts.statuses.get(one.id)
        if status is None or status.status != "pending":
            continue
        open_ones += 1
        if _overdue(facts, one):
            lines = ("it waits for a slot, long after its deadline", operation(facts, one))
            found.append(CounterExample(lines, (event_of(one),)))
    if open_ones and not found:
        unknown.append(f"{open_ones} operations still waited, within their deadlines: drain for longer")
    waiting = sum(each.waiting for each in facts.observed.sequencers.values())
    notes = [f"sequencers still hold {waiting} items of anybody"] if waiting else []
    sent = sum(bool(one.id) for one in facts.operations)
    return judged(DRAINED, sent, "operations", found, notes=notes, unknown=unknown)


def blast_radius(facts: RunFacts) -> CheckResult:
    """What no fault touches goes on, if it went on when the fault struck."""
    found = list(_unasked_restarts(facts))
    notes: list[str] = []
    looks = 0
    for window in facts.windows:
        end = window.ended_ns or max((one.answered_ns for one in facts.sightings), default=window.begun_ns)
        for node in _apart(facts, window):
            asked, silence = _silence(facts, node, window.begun_ns, end)
            looks += asked
            if silence > facts.expected.stall_s:
                line = (
                    f"{node} gave no answer for {silence:.1f} s during {window.name}, which did not touch it"
                )
                found.append(CounterExample((line,), window.events))
        for one in sequencing_sets(facts.plan):
            found += _stopped(facts, window, one, end, notes)
        if taken := _deposits(facts, window, end):
            notes.append(f"{window.name}: L1 took {taken} deposits meanwhile")
    return judged(BLAST_RADIUS, looks, "looks at nodes that no fault touched", found, notes=notes)


def _stopped(
    facts: RunFacts, window: Window, one: SequencingSet, end: int, notes: list[str]
) -> Iterator[CounterExample]:
    """Work on the rollups that a window leaves alone, if it stopped all the same."""
    alone = {rollup.name for rollup in one.rollups} - window.nodes
    if window.nodes & {one.node, L1} or not alone or window.kind.startswith("l1_"):
        return
    mine = [
        each
        for each in facts.operations
        if each.id and each.kind is not Kind.DEPOSIT and {leg.chain for leg in each.legs} <= alone
    ]
    sent = [each for each in mine if window.begun_ns <= each.invoked_ns <= end]
    done = sum(_over(each, window.begun_ns, end) for each in sent)
    names = ", ".join(sorted(alone))
    if sent:
        notes.append(f"{window.name}: {done} of {len(sent)} operations on {names} that began meanwhile ended")
    went_on = any(_over(each, window.begun_ns - int(BEFORE_S * 1e9), window.begun_ns) for each in mine)
    long_enough = (end - window.begun_ns) / 1e9 >= max(SHORTEST_S, facts.expected.stall_s)
    if not done and went_on and long_enough and len(sent) >= ENOUGH:
        first = (
            f"none of {len(sent)} operations on {names} ended during {window.name}, which did not touch them"
        )
        yield CounterExample((first, operation(facts, sent[0])), window.events)


def _over(one: Operation, begin: int, end: int) -> bool:
    """Whether a client learned of its end in a time."""
    return one.result is Result.OK and one.ended_ns is not None and begin <= one.ended_ns <= end


def _overdue(facts: RunFacts, one: Operation) -> bool:
    assert facts.observed is not None, "the caller looked"
    lifetime = float(one.attrs.get("lifetime_s", SINGLE_LIFETIME_S))
    lifetime = lifetime if one.kind is Kind.BUNDLE else max(lifetime, SINGLE_LIFETIME_S)
    since = max(one.invoked_ns, one.acknowledged_ns or 0)
    return facts.observed.at_ns - since > (lifetime + GRACE_S) * 1e9


def _apart(facts: RunFacts, window: Window) -> list[str]:
    """Nodes that a window does not touch and that no other fault touches meanwhile."""
    touched = {
        node
        for other in facts.windows
        if other.ended_ns is None or other.ended_ns >= window.begun_ns
        if window.ended_ns is None or other.begun_ns <= window.ended_ns
        for node in other.nodes
    }
    nodes = {sighting.node for sighting in facts.sightings}
    wanted = nodes if facts.expected.unaffected is None else nodes & set(facts.expected.unaffected)
    return sorted(wanted - touched)


def _silence(facts: RunFacts, node: str, begin: int, end: int) -> tuple[int, float]:
    """How often a node was asked in a time, and the longest part of it without an answer, seconds.

    A node that was silent before it began proves nothing, and where nobody looked there is no silence to speak of.
    """
    mine = [one for one in facts.sightings if one.node == node]
    looks = [one for one in mine if begin <= one.answered_ns <= end]
    before = [one for one in mine if begin - BEFORE_S * 1e9 <= one.answered_ns < begin]
    if not looks or any(one.error for one in before):
        return len(looks), 0.0
    answers = [begin, *(one.answered_ns for one in looks if not one.error), end]
    return len(looks), max((after - earlier) / 1e9 for earlier, after in pairwise(answers))


def _deposits(facts: RunFacts, window: Window, end: int) -> int:
    if L1 in window.nodes:
        return 0
    return sum(
        one.kind is Kind.DEPOSIT
        and one.acknowledged_ns is not None
        and window.begun_ns <= one.acknowledged_ns <= end
        for one in facts.operations
    )


def _unasked_restarts(facts: RunFacts) -> Iterator[CounterExample]:
    """A node that began another life although no fault touched it."""
    lives = Counter(event.node for event in facts.named("node.started") if event.role != "client")
    touched = {node for window in facts.windows for node in window.nodes}
    for node, count in sorted(lives.items()):
        if count > 1 and node not in touched:
            told = tuple(event.id for event in facts.named("node.started") if event.node == node)
            yield CounterExample((f"{node} was started {count} times, and no fault touched it",), told)
