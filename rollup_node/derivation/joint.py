"""Joint derivation in a node that has one rollup: whether a bundle takes effect is agreed with the rollups that it touches.

The problem: L1 says which bundles a slot holds, but whether all legs of one succeed is seen only by executing all its rollups, and a node
has the engine of one. It must not take the sequencer's word: a lying one publishes a bundle of which a leg fails, and a node that looks
at its own legs alone would hold half of it for safe. The choice is *votes*: each node executes its own share and asks those that it
shares bundles with how theirs went, by the same rounds as the verifier (``derivation.verifier``) runs in one process. All have the same
slot and the same votes, so all come to the same end without anybody deciding it. Honest slots settle in the first round without
executing anything, since each node has the blocks already.

::

    slot ─► torn bundles go ─► own share executed ─► votes of the others ─► judge ─► settled
                                     ▲                                        │ a leg failed
                                     └─────────── without that bundle ◄───────┘

What a node votes is a fact about L1: votes are asked for by L1 block, slot and the bundles left out so far, and a node on another branch
of L1, or not yet there, has none. Until all are there the slot waits, and the safe head with it: nothing is called safe that may be
undone. A rollup that is down thus holds up the safe heads of those that it shares bundles with, never their new blocks.
Rejected: votes signed into the superbatch (needs no answers later, but a signature says nothing about which branch it was
made on); every node running the engines of the whole set (no waiting, at the price of all engines in every node).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from bridge.wire.atomic import LegResult, judge
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.slot import Block, Slot, slot_hash
from bridge.wire.wholeness import torn
from rollup_node.chain import Chain

ASK_S = 2.0
"""Longest wait for one answer of another node, seconds."""
VOTE = "rollup_vote"
"""Of a node's control listener."""

log = structlog.get_logger()

Results = Mapping[str, Sequence[LegResult]]
"""How the legs of each bundle went on one rollup, by bundle hash."""


@dataclass(frozen=True, slots=True)
class Place:
    """An L1 block; its hash stands for everything before it as well."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Word:
    """What a node says of a slot; one of the two is there."""

    results: Results | None = None
    """Its vote in the round that it was asked for."""
    settled: frozenset[str] | None = None
    """The bundles without effect, once it has come to the end."""

    def to_json(self) -> dict[str, Any]:
        """For the wire."""
        if self.results is None:
            return {"settled": sorted(self.settled or ())}
        legs = {
            bundle: [(leg.leg, leg.chain_id, leg.status) for leg in legs]
            for bundle, legs in self.results.items()
        }
        return {"results": legs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Word":
        """Inverse of :meth:`to_json`."""
        if "settled" in data:
            return cls(settled=frozenset(data["settled"]))
        return cls({bundle: [LegResult(*leg) for leg in legs] for bundle, legs in data["results"].items()})


class Peer(Protocol):
    """Another rollup's node."""

    async def vote(self, place: Place, slot: str, dropped: frozenset[str]) -> Word | None:
        """Its word on a slot; None if it has none yet, or does not answer."""
        ...


@dataclass(frozen=True, slots=True)
class RemotePeer:
    """A node behind its control listener. Fulfils :class:`Peer`."""

    client: Client

    async def vote(self, place: Place, slot: str, dropped: frozenset[str]) -> Word | None:
        """Ask once."""
        try:
            told = await self.client.call(
                VOTE, place.number, place.hash, slot, sorted(dropped), deadline=ASK_S
            )
            return None if told is None else Word.from_json(told)
        except (PeerUnreachable, RpcError, KeyError, TypeError, ValueError, AttributeError):
            return None


@dataclass(frozen=True, slots=True)
class Shared:
    """The part of a slot that cannot be judged apart: rollups tied together by bundles, seen from one of them."""

    order: tuple[str, ...]
    """Its whole bundles in global order."""
    others: tuple[int, ...]
    """Chain ids of the rollups tied to this one."""


def shared(slot: Slot, broken: Iterable[str], chain_id: int) -> Shared:
    """What a rollup shares in a slot. Pure."""
    touched: dict[str, set[int]] = {terms.bundle: set() for terms in slot.bundles}
    for block in slot.blocks:
        for part in block.payload.bundles:
            touched.setdefault(part.bundle, set()).add(block.chain_id)
    for bundle in broken:
        touched.pop(bundle, None)
    tied, grown = {chain_id}, True
    while grown:
        wider = tied.union(*(chains for chains in touched.values() if chains & tied))
        grown, tied = wider != tied, wider
    order = tuple(bundle for bundle, chains in touched.items() if chains & tied)
    return Shared(order, tuple(sorted(tied - {chain_id})))


@dataclass(slots=True)
class _Rounds:
    """One slot on its way to its end."""

    place: Place
    dropped: frozenset[str]
    votes: dict[frozenset[str], Results] = field(default_factory=dict)
    """This node's own, by the bundles left out."""


