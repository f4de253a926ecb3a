"""Sees strategies over the bridge to their end: tells the journal of them, and does what nobody else has done.

::

    round:  read L1 for new ones ─► facts of all that are open ─► journal and store ─► judge ─► steps, each in a task of its own
              ▲                                                                              │ abort, send again, deliver, refund
              └────────────────────────── the next round reads what it achieved ◄────────────┘

Nothing depends on the keeper as long as all goes well, nor on what it remembers: what is to be done follows from the chains alone. It never gives
up, for somebody's money is locked; a step that fails is tried again at ever longer intervals.

A decision may be sent to a rollup more than once, by a keeper as by anybody: an escrow applies the first and ignores the rest, so that
costs gas and changes nothing. The keeper itself sends it again only when it is late (``lifecycle.LATE_S``): facts that a busy machine read too long
ago name an intention that its account has done already, and an account does each once.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace

from bridge.l1.trouble import Trouble
from bridge.relayer.attempts import AT_ONCE, WAIT_S, Manner, attempt, trouble_of
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.retrying import Retry
from bridge.relayer.strategies.arrivals import StrategyArrivals
from bridge.relayer.strategies.facts import Facts, Gatherer
from bridge.relayer.strategies.lifecycle import ENDS, Abort, Action, Count, Send, judge, state_of
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.steps import StrategySteps, key_of
from bridge.relayer.strategies.store import Kept
from bridge.relayer.strategies.telling import StrategyTeller
from bridge.wire.clock import believed
from bridge.wire.crash_points import crash_point

NEVER = 2**31
"""Failures in a row after which something is given up."""


class Keeper:
    """Keeps strategies over the bridge.

    Args:
        queue: of strategies.
        arrivals: fill it.
        gatherer: asks the chains.
        steps: on all chains.
        teller: tells the journal.
        clock: L1's.
        manner: how; without ``relay_all`` it only tells.
    """

    def __init__(
        self,
        *,
        queue: StrategyQueue,
        arrivals: StrategyArrivals,
        gatherer: Gatherer,
        steps: StrategySteps,
        teller: StrategyTeller,
        clock: L1Clock,
        manner: Manner,
    ) -> None:
        self._queue, self._arrivals, self._gatherer, self._steps = queue, arrivals, gatherer, steps
        self._teller, self._clock = teller, clock
        self._acts, self._manner = manner.relay_all, replace(manner, max_failures=NEVER)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._working: set[tuple[str, str]] = set()
        """Steps under way, by strategy and :func:`key_of`."""
        self._pushed: set[str] = set()
        """Transactions that the journal was told of."""
        self._retries: dict[tuple[str, str], Retry] = {}
        self._reorganisations = 0
        self._trouble = Trouble("strategies.wait", "strategies.go_on")

    @property
    def trouble(self) -> str:
        """What keeps it from going on."""
        return self._trouble.reason

    @property
    def counts(self) -> dict[str, int]:
        """How many strategies are open and finished."""
        return {"open": len(self._queue.open), "finished": self._queue.finished}

    async def run(self) -> None:
        """Keep for ever; chains may come and go."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                trouble = [await trouble_of(self._arrivals.read()), await trouble_of(self._round(tasks))]
                trouble += [f"chain {chain}: {why}" for chain, why in sorted(self._gatherer.silent.items())]
                self._trouble.say("; ".join(filter(None, trouble)))
                await asyncio.sleep(self._manner.poll_s)

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        if self._arrivals.reorganisations != self._reorganisations:
            self._reorganisations = self._arrivals.reorganisations
            self._gatherer.forget()
        strategies = self._queue.open
        if not strategies or self._clock.head is None:
            self._gatherer.silent.clear()
            return
        found = await self._gatherer.gather(strategies)
        for kept in strategies:
            facts = found.get(kept.id)
            if facts is None:
                self._queue.keep([self._teller.gone(kept)])
                continue
            told = await self._teller.tell(kept, facts)
            if told.complete and _is_over(facts):
                self._queue.keep([replace(told.kept, finished=True)])
                crash_point("relayer.strategy.ended")
            elif self._acts:
                self._act_on(told.kept, facts, judge(facts.standing, facts.sides, self._clock.now), tasks)

    def _act_on(self, kept: Kept, facts: Facts, actions: Sequence[Action], tasks: asyncio.TaskGroup) -> None:
        due = {(kept.id, key_of(action)): action for action in actions}
        for key in [key for key in self._retries if key[0] == kept.id and key not in due]:
            del self._retries[key]  # somebody did it, or it isn't needed any more
        now = believed(time.time())
        for key, action in due.items():
            if key not in self._working and self._retries.get(key, Retry()).not_before <= now:
                self._working.add(key)
                tasks.create_task(self._act(kept, facts, key, action))

    async def _act(self, kept: Kept, facts: Facts, key: tuple[str, str], action: Action) -> None:
        """Take one step and note how it went."""
        before = self._retries.get(key, Retry())
        try:
            async with self._room:
                crash_point("relayer.strategy.acting")
                retry = await attempt(self._take(kept, facts, action), before, self._manner)
        finally:
            self._working.discard(key)
        if not retry.failures and not retry.reason:
            # Should the chain not know of it yet, it is not done as fast as it answers.
            retry = replace(retry, not_before=believed(time.time()) + WAIT_S)
        self._retries[key] = retry
        self._gatherer.stale(kept.id)

    async def _take(self, kept: Kept, facts: Facts, action: Action) -> None:
        receipt = await self._steps.take(kept.id, facts.standing, action)
        crash_point("relayer.strategy.done")
        if receipt.hash in self._pushed:
            return  # done before; the chain took it back, and the account does it again by itself
        self._pushed.add(receipt.hash)
        on_l1 = isinstance(action, Abort | Send | Count)
        where = "l1" if on_l1 else "l2"
        self._teller.pushed(
            kept,
            type(action).__name__.lower(),
            None if isinstance(action, Abort) else action.chain_id,
            **{f"{where}_tx": receipt.hash, "gas": receipt.gas_used, "wei": receipt.wei},
        )


def _is_over(facts: Facts) -> bool:
    """Whether it has ended everywhere, in blocks that L1 holds."""
    locks = [side.lock for side in facts.sides.values() if side.lock is not None]
    if len(locks) < len(facts.sides) or state_of(facts.standing.decision, locks) not in ENDS:
        return False
    return all(
        chain_id in facts.rollups
        and max(each.block for each in facts.rollups[chain_id].history) <= facts.safe.get(chain_id, -1)
        for chain_id in facts.sides
    )
