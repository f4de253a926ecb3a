"""Wires the relayer: ``python -m bridge.relayer`` (configuration: ``bridge.wire.configuration``)."""

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore
from bridge.l1.errors import L1Error
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.portal import Portal
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import MAX_FAILURES
from bridge.relayer.rpc import RelayerRpc
from bridge.relayer.scanner import Scanner
from bridge.relayer.steps import Steps
from bridge.relayer.store import Store
from bridge.relayer.withdrawals import Manner, Withdrawals
from bridge.wire.configuration import read_configuration
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.server import run_until_signalled, serve
from bridge.wire.signing import address_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """One rollup whose withdrawals are relayed."""

    name: str
    chain_id: int
    rpc_url: str
    """Its public RPC."""
    portal: str
    """Address of its OptimismPortal on L1."""
    output_oracle: str
    """Address of its L2OutputOracle on L1."""


@dataclass(frozen=True, slots=True)
class Config:
    """Everything the relayer is told."""

    name: str
    rpc_port: int
    l1_url: str
    l1_chain_id: int
    poll_s: float
    """Between two looks at L1, and at each rollup."""
    private_key: str
    """Of the L1 account that pays; it does nothing else."""
    rollups: tuple[RollupConfig, ...]
    data_dir: str
    journal: str
    relay_all: bool = True
    """Whether withdrawals are relayed unasked; else only those that ``rollnet_retry`` names."""
    max_failures: int = MAX_FAILURES
    """Failures in a row that make a dead letter."""

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Config":
        """From decoded JSON; the port may be text."""
        rollups = tuple(RollupConfig(**rollup) for rollup in fields["rollups"])
        return cls(**{**fields, "rollups": rollups, "rpc_port": int(fields["rpc_port"])})


async def run(config: Config) -> None:
    """Run until SIGTERM.

    Raises:
        L1Error: a file is locked or damaged.
        sqlite3.Error: the disk doesn't take what has to be remembered.
    """
    folder = Path(config.data_dir)
    address = to_hex(address_of(config.private_key))
    async with contextlib.AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(Path(config.journal), config.name, "relayer"))
        store = stack.enter_context(contextlib.closing(Store(folder / "messages.sqlite")))
        accounts = AccountStore(folder / "account.sqlite", address, config.l1_chain_id)
        stack.enter_context(contextlib.closing(accounts))
        journal.emit("node.started")
        l1 = await stack.enter_async_context(Client(config.l1_url))
        account = L1Account(l1, config.l1_chain_id, config.private_key, accounts, poll_s=config.poll_s)
        clock = L1Clock(l1, config.poll_s, store.l1())
        manner = Manner(config.poll_s, config.relay_all, config.max_failures)
        pipelines = []
        for rollup in config.rollups:
            client = await stack.enter_async_context(Client(rollup.rpc_url))
            portal = Portal(l1, rollup.portal, rollup.output_oracle)
            queue = Queue(rollup.name, rollup.chain_id, store, journal)
            scanner = Scanner(client, store.checkpoints(rollup.chain_id))
            pipelines.append(Withdrawals(queue, scanner, Steps(client, portal, account), clock, manner))
        rpc = RelayerRpc(pipelines, store, account, clock)
        await stack.enter_async_context(serve(rpc.handle, config.rpc_port))
        async with asyncio.TaskGroup() as tasks:
            work = [tasks.create_task(account.run()), tasks.create_task(clock.run())]
            work += [tasks.create_task(pipeline.run()) for pipeline in pipelines]
            log.info("node.ready", rollups=len(pipelines), waiting=account.waiting)
            journal.emit("node.recovered", waiting=account.waiting)
            await run_until_signalled()
            for task in work:
                task.cancel()
        journal.emit("node.stopped")


def main() -> None:
    """Entry point of ``python -m bridge.relayer``."""
    config = Config.parse(read_configuration())
    structlog.contextvars.bind_contextvars(node=config.name)
    try:
        uvloop.run(run(config))
    except* (L1Error, sqlite3.Error, OSError) as group:
        for exc in group.exceptions:
            log.error("node.failed", error=str(exc))
        sys.exit(1)
