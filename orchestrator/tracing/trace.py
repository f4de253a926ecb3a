"""The values that the rest of the package works on: events grouped by message, and what was lost on the way.

A *message* is an atomic bundle (its key is the bundle hash) or a single transaction (its key is the transaction
hash). Events with neither belong to a node, not to a message.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from bridge.wire.journal import Event
from orchestrator.tracing.errors import AmbiguousMessageError, UnknownMessageError

SHOWN_CANDIDATES = 5
"""How many hashes an error lists."""


class Kind(StrEnum):
    """What a message is."""

    BUNDLE = "bundle"
    TRANSACTION = "transaction"


@dataclass(frozen=True, slots=True)
class Trace:
    """Everything the journals say about one message."""

    key: str
    """Bundle hash or transaction hash, 0x-hex."""
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


def group_events(events: Iterable[Event], torn: Mapping[str, int] | None = None) -> TraceSet:
    """Group events by message; pure, and independent of the order in which the events come.

    An event that appears twice with the same id (a journal copied beside itself) counts once.
    """
    by_message: dict[str, list[Event]] = {}
    bundles: set[str] = set()
    loose: list[Event] = []
    census: dict[str, _Census] = {}
    for event in events:
        if event.bundle_id is not None:
            key = event.bundle_id
            bundles.add(key)
        elif event.msg_id is not None:
            key = event.msg_id
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
        Trace(key, Kind.BUNDLE if key in bundles else Kind.TRANSACTION, _ordered(found))
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

    A hash that is no message's key is also looked up among the legs' transaction hashes, because that is what a
    wallet shows.

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
        for found in (event.msg_id, event.attrs.get("tx"))
        if found is not None
    )
