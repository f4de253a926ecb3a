"""Wires the relayer: ``python -m bridge.relayer`` (configuration: ``bridge.wire.configuration``)."""

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import uvloop

from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore
from bridge.l1.errors import L1Error
from bridge.relayer.arrivals import Arrivals, L1Arrivals, watched_on_l1, watched_on_rollup
from bridge.relayer.attempts import Manner
from bridge.relayer.carried import Places
from bridge.relayer.l1_clock import L1Clock
from bridge.relayer.messages.crossings import Crossings
from bridge.relayer.messages.facts import Chains, RollupEnds
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.steps import MessageSteps
from bridge.relayer.messages.store import CrossingStore
from bridge.relayer.messages.telling import Teller
from bridge.relayer.portal import Portal
from bridge.relayer.queue import Queue
from bridge.relayer.retrying import MAX_FAILURES
from bridge.relayer.rpc import RelayerRpc, Relaying
from bridge.relayer.scanner import Scanner
from bridge.relayer.steps import Steps
from bridge.relayer.store import Store
from bridge.relayer.strategies.arrivals import LearningScanner, StrategyArrivals
from bridge.relayer.strategies.chains import Registry
from bridge.relayer.strategies.facts import Gatherer
from bridge.relayer.strategies.keeper import Keeper
from bridge.relayer.strategies.queue import StrategyQueue
from bridge.relayer.strategies.steps import StrategySteps
from bridge.relayer.strategies.store import StrategyStore
from bridge.relayer.strategies.telling import StrategyTeller
from bridge.relayer.subjects import of_carried
from bridge.relayer.withdrawals import Withdrawals
from bridge.wire.configuration import read_configuration
from bridge.wire.crash_points import arm_at_boot, crash_point
from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.server import run_until_signalled, serve
from bridge.wire.signing import address_of

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RollupConfig:
    """One rollup whose withdrawals and messages are relayed."""

    name: str
    chain_id: int
    rpc_url: str
    """Its public RPC."""
    portal: str
    """Address of its OptimismPortal on L1."""
    output_oracle: str
    """Address of its L2OutputOracle on L1."""
    messenger: str
    """Address of its L1CrossDomainMessenger on L1."""


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
    """Of the account that pays, on L1 and on every rollup; it does nothing else."""
    router: str
    """Address of MessageRouter on L1."""
    registry: str
    """Address of StrategyRegistry on L1."""
    rollups: tuple[RollupConfig, ...]
    data_dir: str
    journal: str
    strategies: bool = True
    """Whether the rollups have markets, and so escrows for strategies."""
    relay_all: bool = True
    """Whether withdrawals and messages are relayed unasked; else only those that ``rollnet_retry`` names."""
    max_failures: int = MAX_FAILURES
    """Failures in a row that make a dead letter."""

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> "Config":
        """From decoded JSON; the port may be text, and addresses may be spelled as they like."""
        rollups = tuple(RollupConfig(**_lowered(rollup)) for rollup in fields["rollups"])
        return cls(**{**_lowered(fields), "rollups": rollups, "rpc_port": int(fields["rpc_port"])})


@dataclass(frozen=True, slots=True)
class Reach:
    """Every chain, and this relayer's account on it: one per chain, whoever sends."""

    l1: Client
    account: L1Account
    rollups: Mapping[int, Client]
    """Public RPCs, by chain id."""
    accounts: Mapping[int, L1Account]
    """On the rollups, by chain id."""


