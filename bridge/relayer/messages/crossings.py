"""Messages between all rollups, from the withdrawal that carries one to its execution or refund.

::

    round:  read L1 ─► who is due? ─► facts ─► judge ─► journal and store ─► steps, each in a task of its own
              ▲                                                                │ replay, export: wait for the chain
              └──────────── a step that ended makes its message due ◄──────────┘

A message is looked at when a log says something of it (the rollups' are read beside their withdrawals), when its time has come, and every now and
then. What is done follows from facts alone; the journal is told only what has a log to point to, in the order of a message's life.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from bridge.l1.trouble import Trouble
from bridge.relayer.arrivals import L1Arrivals
from bridge.relayer.attempts import AGAIN_S, AT_ONCE, WAIT_S, Manner, attempt, trouble_of
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.messages.facts import Asked, gather
from bridge.relayer.messages.lifecycle import (
    FINISHED,
    Action,
    Done,
    State,
    Step,
    Wait,
    judge,
)
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.sightings import Sign
from bridge.relayer.messages.steps import MessageSteps
from bridge.relayer.messages.store import Crossing
from bridge.relayer.messages.telling import Teller
from bridge.relayer.retrying import Retry
from bridge.relayer.withdrawals import Withdrawals
from bridge.wire.clock import believed
from bridge.wire.crash_points import crash_point


class Crossings:
    """Relays messages between all rollups.

    Args:
        queue: of messages.
        arrivals: of what L1 says of them.
        rollups: their withdrawals, by chain id.
        steps: on all chains.
        teller: tells the journal.
        clock: L1's.
        manner: how.
    """

    def __init__(
        self,
        *,
        queue: CrossingQueue,
        arrivals: L1Arrivals,
        rollups: Mapping[int, Withdrawals],
        steps: MessageSteps,
        teller: Teller,
        clock: L1Clock,
        manner: Manner,
    ) -> None:
        self._queue, self._arrivals, self._rollups, self._steps = queue, arrivals, rollups, steps
        self._teller, self._clock, self._manner = teller, clock, manner
        self._room = asyncio.Semaphore(AT_ONCE)
        self._asked: set[str] = set()
        """Dead letters that somebody wants tried again."""
        self._reorganisations = clock.reorganisations
        self._everything_at = 0.0
        """When everything is looked at next, monotonic seconds."""
        self._trouble = Trouble("messages.wait", "messages.go_on")

    @property
    def trouble(self) -> str:
        """What keeps it from going on."""
        return self._trouble.reason

    async def run(self) -> None:
        """Relay for ever; chains may come and go."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._queue.stirred.clear()
                trouble = [await trouble_of(self._arrivals.read()), await self._round(tasks)]
                self._trouble.say("; ".join(filter(None, trouble)))
                try:
                    async with asyncio.timeout(self._manner.poll_s):
                        await self._queue.stirred.wait()
                    if any(trouble):
                        await asyncio.sleep(self._manner.poll_s)
                except TimeoutError:
                    pass

    def revive(self, digest: str) -> Crossing | None:
        """Try a message again, from the start of its failures; None if it isn't one that can still be relayed."""
        crossing = self._queue.open.get(digest)
        if crossing is None or crossing.state in FINISHED:
            return None
        self._asked.add(digest)
        self._queue.stir(digest)
        return _revived(crossing)

    # -- rounds

    async def _round(self, tasks: asyncio.TaskGroup) -> str:
        """Look at all that are due; gives the trouble that there was."""
        self._revive()
        now = believed(time.time())
        everything = (
            time.monotonic() >= self._everything_at or self._clock.reorganisations != self._reorganisations
        )
        self._reorganisations = self._clock.reorganisations
        due = [
            crossing
            for crossing in self._queue.open.values()
            if crossing.hash not in self._queue.working and (everything or self._is_due(crossing, now))
        ]
        if everything:
            self._everything_at = time.monotonic() + AGAIN_S
        if not due:
            return ""
        # What is stirred from here on is looked at again in the next round.
        self._queue.due.difference_update(crossing.hash for crossing in due)
        asked = [Asked(crossing.envelope, self._queue.calls(crossing.hash)) for crossing in due]
        gathered = await gather(self._steps.chains, asked)
        judged = []
        for crossing in due:
            facts = gathered.facts.get(crossing.hash)
            if facts is None:
                self._queue.due.add(crossing.hash)  # without a stir: at the next poll
            else:
                judged.append((crossing, *judge(crossing.envelope.valid_until, facts)))
        advanced = [await self._advance(*each) for each in judged]
        crash_point("relayer.message.told")
        self._queue.keep(advanced)
        crash_point("relayer.message.stored")
        self._act_on(
            [(crossing, step) for crossing, (_, _, step) in zip(advanced, judged, strict=True)], tasks
        )
        return "; ".join(gathered.trouble)

    def _revive(self) -> None:
        ready = [digest for digest in self._asked if digest not in self._queue.working]
        self._asked.difference_update(ready)
        self._queue.keep([_revived(each) for digest in ready if (each := self._queue.open.get(digest))])

    def _is_due(self, crossing: Crossing, now: float) -> bool:
        """Whether something may have to be done about it, as far as can be said without asking."""
        if crossing.hash in self._queue.due:
            return True
        if crossing.state is State.FAILED and self._is_late(crossing):
            return True
        if crossing.retry.dead or crossing.retry.not_before > now:
            return False
        return crossing.state in (State.FAILED, State.EXPIRED) or crossing.retry.not_before > 0

    def _is_late(self, crossing: Crossing) -> bool:
        rollup = self._rollups.get(crossing.envelope.destination)
        return rollup is not None and rollup.scanner.clock > crossing.envelope.valid_until

    async def _advance(self, crossing: Crossing, state: State, step: Step) -> Crossing:
        """The message in its new state, with all told that can be."""
        retry = crossing.retry
        if state is not crossing.state:
            # What expires has failed for the last time; its way back is another matter.
            fresh = state is State.EXPIRED and self._manner.relay_all
            retry = Retry() if fresh or not retry.dead else Retry(dead=True, reason=retry.reason)
        match step:
            case Wait(reason) if not retry.dead:
                retry = Retry(reason=reason)
            case Done():
                retry = Retry()
        crossing = replace(crossing, state=state, retry=retry)
        told = await self._teller.tell(crossing)
        if not told.complete:  # the withdrawal's own stages are not told yet
            self._queue.due.add(crossing.hash)
            self._rollups[crossing.envelope.source].stir(crossing.withdrawal)
        return replace(told.crossing, open=not _is_over(told.crossing, told.signs, complete=told.complete))

    # -- steps

    def _act_on(self, steps: Sequence[tuple[Crossing, Step]], tasks: asyncio.TaskGroup) -> None:
        now = believed(time.time())
        for crossing, step in steps:
            if isinstance(step, Wait | Done) or crossing.retry.dead or crossing.retry.not_before > now:
                continue
            self._queue.working.add(crossing.hash)
            tasks.create_task(self._act(crossing, step))

    async def _act(self, crossing: Crossing, step: Action) -> None:
        """Take one step and note how it went."""
        try:
            async with self._room:
                crash_point("relayer.message.acting")
                work = self._steps.take(crossing.envelope, step)
                retry = await attempt(work, crossing.retry, self._manner)
                crash_point("relayer.message.done")
        finally:
            self._queue.working.discard(crossing.hash)
        if retry.failures > crossing.retry.failures:
            self._teller.failed(crossing, retry)
        if not retry.failures and not retry.reason:
            # Should the chain not know of it yet, it is not asked as fast as it answers.
            retry = replace(retry, not_before=believed(time.time()) + WAIT_S)
        current = self._queue.open.get(crossing.hash)
        if current is not None:
            self._queue.keep([replace(current, retry=retry)])
            self._queue.stir(crossing.hash)


def _is_over(crossing: Crossing, signs: frozenset[Sign], *, complete: bool) -> bool:
    """Whether nothing is left to do or to tell."""
    if crossing.state in FINISHED:
        return complete and crossing.state in crossing.told
    # A rollup that is behind doesn't know what it sent; its log is what has to be gone.
    return crossing.state is State.DROPPED and Sign.FORWARDING not in signs


def _revived(crossing: Crossing) -> Crossing:
    return replace(crossing, retry=Retry(reason="asked for again"))
