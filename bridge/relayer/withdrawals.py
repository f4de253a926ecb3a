"""One rollup's withdrawals, from its blocks to their end on L1.

::

    round:  read the rollup ─► who is due? ─► facts ─► judge ─► journal and store ─► steps, each in a task of its own
              ▲                                                                         │ prove, finalize: wait for L1
              └──────────────────── a step that ended makes its message due ◄───────────┘

Steps change nothing here but the record of failures. What a step achieved is read from L1 in the next round, the same way as what somebody else
achieved, so a relayer that is killed between any two lines finds itself where L1 says it is.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bridge.l1.account_store import Receipt
from bridge.l1.trouble import Trouble
from bridge.relayer.arrivals import Arrivals
from bridge.relayer.attempts import AGAIN_S, AT_ONCE, WAIT_S, Manner, attempt, trouble_of
from bridge.relayer.errors import OutputWrong
from bridge.relayer.facts import gather
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.lifecycle import Facts, Finalize, Output, Prove, State, Step, Wait, judge, reached
from bridge.relayer.portal import Standing, outcome
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import Retry
from bridge.relayer.steps import Steps, proof_key
from bridge.relayer.store import Checkpoint, Message
from bridge.wire.clock import believed
from bridge.wire.crash_points import crash_point
from bridge.wire.stages import Stage

_STAGES = {
    State.SENT: Stage.MESSAGE_SENT,
    State.BATCHED: Stage.MESSAGE_BATCHED,
    State.PROPOSED: Stage.MESSAGE_PROPOSED,
    State.PROVEN: Stage.MESSAGE_PROVEN,
    State.FINALIZED: Stage.MESSAGE_FINALIZED,
}


class Withdrawals:
    """Relays the withdrawals of one rollup.

    Args:
        queue: of the rollup.
        arrivals: fill it.
        steps: on L1.
        clock: L1's.
        manner: how.
    """

    def __init__(
        self, queue: Queue, arrivals: Arrivals, steps: Steps, clock: L1Clock, manner: Manner
    ) -> None:
        self._queue, self._arrivals, self._steps, self._clock = queue, arrivals, steps, clock
        self._manner = manner
        self.name, self.chain_id, self.scanner = queue.name, queue.chain_id, arrivals.scanner
        self._room = asyncio.Semaphore(AT_ONCE)
        self._asked: set[str] = set()
        """Dead letters that somebody wants tried again."""
        self._contradicted: set[str] = set()
        self._looked: tuple[int, Checkpoint | None] = (0, None)
        """L1's reorganisations and head when all that was due was looked at."""
        self._last_output: Output | None = None
        self._everything_at = 0.0
        """When everything is looked at next, monotonic seconds."""
        self._trouble = Trouble("rollup.waits", "rollup.goes_on", rollup=queue.name)

    @property
    def trouble(self) -> str:
        """What keeps it from going on."""
        return self._trouble.reason

    async def run(self) -> None:
        """Relay for ever; the rollup and L1 may come and go."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                self._queue.stirred.clear()
                # L1 goes on when the rollup is away
                trouble = [await trouble_of(self._arrivals.read()), await trouble_of(self._round(tasks))]
                self._trouble.say("; ".join(filter(None, trouble)))
                try:
                    async with asyncio.timeout(self._manner.poll_s):
                        await self._queue.stirred.wait()
                    if any(trouble):
                        await asyncio.sleep(self._manner.poll_s)
                except TimeoutError:
                    pass

    def stir(self, digest: str) -> None:
        """Look at a withdrawal soon: somebody knows more of it."""
        if digest in self._queue.open:
            self._queue.stir(digest)

    def revive(self, digest: str) -> Message | None:
        """Try a message again, from the start of its failures; None if it isn't one that can still be relayed."""
        message = self._queue.open.get(digest)
        if message is None:
            return None
        self._asked.add(digest)
        self._queue.stir(digest)
        return _revived(message)

    # -- rounds

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        self._revive()
        if self._clock.head is None:
            return
        if self._clock.reorganisations != self._looked[0]:
            self._queue.take_back_finalized()
            self._everything_at = 0.0
        seen, now = (self._clock.reorganisations, self._clock.head), believed(time.time())
        if seen == self._looked and not any(self._is_due(each, now) for each in self._queue.open.values()):
            return
        standing = await self._steps.portal.standing()
        everything = await self._outputs_changed(standing) or time.monotonic() >= self._everything_at
        due = [
            message
            for message in self._queue.open.values()
            if message.hash not in self._queue.working
            and (everything or self._is_due(message, now) or _is_covered(message, standing))
        ]
        await self._judge(due, standing, tasks)
        self._queue.due.difference_update(message.hash for message in due)
        self._last_output, self._looked = standing.last, seen
        if everything:
            self._everything_at = time.monotonic() + AGAIN_S

    def _revive(self) -> None:
        ready = [digest for digest in self._asked if digest not in self._queue.working]
        self._asked.difference_update(ready)
        self._queue.keep([_revived(each) for digest in ready if (each := self._queue.open.get(digest))])

    async def _outputs_changed(self, standing: Standing) -> bool:
        """Whether an output that was there is gone."""
        before, after = self._last_output, standing.last
        if before is None or before == after:
            return False
        if after is None or after.index < before.index:
            return True
        return (await self._steps.portal.outputs([before.index])).get(before.index) != before

    def _is_due(self, message: Message, now: float) -> bool:
        """Whether something may have to be done about it, as far as can be said without asking L1."""
        if message.hash in self._queue.working:
            return False
        if message.state is State.SENT:
            return self.scanner.safe >= message.block
        if message.hash in self._queue.due:
            return True
        if message.retry.dead or message.retry.not_before > now:
            return False
        if message.state is State.PROVEN:
            return self._clock.now >= message.ready_at
        return message.state is State.PROPOSED

    async def _judge(self, due: Sequence[Message], standing: Standing, tasks: asyncio.TaskGroup) -> None:
        facts = await gather(self._steps.portal, standing, due, self.scanner.safe, self._clock.now)
        judged = [(message, *judge(message.block, facts[message.hash])) for message in due]
        advanced = [await self._advance(*each, facts[each[0].hash]) for each in judged]
        crash_point("relayer.withdrawal.told")
        self._queue.keep(advanced, self._clock.head)
        crash_point("relayer.withdrawal.stored")
        now = believed(time.time())
        for message, (_, _, step) in zip(advanced, judged, strict=True):
            if (
                isinstance(step, Prove | Finalize)
                and not message.retry.dead
                and message.retry.not_before <= now
            ):
                self._queue.working.add(message.hash)
                tasks.create_task(self._act(message, step))

    async def _advance(self, message: Message, state: State, step: Step, facts: Facts) -> Message:
        """The message in its new state; the journal is told of each stage, whoever brought it about."""
        retry = message.retry
        if state is not message.state:
            retry = Retry(dead=retry.dead, reason=retry.reason if retry.dead else "")
        ready_at = 0
        if isinstance(step, Wait) and not retry.dead:
            ready_at = step.until
            later = (
                believed(time.time()) + WAIT_S
                if not ready_at and state in (State.PROPOSED, State.PROVEN)
                else 0.0
            )
            retry = replace(retry, reason=step.reason, not_before=max(retry.not_before, later))
        if state is State.FINALIZED:
            retry = Retry()
        before = message.told
        message = replace(message, state=state, ready_at=ready_at, retry=retry)
        if before is not None and before is not state and not reached(before, state):
            self._queue.emit("message.set_back", message, since=before, to=state)
            message = replace(message, told=state, success=None, proof_key="")
        for each in reached(message.told, state):
            message, attributes = await self._achieved(message, each, facts)
            told = self._queue.emit(_STAGES[each], message, **attributes)
            message = replace(message, told=each, cause=told)
        if isinstance(step, Prove):
            message = replace(message, proof_key=proof_key(message, step.replaces))
        return message

    async def _achieved(self, message: Message, state: State, facts: Facts) -> tuple[Message, dict[str, Any]]:
        """Details of a stage for the journal, and what of them is kept."""
        match state:
            case State.PROPOSED if facts.covering is not None:
                output = facts.covering
                return message, {"output": output.index, "root": output.root, "l2_block": output.block}
            case State.PROVEN if facts.proven is not None:
                own = await self._steps.proof_receipt(message)
                message = replace(message, proven_by=own.hash if own else "")
                return message, {"output": facts.proven.index, **_paid(own)}
            case State.FINALIZED:
                own = await self._steps.final_receipt(message)
                found = (own.hash, outcome(own, message.hash)) if own else None
                found = found or await self._steps.portal.finalized_in(message.hash) or ("", None)
                message = replace(message, finalized_by=found[0], success=found[1])
                return message, {"success": found[1], "l1_tx": found[0], **_paid(own)}
            case _:
                return message, {"block": message.block}

    # -- steps

    async def _act(self, message: Message, step: Prove | Finalize) -> None:
        """Take one step and note how it went."""
        try:
            async with self._room:
                crash_point("relayer.withdrawal.acting")
                retry = await attempt(self._take(message, step), message.retry, self._manner)
                crash_point("relayer.withdrawal.done")
        finally:
            self._queue.working.discard(message.hash)
        if retry.failures > message.retry.failures:
            event = "message.dead" if retry.dead else "message.retried"
            self._queue.emit(event, message, reason=retry.reason, failures=retry.failures)
        current = self._queue.open.get(message.hash)
        if current is not None:
            self._queue.keep([replace(current, retry=retry)])
            self._queue.stir(message.hash)

    async def _take(self, message: Message, step: Prove | Finalize) -> None:
        try:
            if isinstance(step, Prove):
                await self._steps.prove(message, step)
            else:
                await self._steps.finalize(message)
        except OutputWrong as exc:
            self._contradict(str(exc))
            raise

    def _contradict(self, why: str) -> None:
        """Say once what is wrong with an output."""
        if why not in self._contradicted:
            self._contradicted.add(why)
            self._queue.emit_plain("output.contradicted", reason=why)


def _is_covered(message: Message, standing: Standing) -> bool:
    last = standing.last
    return message.state is State.BATCHED and last is not None and last.block >= message.block


def _revived(message: Message) -> Message:
    return replace(message, retry=Retry(reason="asked for again"))


def _paid(receipt: Receipt | None) -> dict[str, Any]:
    """What this relayer paid for a stage; nothing if somebody else did it."""
    if receipt is None:
        return {"by": "other"}
    return {
        "by": "relayer",
        "l1_tx": receipt.hash,
        "l1_block": receipt.block_number,
        "gas": receipt.gas_used,
        "wei": receipt.wei,
    }
