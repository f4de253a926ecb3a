"""The load: streams of operations on a running devnet, each sent at its intended time whatever became of those before.

::

    async with Load(net, history, rate=20, seed=7) as load:
        …                                  # faults, phases
        await load.drain(30)               # no new operations; wait for the ends of those that are under way
    await observe(net)
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, Self

from bridge.wire.errors import PeerUnreachable, RpcError
from orchestrator.chains import ChainHandle, ChainReads
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.load.boards import Boards
from orchestrator.load.following import Following, Nonces
from orchestrator.load.history import History, Kind
from orchestrator.load.lanes import Lane, Lanes, split_users
from orchestrator.load.making import (
    deposit,
    one_of,
    strategy_bundle,
    transfer,
    transfer_bundle,
    withdrawal,
    within,
)
from orchestrator.load.onlooker import Onlooker
from orchestrator.load.schedule import BUNDLES, Mix, Work, arrivals
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies.errors import ResolutionError
from orchestrator.strategies.reading import read_seat
from orchestrator.topology.names import L1
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets
from orchestrator.waiting import eventually

LIFETIME_S = 20
"""How long an operation is sent again while nobody answers, and a bundle may wait for a slot, seconds."""
READY_S = 30.0
"""Longest wait for the first quotes and nonces, seconds."""
RETRY_S = 0.1
"""Between two questions for a nonce, seconds."""

_Step = Callable[[Lane, random.Random, int], Awaitable[Nonces]]


class UnfitForLoad(RollnetError):  # noqa: N818 - states what is so
    """The devnet cannot carry the load."""

    exit_code = 2


class Load:
    """An open-loop load, while its ``async with`` block lasts.

    Args:
        net: running.
        history: where everything goes.
        rate: bundles per second.
        mix: what else there is, for each bundle.
        seed: of what is drawn; intended times are relative to the beginning.
        lifetime_s: how long an operation may take to be taken, seconds.
        look: whether an onlooker watches the nodes.

    Raises:
        UnfitForLoad: fewer than three users.
    """

    def __init__(
        self,
        net: Devnet,
        history: History,
        *,
        rate: float,
        mix: Mix | None = None,
        seed: int = 0,
        lifetime_s: int = LIFETIME_S,
        look: bool = True,
    ) -> None:
        self._net, self._history, self._rate, self._seed = net, history, rate, seed
        self._mix, self._lifetime_s, self._look = mix or Mix(), lifetime_s, look
        self._following = Following(net, history, lifetime_s)
        self._sets = sequencing_sets(net.plan)
        self._plans = {one.node: within(net.plan, one.rollups) for one in self._sets}
        self._reads = ChainReads(net.rollups)
        self._boards = Boards(net.plan, net.rollups)
        self._contracts = deployments(net.plan).rollups
        self._background: list[asyncio.Task[None]] = []
        self._streams: list[asyncio.Task[None]] = []
        self._operations: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()
        try:
            users = split_users(net.plan.users)
        except ValueError as exc:
            raise UnfitForLoad(str(exc), "give the topology more accounts") from exc
        self._bundlers = {
            one.node: Lanes(Lane(user, tuple(r.name for r in one.rollups)) for user in users.bundles)
            for one in self._sets
        }
        self._singles = {name: Lanes(Lane(user, (name,)) for user in users.singles) for name in net.rollups}
        self.unmade: Counter[str] = Counter()
        """Strategies that could not be made, by the reason: a series that has expired, a maker that quotes nothing."""
        self._depositors = Lanes(Lane(user, (L1,)) for user in users.deposits)

    @property
    def in_flight(self) -> int:
        """Operations that a sequencer acknowledged and that have no end yet."""
        return self._following.in_flight

    @property
    def unfinished(self) -> int:
        """Operations that began and have no end yet; also those that wait for a lane."""
        return len(self._operations)

    async def __aenter__(self) -> Self:
        if self._mix.strategy and self._net.plan.market is not None:
            await eventually(self._boards.refresh, READY_S, "what the markets offer")
        group = await self._stack.enter_async_context(asyncio.TaskGroup())
        began = time.monotonic_ns()
        if self._look:
            onlooker = Onlooker(self._net, self._history)
            self._background.append(group.create_task(onlooker.run()))
        if self._boards.known:
            self._background.append(group.create_task(self._boards.keep()))
        for work in Work:
            if work is not Work.STRATEGY or self._boards.known:
                self._streams.append(group.create_task(self._stream(group, work, began)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._following.until = 0.0
        for task in (*self._streams, *self._background, *self._operations):
            task.cancel()
        await self._stack.__aexit__(kind, exc, trace)

    async def run(self, seconds: float) -> None:
        """Let it run for so long, then begin no more operations."""
        await asyncio.sleep(seconds)
        self.stop()

    def stop(self) -> None:
        """Begin no more operations; those that are under way go on, and the onlooker looks on."""
        for stream in self._streams:
            stream.cancel()

    async def drain(self, within_s: float) -> int:
        """Stop, and wait for the ends of operations; what has none in time is noted as ``info``.

        Returns:
            How many had none.
        """
        self.stop()
        if not self._operations:
            return 0
        _, left = await asyncio.wait(self._operations, timeout=within_s)
        self._following.until = 0.0
        if left:
            await asyncio.wait(left)
        return len(left)

    async def _stream(self, group: asyncio.TaskGroup, work: Work, began_ns: int) -> None:
        name = f"{self._seed}/{work}"
        for index, offset_s in enumerate(arrivals(self._rate * self._mix.share(work), name)):
            intended_ns = began_ns + int(offset_s * 1e9)
            await asyncio.sleep(max(0.0, (intended_ns - time.monotonic_ns()) / 1e9))
            rng = random.Random(f"{name}/{index}")
            task = group.create_task(self._operation(work, rng, intended_ns))
            self._operations.add(task)
            task.add_done_callback(self._operations.discard)

    async def _operation(self, work: Work, rng: random.Random, intended_ns: int) -> None:
        if work is Work.DEPOSIT:
            arriving: list[Coroutine[Any, Any, None]] = []
            await self._on_a_lane(self._depositors, self._deposit(arriving), Kind.DEPOSIT, rng, intended_ns)
            for arrival in arriving:
                await arrival
            return
        one = self._sets[rng.randrange(len(self._sets))]
        if work in BUNDLES:
            lanes, step, kind = self._bundlers[one.node], self._bundle(work, one), Kind.BUNDLE
        else:
            rollup = one.rollups[rng.randrange(len(one.rollups))].name
            lanes, step = self._singles[rollup], self._single(work, rollup)
            kind = Kind.WITHDRAWAL if work is Work.WITHDRAWAL else Kind.TRANSACTION
        await self._on_a_lane(lanes, step, kind, rng, intended_ns)

    async def _on_a_lane(
        self, lanes: Lanes, step: _Step, kind: Kind, rng: random.Random, intended_ns: int
    ) -> None:
        async with lanes.one() as lane:
            while lane.unsure and not self._following.over:
                if not await self._learn_nonces(lane):
                    await asyncio.sleep(RETRY_S)
            if self._following.over:
                self._never_sent(kind, intended_ns)
                return
            if await step(lane, rng, intended_ns) is Nonces.UNSURE:
                lane.doubt()

    def _never_sent(self, kind: Kind, intended_ns: int) -> None:
        """The schedule wanted it and it never began: that is noted too, or an outage would look smaller than it was."""
        self._history.fail(
            self._history.invoke(kind, "", (), intended_ns), "never sent: no account was free in time"
        )

    def _unmade(self, exc: ResolutionError, intended_ns: int) -> None:
        """There is nothing to be sent; that is noted too, so that the run says why so few strategies were tried."""
        self.unmade[exc.message] += 1
        self._history.fail(
            self._history.invoke(Kind.BUNDLE, "", (), intended_ns, work=Work.STRATEGY.value),
            f"never sent: {exc.message}",
        )

    def _bundle(self, work: Work, one: SequencingSet) -> _Step:
        async def step(lane: Lane, rng: random.Random, intended_ns: int) -> Nonces:
            plan, latest = self._plans[one.node], int(time.time()) + self._lifetime_s
            if work is Work.STRATEGY:
                try:
                    made = strategy_bundle(plan, lane, self._boards.known, rng, latest)
                except ResolutionError as exc:
                    self._unmade(exc, intended_ns)
                    return Nonces.FREE
            else:
                made = transfer_bundle(plan, lane, rng, latest)
            nonces = await self._following.bundle(made, self._net.sequencers[one.node], intended_ns)
            if nonces is Nonces.TAKEN:
                lane.taken(leg.chain for leg in made.legs)
            return nonces

        return step

    def _single(self, work: Work, rollup: str) -> _Step:
        async def step(lane: Lane, rng: random.Random, intended_ns: int) -> Nonces:
            where = one_of(self._net.plan.rollups, rollup)
            made = (withdrawal if work is Work.WITHDRAWAL else transfer)(where, lane, rng)
            chain, sequencer = self._net.rollups[rollup], self._net.sequencer_of(rollup)
            nonces = await self._following.transaction(made, chain, sequencer, intended_ns)
            if nonces is Nonces.TAKEN:
                lane.taken([rollup])
            return nonces

        return step

    def _deposit(self, arriving: list[Coroutine[Any, Any, None]]) -> _Step:
        """What is left to do once L1 has it goes into ``arriving``: that needs no account any more."""

        async def step(lane: Lane, rng: random.Random, intended_ns: int) -> Nonces:
            rollup = rng.choice(self._net.plan.rollups)
            made = deposit(self._net.plan, rollup, self._contracts[rollup.name].portal, lane, rng)
            sent = await self._following.deposit(made, intended_ns)
            if sent.on_l1:
                arriving.append(self._following.arrival(made, self._net.rollups[rollup.name], sent))
            if sent.nonces is Nonces.TAKEN:
                lane.taken([L1])
            return sent.nonces

        return step

    async def _learn_nonces(self, lane: Lane) -> bool:
        """Ask for what isn't known of a lane's chains."""
        for name in lane.unsure:
            chain: ChainHandle = self._net.l1 if name == L1 else self._net.rollups[name]
            try:
                if name != L1 and name not in lane.seats:
                    rollup = one_of(self._net.plan.rollups, name)
                    seat = await read_seat(self._reads, rollup, lane.account.address)
                    lane.seats |= {} if seat is None else {name: seat}
                answer = await chain.client.call("eth_getTransactionCount", lane.account.address, "pending")
            except (PeerUnreachable, RpcError, RollnetError):
                return False
            lane.nonces[name] = int(answer, 16)
        return True
