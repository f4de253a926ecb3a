"""What is known of a stored run, as one frozen value: all that checkers ever look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import orjson

from bridge.wire.journal import Event
from orchestrator.checks.expectations import Expectations, read_expectations
from orchestrator.checks.observed import FILE_NAME as OBSERVED
from orchestrator.checks.observed import Observed, StatusSeen, TransactionSeen, read_observed
from orchestrator.checks.windows import Phase, Window, fault_windows, phases
from orchestrator.errors import RollnetError
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import Kind, Operation, Sighting, read_history
from orchestrator.rundir import RunDirectory
from orchestrator.topology.errors import UnreadablePlan
from orchestrator.topology.names import L1
from orchestrator.topology.plan import Plan
from orchestrator.topology.plan_json import plan_from_dict
from orchestrator.tracing.collect import load_traces
from orchestrator.tracing.errors import NoJournalError
from orchestrator.tracing.trace import event_order
from orchestrator.verification import Verification

LAG_NS = 2_000_000_000
"""Each node reads L1 for itself: so long after one has gone back with L1 another may still serve what was."""


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
    torn: tuple[str, ...] = ()
    """Lines that could not be read, one sentence for each file."""

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
    def l1_moved(self) -> bool:
        """Whether L1 may have gone back: a fault touched it, or an onlooker saw it stand at a lower block than before."""
        if any(L1 in window.targets or window.kind.startswith("l1_") for window in self.windows):
            return True
        heights = [
            one.heads["latest"][0] for one in self.sightings if one.node == L1 and "latest" in one.heads
        ]
        return any(after < before for before, after in pairwise(heights))

    @cached_property
    def cuts_ns(self) -> tuple[int, ...]:
        """When L1 made a sequencer take slots back, or a rollup blocks: what was decided before may have another end since.

        A rollup that goes back by itself is no such thing: that counts only where a sequencer cut its log, or L1 itself went back.
        """
        cuts = [event.mono_ns for event in self.named("log.cut")]
        if cuts or self.l1_moved:
            cuts += [event.mono_ns for event in self.named("chain.rewound")]
        return tuple(sorted(cuts))

    @cached_property
    def reorganisations_ns(self) -> tuple[int, ...]:
        """When L1 changed its mind, whether or not anybody had built on what is gone: a safe head may go back then."""
        own = (window.begun_ns for window in self.windows if window.kind == "l1_reorg")
        return tuple(sorted([*self.cuts_ns, *own]))

    def cut_since(self, moment_ns: int) -> bool:
        """Whether L1 took something back after a moment, or so shortly before it that a node may not have read of it yet."""
        return bool(self.cuts_ns) and self.cuts_ns[-1] + LAG_NS >= moment_ns

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
        UnreadableHistory, UnreadableObservation: a file of it is damaged.
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
        torn=tuple(f"{file}: {count} torn lines" for file, count in sorted(torn.items())),
    )


def _journals(run_dir: Path) -> tuple[tuple[Event, ...], dict[str, int]]:
    try:
        found = load_traces(run_dir)
    except NoJournalError:
        return (), {}
    events = [*found.node_events, *(event for trace in found.traces.values() for event in trace.events)]
    return tuple(sorted(events, key=event_order)), dict(found.torn)
