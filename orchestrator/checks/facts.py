"""What is known of a stored run, as one frozen value: all that checkers ever look at."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import orjson

from bridge.wire.journal import Event
from orchestrator.checks.conduct import Conduct, read_conduct
from orchestrator.checks.cuts import (
    Cuts,
    LogCut,
    Reorganisation,
    Rewind,
    kept_blocks,
    lag_ns,
    reorganisations,
    unseen_losses,
)
from orchestrator.checks.expectations import Expectations, read_expectations
from orchestrator.checks.observed import FILE_NAME as OBSERVED
from orchestrator.checks.observed import Observed, StatusSeen, TransactionSeen, read_observed
from orchestrator.checks.windows import Phase, Window, fault_windows, phases
from orchestrator.errors import RollnetError
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import Kind, Operation, Sighting, read_history
from orchestrator.rundir import RunDirectory
from orchestrator.topology.errors import UnreadablePlan
from orchestrator.topology.plan import Plan
from orchestrator.topology.plan_json import plan_from_dict
from orchestrator.topology.sequencing import sequencing_sets
from orchestrator.tracing.collect import load_traces
from orchestrator.tracing.errors import NoJournalError
from orchestrator.tracing.trace import event_order
from orchestrator.verification import Verification


class NotARun(RollnetError):  # noqa: N818 - states what is so
    """The directory is not that of a run."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a transaction is."""

    rollup: str
    block: int
    index: int
    """Among the block's transactions, those of the system left out."""
    transaction: TransactionSeen


