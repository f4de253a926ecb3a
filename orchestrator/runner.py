"""The spine: one run of the main job, stage by stage.

::

    launch ─► commit ─► abort ─► load ─► kill ─► restart ─► drain ─► verify ─► report ─► down

Each stage is one method below, in this order, and says what it saw. ``verify`` trusts nobody's word: it asks every rollup
for the receipts of every leg of every acknowledged bundle, and the contracts for the positions.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.wire.keccak import to_hex
from bridge.wire.stages import Stage
from orchestrator.chains import ChainReads
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.report import write_report
from orchestrator.runtimes.choice import processes_unless_said
from orchestrator.strategies import presets
from orchestrator.strategies.model import Strategy
from orchestrator.strategies.resolve import ResolvedStrategy, resolve
from orchestrator.strategies.result import StrategyResult
from orchestrator.strategies.sampling import random_strategy, with_failing_leg
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import SHARED_SEQUENCER, Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.tracing import load_traces
from orchestrator.verdict import LegsOnChain, Verdict
from orchestrator.verification import Verification, live_sources, verify
from orchestrator.waiting import eventually

Tell = Callable[[str], None]
"""Takes one line for the human who watches."""

USERS = 4
"""Concurrent users of the load."""
LOAD_S = 4.0
"""Length of the load around the kill, seconds."""
DOWN_S = 0.5
"""How long the sequencer stays dead, seconds."""


@dataclass(slots=True)
class Run:
    """One run of the main job on a launched devnet."""

    net: Devnet
    tell: Tell
    seed: int
    _acknowledged: list[ResolvedStrategy] = field(default_factory=list)

    async def commit(self) -> StrategyResult:
        """An iron condor, one leg on each rollup, as one atomic bundle."""
        result = await self.net.run(self._condor())
        self.tell(
            f"iron condor: {result.outcome} in {result.latency_ms.get('end_to_end', 0):.0f} ms, net premium {_usd(result.profile.net_premium if result.profile else 0)} USD"
        )
        for leg in result.legs:
            self.tell(
                f"  {leg.placed.rollup:8} {leg.placed.leg.side} {leg.placed.leg.kind} {leg.placed.leg.strike / 1e6:g}: {leg.status}, premium {_usd(leg.premium)}"
            )
        return result

    async def abort(self) -> StrategyResult:
        """The same with a limit that one leg cannot meet: it must leave no trace on the other rollups."""
        before = await self._positions()
        result = await self.net.run(with_failing_leg(self._condor(), 2))
        traces = sum(
            1 for account, position in (await self._positions()).items() if position != before[account]
        )
        self.tell(f"iron condor with an impossible limit on leg 2: {result.outcome}: {result.reason}")
        if traces:
            raise RollnetError(
                f"the aborted bundle changed {traces} nonces",
                "this is a broken promise: keep the run directory",
            )
        self.tell("  nonces of the signer unchanged on all rollups: no trace")
        return result

    async def load_and_kill(self) -> tuple[int, float]:
        """Users run strategies; in the middle the sequencer dies by SIGKILL and comes back.

        Returns:
            Monotonic time of the kill, nanoseconds, and seconds from restart to the next decided slot.
        """
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as users:
            for user in range(USERS):
                users.create_task(self._user(user, stop))
            await asyncio.sleep(LOAD_S / 2)
            await self._until_in_flight()
            killed_ns = time.monotonic_ns()
            await self.net.node("sequencer").kill()
            self.tell("sequencer killed (SIGKILL) while bundles are in flight")
            await asyncio.sleep(DOWN_S)
            began = time.monotonic()
            await self.net.node("sequencer").restart()
            recovery = await self._next_slot(began)
            self.tell(f"sequencer is back and deciding after {recovery:.2f} s")
            await asyncio.sleep(LOAD_S / 2)
            stop.set()
        return killed_ns, recovery

    async def drain(self) -> None:
        """Wait until every acknowledged bundle has an end."""
        for resolved in self._acknowledged:
            await self.net.execution.finish(resolved)

    async def verify(self) -> tuple[LegsOnChain, ...]:
        """Look at every leg of every acknowledged bundle on its own rollup."""
        found = tuple([await self._on_chain(resolved) for resolved in self._acknowledged])
        counts = ", ".join(
            f"{count} {outcome}" for outcome, count in Counter(b.decided for b in found).items()
        )
        self.tell(f"{len(found)} acknowledged bundles: {counts}; partial: {sum(not b.whole for b in found)}")
        return found

    def _condor(self) -> Strategy:
        assert self.net.plan.market is not None, "the runner needs a market"
        return presets.build("iron_condor", self.net.plan.market)

    async def _positions(self) -> dict[str, int]:
        address = self.net.accounts[0].address
        counts = {
            name: await chain.rpc("eth_getTransactionCount", address, "latest")
            for name, chain in self.net.rollups.items()
        }
        return {name: int(count, 16) for name, count in counts.items()}

    async def _user(self, user: int, stop: asyncio.Event) -> None:
        rng = random.Random(f"{self.seed}/{user}")
        while not stop.is_set():
            strategy = random_strategy(self.net.plan, rng)
            try:
                resolved = await resolve(
                    strategy,
                    self.net.plan,
                    self.net.accounts[user + 1],
                    ChainReads(self.net.rollups),
                    max_timestamp=int(time.time()) + 20,
                    salt=rng.randbytes(32),
                )
                await self.net.execution.submit(resolved)
            except RollnetError:
                await asyncio.sleep(0.1)  # the sequencer is down: a user tries again, nothing was promised
                continue
            self._acknowledged.append(resolved)
            await self.net.execution.finish(resolved)

    async def _until_in_flight(self) -> None:
        async def waiting() -> bool:
            return bool((await self.net.sequencer.status())["waiting"])

        await eventually(waiting, 10, "a bundle in flight", every_s=0.002)

    async def _next_slot(self, began: float) -> float:
        slots = (await self.net.sequencer.status())["slots"]

        async def decided() -> bool:
            return bool((await self.net.sequencer.status())["slots"] > slots)

        await eventually(decided, 30, "a decided slot after the restart", every_s=0.01)
        return time.monotonic() - began

    async def _on_chain(self, resolved: ResolvedStrategy) -> LegsOnChain:
        digest = to_hex(resolved.bundle_hash)
        status = await self.net.sequencer.bundle(digest)
        executed = 0
        for leg, transaction in zip(resolved.legs, resolved.transaction_hashes, strict=True):
            receipt = await self.net.rollups[leg.rollup].receipt(to_hex(transaction))
            executed += receipt is not None and receipt["status"] == "0x1"
        return LegsOnChain(digest, status["status"] if status else "unknown", executed, len(resolved.legs))


def in_flight_at(run_dir: Path, moment_ns: int) -> int:
    """Acknowledged bundles without a durable end at a moment, by the journals.

    Args:
        run_dir: whose journals.
        moment_ns: monotonic nanoseconds.
    """
    count = 0
    for trace in load_traces(run_dir).traces.values():
        times: dict[str, int] = {}
        for event in trace.events:
            times.setdefault(event.event, event.mono_ns)
        admitted = times.get(Stage.ADMITTED)
        end = min((times[stage] for stage in (Stage.DECIDED, Stage.EXPIRED) if stage in times), default=None)
        count += admitted is not None and admitted < moment_ns and (end is None or end > moment_ns)
    return count


class UnfitTopology(RollnetError):  # noqa: N818 - named for what the user holds in hand
    """The topology is valid, and can't show what the run shows."""

    exit_code = 2


