"""The slot loop: select, stage, decide, commit.

One slot at a time. The decision is one write-ahead-log record; once it is on disk the slot is true, whoever dies next: rollup nodes that were
told open their gates, the others find it in the log. Nothing is served, and no status says ``committed``, before.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import structlog

from bridge.wire.clock import believed
from bridge.wire.crash_points import crash_point
from bridge.wire.deposits import decode_deposit
from bridge.wire.derivation import ForcedBlock
from bridge.wire.journal import Journal, subject
from bridge.wire.keccak import from_hex
from bridge.wire.slot import Block, BundleTerms, Decision, Slot
from bridge.wire.stages import Stage
from shared_sequencer.errors import RollupDown
from shared_sequencer.l1 import L1View, deposit_gas
from shared_sequencer.mempool import End, Item, Mempool
from shared_sequencer.ordering import Policy, Selection, select
from shared_sequencer.rollups import Rollup
from shared_sequencer.slot_log import SlotLog
from shared_sequencer.staging import Round, Staged, stage_slot
from shared_sequencer.wal import WriteAheadLog

L1_PATIENCE = 0.05
"""Between two looks at an L1 that does not let slots begin, seconds."""

log = structlog.get_logger()


class Sequencer:
    """Turns waiting items into decided slots."""

    def __init__(
        self,
        *,
        term: int,
        slot_s: float,
        rollups: Sequence[Rollup],
        mempool: Mempool,
        slots: SlotLog,
        l1: L1View,
        wal: WriteAheadLog,
        journal: Journal,
        policy: Policy,
    ) -> None:
        self.term = term
        self._slot_s = slot_s
        self._rollups = {rollup.chain_id: rollup for rollup in rollups}
        self._mempool, self._slots, self._wal, self._journal, self._policy = (
            mempool,
            slots,
            wal,
            journal,
            policy,
        )
        self._l1 = l1
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    async def run(self) -> None:
        """Run slots for ever, at most one every ``slot_s``.

        Raises:
            WalFailed: a decision could not be made durable.
        """
        last = -self._slot_s
        while True:
            await self._work(last)
            last = time.monotonic()
            async with self._slots.deciding:
                await self.slot()

    async def slot(self) -> Slot | None:
        """One slot; None if there was nothing to decide."""
        if not self._l1.ready:
            return None
        timestamp = self._timestamp()
        up = {chain for chain, rollup in self._rollups.items() if rollup.up}
        epochs = {chain: self._l1.epoch(chain, timestamp) for chain in up}
        selection = select(
            self._policy.order(self._mempool),
            next_nonce=self._mempool.next_nonce,
            gas_limits={chain: self._rollups[chain].gas_limit - deposit_gas(epochs[chain]) for chain in up},
            up={chain for chain in up if not self._l1.late(epochs[chain])},
            timestamp=timestamp,
            base_fees={chain: self._rollups[chain].base_fee for chain in up},
        )
        await self._expire(selection.expired)
        due = {chain for chain in up if self._due(self._rollups[chain]) or epochs[chain].sequence == 0}
        if not selection.items and not due:
            return None
        number = len(self._slots.slots)
        work = Round(
            term=self.term,
            slot=number,
            timestamp=timestamp,
            causes=self._sequenced(selection, number),
            transactions=list(selection.transactions),
            bundles=list(selection.bundles),
            due=due,
            epochs=epochs,
        )
        crash_point("sequencer.slot.sequenced")
        staged = await stage_slot(work, self._rollups)
        if not staged.blocks and not staged.aborted and not staged.dropped:
            return None
        slot = self._decide(staged, number, timestamp)
        crash_point("sequencer.slot.staged")
        await self._wal.append([{"kind": "slot", "slot": slot}])
        crash_point("sequencer.slot.decided")
        await self._apply(slot, staged)
        return slot

    def _decide(self, staged: Staged, number: int, timestamp: int) -> Slot:
        decisions = [
            *(Decision(item.id, "include", chain_id=item.legs[0].chain_id) for item in staged.transactions),
            *(Decision(item.id, "commit") for item in staged.bundles),
            *(
                Decision(
                    item.id,
                    "abort",
                    abort.cause.leg,
                    abort.cause.chain_id,
                    abort.cause.reason or "execution reverted",
                    abort.cause.data,
                )
                for item, abort in staged.aborted
            ),
            *(Decision(item.id, "drop", 0, item.legs[0].chain_id, reason) for item, reason in staged.dropped),
        ]
        return Slot(
            term=self.term,
            number=number,
            parent=self._slots.head,
            timestamp=timestamp,
            blocks=tuple(staged.blocks[chain] for chain in sorted(staged.blocks)),
            decisions=tuple(decisions),
            causes={decision.id: self._journal.reserve() for decision in decisions},
            bundles=tuple(BundleTerms(item.id, item.max_timestamp, item.salt) for item in staged.bundles),
        )

    async def _apply(self, slot: Slot, staged: Staged) -> None:
        """The slot is durable: remember it, say so, and tell the rollups."""
        items = {item.id: item for item in self._mempool}
        now = time.monotonic()
        for block in slot.blocks:
            self._rollups[block.chain_id].decided(
                block.number, block.hash, staged.headers[block.chain_id], now
            )
        self._slots.add(slot)
        record_ends(self._mempool, slot)
        for decision in slot.decisions:
            journal_decision(
                self._journal,
                decision,
                slot,
                kind=items[decision.id].kind,
                reserved=slot.causes[decision.id],
                cause=staged.events.get(decision.id, ()),
                rollup=self._rollups[decision.chain_id].name if decision.chain_id in self._rollups else None,
            )
            crash_point("sequencer.decision.told")
        messages = commit_messages(slot, self._slots, slot.causes, items)
        crash_point("sequencer.slot.told")
        async with asyncio.TaskGroup() as tasks:
            for chain, message in messages.items():
                tasks.create_task(self._commit(self._rollups[chain], message))
        crash_point("sequencer.slot.served")
        async with self._slots.changed:
            self._slots.changed.notify_all()

    async def _commit(self, rollup: Rollup, message: Mapping[str, Any]) -> None:
        try:
            crash_point("sequencer.commit.sending")
            await rollup.call("rollup_commit", message)
            crash_point("sequencer.commit.answered")
        except RollupDown as exc:
            log.warning("commit.unheard", rollup=rollup.name, slot=message["slot"], error=str(exc))

    async def _expire(self, expired: Sequence[Item]) -> None:
        """Deadlines that passed: no slot decides them, the clock did; a lost record is written again after a restart."""
        if not expired:
            return
        ends = [(item, self._why_expired(item)) for item in expired]
        await self._wal.append([{"kind": "end", "id": item.id, "reason": reason} for item, reason in ends])
        crash_point("sequencer.expiry.logged")
        for item, reason in ends:
            self._mempool.end(End(item, Decision(item.id, "expire", reason=reason), None, {}))
            key = subject(item.kind, item.id)
            self._journal.emit(Stage.EXPIRED, cause=(item.cause,), reason=reason, **key)
            crash_point("sequencer.expiry.told")
        async with self._slots.changed:
            self._slots.changed.notify_all()

    def _why_expired(self, item: Item) -> str:
        for index, leg in enumerate(item.legs):
            rollup = self._rollups[leg.chain_id]
            if not rollup.up:
                return f"leg {index}: rollup {rollup.name} was {rollup.state} until the deadline {item.max_timestamp}"
            decided = self._mempool.next_nonce.get((leg.chain_id, leg.sender), 0)
            if leg.nonce != decided:
                return (
                    f"leg {index}: nonce {leg.nonce} on {rollup.name} never became next (next is {decided})"
                )
        return f"no slot could take it before the deadline {item.max_timestamp}"

    def _sequenced(self, selection: Selection, number: int) -> dict[str, str]:
        causes: dict[str, str] = {}
        for item in selection.items:
            key = subject(item.kind, item.id)
            causes[item.id] = self._journal.emit(Stage.SEQUENCED, cause=(item.cause,), slot=number, **key)
        return causes

    def _timestamp(self) -> int:
        """Wall-clock seconds that never go back, neither in this log nor on any rollup, nor behind an origin in use."""
        floor: list[int] = [rollup.head["timestamp"] for rollup in self._rollups.values() if rollup.head]
        floor += [slot.timestamp for slot in self._slots.slots[-1:]]
        floor += [self._l1.time(chain) for chain in self._rollups]
        return max([int(believed(time.time())), *floor])

    def _due(self, rollup: Rollup) -> bool:
        return time.monotonic() - rollup.produced >= rollup.block_time_s

    def _epoch_opens(self) -> bool:
        timestamp = self._timestamp()
        return any(self._l1.opens_epoch(chain, timestamp) for chain, r in self._rollups.items() if r.up)

    async def _work(self, last: float) -> None:
        """Wait until a slot may begin and there is something to look at."""
        while True:
            opens = last + self._slot_s - time.monotonic()
            if opens > 0:
                await asyncio.sleep(opens)
            dues = [r.produced + r.block_time_s - time.monotonic() for r in self._rollups.values() if r.up]
            patience = min([*dues, 1.0])
            if self._l1.ready and (len(self._mempool) or patience <= 0 or self._epoch_opens()):
                return
            if not self._l1.ready:
                patience = L1_PATIENCE
            self._wake.clear()
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                continue


def record_ends(mempool: Mempool, slot: Slot) -> None:
    """Move a slot's items from waiting to ended, and count the nonces that its deposits take."""
    for block in slot.blocks:
        count_deposits(mempool, block)
    where = {block.chain_id: (block.number, block.hash) for block in slot.blocks}
    for decision in slot.decisions:
        item = mempool.waiting[decision.id]
        took_effect = decision.outcome in ("commit", "include")
        chains = {leg.chain_id for leg in item.legs} if took_effect else set()
        for leg in item.legs if took_effect else ():
            mempool.included(leg)
        mempool.end(End(item, decision, slot.number, {chain: where[chain] for chain in chains}))


