"""Blast radius: what no fault touches goes on as before.

A *bystander* of a fault is a node that neither it nor another fault of that time touches. Three things are held against what the same node
did before: it answers, a chain goes on making blocks, operations on rollups that were left alone come to their ends. Each is a series
of moments at which somebody saw it go on; what counts is the longest gap between two of them that falls into the fault's window, measured to
the next moment after the window's end: a window may be shorter than anybody's patience. Such a gap is a breach when it is longer than the run
allows (``silence``), and also when nothing at all was seen in the window and the gap is many times the longest one of before.

With a shared sequencer dead its rollups decide nothing, but they answer, and L1 takes deposits. A rollup that *hangs* holds the slot that is
under way for a while; its neighbours may stand for that long. Where nobody asked there is no silence to speak of.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.telling import event_of, operation, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.checks.windows import ENDING, Window
from orchestrator.load.history import Kind, Operation, Result, Sighting
from orchestrator.topology.names import L1
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets

NAME, OF_WHAT = "blast radius", "looks at nodes that no fault touched"
BEFORE_S = 5.0
"""Who did not answer in this time before a fault proves nothing during it, seconds."""
ENOUGH = 5
"""So many operations must have been sent to somebody who should go on, before their absence says anything."""
STEADY = 4
"""So many moments before a fault tell how often something is seen to go on."""
TIMES, SHORTEST_S = 4.0, 2.5
"""A gap that swallows a whole window is a breach from so many times the longest one of before on, and from so many seconds on."""
HANG_S = 6.0
"""How long a rollup that hangs may hold its neighbours, seconds: a slot waits five for it (``shared_sequencer.rollups``), and ends."""


_Moment = tuple[int, int]
"""When something was seen to go on, and since when it may have."""


@dataclass(frozen=True, slots=True)
class _Gap:
    """The longest time in which nobody saw something go on."""

    seconds: float
    usual_s: float
    """The longest one before the window."""
    whole: bool
    """Whether nothing was seen in the window at all."""
    since_ns: int

    def breaks(self, allowed_s: float, *, may_stand: bool) -> bool:
        """Whether it is too long.

        Args:
            allowed_s: what a run allows in any case, seconds.
            may_stand: whether a shorter one has a good reason.
        """
        if self.seconds > allowed_s + self.usual_s:
            return True
        return self.whole and not may_stand and self.seconds >= max(TIMES * self.usual_s, SHORTEST_S)


def check(facts: RunFacts) -> CheckResult:
    """Judge every fault's window."""
    found = list(_unasked_restarts(facts))
    notes: list[str] = []
    unknown: list[str] = []
    looks = 0
    by_node = _by_node(facts.sightings)
    chains = {L1, *(rollup.name for rollup in facts.plan.rollups)}
    for window in facts.windows:
        end = window.ended_ns or max((one.answered_ns for one in facts.sightings), default=window.begun_ns)
        for node in _apart(facts, window, by_node.keys()):
            mine = by_node.get(node, [])
            until = _until(facts, window, frozenset({node}), end)
            looks += sum(window.begun_ns <= one.answered_ns <= end for one in mine)
            if not mine:
                unknown.append(f"nobody looked at {node} during {window.name}")
            found += _silent(facts, window, node, mine, end, until)
            unknown += _doubtful(window, node, mine, end)
            if node in chains:
                found += _stood(facts, window, node, mine, end)
        for one in sequencing_sets(facts.plan):
            found += _stopped(facts, window, one, end, notes)
        found += _deposits(facts, window, end, notes)
    return judged(NAME, looks, OF_WHAT, found, notes=notes, unknown=dict.fromkeys(unknown))


def _by_node(sightings: Sequence[Sighting]) -> dict[str, list[Sighting]]:
    found: dict[str, list[Sighting]] = {}
    for one in sightings:
        found.setdefault(one.node, []).append(one)
    return found


def _apart(facts: RunFacts, window: Window, looked_at: Iterable[str]) -> list[str]:
    """Nodes that a window does not touch and that no other fault touches meanwhile."""
    nodes = set(looked_at if facts.expected.unaffected is None else facts.expected.unaffected)
    touched = {node for each in _meanwhile(facts, window) for node in each.nodes}
    return sorted(nodes - touched)


def _meanwhile(facts: RunFacts, window: Window) -> list[Window]:
    """The window and all that overlap it."""
    return [
        other
        for other in facts.windows
        if other.ended_ns is None or other.ended_ns >= window.begun_ns
        if window.ended_ns is None or other.begun_ns <= window.ended_ns
    ]