def require_fit(plan: Plan) -> None:
    """Refuse a devnet on which the run has nothing to do, before it is launched.

    Raises:
        UnfitTopology: it has no market, or no sequencer over all rollups.
    """
    hint = "use one like topologies/condor-quad.yaml"
    if plan.messaging.mode != SHARED_SEQUENCER:
        raise UnfitTopology(
            f"the run needs one sequencer over all rollups, and {plan.name} has messaging mode {plan.messaging.mode}",
            hint,
        )
    if plan.market is None:
        raise UnfitTopology(f"the run trades options, and {plan.name} has no market", hint)


async def main_job(
    topology: Path, tell: Tell, *, state: Path | None = None, runtime: str | None = None
) -> Verdict:
    """The whole run, from a topology file to a verdict; nothing is left running.

    Args:
        topology: a file.
        tell: told what is done, a line at a time.
        state: the state home.
        runtime: where nodes run; processes by default, unless the topology or the environment says otherwise.

    Raises:
        InvalidTopology: the file is wrong.
        UnfitTopology: the run needs what the devnet would not have.
        RollnetError: a stage could not be done.
    """
    plan = make_plan(load_topology(topology))
    require_fit(plan)
    began = time.monotonic()
    async with _launched(topology, tell, state, runtime or processes_unless_said(plan.runtime)) as net:
        run = Run(net, tell, net.plan.seed)
        committed = await run.commit()
        aborted = await run.abort()
        killed_ns, recovery = await run.load_and_kill()
        await run.drain()
        bundles = await run.verify()
        await _published(net)
        rebuilt = await _rebuilt(net, tell)
        in_flight = await asyncio.to_thread(in_flight_at, net.directory.path, killed_ns)
        _, paths = await asyncio.to_thread(write_report, net.directory.path)
    tell(f"devnet is down, {time.monotonic() - began:.1f} s in all")
    return Verdict(committed, aborted, bundles, in_flight, recovery, rebuilt, paths[0])


@contextlib.asynccontextmanager
async def _launched(topology: Path, tell: Tell, state: Path | None, runtime: str) -> AsyncIterator[Devnet]:
    def progress(node: str, what: Any, seconds: float) -> None:
        if what == "ready":
            tell(f"  {node} ready after {seconds:.2f} s")

    async with Devnet.launch(topology, state=state, progress=progress, runtime=runtime) as net:
        tell(f"{net.name}: l1, sequencer, {', '.join(net.rollups)} ready in {net.ready_s:.2f} s")
        yield net


async def _published(net: Devnet) -> None:
    """Wait until every slot that is decided by now is on L1, so that the report is whole."""
    decided = (await net.sequencer.status())["slots"]

    async def published() -> bool:
        return bool((await net.sequencer.status())["published_slots"] >= decided)

    await eventually(published, 30, f"{decided} slots published on L1", every_s=0.1)


async def _rebuilt(net: Devnet, tell: Tell) -> Verification:
    """Every rollup again in fresh engines, from what is on L1 now."""
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    tell(
        f"rebuilt from L1 alone: {sum(found.blocks.values())} blocks, {found.bundles} bundles, {found.verdict}"
    )
    return found


def _usd(amount: int | None) -> str:
    return "-" if amount is None else f"{amount / 1e6:,.2f}"
