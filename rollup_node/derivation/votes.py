"""What nodes tell each other of a slot, and which of it is to be taken. Pure.

Nobody's word is better than what a node sees itself: a vote counts only if it tells of exactly the legs that the slot has on the voter's
rollup, and an end that another node tells only if it leaves out nothing that is not there, keeps nothing that had to go already, and
if no leg that stays fails here. What is refused is asked for again: a rollup that goes on lying holds up the safe heads of those that share
bundles with it, as one that is down does, and never makes them take half a bundle.

Two things stay a node's word alone. How its own legs went only it knows, as long as nobody else has its engine. And one that says that
*more* was left out than had to be can't be refuted by one that comes late: all legs of such a bundle may have succeeded, but who says
so is gone on. ``rollnet verify``, which runs all engines, finds both.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from bridge.wire.atomic import LegResult, Status, judge
from bridge.wire.slot import Slot

REASONS = 8
"""Failing legs of one block that are explained, and that a sentence names: an engine's trace takes its time, and liars have many."""
REASON_LENGTH = 200
"""Characters of a reason that go over the wire."""
_STATUSES = frozenset(get_args(Status))

Results = Mapping[str, Sequence[LegResult]]
"""How the legs of each bundle went on one rollup, by bundle hash."""


@dataclass(frozen=True, slots=True)
class Place:
    """An L1 block; its hash stands for everything before it as well."""

    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Word:
    """What a node says of a slot; one of the two is there. Torn bundles are never mentioned: whoever has the slot knows them."""

    results: Results | None = None
    """Its vote in the round that it was asked for."""
    settled: frozenset[str] | None = None
    """The bundles without effect, once it has come to the end."""

    def to_json(self) -> dict[str, Any]:
        """For the wire."""
        if self.results is None:
            return {"settled": sorted(self.settled or ())}
        legs = {
            bundle: [(leg.leg, leg.chain_id, leg.status, leg.reason[:REASON_LENGTH]) for leg in legs]
            for bundle, legs in self.results.items()
        }
        return {"results": legs}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Word":
        """Inverse of :meth:`to_json`."""
        if "settled" in data:
            return cls(settled=frozenset(data["settled"]))
        return cls({bundle: [LegResult(*leg) for leg in legs] for bundle, legs in data["results"].items()})


@dataclass(frozen=True, slots=True)
class Shared:
    """The part of a slot that cannot be judged apart: rollups tied together by bundles, seen from one of them."""

    order: tuple[str, ...]
    """Its whole bundles in global order."""
    others: tuple[int, ...]
    """Chain ids of the rollups tied to this one."""
    legs: Mapping[int, Mapping[str, tuple[int, ...]]]
    """Which legs of these bundles a rollup has, by chain id and bundle."""

    def refuses(self, word: Word, chain_id: int, dropped: Collection[str]) -> str:
        """Why another node's word can't be what an honest one says of this round; empty if it can."""
        if word.settled is not None:
            return self._refuses_end(word.settled, dropped)
        told, stay = word.results or {}, self.legs[chain_id].keys() - dropped
        if told.keys() != stay:
            return f"its vote is about {len(told)} bundles and has to be about {len(stay)}, none other"
        for bundle in stay:
            expected = [(leg, chain_id) for leg in self.legs[chain_id][bundle]]
            if [(leg.leg, leg.chain_id) for leg in told[bundle]] != expected:
                return f"its vote on bundle {bundle} is not about legs {[leg for leg, _ in expected]}"
            if not all(leg.status in _STATUSES and isinstance(leg.reason, str) for leg in told[bundle]):
                return f"its vote on bundle {bundle} is none of {', '.join(sorted(_STATUSES))}"
        return ""

    def _refuses_end(self, end: Collection[str], dropped: Collection[str]) -> str:
        unknown, kept = set(end) - set(self.order), set(dropped) - set(end)
        if unknown:
            return f"it leaves out {len(unknown)} bundles that the slot does not have"
        return f"it keeps bundle {min(kept)}, of which a leg fails" if kept else ""

    def next_round(self, votes: Iterable[Results], dropped: frozenset[str]) -> frozenset[str]:
        """What must be left out by everybody's votes; ``dropped`` itself if that is the end."""
        told = list(votes)
        order = [bundle for bundle in self.order if bundle not in dropped]
        verdict = judge(order, {b: [leg for vote in told for leg in vote.get(b, ())] for b in order})
        return dropped.union((abort.bundle for abort in verdict.aborted), verdict.deferred)


def shared(slot: Slot, broken: Iterable[str], chain_id: int) -> Shared:
    """What a rollup shares in a slot."""
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
    legs = {
        block.chain_id: {part.bundle: part.legs for part in block.payload.bundles if part.bundle in touched}
        for block in slot.blocks
        if block.chain_id in tied
    }
    return Shared(order, tuple(sorted(tied - {chain_id})), legs)


def failing(legs: Iterable[LegResult]) -> str:
    """Every leg that did not succeed, in words; of very many the first."""
    failed = sorted((leg for leg in legs if leg.status != "success"), key=lambda leg: leg.leg)
    told = [
        f"leg {leg.leg} on chain {leg.chain_id} is {leg.status}"
        + (f" ({leg.reason[:REASON_LENGTH]})" if leg.reason else "")
        for leg in failed[:REASONS]
    ]
    rest = len(failed) - len(told)
    return "; ".join(told) + (f"; and {rest} more" if rest else "")
