"""No loss: every acknowledged operation has an end, and it is the one that its client was told.

After Jepsen's queue checker: *lost*, and *recovered* for those whose client did not know and that took effect all the same.
"""

from collections.abc import Iterator

from bridge.wire.journal import Event
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import Observed
from orchestrator.checks.telling import event_of, operation, short
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.load.history import Kind, Operation, Result

NAME, OF_WHAT = "no loss", "acknowledged operations"
TOLD_AGO_S = 70.0
"""A journal's admission without an end is judged when it is as old as this, seconds: by then it would have expired."""
_NO_EFFECT = frozenset({"aborted", "expired", "dropped"})


def check(facts: RunFacts) -> CheckResult:
    """Judge what clients were promised, and what a sequencer's own journal says that it admitted."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    promised = [one for one in facts.operations if one.acknowledged]
    silent = set(facts.unobserved)
    unknown = [f"{name} was not observed" for name in (*facts.unobserved, *facts.unheard)]
    if observed.l1 is None:
        unknown.append("l1 was not observed")
    found: list[CounterExample] = []
    ahead: list[str] = []
    for one in promised:
        if {leg.chain for leg in one.legs} & silent:
            continue
        if beyond := facts.beyond(one):
            ahead.append(beyond)
            continue
        deposit = one.kind is Kind.DEPOSIT
        why = _deposit(facts, observed, one) if deposit else _item(facts, observed, one)
        if why:
            found.append(CounterExample((why, operation(facts, one)), _events(facts, one)))
    found += _forgotten(facts, observed)
    if ahead:
        unknown.append(f"{len(ahead)} operations should be in blocks that were not read, such as {ahead[0]}")
    return judged(NAME, len(promised), OF_WHAT, found, notes=_recovered(facts), unknown=unknown)


def _item(facts: RunFacts, observed: Observed, one: Operation) -> str:
    """Why an item of a sequencer is lost; empty if it is not."""
    landed = any(leg.transaction in facts.placed for leg in one.legs)
    final = not facts.taken_back(one)
    if one.took_effect and not landed and final:
        return f"its client was told that it is {one.outcome}, and it is nowhere"
    if one.outcome in _NO_EFFECT and landed and final:
        return f"its client was told that it is {one.outcome}, and it was executed"
    asked = any(one.id in each.statuses for each in observed.sequencers.values())
    if asked and not landed and one.id not in facts.statuses:
        return "it was acknowledged, and its sequencer does not know it any more"
    return ""


def _deposit(facts: RunFacts, observed: Observed, one: Operation) -> str:
    """Why a deposit is lost: once L1 has it the rollup must have it too, unless its epoch is still to come."""
    if observed.l1 is None or one.outcome == "reverted":
        return ""
    mine = next((each for each in observed.l1.deposits if each.l1_transaction == one.id), None)
    if mine is None:
        return "" if facts.taken_back(one) else "l1 had it, and has it no more"
    seen = observed.rollups.get(mine.rollup)
    if seen is None or mine.transaction in facts.placed:
        return ""
    origin = max((block.origin or 0 for block in seen.blocks), default=0)
    if mine.l1_block > origin:
        return ""
    return f"{mine.rollup} stands on l1 block {origin}, and left out this deposit of l1 block {mine.l1_block}"


def _forgotten(facts: RunFacts, observed: Observed) -> Iterator[CounterExample]:
    """Items, from whomever, that a sequencer's journal says it admitted, and of which it says nothing any more."""
    own = {one.id for one in facts.operations}
    ended: set[str] = set()
    admitted: dict[str, Event] = {}
    for event in facts.events:
        key = event.bundle_id or event.msg_id
        if key is None or event.role != "sequencer":
            continue
        if event.event == "bundle.admitted":
            admitted.setdefault(key, event)
        elif event.event in ("bundle.decided", "bundle.expired"):
            ended.add(key)
    for key in admitted.keys() - own - ended:
        event = admitted[key]
        if observed.at_ns - event.mono_ns > TOLD_AGO_S * 1e9 and key not in facts.placed:
            yield CounterExample((f"{event.node} admitted {short(key)}, and it never ended",), (event.id,))


def _recovered(facts: RunFacts) -> list[str]:
    doubtful = [one for one in facts.operations if one.result is Result.INFO]
    count = sum(any(leg.transaction in facts.placed for leg in one.legs) for one in doubtful)
    if not doubtful:
        return []
    return [f"{len(doubtful)} operations without a known end; {count} of them took effect (recovered)"]


def _events(facts: RunFacts, one: Operation) -> tuple[str, ...]:
    return (event_of(one), *(event.id for event in facts.events_of.get(one.id, ())[-3:]))
