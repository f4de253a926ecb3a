"""Wires the sequencer and recovers it from its log: ``python -m shared_sequencer`` (configuration: ``bridge.wire.configuration``)."""

import asyncio
import contextlib
import functools
import sys
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.l1.follower import L1Follower
from bridge.wire.clock import believed
from bridge.wire.configuration import read_configuration
from bridge.wire.crash_points import arm_at_boot, crash_point
from bridge.wire.derivation import Derivation, Member, Rules
from bridge.wire.journal import Journal, subject
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.l1 import L1Changes
from bridge.wire.server import run_until_signalled, serve
from bridge.wire.signing import address_of
from bridge.wire.slot import payload_digest
from bridge.wire.stages import Stage
from shared_sequencer.admission import Admission
from shared_sequencer.availability import AVAILABILITIES
from shared_sequencer.errors import CutNeeded, SequencerError
from shared_sequencer.l1 import L1View
from shared_sequencer.ordering import FirstComeFirstServed
from shared_sequencer.publisher import Publisher
from shared_sequencer.recovery import Recovered, recover
from shared_sequencer.rollups import Rollup
from shared_sequencer.rpc import SequencerRpc
from shared_sequencer.sequencer import Sequencer, journal_decision
from shared_sequencer.slot_log import SlotLog
from shared_sequencer.wal import WriteAheadLog

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """One rollup of the set."""

    name: str
    chain_id: int
    gas_limit: int
    block_time_s: float
    control_url: str
    token: str
    portal: str
    """Address of its OptimismPortal on L1."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the sequencer is told."""

    name: str
    rpc_port: int
    l1_url: str
    l1_chain_id: int
    l1_poll_s: float
    """Between two looks at L1."""
    l1_confirmations: int
    """L1 blocks on top of one before rollups build on it."""
    private_key: str
    """Of the L1 account that publishes; it does nothing else."""
    batch_inbox: str
    """Where superbatches are sent."""
    window: int
    """Sequencing window, L1 blocks."""
    data_availability: str
    """``calldata`` or ``blob``."""
    rollups: tuple[RollupConfig, ...]
    slot_s: float
    mempool_limit: int
    publish_every_s: float
    data_dir: str
    journal: str

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Config":
        """From decoded JSON; the port may be text."""
        rollups = tuple(RollupConfig(**rollup) for rollup in fields["rollups"])
        return cls(**{**fields, "rollups": rollups, "rpc_port": int(fields["rpc_port"])})


@dataclass(frozen=True, slots=True)
class Edges:
    """Everything through which a sequencer touches the world but its clocks; a simulation gives it another world."""

    open_log: Callable[[Path], WriteAheadLog] = WriteAheadLog
    open_journal: Callable[[Path, str, str], Journal] = Journal
    connect: Callable[..., Client] = Client
    listen: Callable[..., AbstractAsyncContextManager[None]] = serve
    follow: Callable[..., L1Changes] = L1Follower
    stopped: Callable[[], Coroutine[Any, Any, None]] = run_until_signalled


async def run(config: Config, edges: Edges = Edges()) -> None:
    """Run until SIGTERM.

    Raises:
        SequencerError: the log is damaged, locked, or cannot be written.
    """
    arm_at_boot(Path(config.data_dir))
    wal = edges.open_log(Path(config.data_dir) / "wal.log")
    stop = asyncio.ensure_future(edges.stopped())
    journal_path = Path(config.journal)
    with edges.open_journal(journal_path, config.name, "sequencer") as journal, contextlib.closing(wal):
        journal.emit("node.started")
        async with asyncio.TaskGroup() as tasks:
            found = recovered(wal)
            _tell_cut(found, journal, recovered=True)
            committer = tasks.create_task(wal.run())
            while not stop.done():
                try:
                    await _one_life(config, found, wal, journal, stop, edges)
                except* CutNeeded:
                    # the cut is in the log: what stands on it is built again from there
                    await wal.append([])  # what this life was writing is on disk
                    found = recovered(wal)
                    _tell_cut(found, journal)
            committer.cancel()
        journal.emit("node.stopped")


