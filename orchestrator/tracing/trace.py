"""The values that the rest of the package works on: events grouped by message, and what was lost on the way.

A *message* is whatever has a way to go and an end: see :class:`Kind`. Its key is the ``bundle_id`` of its events, or their
``msg_id`` if they have none. Events with neither belong to a node, not to a message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.topology.names import L1
from orchestrator.tracing.errors import AmbiguousMessageError, UnknownMessageError

SHOWN_CANDIDATES = 5
"""How many hashes an error lists."""
MESSAGE_PREFIX = "message."
"""How every event about a message over the L1 bridge begins, the stages and the relayer's own such as ``message.retried``."""
OVER_THE_BRIDGE = "bridge"
"""Value of ``execution`` in the ``bundle.submitted`` of a strategy over the L1 bridge."""
OBSERVER = "relayer"
"""Role of the node that sees all chains, and tells of each what it saw there."""
WALLET_ATTRS = ("tx", "l2_tx", "withdrawal")
"""Attributes by which a user may know a message: transactions of its, and its withdrawal."""

_ON_L1: frozenset[str] = frozenset(
    {
        Stage.ADMITTED,
        Stage.DECIDED,
        Stage.MESSAGE_BATCHED,
        Stage.MESSAGE_PROPOSED,
        Stage.MESSAGE_PROVEN,
        Stage.MESSAGE_FINALIZED,
        Stage.MESSAGE_DEPOSITED,
    }
)
"""Stages that the observer sees on L1; the others it sees on a rollup."""


class Kind(StrEnum):
    """What a message is."""

    BUNDLE = "bundle"
    """An atomic bundle of one sequencer; its key is the bundle hash."""
    BRIDGED = "bridged"
    """A strategy over the L1 bridge, a bundle by escrow two-phase commit; its key is the strategy's id on L1. Its votes are messages
    whose stages it holds, each with the leg that votes. A kind of its own, because its times and those of a bundle are no one sample."""
    MESSAGE = "message"
    """From rollup to rollup over L1 (its key is the message's hash), or a withdrawal that carries nothing else (the withdrawal's hash)."""
    TRANSACTION = "transaction"
    """A single transaction; its key is the transaction hash."""

    @property
    def has_legs(self) -> bool:
        """Whether it is to happen on several rollups or nowhere."""
        return self in (Kind.BUNDLE, Kind.BRIDGED)


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the journals say about one message."""

    key: str
    """0x-hex; what it is the hash of says :class:`Kind`."""
    kind: Kind
    events: tuple[Event, ...]
    """Ordered by ``(mono_ns, node, boot, seq)``, each id once, so that the order of the files does not matter."""


@dataclass(frozen=True, slots=True)
class NodeJournal:
    """What one node's journal holds, over all its lives."""

    node: str
    role: str
    boots: int
    """Lives of the node; ``boots - 1`` restarts."""
    events: int
    lost: int
    """Numbers without a line: the line was torn, or the node was killed between reserving the number and the event."""


@dataclass(frozen=True, slots=True)
class TraceSet:
    """One run's journals, merged and grouped."""

    traces: Mapping[str, Trace]
    """By key, in order of each message's first event."""
    node_events: tuple[Event, ...]
    """Events that belong to no message (``node.started``, ``fault.kill``, …), ordered as in a trace."""
    journals: tuple[NodeJournal, ...]
    """By node name."""
    torn: Mapping[str, int]
    """Unreadable lines by journal file name; only files that have some."""


def event_order(event: Event) -> tuple[int, str, str, int]:
    """Total order of a run's events: the shared clock first, then the id, so that merging is deterministic."""
    return event.mono_ns, event.node, event.boot, event.seq


def site(event: Event) -> str:
    """Where it happened: the chain that an observer tells of, else the node that tells it."""
    if event.role != OBSERVER:
        return event.node
    return L1 if event.event in _ON_L1 else rollup_of(event)


def rollup_of(event: Event) -> str:
    """The rollup that it is about: the one that an observer names, else the node that tells it."""
    rollup = event.attrs.get("rollup") if event.role == OBSERVER else None
    return rollup if isinstance(rollup, str) else event.node


