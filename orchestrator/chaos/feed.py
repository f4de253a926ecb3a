"""What a running devnet tells of itself: its journals as they grow, and the heights of its chains when asked.

Whoever needs to know what was committed and what still waits asks the :class:`Pulse`, which has read the same journals; no node is asked,
so nothing is slowed down and a dead sequencer changes nothing about what is known.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.tracing.tail import Tail

HEIGHT_PATIENCE_S = 0.5
"""Longest wait for one chain's height, seconds: others must not wait for one that is frozen."""
REMEMBERED = 1_000
"""Commits that are held against legs whose journals are read later."""


@dataclass(slots=True)
class Pulse:
    """What has become of bundles, by the sequencers' journals."""

    committed: int = 0
    ended: int = 0
    last_commit_ns: int = 0
    """Monotonic nanoseconds; 0 before the first."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Acknowledged bundles and transactions without an end, with the time of their acknowledgement."""
    false_commit: str = ""
    """A bundle that was committed on the strength of a leg that had failed; empty while there is none."""
    _failed: set[str] = field(default_factory=set)
    """Legs that were staged in vain, by the id of that event."""
    _commits: deque[Event] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """The last commits: the journal of a leg may be read after that of the sequencer."""

    def take(self, events: Iterable[Event]) -> None:
        """Events in any order of files; an end that is read before its beginning counts all the same."""
        events = tuple(events)
        self._compare(events)
        ended = set()
        for event in events:
            identity = event.bundle_id or event.msg_id
            if identity is None:
                continue
            if event.event == Stage.ADMITTED:
                self.waiting[identity] = event.mono_ns
            elif event.event in (Stage.DECIDED, Stage.EXPIRED):
                ended.add(identity)
                if event.attrs.get("recovered"):
                    continue  # told again by a sequencer that came back
                self.ended += 1
                decided = event.event == Stage.DECIDED and event.attrs.get("decision") == "commit"
                if decided and event.bundle_id:  # a transaction that is included commits nothing
                    self.committed += 1
                    self.last_commit_ns = max(self.last_commit_ns, event.mono_ns)
        for identity in ended:
            self.waiting.pop(identity, None)

    def _compare(self, events: Iterable[Event]) -> None:
        """Hold commits against what became of their legs when they were staged."""
        commits = [
            event
            for event in events
            if event.event == Stage.DECIDED and event.bundle_id and event.attrs.get("decision") == "commit"
        ]
        failed = {
            event.id
            for event in events
            if event.event == Stage.LEG_STAGED and event.attrs.get("status") == "failed"
        }
        self._failed |= failed
        self._commits.extend(commits)
        for commit in self._commits if failed else commits:
            if not self._failed.isdisjoint(commit.cause):
                self.false_commit = self.false_commit or str(commit.bundle_id)

    def backlog(self, before_ns: int) -> int:
        """How many that were acknowledged before a moment still have no end."""
        return sum(since < before_ns for since in self.waiting.values())


class DevnetFeed:
    """The journals and chains of one devnet.

    Args:
        net: running; only journals of its nodes are read.
        nodes: their names.
    """

    def __init__(self, net: Devnet, nodes: Sequence[str]) -> None:
        self._chains: Mapping[str, ChainHandle] = {net.l1.name: net.l1, **net.rollups}
        self._tail = Tail(net.directory.journal_of(node) for node in nodes)
        self.pulse = Pulse()

    def events(self) -> Sequence[Event]:
        """What was journalled since the last call."""
        found = self._tail.poll()
        self.pulse.take(found)
        return found

    async def heights(self, chains: Sequence[str]) -> Mapping[str, int]:
        """Where chains stand; those that do not answer are left out."""
        async with asyncio.TaskGroup() as tasks:
            asked = {name: tasks.create_task(self._height(self._chains[name])) for name in chains}
        return {name: height for name, task in asked.items() if (height := task.result()) is not None}

    @property
    def chains(self) -> tuple[str, ...]:
        """All that have heights."""
        return tuple(self._chains)

    async def _height(self, chain: ChainHandle) -> int | None:
        try:
            async with asyncio.timeout(HEIGHT_PATIENCE_S):
                return int(await chain.client.call("eth_blockNumber"), 16)
        except (TimeoutError, PeerUnreachable, RpcError):
            return None


@dataclass(slots=True)
class Beats:
    """When each chain last made a block."""

    heights: dict[str, int] = field(default_factory=dict)
    advanced: dict[str, float] = field(default_factory=dict)
    """Monotonic seconds of the last growth that was seen."""

    def take(self, heights: Mapping[str, int]) -> None:
        """What the chains said."""
        for chain, height in heights.items():
            before = self.heights.get(chain)
            if before is not None and height > before:
                self.advanced[chain] = time.monotonic()
            self.heights[chain] = height

    def all_within(self, chains: Iterable[str], seconds: float) -> bool:
        """Whether each of them has made a block in the last so many seconds."""
        now = time.monotonic()
        return all(now - self.advanced.get(chain, float("-inf")) <= seconds for chain in chains)
