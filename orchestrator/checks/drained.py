"""Drained: in the end every operation has an end, and nothing waits that should have been over."""

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.telling import event_of, operation
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Kind, Operation

NAME, OF_WHAT = "drained", "operations"
SINGLE_LIFETIME_S = 60.0
"""A single transaction that waits for longer has expired, seconds."""
GRACE_S = 10.0
"""Beyond a deadline, seconds: slots have a time of their own."""


def check(facts: RunFacts) -> CheckResult:
    """Judge what sequencers say of every operation of theirs."""
    if facts.observed is None:
        return judged(NAME, 0, OF_WHAT)
    found: list[CounterExample] = []
    unknown = [f"{node} was not observed: nobody knows what waits there" for node in facts.unheard]
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
    return judged(NAME, sent, OF_WHAT, found, notes=notes, unknown=unknown)


def _overdue(facts: RunFacts, one: Operation) -> bool:
    assert facts.observed is not None, "the caller looked"
    lifetime = float(one.attrs.get("lifetime_s", SINGLE_LIFETIME_S))
    lifetime = lifetime if one.kind is Kind.BUNDLE else max(lifetime, SINGLE_LIFETIME_S)
    since = max(one.invoked_ns, one.acknowledged_ns or 0)
    return facts.observed.at_ns - since > (lifetime + GRACE_S) * 1e9