def _until(facts: RunFacts, window: Window, nodes: frozenset[str], end: int) -> int | None:
    """When a later fault touches one of some nodes: what happens then is not this window's doing."""
    later = (
        other.begun_ns
        for other in facts.windows
        if other.begun_ns > end and other is not window and other.nodes & nodes
    )
    return min(later, default=None)


def _silent(
    facts: RunFacts, window: Window, node: str, looks: Sequence[Sighting], end: int, until: int | None
) -> Iterator[CounterExample]:
    """A node that gave no answer for too long, or in the whole window although it was asked more than once."""
    before = [one for one in looks if window.begun_ns - BEFORE_S * 1e9 <= one.answered_ns < window.begun_ns]
    if any(one.error for one in before):
        return
    asked = [one for one in looks if window.begun_ns <= one.asked_ns <= end]
    mute = len(asked) > 1 and all(one.error for one in asked)
    for begun, ended in _silences(looks):
        if ended < window.begun_ns or begun > end:
            continue
        stop = ended if until is None else min(ended, until)
        seconds = (stop - begun) / 1e9
        if seconds > facts.expected.stall_s or mute:
            line = f"{node} gave no answer for {seconds:.1f} s during {window.name}, which did not touch it"
            yield CounterExample((line, f"silent since {when(facts, begun)}"), window.events)
            return


def _silences(looks: Sequence[Sighting]) -> Iterator[tuple[int, int]]:
    """From a look without an answer to the next answer, or to the last look; where nobody looks there is none."""
    begun: int | None = None
    for one in looks:
        if one.error:
            begun = one.asked_ns if begun is None else begun
        elif begun is not None:
            yield begun, one.answered_ns
            begun = None
        else:
            yield one.asked_ns, one.answered_ns
    if begun is not None:
        yield begun, looks[-1].answered_ns


def _doubtful(window: Window, node: str, looks: Sequence[Sighting], end: int) -> Iterator[str]:
    """A window with a single look that had no answer: it may be chance."""
    asked = [one for one in looks if window.begun_ns <= one.asked_ns <= end]
    if len(asked) == 1 and asked[0].error:
        yield f"{node} was asked once during {window.name}, and gave no answer"
    elif not asked and looks and (end - window.begun_ns) / 1e9 > SHORTEST_S:
        yield f"nobody looked at {node} during {window.name}"


def _stood(
    facts: RunFacts, window: Window, node: str, looks: Sequence[Sighting], end: int
) -> Iterator[CounterExample]:
    """A chain that made no block, if nothing explains it."""
    sequencer = facts.cuts.sequencer_of.get(node, L1)
    hinders = [each for each in _meanwhile(facts, window) if each.kind != "l1_stall"]
    if node != L1 and any(each.nodes & {sequencer, L1} for each in hinders):
        return
    highest, before = -1, 0
    grew: list[_Moment] = []
    for one in looks:
        if "latest" not in one.heads:
            continue
        if one.heads["latest"][0] > highest:
            highest = one.heads["latest"][0]
            grew.append((one.answered_ns, before))
        before = one.answered_ns
    last = max((one.answered_ns for one in looks if not one.error), default=0)
    around = frozenset({node, sequencer, L1})
    gap = _gap(grew, last, window, end, _until(facts, window, around, end))
    may_stand = _hangs(facts, window, node)
    allowed = facts.expected.stall_s + (HANG_S if may_stand else 0.0)
    if gap is not None and gap.breaks(allowed, may_stand=may_stand):
        lines = (
            f"{node} made no block for {gap.seconds:.1f} s during {window.name}, which did not touch it",
            f"since {when(facts, gap.since_ns)}; before, the longest time without one was {gap.usual_s:.1f} s",
        )
        yield CounterExample(lines, window.events)


def _gap(moments: Sequence[_Moment], last: int, window: Window, end: int, until: int | None) -> _Gap | None:
    """The longest gap that falls into a window; None if there is too little before it to compare with.

    Args:
        moments: at which something was seen to go on, ascending.
        last: until when somebody looked.
        window: of the fault.
        end: of the window.
        until: when something else begins to hinder it.
    """
    before = [moment for moment, _ in moments if moment <= window.begun_ns]
    if len(before) < STEADY:
        return None
    usual = max(after - earlier for earlier, after in pairwise(before))
    stop = last if until is None else min(last, until)
    rest = [
        (moment, since)
        for moment, since in moments
        if moment > window.begun_ns and (until is None or moment <= until)
    ]
    series = [before[-1], *(moment for moment, _ in rest)]
    if stop > series[-1]:
        series.append(stop)
    gaps = [(after - earlier, earlier) for earlier, after in pairwise(series) if earlier <= end]
    if not gaps:
        return None
    longest, since_ns = max(gaps)
    # what was seen right after the fault struck may have happened right before
    whole = not any(since >= window.begun_ns and moment <= end for moment, since in rest)
    return _Gap(longest / 1e9, usual / 1e9, whole, since_ns)


