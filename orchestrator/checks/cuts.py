"""What L1 took back, and from where on: the one excuse for a chain or a log that is not what it was. Pure.

::

    L1 reorganises ─► its blocks from a number on are others ─► a log is cut at a slot ─► rollups go back behind that slot's blocks

An excuse reaches as far as the cut and no further: a slot below it, a block below the rewound head, a superbatch in an L1 block that stayed are
held to what they were. An L1 that makes no blocks takes nothing back.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.checks.observed import Observed
from orchestrator.checks.windows import ENDING, Window
from orchestrator.load.history import Sighting
from orchestrator.topology.names import L1
from orchestrator.topology.plan import Plan


@dataclass(frozen=True, slots=True)
class LogCut:
    """A sequencer took slots back."""

    node: str
    at_ns: int
    kept: int
    """So many slots, the first ones, stayed."""


@dataclass(frozen=True, slots=True)
class Rewind:
    """A rollup went back."""

    node: str
    at_ns: int
    head: int
    """The last block that stayed."""


@dataclass(frozen=True, slots=True)
class Reorganisation:
    """L1 changed its mind."""

    at_ns: int
    """When that was seen at the latest."""
    lowest: int
    """The lowest block that was seen to be another one; those below it stayed."""


def reorganisations(
    sightings: Iterable[Sighting], observed: Observed | None, told: Iterable[Reorganisation] = ()
) -> tuple[Reorganisation, ...]:
    """Every time that L1's blocks were seen to be others than before, in order of time.

    An onlooker sees L1's head several times in each of its blocks: a head that is not on the chain in the end, or a number with two hashes,
    was taken back. That is what happened, whatever a fault was meant to do.

    Args:
        sightings: of an onlooker.
        observed: the end of the run.
        told: by whoever made L1 change its mind, for blocks that came and went between two looks.
    """
    final = observed.l1.blocks if observed and observed.l1 else ()
    heads = [
        (one.answered_ns, *one.heads["latest"])
        for one in sightings
        if one.node == L1 and "latest" in one.heads
    ]
    found = list(told)
    known: dict[int, str] = {}
    for at_ns, number, digest in heads:
        gone = {each for each, name in known.items() if each > number or (each == number and name != digest)}
        if gone:  # what went with it is known from the end: those blocks below that are others there
            gone |= {each for each, name in known.items() if _other(final, each, name)}
            found.append(Reorganisation(at_ns, min(gone)))
            known = {each: name for each, name in known.items() if each not in gone}
        known[number] = digest
    lost = [number for number, name in known.items() if _other(final, number, name)]
    if lost and observed is not None:
        after = (at for at, number, name in heads if number > min(lost) and not _other(final, number, name))
        found.append(Reorganisation(min(after, default=observed.at_ns), min(lost)))
    return tuple(sorted(found, key=lambda one: one.at_ns))


def unseen_losses(sightings: Iterable[Sighting], windows: Iterable[Window]) -> list[Reorganisation]:
    """What an L1 that was ended may have forgotten without anybody having seen it: blocks that came after the last look before."""
    heads = [
        (one.answered_ns, one.heads["latest"][0])
        for one in sightings
        if one.node == L1 and "latest" in one.heads
    ]
    return [
        Reorganisation(
            window.begun_ns, max((number for at, number in heads if at <= window.begun_ns), default=-1) + 1
        )
        for window in windows
        if L1 in window.targets and window.kind in ENDING
    ]


def _other(final: tuple[str, ...], number: int, digest: str) -> bool:
    """Whether L1 has another block of a number in the end; what was not read is taken for the same."""
    return number < len(final) and final[number] != digest


def lag_ns(plan: Plan) -> int:
    """How long a node may still serve what L1 has taken back, nanoseconds.

    It looks at L1 several times in each block (:mod:`orchestrator.nodes`), and half a second at the longest; what it finds it has to undo.
    """
    return int((plan.l1.block_time_s + 1.5) * 1e9)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Everything that was taken back in a run.

    Args:
        logs: cuts of sequencers' logs.
        rewinds: of rollups; counted only where L1 went back or a log was cut, for a rollup that goes back by itself has no excuse.
        l1: reorganisations.
        lag_ns: see :func:`lag_ns`.
        sequencer_of: by rollup.
        last_kept: of each cut, the last block that stayed, by rollup: that of the last slot that stayed and had one.
    """

    logs: tuple[LogCut, ...] = ()
    rewinds: tuple[Rewind, ...] = ()
    l1: tuple[Reorganisation, ...] = ()
    lag_ns: int = 0
    sequencer_of: Mapping[str, str] = field(default_factory=dict)
    last_kept: Mapping[LogCut, Mapping[str, int]] = field(default_factory=dict)

    def slot(self, node: str, slot: int, since_ns: int, until_ns: int | None = None) -> bool:
        """Whether a slot was taken back after a moment, or so shortly before that a client may not have heard of it.

        Args:
            node: its sequencer.
            slot: its number.
            since_ns: when it was seen to be there.
            until_ns: when it was seen to be another one; None for the end of the run.
        """
        return any(
            one.node == node and one.kept <= slot and self._between(one.at_ns, since_ns, until_ns)
            for one in self.logs
        )

    def block(self, rollup: str, number: int, since_ns: int) -> bool:
        """Whether a block of a rollup was taken back after a moment; see :meth:`slot`."""
        if any(
            one.node == rollup and one.head < number and self._between(one.at_ns, since_ns, None)
            for one in self.rewinds
        ):
            return True
        node = self.sequencer_of.get(rollup)
        return any(
            one.node == node
            and self.last_kept.get(one, {}).get(rollup, 0) < number
            and self._between(one.at_ns, since_ns, None)
            for one in self.logs
        )

    def l1_block(self, number: int, since_ns: int, until_ns: int | None = None) -> bool:
        """Whether a block of L1 was taken back after a moment; see :meth:`slot`."""
        return any(one.lowest <= number and self._between(one.at_ns, since_ns, until_ns) for one in self.l1)

    def of_l1(self, since_ns: int, until_ns: int) -> Iterator[Reorganisation]:
        """Reorganisations between two moments, or shortly before."""
        return (one for one in self.l1 if self._between(one.at_ns, since_ns, until_ns))

    def _between(self, at_ns: int, since_ns: int, until_ns: int | None) -> bool:
        return at_ns + self.lag_ns >= since_ns and (until_ns is None or at_ns <= until_ns + self.lag_ns)


def kept_blocks(observed: Observed | None, cuts: tuple[LogCut, ...]) -> Mapping[LogCut, Mapping[str, int]]:
    """The last block of each rollup that stayed when a log was cut: slots that stayed then and are served in the end."""
    found: dict[LogCut, Mapping[str, int]] = {}
    for cut in cuts:
        # what a later cut took lies above it, or below and then that cut is the wider excuse
        seen = observed.sequencers.get(cut.node) if observed else None
        blocks: dict[str, int] = {}
        for slot in seen.slots[: cut.kept] if seen else ():
            for rollup, (number, _) in slot.blocks.items():
                blocks[rollup] = max(number, blocks.get(rollup, 0))
        found[cut] = blocks
    return found
