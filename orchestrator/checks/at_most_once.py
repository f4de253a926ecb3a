"""At most once: every transaction, nonce, bundle, withdrawal and message takes effect once at most, however often it was sent."""

from collections import defaultdict
from collections.abc import Iterator

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.checks.telling import place, short
from orchestrator.checks.verdict import CheckResult, CounterExample, judged

NAME, OF_WHAT = "at most once", "executed transactions"
_EFFECTS = {"MessageExecuted": "msgHash", "MessagePassed": "withdrawalHash"}
"""Events that may happen once for each name, with the argument that is the name."""


def check(facts: RunFacts) -> CheckResult:
    """Judge the chains as they are in the end."""
    if facts.observed is None:
        return judged(NAME, 0, OF_WHAT)
    found = [
        CounterExample((f"transaction {short(digest)} is there {len(places)} times", *map(place, places)))
        for digest, places in facts.placed.items()
        if len(places) > 1
    ]
    found += _nonces(facts)
    found += _bundles(facts)
    found += _effects(facts)
    found += _payments(facts)
    unknown = [f"{name} was not observed" for name in facts.unobserved]
    if facts.observed.l1 is None:
        unknown.append("l1 was not observed: nobody knows how often it paid")
    return judged(NAME, len(facts.placed), OF_WHAT, found, unknown=unknown)


def _nonces(facts: RunFacts) -> Iterator[CounterExample]:
    used: dict[tuple[str, str, int], list[Placed]] = defaultdict(list)
    for places in facts.placed.values():
        if not places[0].transaction.deposit:
            sent = places[0].transaction
            used[places[0].rollup, sent.sender, sent.nonce].append(places[0])
    for (rollup, sender, nonce), users in used.items():
        if len(users) > 1:
            first = f"nonce {nonce} of {sender} on {rollup} was used {len(users)} times"
            yield CounterExample((first, *map(place, users)))


def _bundles(facts: RunFacts) -> Iterator[CounterExample]:
    """A rollup runs the legs of a bundle in one block."""
    ran: dict[tuple[str, str], dict[int, Placed]] = defaultdict(dict)
    for places in facts.placed.values():
        for each in places:
            if each.transaction.bundle is not None:
                ran[each.rollup, each.transaction.bundle].setdefault(each.block, each)
    for (rollup, bundle), blocks in ran.items():
        if len(blocks) > 1:
            first = f"bundle {short(bundle)} ran in {len(blocks)} blocks of {rollup}"
            yield CounterExample((first, *map(place, blocks.values())))


def _effects(facts: RunFacts) -> Iterator[CounterExample]:
    happened: dict[tuple[str, str, str], list[Placed]] = defaultdict(list)
    for places in facts.placed.values():
        for each in places:
            for event in each.transaction.events:
                if event.name in _EFFECTS:
                    name = str(event.arguments[_EFFECTS[event.name]])
                    happened[each.rollup, event.name, name].append(each)
    for (_, event_name, name), where in happened.items():
        if len(where) > 1:
            yield CounterExample(
                (f"{event_name} {short(name)} happened {len(where)} times", *map(place, where))
            )


def _payments(facts: RunFacts) -> Iterator[CounterExample]:
    paid: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in facts.observed.l1.finalized if facts.observed and facts.observed.l1 else ():
        paid[one.rollup, one.withdrawal].append(f"l1 block {one.l1_block}: {short(one.l1_transaction)}")
    for (rollup, withdrawal), times in paid.items():
        if len(times) > 1:
            first = f"l1 finalized withdrawal {short(withdrawal)} of {rollup} {len(times)} times"
            yield CounterExample((first, *times))