async def _one_life(
    config: Config,
    found: Recovered,
    wal: WriteAheadLog,
    journal: Journal,
    stop: "asyncio.Future[None]",
    edges: Edges,
) -> None:
    """From the log to the end of the process, or to a cut of the log."""
    async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        crash_point("sequencer.boot.replayed")
        term = found.term + 1
        await wal.append([{"kind": "term", "term": term}])
        crash_point("sequencer.boot.termed")
        _repeat_last_decisions(found, journal, {rollup.chain_id: rollup.name for rollup in config.rollups})
        crash_point("sequencer.boot.repeated")
        rollups = [
            Rollup(
                rollup.name,
                rollup.chain_id,
                rollup.gas_limit,
                rollup.block_time_s,
                await stack.enter_async_context(edges.connect(rollup.control_url, token=rollup.token)),
            )
            for rollup in config.rollups
        ]
        _place(rollups, found.slots)
        l1 = await stack.enter_async_context(edges.connect(config.l1_url))
        address = to_hex(address_of(config.private_key))
        members = tuple(Member(rollup.chain_id, rollup.portal.lower()) for rollup in config.rollups)
        derivation = Derivation(Rules(members, config.batch_inbox.lower(), address, config.window))
        view = L1View(derivation, config.l1_confirmations, found.slots, wal)
        sequencer = Sequencer(
            term=term,
            slot_s=config.slot_s,
            rollups=rollups,
            mempool=found.mempool,
            slots=found.slots,
            l1=view,
            wal=wal,
            journal=journal,
            policy=FirstComeFirstServed(),
        )
        availability = AVAILABILITIES[config.data_availability](
            l1, config.l1_chain_id, config.private_key, config.batch_inbox
        )
        stack.push_async_callback(availability.close)
        await availability.start()
        publisher = Publisher(
            l1=l1,
            private_key=config.private_key,
            every_s=config.publish_every_s,
            term=term,
            slots=found.slots,
            derivation=derivation,
            availability=availability,
            wal=wal,
            journal=journal,
            superbatches=found.superbatches,
            signed=found.signed.values(),
        )
        admission = Admission(
            rollups,
            found.mempool,
            wal,
            journal,
            config.mempool_limit,
            clock=lambda: found.slots.now(believed(time.time())),
        )
        stack.callback(admission.close)

        async def on_l1() -> None:
            _note_forced(rollups, found.slots)
            sequencer.wake()

        async def on_up(rollup: Rollup) -> None:
            await admission.refresh(rollup)
            sequencer.wake()

        view.listeners.append(on_l1)
        rpc = SequencerRpc(
            sequencer=sequencer,
            admission=admission,
            mempool=found.mempool,
            slots=found.slots,
            publisher=publisher,
            rollups=rollups,
        )
        await stack.enter_async_context(edges.listen(rpc.handle, config.rpc_port))
        journal.emit(
            "node.recovered",
            term=term,
            slots=len(found.slots.slots),
            waiting=len(found.mempool),
            rollups=len(rollups),
        )
        log.info("node.ready", term=term, slots=len(found.slots.slots))
        follower = edges.follow(
            l1, [member.portal for member in members], [config.batch_inbox.lower()], poll_s=config.l1_poll_s
        )
        work = [
            tasks.create_task(sequencer.run()),
            tasks.create_task(publisher.run()),
            tasks.create_task(view.follow(follower, l1)),
            *(
                tasks.create_task(rollup.keep(term, found.slots.cancelled, functools.partial(on_up, rollup)))
                for rollup in rollups
            ),
        ]
        await asyncio.shield(stop)
        for task in work:
            task.cancel()


def recovered(wal: WriteAheadLog) -> Recovered:
    """What the log says; it can be closed afterwards, also if it says nothing that makes sense.

    Raises:
        WalDamaged: the log is broken, or contradicts itself.
    """
    with contextlib.closing(wal.records()) as records:  # reading holds the log's lock until its end
        return recover(records)


def _place(rollups: Iterable[Rollup], slots: SlotLog) -> None:
    """Where each rollup stands by the log."""
    for rollup in rollups:
        head = slots.heads.get(rollup.chain_id)
        rollup.number, rollup.hash = head.number if head else 0, slots.hashes.get(rollup.chain_id)
        forced = slots.forced_head(rollup.chain_id)
        rollup.payload = payload_digest(forced) if forced is not None else None


def _note_forced(rollups: Iterable[Rollup], slots: SlotLog) -> None:
    """Rollups whose log has grown by blocks that L1 forced wait until their nodes have those too."""
    for rollup in rollups:
        head, forced = slots.heads.get(rollup.chain_id), slots.forced_head(rollup.chain_id)
        if head is not None and forced is not None and head.number > rollup.number:
            rollup.forced(head.number, forced)


def _tell_cut(found: Recovered, journal: Journal, *, recovered: bool = False) -> None:
    """Say how many slots stayed when the log was cut; a life that finds a cut at the log's end says it again: the one before may not have."""
    if found.cut is not None:
        marks: dict[str, Any] = {"recovered": True} if recovered else {}
        journal.emit("log.cut", slots=found.cut.slots, reason=found.cut.reason, **marks)


def _repeat_last_decisions(found: Recovered, journal: Journal, names: Mapping[int, str]) -> None:
    """Say again what the log's end says, decisions and expiries: the crash may have come between its fsync and its journal lines."""
    for expired in found.expired:
        item, reason = expired.item, expired.decision.reason
        if found.mempool.ended.get(item.id) is expired:  # else it has come again, or was brought back
            key = subject(item.kind, item.id)
            journal.emit(Stage.EXPIRED, cause=(item.cause,), reason=reason, recovered=True, **key)
    if not found.slots.slots:
        return
    slot = found.slots.slots[-1]
    for decision in slot.decisions:
        end = found.mempool.ended.get(decision.id)  # a transaction that was dropped may have come again
        item = end.item if end is not None else found.mempool.waiting[decision.id]
        found.slots.causes[decision.id] = journal_decision(
            journal,
            decision,
            slot,
            kind=item.kind,
            reserved=None,
            cause=(item.cause,),
            rollup=names.get(decision.chain_id) if decision.chain_id is not None else None,
            recovered=True,
        )


def main() -> None:
    """Entry point of ``python -m shared_sequencer``."""
    config = Config.parse(read_configuration())
    structlog.contextvars.bind_contextvars(node=config.name)
    try:
        uvloop.run(run(config))
    except* (SequencerError, OSError) as group:
        for exc in group.exceptions:
            log.error("node.failed", error=str(exc))
        sys.exit(1)
