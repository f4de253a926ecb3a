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
undone. A rollup that is down thus holds up the safe heads of those that it shares bundles with, never their new blocks. All are asked at
once and beside the reading of L1 (:meth:`Joint.ask`), so one that hangs costs the others nothing. What others say is looked at before
it counts (``derivation.votes``).
Rejected: votes signed into the superbatch (needs no answers later, but a signature says nothing about which branch it was
made on); every node running the engines of the whole set (no waiting, at the price of all engines in every node).
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from bridge.wire.atomic import LegResult
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.slot import Block, Slot, slot_hash
from bridge.wire.wholeness import torn
from rollup_node.chain import Chain
from rollup_node.derivation.votes import Place, Results, Shared, Word, failing, shared

ASK_S = 2.0
"""Longest wait for one answer of another node, seconds."""
PATIENCE_S = 0.05
"""Between two questions to a node that has no word yet, seconds."""
VOTE = "rollup_vote"
"""Of a node's control listener, for those who show its voting token."""

log = structlog.get_logger()


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
class _Look:
    """What a slot is, seen from this rollup."""

    name: str
    """Hash of the slot."""
    broken: Mapping[str, str]
    """Why each torn bundle is."""
    mine: Shared


@dataclass(slots=True)
class _Rounds:
    """One slot on its way to its end; torn bundles are not mentioned."""

    place: Place
    look: _Look
    dropped: frozenset[str] = frozenset()
    votes: dict[frozenset[str], Results] = field(default_factory=dict)
    """This node's own, by the bundles left out."""
    words: dict[int, Word] = field(default_factory=dict)
    """The others' of the present round, by chain id."""
    failed: dict[str, list[LegResult]] = field(default_factory=dict)
    """How the legs of the bundles left out went, as far as anybody told."""
    refused: dict[int, str] = field(default_factory=dict)
    """Why a word was not taken, by chain id: it is asked for again, without hurry."""


