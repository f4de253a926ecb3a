"""Wires the sequencer and recovers it from its log: ``python -m shared_sequencer`` (configuration: ``bridge.wire.configuration``)."""

import asyncio
import contextlib
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.wire.configuration import read_configuration
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.server import run_until_signalled, serve
from bridge.wire.slot import Decision, Slot
from shared_sequencer.admission import Admission
from shared_sequencer.errors import RollupDown, SequencerError, WalDamaged
from shared_sequencer.mempool import End, Item, Mempool
from shared_sequencer.ordering import FirstComeFirstServed
from shared_sequencer.publisher import Publisher
from shared_sequencer.rollups import Rollup
from shared_sequencer.rpc import SequencerRpc
from shared_sequencer.sequencer import Sequencer, SlotLog, journal_decision, new_slot_log, record_ends
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


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the sequencer is told."""

    rpc_port: int
    l1_url: str
    l1_chain_id: int
    private_key: str
    """Of the L1 account that publishes; it does nothing else."""
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


@dataclass(slots=True)
class Recovered:
    """What the log said."""

    term: int
    mempool: Mempool
    slots: SlotLog
    publishing: list[dict[str, object]]


def recover(wal: WriteAheadLog) -> Recovered:
    """Rebuild everything from the log.

    Raises:
        WalDamaged: the log contradicts itself.
    """
    found = Recovered(0, Mempool(), new_slot_log(), [])
    for record in wal.records():
        match record["kind"]:
            case "term":
                found.term = record["term"]
            case "bundle" | "transaction":
                found.mempool.add(Item.from_record(record))
            case "slot":
                slot = Slot.from_json(record["slot"])
                found.slots.add(slot)
                record_ends(found.mempool, slot)
            case "end":
                item = found.mempool.waiting[record["id"]]
                found.mempool.end(End(item, Decision(item.id, "expire", reason=record["reason"]), None, {}))
            case "superbatch" | "published":
                found.publishing.append(record)
            case kind:
                raise WalDamaged(f"unknown record kind {kind!r}: written by another version")
    return found


async def run(config: Config) -> None:
    """Run until SIGTERM.

    Raises:
        SequencerError: the log is damaged, locked, or cannot be written.
    """
    wal = WriteAheadLog(Path(config.data_dir) / "wal.log")
    with Journal(Path(config.journal), "sequencer", "sequencer") as journal, contextlib.closing(wal):
        journal.emit("node.started")
        found = recover(wal)
        async with contextlib.AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            committer = tasks.create_task(wal.run())
            term = found.term + 1
            await wal.append([{"kind": "term", "term": term}])
            _repeat_last_decisions(
                found, journal, {rollup.chain_id: rollup.name for rollup in config.rollups}
            )
            rollups = [
                Rollup(
                    rollup.name,
                    rollup.chain_id,
                    rollup.gas_limit,
                    rollup.block_time_s,
                    await stack.enter_async_context(Client(rollup.control_url, token=rollup.token)),
                )
                for rollup in config.rollups
            ]
            _place(rollups, found.slots)
            l1 = await stack.enter_async_context(Client(config.l1_url))
            sequencer = Sequencer(
                term=term,
                slot_s=config.slot_s,
                rollups=rollups,
                mempool=found.mempool,
                slots=found.slots,
                wal=wal,
                journal=journal,
                policy=FirstComeFirstServed(),
            )

            async def on_published(blocks: Mapping[int, int]) -> None:
                for rollup in rollups:
                    if rollup.chain_id in blocks:
                        rollup.published = blocks[rollup.chain_id]
                        with contextlib.suppress(RollupDown):
                            await rollup.call("rollup_published", rollup.published)

            publisher = Publisher(
                l1=l1,
                l1_chain_id=config.l1_chain_id,
                private_key=config.private_key,
                every_s=config.publish_every_s,
                term=term,
                slots=found.slots,
                wal=wal,
                journal=journal,
                on_published=on_published,
            )
            for record in found.publishing:
                publisher.restore(record)
            published = publisher.published_blocks()
            for rollup in rollups:
                rollup.published = published.get(rollup.chain_id, 0)
            admission = Admission(
                rollups,
                found.mempool,
                wal,
                journal,
                config.mempool_limit,
                clock=lambda: found.slots.now(time.time()),
            )
            rpc = SequencerRpc(
                sequencer=sequencer,
                admission=admission,
                mempool=found.mempool,
                slots=found.slots,
                publisher=publisher,
                rollups=rollups,
            )
            await stack.enter_async_context(serve(rpc.handle, config.rpc_port))
            journal.emit(
                "node.recovered",
                term=term,
                slots=len(found.slots.slots),
                waiting=len(found.mempool),
                rollups=len(rollups),
            )
            log.info("node.ready", term=term, slots=len(found.slots.slots))
            work = [committer, tasks.create_task(sequencer.run()), tasks.create_task(publisher.run())]
            work += [tasks.create_task(rollup.keep(term, sequencer.wake)) for rollup in rollups]
            await run_until_signalled()
            journal.emit("node.stopped")
            for task in work:
                task.cancel()


def _repeat_last_decisions(found: Recovered, journal: Journal, names: Mapping[int, str]) -> None:
    """Say the last slot's decisions again: the crash may have come between its fsync and its journal lines."""
    if not found.slots.slots:
        return
    slot = found.slots.slots[-1]
    for decision in slot.decisions:
        item = found.mempool.ended[decision.id].item
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


def _place(rollups: list[Rollup], slots: SlotLog) -> None:
    """Set each rollup to its last decided block."""
    for rollup in rollups:
        numbers = slots.by_chain.get(rollup.chain_id, [])
        if numbers:
            slot = slots.slots[numbers[-1]]
            block = next(block for block in slot.blocks if block.chain_id == rollup.chain_id)
            rollup.number, rollup.hash = block.number, block.hash


def main() -> None:
    """Entry point of ``python -m shared_sequencer``."""
    structlog.contextvars.bind_contextvars(node="sequencer")
    try:
        uvloop.run(run(Config.parse(read_configuration())))
    except* (SequencerError, OSError) as group:
        for exc in group.exceptions:
            log.error("node.failed", error=str(exc))
        sys.exit(1)
