"""The stages of a scenario on a launched devnet, one method each, in the order in which ``run`` calls them.

A run that is *certainly wrong* does not wait for what will not come: a bundle was committed although a leg of it had failed, a sequencer does not
know what it acknowledged, nothing commits in the time that the scenario gives. The schedule goes on, so that every fault is seen; then patience is
short, and the checkers judge what there is.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.chaos.feed import Beats, DevnetFeed
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.healing import heal_all
from orchestrator.chaos.lookout import Lookout
from orchestrator.chaos.nemesis import Nemesis, Struck
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.checks import settle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.load.load import Load
from orchestrator.waiting import eventually

Tell = Callable[[str], None]
"""Takes one line for the human who watches."""

RATE_S = 5.0
"""Between two lines about how the load fares."""
LOOK_S = 0.02
"""Between two looks at a recovery, seconds."""
ASK_S = 0.5
"""Between two questions after an item that was acknowledged and has no end, seconds."""
SHORT_DRAIN_S = 3.0
"""Longest drain of a run that can't become valid any more, seconds."""


@dataclass(slots=True)
class Stages:
    """One scenario on a launched devnet."""

    plan: ScenarioPlan
    net: Devnet
    tell: Tell
    feed: DevnetFeed = field(init=False)
    beats: Beats = field(default_factory=Beats)
    healed_ns: int = 0
    """When the last fault was healed, monotonic nanoseconds."""
    backlog: tuple[str, ...] = ()
    """What was left of the backlog when patience was over; empty if nothing was."""
    lost: tuple[str, ...] = ()
    """Nodes that could not be brought back, and why."""
    stuck: tuple[str, ...] = ()
    """What else could not be undone in the end, and why."""
    wrong: str = ""
    """Why the run can't be valid any more; empty while it can."""

    def __post_init__(self) -> None:
        self.feed = DevnetFeed(self.net, tuple(Ground.of(self.plan.devnet).roles))

    async def warm_up(self) -> str:
        """Wait until the devnet is steady; returns why it is not, or nothing."""
        self.phase("warm-up")
        wanted = self.plan.steady

        async def steady() -> bool:
            self.feed.events()
            if self._broke_a_bundle():
                return True
            self.beats.take(await self.feed.heights(self.feed.chains))
            alive = self.beats.all_within(self.feed.chains, wanted.blocks_advance_within)
            return alive and self.feed.pulse.committed >= wanted.bundles_committed

        try:
            await eventually(steady, wanted.within, "a steady state", every_s=0.05)
        except RollnetError:
            still = [
                chain
                for chain in self.feed.chains
                if not self.beats.all_within([chain], wanted.blocks_advance_within)
            ]
            stalled = f", no block on {', '.join(still)}" if still else ""
            committed = f"{self.feed.pulse.committed} of {wanted.bundles_committed} bundles committed"
            return f"not steady after {wanted.within:g} s: {committed}{stalled}"
        if self.wrong:
            return f"never steady: {self.wrong}"
        self.tell(f"steady: {self.feed.pulse.committed} bundles committed, all chains make blocks")
        return ""

    async def baseline(self) -> None:
        """Load without faults."""
        self.phase("baseline")
        await asyncio.sleep(self.plan.baseline_s)

    async def schedule(self, lookout: Lookout) -> tuple[Struck, ...]:
        """All faults, each healed; again and again in a soak, each time after a recovery."""
        began, nemesis = time.monotonic(), Nemesis(self.net, lookout, self.tell)
        struck: list[Struck] = []
        for turn in itertools.count(1):
            lookout.begin()
            named = [
                fault if turn == 1 else replace(fault, name=f"{fault.name} #{turn}", seed=fault.seed + turn)
                for fault in self.plan.faults
            ]
            struck += await nemesis.run(named)
            self.healed_ns = max(one.healed_ns for one in struck)
            if time.monotonic() - began >= self.plan.repeat_s or self._broke_a_bundle():
                return tuple(struck)
            await self.recover()
            if self.wrong:
                return tuple(struck)
        raise AssertionError("counting never ends")

    async def heal_all(self) -> None:
        """Once more, now that nothing strikes; what can't be undone is told, and the rest is undone all the same."""
        healed = await heal_all(self.net, self.plan)
        self.lost, self.stuck = healed.lost, healed.stuck
        for line in healed.done:
            self.tell(f"healed at last: {line}")
        for line in (*healed.lost, *healed.stuck):
            self.tell(f"NOT healed: {line}")

    async def recover(self) -> None:
        """Until bundles commit again and the backlog is gone, or the scenario's patience is; the time is kept for the checks."""
        self.phase("recovery")
        wanted, pulse = self.plan.expect.recovery, self.feed.pulse
        patience = max(wanted.first_commit_within, wanted.backlog_drained_within)
        began = asked = time.monotonic()
        while True:
            self.feed.events()
            waited, left = time.monotonic() - began, self._left()
            commits = pulse.last_commit_ns > self.healed_ns
            if commits and not left:
                break
            if self._broke_a_bundle():
                return
            if commits and time.monotonic() - asked >= ASK_S:
                asked = time.monotonic()
                if await self._forgot(left):
                    return
            late = waited >= (patience if commits or not pulse.waiting else wanted.first_commit_within)
            if late:
                self._late(commits=commits, waited=waited, left=left)
                return
            await asyncio.sleep(LOOK_S)
        self.tell(f"recovered: bundles commit, the backlog is gone, {waited:.2f} s after the last heal")

    async def after(self) -> None:
        """Load without faults again; there is nothing to compare with it in a run that is wrong."""
        if self.wrong:
            return
        self.phase("after")
        await asyncio.sleep(self.plan.settle.quiet)

    async def drain(self, load: Load, *, steady: bool) -> None:
        """No more load; what was acknowledged comes to its end, unless there is no hope that it does."""
        self.phase("drain")
        patience = self.plan.settle.drain_within
        left = await load.drain(patience if steady and not self.wrong else min(patience, SHORT_DRAIN_S))
        self.tell(
            "drained: every operation has an end"
            if not left
            else f"NOT drained: {left} operations have no end"
        )
        for reason, count in load.unmade.items():
            self.tell(f"{count} strategies could not be made: {reason}")

    async def settle(self) -> None:
        """L1 comes along: what was decided is published and safe, and withdrawals that have little to wait for are paid."""
        if self.wrong:
            return
        self.phase("settle")
        left = await settle(self.net, self.plan.settle.drain_within)
        self.tell(f"NOT settled: {'; '.join(left)}" if left else "settled: L1 has what it is owed")

    def phase(self, name: str) -> None:
        """Say in the journal and to the human what begins."""
        self.net.journal.emit("phase.begun", phase=name)
        self.tell(f"── {name}")

    async def watch(self, load: Load) -> None:
        """Say now and then how the load fares."""
        committed, before = 0, time.monotonic()
        while True:
            await asyncio.sleep(RATE_S)
            now, total = time.monotonic(), self.feed.pulse.committed
            rate = (total - committed) / (now - before)
            committed, before = total, now
            self.tell(
                f"   {rate:.1f} bundles/s commit, {load.in_flight} in flight, {load.unfinished} without an end"
            )

    def _left(self) -> list[str]:
        """What was acknowledged before the last heal and has no end yet, the oldest first."""
        waiting = self.feed.pulse.waiting
        return sorted(
            (item for item, since in waiting.items() if since < self.healed_ns), key=waiting.__getitem__
        )

    def _late(self, *, commits: bool, waited: float, left: list[str]) -> None:
        self.wrong = (
            f"{len(left)} acknowledged items have no end {waited:.0f} s after the last fault was healed"
            if commits
            else f"no bundle committed in {waited:.0f} s after the last fault was healed"
        )
        self.backlog = (self.wrong, *left)
        self.tell(f"NOT recovered: {self.wrong}")

    def _broke_a_bundle(self) -> bool:
        """Whether a bundle was committed with a leg that failed: no run with one is valid, so nobody has to wait for more."""
        found = self.feed.pulse.false_commit
        if found and not self.wrong:
            self.wrong = f"bundle {found} was committed although a leg of it had failed"
            self.tell(f"WRONG: {self.wrong}")
        return bool(found)

    async def _forgot(self, left: Sequence[str]) -> bool:
        """Whether the sequencers do not know the oldest item that they acknowledged; nobody can give it an end any more."""
        if not left:
            return False
        try:
            for _ in range(2):  # between two slots it may be on its way from one table to another
                if await self.net.bundle(left[0]) is not None:
                    return False
                await asyncio.sleep(LOOK_S)
        except RollnetError:
            return False  # nobody knows
        self.wrong = f"{left[0]} was acknowledged, and no sequencer knows it"
        self.backlog = (self.wrong, *left)
        self.tell(f"WRONG: {self.wrong}")
        return True
