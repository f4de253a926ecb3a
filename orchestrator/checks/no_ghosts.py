"""No ghosts: whatever was executed was sent, by a client, by L1, or by another rollup.

After Jepsen's queue checker this is *unexpected*. An operation of which its client knows for certain that nobody took it may not happen; one
whose client does not know may.
"""

from collections.abc import Iterator, Mapping

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.observed import EventSeen
from orchestrator.checks.telling import event_of, operation, place, short
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Operation, Result

NAME, OF_WHAT = "no ghosts", "executed transactions"


def check(facts: RunFacts) -> CheckResult:
    """Judge every transaction on the rollups, and what L1 and other rollups executed of theirs."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    known = {leg.transaction for one in facts.operations for leg in one.legs}
    clients = {leg.sender for one in facts.operations for leg in one.legs}
    # a sequencer notes what anybody sends before it looks at it; without its journal only the load's own accounts can be judged
    journalled = any(event.role == "sequencer" for event in facts.events)
    refused = _refused(facts)
    on_l1 = {(one.rollup, one.transaction) for one in (observed.l1.deposits if observed.l1 else ())}
    found: list[CounterExample] = []
    unsent: list[CounterExample] = []
    for digest, (first, *_) in facts.placed.items():
        if digest in refused:
            one = refused[digest]
            lines = ("executed, though certainly nobody took it", place(first), operation(facts, one))
            found.append(CounterExample(lines, (event_of(one),)))
        elif first.transaction.deposit:
            if observed.l1 is not None and (first.rollup, digest) not in on_l1:
                found.append(CounterExample(("a deposit that L1 does not have", place(first))))
        elif (
            digest not in known
            and (journalled or first.transaction.sender in clients)
            and not _told_of(facts, first)
        ):
            unsent.append(CounterExample(("executed, and nobody sent it", place(first))))
    found += _payments(facts)
    found += _messages(facts)
    unknown = [f"{name} was not observed" for name in facts.unobserved]
    if observed.l1 is None:
        unknown.append("l1 was not observed: deposits can't be told from ghosts")
    if unsent and facts.damaged:
        unknown.append(
            f"{len(unsent)} were executed that nobody sent, and {facts.damaged} lines of the history are torn"
        )
    elif unsent:
        found += unsent
    return judged(NAME, len(facts.placed), OF_WHAT, found, unknown=unknown)


def _refused(facts: RunFacts) -> Mapping[str, Operation]:
    """By transaction, operations that certainly were not taken."""
    return {leg.transaction: one for one in facts.operations if one.result is Result.FAIL for leg in one.legs}


def _told_of(facts: RunFacts, found: Placed) -> bool:
    """Whether a journal tells of a client other than the load that sent it, such as the maker."""
    sent = found.transaction
    keys = [sent.hash, *([sent.bundle] if sent.bundle else [])]
    return any(event.event == "bundle.submitted" for key in keys for event in facts.events_of.get(key, ()))


def _payments(facts: RunFacts) -> Iterator[CounterExample]:
    """Withdrawals that L1 finalized, and their rollup never sent."""
    observed = facts.observed
    assert observed is not None, "the caller looked"
    passed = {
        (where.rollup, str(event.arguments["withdrawalHash"]))
        for where, event in _events(facts)
        if event.name == "MessagePassed"
    }
    for one in observed.l1.finalized if observed.l1 else ():
        if one.rollup in observed.rollups and (one.rollup, one.withdrawal) not in passed:
            yield CounterExample(
                (
                    f"l1 block {one.l1_block} finalized withdrawal {short(one.withdrawal)} of {one.rollup}",
                    f"{one.rollup} never sent it",
                )
            )


def _messages(facts: RunFacts) -> Iterator[CounterExample]:
    """Messages from rollup to rollup that were executed, and no rollup sent; all rollups must have been seen to say so."""
    observed = facts.observed
    if observed is None or {rollup.name for rollup in facts.plan.rollups} - observed.rollups.keys():
        return
    events = list(_events(facts))
    sent = {str(event.arguments["msgHash"]) for _, event in events if event.name == "MessageSent"}
    for where, event in events:
        if event.name == "MessageExecuted" and str(event.arguments["msgHash"]) not in sent:
            name = short(str(event.arguments["msgHash"]))
            yield CounterExample((f"message {name} was executed, and nobody sent it", place(where)))


def _events(facts: RunFacts) -> Iterator[tuple[Placed, EventSeen]]:
    for places in facts.placed.values():
        for event in places[0].transaction.events:
            yield places[0], event