def _hangs(facts: RunFacts, window: Window, node: str) -> bool:
    """Whether another rollup of the same slots, or the way to it, may hang meanwhile."""
    neighbours = {
        name
        for name, sequencer in facts.cuts.sequencer_of.items()
        if sequencer == facts.cuts.sequencer_of.get(node) and name != node
    }
    return any(each.nodes & neighbours and each.kind not in ENDING for each in _meanwhile(facts, window))


def _stopped(
    facts: RunFacts, window: Window, one: SequencingSet, end: int, notes: list[str]
) -> Iterator[CounterExample]:
    """Work on the rollups that a window leaves alone, if it stopped all the same."""
    meanwhile = _meanwhile(facts, window)
    touched = {node for each in meanwhile for node in each.nodes}
    alone = {rollup.name for rollup in one.rollups} - touched
    stalled = all(each.kind == "l1_stall" for each in meanwhile if L1 in each.nodes)
    if one.node in touched or not stalled or not alone:
        return
    mine = [
        each
        for each in facts.operations
        if each.id and each.kind is not Kind.DEPOSIT and {leg.chain for leg in each.legs} <= alone
    ]
    sent = [each for each in mine if window.begun_ns <= each.invoked_ns <= end]
    done = sum(_ended(each) and each.ended_ns <= end for each in sent)  # type: ignore[operator] # it ended
    names = ", ".join(sorted(alone))
    if sent:
        notes.append(f"{window.name}: {done} of {len(sent)} operations on {names} that began meanwhile ended")
    if len(sent) < ENOUGH:
        return
    ends = sorted(
        (each.ended_ns, each.invoked_ns) for each in mine if _ended(each) and each.ended_ns is not None
    )
    last = max(each.ended_ns or each.invoked_ns for each in mine)
    nodes = frozenset({one.node, L1, *alone})
    gap = _gap(ends, last, window, end, _until(facts, window, nodes, end))
    may_stand = any(_hangs(facts, window, name) for name in alone)
    allowed = facts.expected.stall_s + (HANG_S if may_stand else 0.0)
    if gap is not None and gap.breaks(allowed, may_stand=may_stand):
        first = f"no operation on {names} ended for {gap.seconds:.1f} s during {window.name}, which did not touch them"
        lines = (first, f"{len(sent)} were sent meanwhile", operation(facts, sent[0]))
        yield CounterExample(lines, window.events)


def _ended(one: Operation) -> bool:
    """Whether a client learned of its end."""
    return one.result is Result.OK and one.ended_ns is not None


def _deposits(facts: RunFacts, window: Window, end: int, notes: list[str]) -> Iterator[CounterExample]:
    """Deposits while a fault lasts: L1 takes them, whoever else is dead; that they are executed afterwards is judged with all others."""
    if any(L1 in each.nodes or each.kind.startswith("l1_") for each in _meanwhile(facts, window)):
        return
    patience_s = facts.expected.stall_s + 3 * facts.plan.l1.block_time_s
    until = _until(facts, window, frozenset({L1}), end)
    taken = 0
    for one in facts.operations:
        if one.kind is not Kind.DEPOSIT or not one.id or not window.begun_ns <= one.invoked_ns <= end:
            continue
        given_up = one.ended_ns if one.acknowledged_ns is None else one.acknowledged_ns
        taken += one.acknowledged_ns is not None
        if one.result is Result.FAIL or given_up is None or (until is not None and given_up > until):
            continue
        if one.outcome != "reverted" and given_up - one.invoked_ns > patience_s * 1e9:
            first = f"L1 did not take a deposit for {(given_up - one.invoked_ns) / 1e9:.1f} s during {window.name}, which did not touch it"
            yield CounterExample((first, operation(facts, one)), (event_of(one), *window.events))
    if taken:
        notes.append(f"{window.name}: L1 took {taken} deposits meanwhile")


def _unasked_restarts(facts: RunFacts) -> Iterator[CounterExample]:
    """A node that began another life although no fault touched it."""
    lives = Counter(event.node for event in facts.named("node.started") if event.role != "client")
    touched = {node for window in facts.windows for node in window.nodes}
    for node, count in sorted(lives.items()):
        if count > 1 and node not in touched:
            told = tuple(event.id for event in facts.named("node.started") if event.node == node)
            yield CounterExample((f"{node} was started {count} times, and no fault touched it",), told)