def count_deposits(mempool: Mempool, block: Block | ForcedBlock) -> None:
    """A block's user deposits take nonces of their senders; the first deposit is the L1 attributes."""
    for raw in block.payload.deposits[1:]:
        mempool.deposited((block.chain_id, decode_deposit(from_hex(raw)).sender))


def journal_decision(
    journal: Journal,
    decision: Decision,
    slot: Slot,
    *,
    kind: str,
    reserved: str | None,
    cause: Sequence[str],
    rollup: str | None,
    recovered: bool = False,
) -> str:
    """Say what was decided; returns the event's id."""
    marks: dict[str, Any] = {"recovered": True} if recovered else {}
    if decision.outcome in ("abort", "drop"):
        marks |= {"failed_leg": decision.leg, "rollup": rollup, "reason": decision.reason}
    key = subject(kind, decision.id)
    outcome = {"include": "commit", "drop": "abort"}.get(decision.outcome, decision.outcome)
    return journal.emit(
        Stage.DECIDED, reserved=reserved, cause=cause, decision=outcome, slot=slot.number, **key, **marks
    )


def commit_messages(
    slot: Slot, slots: SlotLog, causes: Mapping[str, str], items: Mapping[str, Item]
) -> dict[int, dict[str, Any]]:
    """What each rollup is told of a slot of the log, by chain id."""
    aborted: dict[int, list[tuple[str, list[int]]]] = {}
    for decision in slot.decisions:
        if decision.outcome == "abort":
            legs = items[decision.id].legs
            for chain in dict.fromkeys(leg.chain_id for leg in legs):
                indexes = [index for index, leg in enumerate(legs) if leg.chain_id == chain]
                aborted.setdefault(chain, []).append((decision.id, indexes))
    blocks = {block.chain_id: block for block in slot.blocks}
    return {
        chain: {
            "term": slot.term,
            "slot": slot.number,
            "block": blocks.get(chain),
            "parent": slots.parent(chain, blocks[chain].number) if chain in blocks else None,
            "aborted": aborted.get(chain, []),
            "causes": causes,
        }
        for chain in sorted(blocks.keys() | aborted.keys())
    }


def without_causes(slot: Slot) -> Slot:
    """The slot as users see it: journal events are of no use to them."""
    return replace(slot, causes={})
