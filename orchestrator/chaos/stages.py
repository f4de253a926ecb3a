"""The stages of a scenario on a launched devnet, one method each, in the order in which ``run`` calls them."""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from orchestrator.chaos.feed import Beats, DevnetFeed
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.lives import bring_back
from orchestrator.chaos.lookout import Lookout
from orchestrator.chaos.nemesis import Nemesis, Struck
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.load.load import Load
from orchestrator.runtimes.base import ALIVE, NodeState
from orchestrator.waiting import eventually

Tell = Callable[[str], None]
"""Takes one line for the human who watches."""

UP = ALIVE - {NodeState.PAUSED}
"""States of a node that is not to be brought back."""
RATE_S = 5.0
"""Between two lines about how the load fares."""


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
    lost: list[str] = field(default_factory=list)
    """Nodes that could not be brought back, and why."""

    def __post_init__(self) -> None:
        self.feed = DevnetFeed(self.net, tuple(Ground.of(self.plan.devnet).roles))

    async def warm_up(self) -> str:
        """Wait until the devnet is steady; returns why it is not, or nothing."""
        self.phase("warm-up")
        wanted = self.plan.steady

        async def steady() -> bool:
            self.feed.events()
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
            if time.monotonic() - began >= self.plan.repeat_s:
                return tuple(struck)
            await self.recover()
        raise AssertionError("counting never ends")

    async def heal_all(self) -> None:
        """Once more, now that nothing strikes: faults that overlapped may have hindered each other's heals."""
        if self.net.links is not None:
            await self.net.links.heal_all()
        for node in dict.fromkeys(node for fault in self.plan.faults for node in fault.targets):
            if (await self.net.node(node).status()).state not in UP:
                try:
                    healing = await bring_back(self.net, node)
                except RollnetError as exc:
                    self.lost.append(f"{node} did not come back: {exc.message}")
                    self.tell(f"LOST: {self.lost[-1]}")
                else:
                    self.tell(f"healed at last: {healing.evidence}")

    async def recover(self) -> None:
        """Until bundles commit again and the backlog is gone, or the scenario's patience is; the time is kept for the checks."""
        self.phase("recovery")
        wanted, pulse = self.plan.expect.recovery, self.feed.pulse
        began = time.monotonic()

        async def recovered() -> bool:
            self.feed.events()
            return pulse.last_commit_ns > self.healed_ns and not pulse.backlog(self.healed_ns)

        try:
            patience = max(wanted.first_commit_within, wanted.backlog_drained_within)
            await eventually(recovered, patience, "the recovery", every_s=0.02)
        except RollnetError:
            left = [identity for identity, since in pulse.waiting.items() if since < self.healed_ns]
            self.backlog = (
                f"{len(left)} acknowledged items have no end {patience:g} s after the last fault was healed",
                *left,
            )
            if not left:
                self.backlog = (f"no bundle committed in {patience:g} s after the last fault was healed",)
            self.tell(f"NOT recovered: {self.backlog[0]}")
        else:
            self.tell(
                f"recovered: bundles commit, the backlog is gone, {time.monotonic() - began:.2f} s after the last heal"
            )

    async def after(self) -> None:
        """Load without faults again."""
        self.phase("after")
        await asyncio.sleep(self.plan.settle.quiet)

    async def drain(self, load: Load) -> None:
        """No more load; what was acknowledged comes to its end."""
        self.phase("drain")
        left = await load.drain(self.plan.settle.drain_within)
        self.tell(
            "drained: every operation has an end"
            if not left
            else f"NOT drained: {left} operations have no end"
        )

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
