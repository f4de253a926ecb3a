"""Recovery: once a fault is healed, what it broke works again, and in time.

::

    heal begins ─────► heal done ─────► …
    └── the clock ──── a bundle is sent ── and committed ──┤ that is the recovery

The clock starts when the heal *begins*: a node that takes ten seconds to come back has not recovered meanwhile. Only work counts that was sent
after that and decided after that; what had been under way shows nothing. While another fault lasts on the same sequencing set, or strikes
before the work is done, the clock starts when that one is healed.

Each part that a fault touched is judged by itself: a sequencing set by its bundles, a rollup by bundles with a leg on it, each by its
transactions or its deposits where nobody sends bundles; the relayer by what it has read of rollups' new blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.telling import when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.checks.windows import Window
from orchestrator.load.history import EFFECTIVE, Kind, Operation, Result
from orchestrator.topology.names import L1, MAKER, RELAYER
from orchestrator.topology.sequencing import sequencing_sets

NAME, OF_WHAT = "recovery", "healed faults"
RELAYER_S = 3.0
"""So long the relayer may take to read a block that is served, seconds, before it counts as not read."""
_BY_WHAT_FITS = (
    (frozenset({Kind.BUNDLE}), "bundle"),
    (frozenset({Kind.TRANSACTION, Kind.WITHDRAWAL}), "transaction"),
    (frozenset({Kind.DEPOSIT}), "deposit"),
)
"""What shows that a set works, the best first."""


@dataclass(frozen=True, slots=True)
class _Part:
    """Something that a fault broke, and that should work again."""

    name: str
    nodes: frozenset[str]
    """A fault of one of them hinders it."""
    rollups: frozenset[str]
    """Work counts that touches one of them; none for what is no sequencing set."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """Whether work was tried after a moment, and when the first of it was done."""

    what: str
    tried: bool
    done_ns: int | None


def check(facts: RunFacts) -> CheckResult:
    """Judge every fault that was healed."""
    found: list[CounterExample] = []
    unknown: list[str] = []
    notes: list[str] = []
    healed = [window for window in facts.windows if window.recovers_ns is not None]
    for window in healed:
        for part in _parts(facts, window):
            clock, seen = _recovered(facts, window, part)
            if clock is None or seen is None:
                notes.append(f"{window.name}: {part.name} was broken again, and not healed since")
                continue
            if seen.done_ns is None:
                line = (
                    f"no {seen.what} of {part.name} that was sent after the heal of {window.name} began at "
                    f"{when(facts, clock)} took effect"
                )
                if seen.tried:
                    found.append(CounterExample((line,), window.events))
                else:
                    unknown.append(f"nothing was asked of {part.name} after {window.name} was healed")
                continue
            took = (seen.done_ns - clock) / 1e9
            notes.append(f"{window.name}: the next {seen.what} of {part.name} was done after {took:.2f} s")
            budget = facts.expected.recovery_s
            if budget is not None and took > budget:
                found.append(CounterExample((f"{notes[-1]}, the budget is {budget:g} s",), window.events))
    unknown += [f"{window.name} was never healed" for window in facts.windows if window.recovers_ns is None]
    return judged(NAME, len(healed), OF_WHAT, found, notes=notes, unknown=unknown)


def _parts(facts: RunFacts, window: Window) -> Iterator[_Part]:
    """Everything that a window touched."""
    everywhere = L1 in window.nodes or window.kind.startswith("l1_")
    for one in sequencing_sets(facts.plan):
        names = frozenset(rollup.name for rollup in one.rollups)
        nodes = names | {one.node, L1}
        if everywhere or one.node in window.nodes:
            yield _Part(one.node, nodes, names)
        if len(names) > 1 or one.node not in window.nodes:
            for name in sorted(names & window.nodes):
                yield _Part(name, nodes, frozenset({name}))
    rollups = {rollup.name for rollup in facts.plan.rollups}
    if RELAYER in window.nodes:
        yield _Part(RELAYER, frozenset({RELAYER, L1}) | rollups, frozenset())
    if MAKER in window.nodes:
        yield _Part(MAKER, frozenset({MAKER}) | rollups, frozenset())


def _recovered(facts: RunFacts, window: Window, part: _Part) -> tuple[int | None, _Seen | None]:
    """When the clock starts for a part, and what was seen since; None and None if it was broken again for good."""
    others = [
        each
        for each in facts.windows
        if each is not window
        and (each.nodes & part.nodes or each.kind.startswith("l1_"))
        and each.bit is not False
    ]
    clock = window.recovers_ns
    while clock is not None:
        lasting = [
            each for each in others if each.begun_ns <= clock and (each.recovers_ns or clock + 1) > clock
        ]
        if lasting:
            clock = _last_end(lasting)
            continue
        seen = _seen(facts, part, clock)
        budget = facts.expected.recovery_s
        until = clock + int(budget * 1e9) if budget is not None else None
        until = seen.done_ns if until is None else min(until, seen.done_ns or until)
        struck = [
            each for each in others if clock < each.begun_ns and (until is None or each.begun_ns <= until)
        ]
        if not struck:
            return clock, seen
        clock = _last_end(struck[:1])
    return None, None


def _last_end(windows: Sequence[Window]) -> int | None:
    ends = [each.recovers_ns for each in windows]
    return None if None in ends else max(end for end in ends if end is not None)


def _seen(facts: RunFacts, part: _Part, clock: int) -> _Seen:
    if part.name == RELAYER:
        return _relayed(facts, clock)
    if part.name == MAKER:
        quoted = [event.mono_ns for event in facts.events if event.node == MAKER and event.mono_ns > clock]
        return _Seen("word", False, min(quoted, default=None))
    for kinds, word in _BY_WHAT_FITS:
        mine = [one for one in facts.operations if one.kind in kinds and _touches(facts, one, part)]
        if mine:
            after = [one for one in mine if one.invoked_ns > clock]
            done = [moment for one in after if (moment := _done_ns(facts, one)) is not None]
            return _Seen(word, bool(after), min((each for each in done if each > clock), default=None))
    return _Seen("bundle", False, None)


def _touches(facts: RunFacts, one: Operation, part: _Part) -> bool:
    if not one.id:
        return False
    if one.kind is not Kind.DEPOSIT:
        return any(leg.chain in part.rollups for leg in one.legs)
    deposits = facts.observed.l1.deposits if facts.observed and facts.observed.l1 else ()
    return any(each.rollup in part.rollups for each in deposits if each.l1_transaction == one.id)


def _done_ns(facts: RunFacts, one: Operation) -> int | None:
    """When an operation that took effect was decided: by the sequencer's journal, or else by what its client learned."""
    wanted = EFFECTIVE if one.kind is not Kind.BUNDLE else {"committed"}
    if one.result is not Result.OK or one.outcome not in wanted:
        return None
    decided = [
        event.mono_ns
        for event in facts.events_of.get(one.id, ())
        if event.event == "bundle.decided"
        and event.attrs.get("decision") == "commit"
        and not event.attrs.get("recovered")
    ]
    return min(decided, default=one.ended_ns)


def _relayed(facts: RunFacts, clock: int) -> _Seen:
    """The relayer works when it has read, of each rollup that goes on, a block that was not there before."""
    looks = [one for one in facts.sightings if one.node == RELAYER and one.answered_ns > clock]
    done: list[int | None] = []
    for rollup in facts.plan.rollups:
        heights = [
            (one.answered_ns, one.heads["latest"][0])
            for one in facts.sightings
            if one.node == rollup.name and "latest" in one.heads
        ]
        before = max((height for at, height in heights if at <= clock), default=-1)
        fresh = min((at for at, height in heights if at > clock and height > before), default=None)
        if fresh is None:
            continue
        read = min((one.answered_ns for one in looks if one.read.get(rollup.name, -1) > before), default=None)
        if read is not None or any(one.asked_ns > fresh + RELAYER_S * 1e9 for one in looks):
            done.append(read)
    last = [each for each in done if each is not None]
    return _Seen("look at a new block", bool(done), max(last) if done and len(last) == len(done) else None)