def group_events(events: Iterable[Event], torn: Mapping[str, int] | None = None) -> TraceSet:
    """Group events by message; pure, and independent of the order in which the events come.

    An event that appears twice with the same id (a journal copied beside itself) counts once.
    """
    by_message: dict[str, list[Event]] = {}
    bundles: set[str] = set()
    carried: set[str] = set()
    loose: list[Event] = []
    census: dict[str, _Census] = {}
    for event in events:
        if event.bundle_id is not None:
            key = event.bundle_id
            bundles.add(key)
            if _is_over_the_bridge(event):
                carried.add(key)
        elif event.msg_id is not None:
            key = event.msg_id
            if event.event.startswith(MESSAGE_PREFIX):
                carried.add(key)
        else:
            loose.append(event)
            key = None
        if key is not None:
            try:
                by_message[key].append(event)
            except KeyError:
                by_message[key] = [event]
        try:
            census[event.node].count(event)
        except KeyError:
            census[event.node] = _Census(event)
    traces = [
        Trace(key, _KINDS[key in bundles, key in carried], _ordered(found))
        for key, found in by_message.items()
    ]
    traces.sort(key=lambda trace: (trace.events[0].mono_ns, trace.key))
    return TraceSet(
        traces={trace.key: trace for trace in traces},
        node_events=_ordered(loose),
        journals=tuple(census[node].close() for node in sorted(census)),
        torn=dict(sorted((torn or {}).items())),
    )


def find_trace(traces: TraceSet, wanted: str) -> Trace:
    """The message with this hash, or with the only hash that starts so; ``0x`` and upper case are optional.

    A hash that is no message's key is also looked up among the transactions of the messages, their votes and their
    withdrawals, because that is what a wallet shows.

    Raises:
        UnknownMessageError: nothing fits.
        AmbiguousMessageError: several messages fit.
    """
    prefix = "0x" + wanted.strip().lower().removeprefix("0x")
    exact = traces.traces.get(prefix)
    if exact is not None:
        return exact
    fitting = [trace for key, trace in traces.traces.items() if key.lower().startswith(prefix)]
    if not fitting:
        fitting = [trace for trace in traces.traces.values() if _mentions(trace, prefix)]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        listed = ", ".join(trace.key for trace in fitting[:SHOWN_CANDIDATES])
        more = ", …" if len(fitting) > SHOWN_CANDIDATES else ""
        raise AmbiguousMessageError(
            f"{wanted!r} fits {len(fitting)} messages: {listed}{more}", "give more digits"
        )
    newest = ", ".join(list(traces.traces)[-SHOWN_CANDIDATES:])
    raise UnknownMessageError(
        f"no message of this run has a hash that starts with {prefix!r}",
        f"{len(traces.traces)} messages are journalled, the newest are {newest}"
        if newest
        else "nothing was submitted yet",
    )


class _Census:
    """Counts one node's lines while they pass."""

    __slots__ = ("_node", "_role", "_seen")

    def __init__(self, event: Event) -> None:
        self._node, self._role = event.node, event.role
        self._seen: dict[str, set[int]] = {event.boot: {event.seq}}

    def count(self, event: Event) -> None:
        try:
            self._seen[event.boot].add(event.seq)
        except KeyError:
            self._seen[event.boot] = {event.seq}

    def close(self) -> NodeJournal:
        return NodeJournal(
            node=self._node,
            role=self._role,
            boots=len(self._seen),
            events=sum(len(seen) for seen in self._seen.values()),
            lost=sum(max(seen) + 1 - len(seen) for seen in self._seen.values()),
        )


_KINDS = {
    (True, False): Kind.BUNDLE,
    (True, True): Kind.BRIDGED,
    (False, True): Kind.MESSAGE,
    (False, False): Kind.TRANSACTION,
}
"""By whether it is a bundle, and whether L1 carries it."""


def _is_over_the_bridge(event: Event) -> bool:
    """Whether only a strategy over the bridge has such an event: its submission, or the message that carries a vote."""
    if event.msg_id is not None and event.event.startswith(MESSAGE_PREFIX):
        return True
    return event.event == Stage.SUBMITTED and event.attrs.get("execution") == OVER_THE_BRIDGE


def _ordered(events: list[Event]) -> tuple[Event, ...]:
    events.sort(key=event_order)
    once = events[:1]
    for event in events[1:]:
        last = once[-1]
        if event.mono_ns != last.mono_ns or event.id != last.id:
            once.append(event)
    return tuple(once)


def _mentions(trace: Trace, prefix: str) -> bool:
    return any(
        str(found).lower().startswith(prefix)
        for event in trace.events
        for found in (event.msg_id, *map(event.attrs.get, WALLET_ATTRS))
        if found is not None
    )
