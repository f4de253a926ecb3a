"""Order: one log of slots without gaps, never two contents for one number, and every rollup applied a prefix of it.

A restarted sequencer goes on where its log ends: what it had served under a number is what it serves under it for ever, unless L1 took it back
(which its journal says). An onlooker's sightings hold it to that.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import pairwise

from bridge.wire.journal import Event
from bridge.wire.slot import GENESIS_PARENT
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import RollupSeen, SequencerSeen
from orchestrator.checks.telling import short, when
from orchestrator.checks.verdict import CheckResult, CounterExample, judged
from orchestrator.topology.sequencing import sequencing_sets

NAME, OF_WHAT = "order", "slots"


def check(facts: RunFacts) -> CheckResult:
    """Judge the logs of all sequencers over all their lives."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    found: list[CounterExample] = []
    seen = 0
    for name, sequencer in observed.sequencers.items():
        seen += len(sequencer.slots)
        found += _log(name, sequencer)
        found += _once(name, sequencer)
        found += _served(facts, name, sequencer)
        found += _applied(name, sequencer, observed.rollups)
    found += _journalled(facts)
    absent = [
        f"{one.node} was not observed"
        for one in sequencing_sets(facts.plan)
        if one.node not in observed.sequencers
    ]
    boots = {event.boot for event in facts.events if event.role == "sequencer"}
    notes = [f"{len(boots)} {'life' if len(boots) == 1 else 'lives'} of sequencers"] if boots else []
    if facts.cuts.logs:
        notes.append(f"L1 took slots back {len(facts.cuts.logs)} times")
    absent += [f"{name} was not observed: nobody knows which slots it applied" for name in facts.unobserved]
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=absent)


def _log(name: str, sequencer: SequencerSeen) -> Iterator[CounterExample]:
    for index, slot in enumerate(sequencer.slots):
        if slot.number != index:
            yield CounterExample((f"{name}: slot {slot.number} stands where slot {index} should",))
            return
    parents = [GENESIS_PARENT, *(slot.link for slot in sequencer.slots)]
    for parent, slot in zip(parents, sequencer.slots, strict=False):
        if slot.parent != parent:
            yield CounterExample(
                (
                    f"{name}: slot {slot.number} follows {short(slot.parent)}, the slot before it is {short(parent)}",
                )
            )
    for before, after in pairwise(sequencer.slots):
        if after.term < before.term or after.timestamp < before.timestamp:
            yield CounterExample(
                (
                    f"{name}: slot {after.number} goes back behind slot {before.number}",
                    f"terms {before.term}, {after.term}; timestamps {before.timestamp}, {after.timestamp}",
                )
            )


def _once(name: str, sequencer: SequencerSeen) -> Iterator[CounterExample]:
    decided: dict[str, list[str]] = defaultdict(list)
    for slot in sequencer.slots:
        for decision in slot.decisions:
            decided[decision.id].append(f"slot {slot.number}: {decision.outcome}")
    for key, decisions in decided.items():
        # a transaction that was dropped may be sent again, and then it is another try of the same bytes
        if len([one for one in decisions if not one.endswith("drop")]) > 1:
            yield CounterExample((f"{name}: {short(key)} was decided {len(decisions)} times", *decisions))


def _served(facts: RunFacts, name: str, sequencer: SequencerSeen) -> Iterator[CounterExample]:
    final = {slot.number: slot.hash for slot in sequencer.slots}
    for sighting in facts.sightings_before:
        if sighting.node != name:
            continue
        for slot in sighting.slots:
            now = final.get(slot.number)
            if now != slot.hash and not facts.cuts.slot(name, slot.number, sighting.answered_ns):
                what = "is not there any more" if now is None else f"has content {short(now)} now"
                yield CounterExample(
                    (
                        f"{name}: slot {slot.number} was served at {when(facts, sighting.answered_ns)}, and {what}",
                        f"its content was {short(slot.hash)}",
                    )
                )


def _applied(
    name: str, sequencer: SequencerSeen, rollups: Mapping[str, RollupSeen]
) -> Iterator[CounterExample]:
    last: dict[str, int] = {}
    for slot in sequencer.slots:
        for rollup, (number, digest) in slot.blocks.items():
            if number <= last.get(rollup, 0):
                yield CounterExample(
                    (f"{name}: slot {slot.number} has block {number} of {rollup} after block {last[rollup]}",)
                )
            last[rollup] = number
            blocks = rollups[rollup].blocks if rollup in rollups else ()
            if number < len(blocks) and blocks[number].hash != digest:
                yield CounterExample(
                    (
                        f"{rollup} has another block {number} than slot {slot.number} of {name} decided",
                        f"decided {digest}",
                        f"served  {blocks[number].hash}",
                    )
                )


def _journalled(facts: RunFacts) -> Iterator[CounterExample]:
    """What journals of all lives say was decided: one slot and one decision for each item, unless L1 took that slot back in between."""
    first: dict[str, Event] = {}
    for event in facts.named("bundle.decided"):
        key = event.bundle_id or event.msg_id
        if key is None or event.role != "sequencer":
            continue
        known = first.setdefault(key, event)
        if _said(known) == _said(event):
            continue
        slot = known.attrs.get("slot")
        again = (
            event.bundle_id is None and known.attrs.get("decision") == "abort"
        )  # a dropped one may be sent again
        cut = isinstance(slot, int) and facts.cuts.slot(event.node, slot, known.mono_ns, event.mono_ns)
        if again or cut:
            first[key] = event  # what came later holds from now on
            continue
        yield CounterExample(
            (
                f"{short(key)} was decided twice",
                f"slot {slot}: {known.attrs.get('decision')} ({known.id})",
                f"slot {event.attrs.get('slot')}: {event.attrs.get('decision')} ({event.id})",
            ),
            (known.id, event.id),
        )


def _said(event: Event) -> tuple[object, object]:
    return event.attrs.get("slot"), event.attrs.get("decision")