@dataclass(frozen=True)
class RunFacts:
    """Everything that is known of a run."""

    plan: Plan
    operations: tuple[Operation, ...] = ()
    """What clients asked for."""
    sightings: tuple[Sighting, ...] = ()
    """What an onlooker saw while it ran."""
    events: tuple[Event, ...] = ()
    """The journals of all nodes over all their lives, and of clients, in order of time."""
    observed: Observed | None = None
    """What the devnet served in the end; None if nobody looked."""
    rebuilt: Verification | str | None = None
    """The rollups again from what L1 holds, or why that could not be done; None if it was not tried."""
    expected: Expectations = field(default_factory=Expectations)
    """What the run was for."""
    conduct: Conduct | None = None
    """How the run went, by whoever conducted it; None if nobody did, as with a plain load."""
    torn: tuple[str, ...] = ()
    """Lines that could not be read, one sentence for each file."""
    damaged: int = 0
    """Lines of the history that were torn in its middle, where no writer died: what they said is missing."""

    @cached_property
    def zero_ns(self) -> int:
        """The run's first moment: counter-examples count their times from it."""
        moments = [one.intended_ns for one in self.operations[:1]] + [
            event.mono_ns for event in self.events[:1]
        ]
        return min(moments, default=0)

    @cached_property
    def sightings_before(self) -> tuple[Sighting, ...]:
        """Sightings from before the observation: what was seen later may be newer than what was observed."""
        if self.observed is None:
            return self.sightings
        moment = self.observed.at_ns
        return tuple(one for one in self.sightings if one.answered_ns <= moment)

    @cached_property
    def bundles(self) -> tuple[Operation, ...]:
        """Operations that are bundles and were sent."""
        return tuple(one for one in self.operations if one.kind is Kind.BUNDLE and one.id)

    @cached_property
    def cuts(self) -> Cuts:
        """What L1 took back: what was above the cut may have another end since, what was below may not."""
        told = [
            Reorganisation(event.mono_ns, int(event.attrs.get("lowest", 0)))
            for event in self.named("l1.reorganised")
        ]
        told += unseen_losses(self.sightings, self.windows)
        l1 = reorganisations(self.sightings, self.observed, told)
        # a cut that does not say how much stayed is one of everything
        logs = tuple(
            LogCut(event.node, event.mono_ns, int(event.attrs.get("slots", 0)))
            for event in self.named("log.cut")
        )
        rewinds = tuple(
            Rewind(event.node, event.mono_ns, int(event.attrs.get("head", 0)))
            for event in self.named("chain.rewound")
        )
        return Cuts(
            logs=logs,
            rewinds=rewinds if l1 or logs else (),
            l1=l1,
            lag_ns=lag_ns(self.plan),
            sequencer_of={
                rollup.name: one.node for one in sequencing_sets(self.plan) for rollup in one.rollups
            },
            last_kept=kept_blocks(self.observed, logs),
        )

    def taken_back(self, one: Operation) -> bool:
        """Whether L1 took back what a client had been told of an operation, so that it may have another end since."""
        if one.ended_ns is None:
            return False
        if one.kind is Kind.DEPOSIT:
            since = one.acknowledged_ns if one.acknowledged_ns is not None else one.ended_ns
            return self.cuts.l1_block(sys.maxsize if one.l1_block is None else one.l1_block, since)
        slots = {
            (event.node, slot)
            for event in self.events_of.get(one.id, ())
            if event.event == "bundle.decided" and isinstance(slot := event.attrs.get("slot"), int)
        }
        if one.slot is not None:
            slots.add((self.sequencer_of(one), one.slot))
        return any(self.cuts.slot(node, slot, one.ended_ns) for node, slot in slots)

    def sequencer_of(self, one: Operation) -> str:
        """The sequencer that orders an operation; empty for one that none does."""
        return next((node for leg in one.legs if (node := self.cuts.sequencer_of.get(leg.chain))), "")

    @cached_property
    def unobserved(self) -> tuple[str, ...]:
        """Rollups that nobody could look at in the end."""
        seen = self.observed.rollups if self.observed else {}
        return tuple(sorted(rollup.name for rollup in self.plan.rollups if rollup.name not in seen))

    @cached_property
    def unheard(self) -> tuple[str, ...]:
        """Sequencers that nobody could look at in the end."""
        seen = self.observed.sequencers if self.observed else {}
        return tuple(sorted({one.node for one in sequencing_sets(self.plan)} - seen.keys()))

    @cached_property
    def blocks_of_slots(self) -> Mapping[tuple[str, int], Mapping[str, int]]:
        """Number of each rollup's block, by sequencer and slot."""
        return {
            (name, slot.number): {rollup: number for rollup, (number, _) in slot.blocks.items()}
            for name, sequencer in (self.observed.sequencers.items() if self.observed else ())
            for slot in sequencer.slots
        }

    def beyond(self, one: Operation) -> str:
        """Where an operation that was decided should be, if the observation does not reach so far; empty if it does.

        Rollups are read before sequencers, and a rollup may lag behind its log: neither says that something is missing.
        """
        node, status = self.sequencer_of(one), self.statuses.get(one.id)
        slot = status.slot if status is not None and status.slot is not None else one.slot
        if self.observed is None or slot is None:
            return ""
        if node not in self.observed.sequencers:
            # whether the rollups were read so far can't be told; what its client has seen in blocks must be there all the same
            return f"slot {slot} of {node}, which was not observed" if one.reason else ""
        blocks = self.blocks_of_slots.get((node, slot))
        if blocks is None:
            return f"slot {slot} of {node}, which was not read"
        for name in sorted({leg.chain for leg in one.legs}):
            seen = self.observed.rollups.get(name)
            if seen is not None and blocks.get(name, 0) >= len(seen.blocks):
                return f"block {blocks[name]} of {name}, which was read up to {len(seen.blocks) - 1}"
        return ""

    @cached_property
    def statuses(self) -> Mapping[str, StatusSeen]:
        """What sequencers say in the end, by item."""
        found: dict[str, StatusSeen] = {}
        for sequencer in self.observed.sequencers.values() if self.observed else ():
            found |= {key: status for key, status in sequencer.statuses.items() if status is not None}
        return found

    @cached_property
    def placed(self) -> Mapping[str, tuple[Placed, ...]]:
        """Where transactions are on the rollups, by hash; more than one place is one too many."""
        found: dict[str, list[Placed]] = {}
        for rollup, seen in (self.observed.rollups if self.observed else {}).items():
            for block in seen.blocks:
                for index, transaction in enumerate(block.transactions):
                    place = Placed(rollup, block.number, index, transaction)
                    found.setdefault(transaction.hash, []).append(place)
        return {digest: tuple(places) for digest, places in found.items()}

    @cached_property
    def legs_of(self) -> Mapping[str, tuple[str, ...]]:
        """Transactions of the load's operations, by bundle or transaction."""
        return {one.id: tuple(leg.transaction for leg in one.legs) for one in self.operations if one.id}

    @cached_property
    def events_of(self) -> Mapping[str, tuple[Event, ...]]:
        """Journal events by bundle or message."""
        found: dict[str, list[Event]] = {}
        for event in self.events:
            key = event.bundle_id or event.msg_id
            if key is not None:
                found.setdefault(key, []).append(event)
        return {key: tuple(events) for key, events in found.items()}

    @cached_property
    def windows(self) -> tuple[Window, ...]:
        """Fault windows in order of time."""
        return fault_windows(self.events)

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Parts of the run, in order."""
        return phases(self.events)

    def named(self, event: str) -> tuple[Event, ...]:
        """Journal events of one name, in order of time."""
        return tuple(each for each in self.events if each.event == event)


def load_facts(run_dir: Path) -> RunFacts:
    """Read a run directory; nothing in it is changed.

    Raises:
        NotARun: it is not the directory of a run.
        UnreadableHistory, UnreadableObservation, UnreadableExpectations, UnreadableConduct: a file of it is damaged.
    """
    run = RunDirectory(run_dir)
    try:
        plan = plan_from_dict(orjson.loads(run.plan.read_bytes()))
    except (OSError, ValueError, TypeError, AttributeError, UnreadablePlan) as exc:
        raise NotARun(
            f"{run_dir} is not the directory of a run: its plan.json can't be read: {exc}",
            "give a run directory, such as <home>/runs/<topology>/latest",
        ) from exc
    recorded = read_history(run.path / HISTORY)
    events, torn = _journals(run_dir)
    if recorded.torn:
        torn[HISTORY] = recorded.torn
    return RunFacts(
        plan=plan,
        operations=recorded.operations,
        sightings=recorded.sightings,
        events=events,
        observed=read_observed(run.path / OBSERVED),
        expected=read_expectations(run.path),
        conduct=read_conduct(run.path),
        damaged=recorded.damaged,
        torn=tuple(f"{file}: {count} torn lines" for file, count in sorted(torn.items())),
    )


def _journals(run_dir: Path) -> tuple[tuple[Event, ...], dict[str, int]]:
    try:
        found = load_traces(run_dir)
    except NoJournalError:
        return (), {}
    events = [*found.node_events, *(event for trace in found.traces.values() for event in trace.events)]
    return tuple(sorted(events, key=event_order)), dict(found.torn)