class Joint:
    """One node's part in judging the slots of its sequencing set.

    Args:
        chain: this node's.
        chain_id: its chain id.
        peers: the other rollups of the set, by chain id.
    """

    def __init__(self, chain: Chain, chain_id: int, peers: Mapping[int, Peer]) -> None:
        self._chain, self._chain_id, self._peers = chain, chain_id, peers
        self._rounds: dict[str, _Rounds] = {}
        self._ends: dict[str, tuple[Place, frozenset[str]]] = {}
        """Bundles without effect, by slot hash: of slots that have any, and of those of the L1 block being read."""
        self._passed: list[str] = []
        """Hashes of the L1 blocks of which every slot is settled, by number."""
        self._looked: tuple[tuple[Place, int], tuple[str, Mapping[str, str], Shared]] | None = None

    async def dropped(self, place: Place, slot: Slot, block: Block) -> frozenset[str] | None:
        """The bundles of a slot that take no effect; None while a vote is missing: ask again later.

        Args:
            place: the L1 block that holds the slot.
            slot: as L1 has it.
            block: this rollup's block in it.

        Raises:
            EngineFailed: the engine must be restarted.
        """
        if not slot.bundles and not block.payload.bundles:
            return frozenset()
        name, broken, mine = self._look(place, slot)
        end = self._chain.store.dropped.get((place.hash, name))
        if end is None and (not mine.order or self._chain.final(block.number, block.payload, broken)):
            end = frozenset(broken)  # had there been more, it would have been noted
        if end is None:
            rounds = self._rounds.setdefault(name, _Rounds(place, frozenset(broken)))
            end = await self._end(rounds, name, block, mine)
        if end is None:
            return None
        end |= frozenset(broken)
        if end and (place.hash, name) not in self._chain.store.dropped:
            self._chain.store.note_dropped(place.hash, name, end)
            for bundle in sorted(end):
                reason = broken.get(bundle, "a leg has no success")
                log.error("derivation.false_commit", slot=slot.number, bundle=bundle, reason=reason)
        self._rounds.pop(name, None)
        self._ends[name], self._looked = (place, end), None
        return end

    def vote(self, place: Place, slot: str, dropped: frozenset[str]) -> Word | None:
        """This node's word on a slot, as another node asks for it."""
        if slot in self._ends and self._ends[slot][0] == place:
            return Word(settled=self._ends[slot][1])
        if self._passed[place.number : place.number + 1] == [place.hash]:
            return Word(settled=frozenset())  # an honest slot; who asks knows himself what is torn
        rounds = self._rounds.get(slot)
        if rounds is None or rounds.place != place or dropped not in rounds.votes:
            return None
        return Word(results=rounds.votes[dropped])

    def passed(self, place: Place) -> None:
        """Every slot of an L1 block is settled."""
        self._passed.append(place.hash)
        self._ends = {name: end for name, end in self._ends.items() if end[1]}

    def rewind(self, number: int) -> None:
        """L1 was reorganised: forget everything after block ``number``."""
        del self._passed[number + 1 :]
        self._looked = None
        self._rounds = {name: r for name, r in self._rounds.items() if r.place.number <= number}
        self._ends = {name: end for name, end in self._ends.items() if end[0].number <= number}

    def _look(self, place: Place, slot: Slot) -> tuple[str, Mapping[str, str], Shared]:
        """Name, torn bundles and shared part of a slot; kept while it waits for votes, since it is asked for again and again."""
        if self._looked is None or self._looked[0] != (place, slot.number):
            broken = torn(slot)
            looked = (slot_hash(slot), broken, shared(slot, broken, self._chain_id))
            self._looked = ((place, slot.number), looked)
        return self._looked[1]

    async def _end(self, rounds: _Rounds, name: str, block: Block, mine: Shared) -> frozenset[str] | None:
        """Vote in round after round until nothing more must go; None while a vote is missing."""
        while True:
            dropped = rounds.dropped
            rounds.votes[dropped] = await self._chain.results(
                self._chain_id, block.number, block.payload, dropped
            )
            words = await asyncio.gather(
                *(self._peers[chain].vote(rounds.place, name, dropped) for chain in mine.others)
            )
            told = [word for word in words if word is not None]
            settled = next((word.settled for word in told if word.settled is not None), None)
            if settled is not None or len(told) < len(words):
                return settled
            votes = [rounds.votes[dropped], *(word.results or {} for word in told)]
            order = [bundle for bundle in mine.order if bundle not in dropped]
            verdict = judge(order, {b: [leg for vote in votes for leg in vote.get(b, ())] for b in order})
            if verdict.settled:
                return dropped
            rounds.dropped |= {abort.bundle for abort in verdict.aborted} | set(verdict.deferred)