class Joint:
    """One node's part in judging the slots of its sequencing set.

    Args:
        chain: this node's.
        chain_id: its chain id.
        peers: the other rollups of the set, by chain id.
    """

    def __init__(self, chain: Chain, chain_id: int, peers: Mapping[int, Peer]) -> None:
        self._chain, self._chain_id, self._peers = chain, chain_id, peers
        self.heard = asyncio.Event()
        """Set when a word has come that was waited for."""
        self._rounds: dict[str, _Rounds] = {}
        self._waits: _Rounds | None = None
        """The slot for which words are missing."""
        self._wake = {chain: asyncio.Event() for chain in peers}
        self._silent: set[int] = set()
        """Who has said that he has no word on what he is asked."""
        self._said = asyncio.Event()
        self._ends: dict[str, tuple[Place, frozenset[str]]] = {}
        """Whole bundles without effect, by slot hash: of slots that have any, and of those of the L1 block being read."""
        self._passed: list[str] = []
        """Hashes of the L1 blocks of which every slot is settled, by number."""
        self._looked: tuple[Place, int, _Look] | None = None

    async def dropped(self, place: Place, slot: Slot, block: Block) -> frozenset[str] | None:
        """The bundles of a slot that take no effect; None while a word is missing, which is then asked for: look again once one is :attr:`heard`.

        Args:
            place: the L1 block that holds the slot.
            slot: as L1 has it.
            block: this rollup's block in it.

        Raises:
            EngineFailed: the engine must be restarted.
        """
        if not slot.bundles and not block.payload.bundles:
            return frozenset()
        look = self._look(place, slot)
        broken = frozenset(look.broken)
        end = self._chain.store.dropped.get((place.hash, look.name))
        if end is None and (not look.mine.order or self._chain.final(block.number, block.payload, broken)):
            end = broken  # had there been more, it would have been noted
        rounds = None
        if end is None:
            rounds = self._rounds.setdefault(look.name, _Rounds(place, look))
            end = await self._end(rounds, block)
            if end is None:
                return None
        self._end_of(place, slot, look, end | broken, rounds.failed if rounds else {})
        return end | broken

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

    async def ask(self) -> None:
        """Ask for missing words, everybody at once, for ever; runs beside whoever reads L1."""
        self._silent.clear()
        await asyncio.gather(*(self._ask(chain, peer) for chain, peer in self._peers.items()))

    async def answered(self) -> bool:
        """Wait until a word has come, or everybody who is asked has said that he has none; whether one has."""
        while not self.heard.is_set() and self._missing() - self._silent:
            self._said.clear()
            await self._said.wait()
        return self.heard.is_set()

    def passed(self, place: Place) -> None:
        """Every slot of an L1 block is settled."""
        self._passed.append(place.hash)
        self._ends = {name: end for name, end in self._ends.items() if end[1]}

    def rewind(self, number: int) -> None:
        """L1 was reorganised: forget everything after block ``number``."""
        del self._passed[number + 1 :]
        self._looked = self._waits = None
        self._rounds = {name: r for name, r in self._rounds.items() if r.place.number <= number}
        self._ends = {name: end for name, end in self._ends.items() if end[0].number <= number}

    def _look(self, place: Place, slot: Slot) -> _Look:
        """What there is to judge; kept while the slot waits for words, since it is asked for again and again."""
        if self._looked is None or self._looked[:2] != (place, slot.number):
            broken = torn(slot)
            look = _Look(slot_hash(slot), broken, shared(slot, broken, self._chain_id))
            self._looked = (place, slot.number, look)
        return self._looked[2]

    async def _end(self, rounds: _Rounds, block: Block) -> frozenset[str] | None:
        """Go as far as the words that are there lead; None if one is missing."""
        mine = rounds.look.mine
        while True:
            own = await self._own(rounds, block, rounds.dropped)
            if any(chain not in rounds.words for chain in mine.others):
                self._want(rounds)
                return None
            votes = [own, *(self._vote_of(rounds, chain) for chain in mine.others)]
            wider = mine.next_round(votes, rounds.dropped)
            ends = {chain: word.settled for chain, word in rounds.words.items() if word.settled is not None}
            if ends:
                end, why = await self._told_end(rounds, block, set(ends.values()), wider)
                if not why:
                    self._waits = None
                    return end
                for chain in ends:
                    self._refuse(chain, rounds, f"the end that it tells can't be: {why}")
                    del rounds.words[chain]
                continue
            if wider == rounds.dropped:
                self._waits = None
                return wider
            for bundle in wider - rounds.dropped:
                rounds.failed[bundle] = [leg for vote in votes for leg in vote.get(bundle, ())]
            rounds.dropped = wider
            rounds.words.clear()
            self._silent.clear()

    def _vote_of(self, rounds: _Rounds, chain: int) -> Results:
        """Another's vote; who tells an end has found that all its legs succeed which that leaves."""
        word = rounds.words[chain]
        if word.results is not None:
            return word.results
        legs = rounds.look.mine.legs[chain].items()
        gone = rounds.dropped | (word.settled or frozenset())
        return {b: [LegResult(leg, chain, "success") for leg in own] for b, own in legs if b not in gone}

    async def _own(self, rounds: _Rounds, block: Block, dropped: frozenset[str]) -> Results:
        """This node's vote in a round."""
        if dropped not in rounds.votes:
            out = dropped.union(rounds.look.broken)
            rounds.votes[dropped] = await self._chain.results(
                self._chain_id, block.number, block.payload, out
            )
        return rounds.votes[dropped]

    async def _told_end(
        self, rounds: _Rounds, block: Block, ends: set[frozenset[str]], wider: frozenset[str]
    ) -> tuple[frozenset[str], str]:
        """The end that others have come to, and why it can't be.

        All have to tell the same, what the votes take out (``wider``) has to be out, and nothing that stays may fail here.
        """
        end = next(iter(ends))
        if len(ends) > 1:
            return end, "others tell another end"
        if not wider <= end:
            return end, f"it keeps bundle {min(wider - end)}, of which a leg fails"
        own = await self._own(rounds, block, end)
        lost = failing(leg for legs in own.values() for leg in legs)
        before = rounds.votes[rounds.dropped]
        for bundle in end - rounds.dropped:
            rounds.failed.setdefault(bundle, list(before.get(bundle, ())))
        return end, f"here {lost}" if lost else ""

    def _end_of(
        self,
        place: Place,
        slot: Slot,
        look: _Look,
        end: frozenset[str],
        failed: Mapping[str, Collection[LegResult]],
    ) -> None:
        """Remember how a slot ended, and say which of its bundles were no bundles."""
        if end and (place.hash, look.name) not in self._chain.store.dropped:
            self._chain.store.note_dropped(place.hash, look.name, end)
            for bundle in sorted(end):
                legs = failing(failed.get(bundle, ())) or "a leg has no success on another rollup"
                reason = look.broken.get(bundle, legs)
                log.error("derivation.false_commit", slot=slot.number, bundle=bundle, reason=reason)
        self._rounds.pop(look.name, None)
        self._ends[look.name], self._looked = (place, end.difference(look.broken)), None

    def _missing(self) -> set[int]:
        """Who is to be asked."""
        waits = self._waits
        return set() if waits is None else set(waits.look.mine.others) - waits.words.keys()

    def _want(self, rounds: _Rounds) -> None:
        if self._waits is not rounds:
            self._silent.clear()
        self._waits = rounds
        for chain in self._missing():
            self._wake[chain].set()

    async def _ask(self, chain: int, peer: Peer) -> None:
        """Ask one node whenever its word is missing."""
        while True:
            rounds = self._waits
            if rounds is None or chain not in self._missing():
                self._wake[chain].clear()
                await self._wake[chain].wait()
                continue
            if chain in rounds.refused:
                await asyncio.sleep(PATIENCE_S)
            dropped = rounds.dropped
            word = await peer.vote(rounds.place, rounds.look.name, dropped)
            if rounds is not self._waits or dropped != rounds.dropped:
                continue  # that is not the question any more
            refused = rounds.look.mine.refuses(word, chain, dropped) if word is not None else ""
            if refused:
                self._refuse(chain, rounds, refused)
            elif word is not None:
                rounds.words[chain] = word
                self.heard.set()
            else:
                self._silent.add(chain)
                self._said.set()
                await asyncio.sleep(PATIENCE_S)
            self._said.set()

    def _refuse(self, chain: int, rounds: _Rounds, why: str) -> None:
        """Its word counts for nothing; said once, however often it is repeated."""
        if rounds.refused.get(chain) != why:
            rounds.refused[chain] = why
            log.error("derivation.word_refused", rollup=chain, l1_block=rounds.place.number, reason=why)
        self._silent.add(chain)