async def run(config: Config) -> None:
    """Run until SIGTERM.

    Raises:
        L1Error: a file is locked or damaged.
        sqlite3.Error: the disk doesn't take what has to be remembered.
    """
    arm_at_boot(Path(config.data_dir))
    async with contextlib.AsyncExitStack() as stack:
        journal = stack.enter_context(Journal(Path(config.journal), config.name, "relayer"))
        store = stack.enter_context(contextlib.closing(Store(Path(config.data_dir) / "messages.sqlite")))
        reach = await _reached(config, stack)
        crash_point("relayer.boot.opened")
        journal.emit("node.started")
        clock = L1Clock(reach.l1, config.poll_s, store.l1())
        manner = Manner(config.poll_s, config.relay_all, config.max_failures)
        places = {
            each.chain_id: Places(each.chain_id, each.messenger, config.router, config.registry)
            for each in config.rollups
        }
        file = StrategyStore(Path(config.data_dir) / "strategies.sqlite")
        strategies = StrategyQueue(stack.enter_context(contextlib.closing(file)), journal)
        opened = StrategyArrivals(Registry(reach.l1, config.registry), strategies)
        subject = of_carried(places, strategies.leg_of)
        crossing_queue = CrossingQueue(CrossingStore(store), journal, places, manner.first)
        pipelines = []
        for rollup in config.rollups:
            chain_id, client = rollup.chain_id, reach.rollups[rollup.chain_id]
            portal = Portal(reach.l1, rollup.portal, rollup.output_oracle)
            queue = Queue(rollup.name, chain_id, store, journal, subject)
            watched, read = watched_on_rollup(chain_id), store.checkpoints(chain_id)
            scanner = LearningScanner(client, watched, read, opened, places[chain_id])
            arrivals = Arrivals(scanner, queue, crossing_queue, manner)
            steps = Steps(client, portal, reach.account)
            pipelines.append(Withdrawals(queue, arrivals, steps, clock, manner))
        crossings = _crossings(config, reach, store, crossing_queue, pipelines, clock, manner)
        keeper = _keeper(config, reach, store, strategies, opened, places, clock, manner)
        rpc = RelayerRpc(
            Relaying(
                pipelines, crossings, store, crossing_queue, reach.account, reach.accounts, clock, keeper
            )
        )
        await stack.enter_async_context(serve(rpc.handle, config.rpc_port))
        async with asyncio.TaskGroup() as tasks:
            runs = [each.run() for each in (reach.account, *reach.accounts.values())]
            runs += [clock.run(), crossings.run(), *(pipeline.run() for pipeline in pipelines)]
            runs += [keeper.run()] if config.strategies else []
            work = [tasks.create_task(each) for each in runs]
            log.info("node.ready", rollups=len(pipelines), waiting=reach.account.waiting)
            journal.emit("node.recovered", waiting=reach.account.waiting)
            await run_until_signalled()
            for task in work:
                task.cancel()
        journal.emit("node.stopped")


def _lowered(fields: Mapping[str, Any]) -> dict[str, Any]:
    addresses = ("portal", "output_oracle", "messenger", "router", "registry")
    return {name: value.lower() if name in addresses else value for name, value in fields.items()}


async def _reached(config: Config, stack: contextlib.AsyncExitStack) -> Reach:
    """Every chain's client, and the file of the account on it."""
    folder, address = Path(config.data_dir), to_hex(address_of(config.private_key))

    async def on(url: str, chain_id: int, file: str) -> tuple[Client, L1Account]:
        client = await stack.enter_async_context(Client(url))
        kept = stack.enter_context(contextlib.closing(AccountStore(folder / file, address, chain_id)))
        return client, L1Account(client, chain_id, config.private_key, kept, poll_s=config.poll_s)

    l1, account = await on(config.l1_url, config.l1_chain_id, "account.sqlite")
    found = {
        each.chain_id: await on(each.rpc_url, each.chain_id, f"account-{each.chain_id}.sqlite")
        for each in config.rollups
    }
    clients = {chain_id: client for chain_id, (client, _) in found.items()}
    return Reach(l1, account, clients, {chain_id: own for chain_id, (_, own) in found.items()})


def _crossings(
    config: Config,
    reach: Reach,
    store: Store,
    queue: CrossingQueue,
    pipelines: Sequence[Withdrawals],
    clock: L1Clock,
    manner: Manner,
) -> Crossings:
    """The pipeline of messages between rollups."""
    ends = {
        each.chain_id: RollupEnds(reach.rollups[each.chain_id], each.messenger) for each in config.rollups
    }
    steps = MessageSteps(Chains(reach.l1, config.router, ends), reach.account, reach.accounts)
    portals, messengers = zip(*((each.portal, each.messenger) for each in config.rollups), strict=True)
    watched = watched_on_l1(config.l1_chain_id, config.router, portals, messengers)
    scanner = Scanner(reach.l1, watched, store.checkpoints(config.l1_chain_id))
    return Crossings(
        queue=queue,
        arrivals=L1Arrivals(scanner, config.l1_chain_id, store, queue),
        rollups={pipeline.chain_id: pipeline for pipeline in pipelines},
        steps=steps,
        teller=Teller(queue, store, steps, {each.chain_id: each.name for each in config.rollups}),
        clock=clock,
        manner=manner,
    )


def _keeper(
    config: Config,
    reach: Reach,
    store: Store,
    queue: StrategyQueue,
    arrivals: StrategyArrivals,
    places: Mapping[int, Places],
    clock: L1Clock,
    manner: Manner,
) -> Keeper:
    """The keeper of strategies over the bridge."""
    registry, names = (
        Registry(reach.l1, config.registry),
        {each.chain_id: each.name for each in config.rollups},
    )
    return Keeper(
        queue=queue,
        arrivals=arrivals,
        gatherer=Gatherer(registry, reach.rollups, places),
        steps=StrategySteps(registry, reach.account, reach.rollups, reach.accounts, places),
        teller=StrategyTeller(queue, store, reach.l1, names),
        clock=clock,
        manner=manner,
    )


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
