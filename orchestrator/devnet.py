"""A running devnet as an object: ``async with Devnet.launch("topologies/pair.yaml") as net: …``.

::

    topology.yaml ─► spec ─► plan ─► genesis ─► runtime (nodes) ─► Devnet
                                                                    │ rollup("alpha").web3, run(strategy), node("sequencer").kill()
                                                                    ▼
                                                                  report, down

The same object stands for a devnet of this process (``launch``) and for one that another process runs (``attach``); only the
way to its nodes' lifecycle differs. Leaving the ``async with`` of ``launch`` takes everything down, also on errors and Ctrl-C.
"""

import asyncio
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import orjson

from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from orchestrator.chains import ChainHandle, SequencerHandle
from orchestrator.errors import RollnetError
from orchestrator.execution import LIFETIME_S, Execution
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import anvil_binary
from orchestrator.nodes import L1, SEQUENCER, genesis_path, node_specs
from orchestrator.registry import Control, DevnetEntry, Registry, find_devnet
from orchestrator.rundir import RunDirectory, cache, home
from orchestrator.runtimes.base import ExitListener, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.control import ControlClient, ControlServer
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.runtimes.startup import Progress, bring_up
from orchestrator.strategies.model import Strategy
from orchestrator.strategies.result import StrategyResult
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan import Account, Plan
from orchestrator.topology.plan_json import plan_from_dict, plan_to_dict
from orchestrator.topology.resolve import make_plan

SETTLE_SECONDS = 20.0
"""Longest time for the sequencer to have all rollups in its slots, once every node has answered."""


class Nodes(Protocol):
    """The lifecycle of a devnet's nodes, wherever they run."""

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Do one of ``start stop kill pause resume restart``."""

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log."""


@dataclass(frozen=True)
class LocalNodes:
    """Nodes that this process runs."""

    runtime: ProcessRuntime

    async def operate(self, operation: str, node: str) -> NodeStatus:
        """Straight to the runtime."""
        await getattr(self.runtime, operation)(node)
        return next(status for status in self.runtime.status() if status.name == node)

    async def logs(self, node: str, lines: int = 50) -> tuple[str, ...]:
        """The last lines of a node's log."""
        return self.runtime.logs(node, lines)


@dataclass(frozen=True)
class NodeHandle:
    """One node's lifecycle; every operation is noted in the journal, so that reports can show it."""

    name: str
    nodes: Nodes
    journal: Journal

    async def kill(self) -> NodeStatus:
        """End it with SIGKILL, with everything in it."""
        return await self._operate("kill")

    async def stop(self) -> NodeStatus:
        """End it politely."""
        return await self._operate("stop")

    async def pause(self) -> NodeStatus:
        """Freeze it."""
        return await self._operate("pause")

    async def resume(self) -> NodeStatus:
        """Thaw it."""
        return await self._operate("resume")

    async def restart(self) -> NodeStatus:
        """Bring it back (after a kill) or stop and start it; returns when it is ready."""
        return await self._operate("restart")

    async def logs(self, lines: int = 50) -> tuple[str, ...]:
        """The last lines of its log."""
        return await self.nodes.logs(self.name, lines)

    async def _operate(self, operation: str) -> NodeStatus:
        status = await self.nodes.operate(operation, self.name)
        self.journal.emit(f"fault.{operation}", node=self.name, state=status.state.value, boot=status.boot)
        return status


@dataclass(frozen=True)
class Devnet:
    """A running devnet."""

    name: str
    plan: Plan
    directory: RunDirectory
    """Where everything about this run lies."""
    nodes: Nodes
    l1: ChainHandle
    sequencer: SequencerHandle
    rollups: Mapping[str, ChainHandle]
    journal: Journal
    """This client's own journal."""
    ready_s: float
    """How long it took to come up, seconds."""
    _clients: Sequence[Client] = field(default=())

    @staticmethod
    @contextlib.asynccontextmanager
    async def launch(
        topology: str | Path | Plan,
        *,
        name: str | None = None,
        state: Path | None = None,
        progress: Progress | None = None,
        dedicated: bool = False,
    ) -> "AsyncIterator[Devnet]":
        """Launch a devnet and take it down at the end of the block.

        Args:
            topology: a topology file, or a plan.
            name: under which it is registered; the topology's name by default.
            state: the state home; ``$ROLLNET_HOME`` or its default.
            progress: told of each node's way up.
            dedicated: this process does nothing else, so ``rollnet down`` may end it by force.

        Raises:
            InvalidTopology: with all problems of the file.
            RollnetError: it does not come up; everything started is down again.
        """
        async with launch(topology, name=name, state=state, progress=progress, dedicated=dedicated) as (
            net,
            _,
        ):
            yield net

    @staticmethod
    @contextlib.asynccontextmanager
    async def attach(name: str, *, state: Path | None = None) -> "AsyncIterator[Devnet]":
        """Use a devnet that another process runs.

        Raises:
            DevnetGoneError: there is none of this name, or its process is dead.
        """
        entry = find_devnet(name, state)
        run = RunDirectory(Path(entry.run_dir))
        described = orjson.loads(run.devnet.read_bytes())
        control = ControlClient(entry.name, entry.control.port, entry.control.token)
        plan = plan_from_dict(orjson.loads(run.plan.read_bytes()))
        urls = {
            L1: described["endpoints"]["l1"]["http"],
            SEQUENCER: described["endpoints"]["sequencer"]["http"],
            **{rollup: found["http"] for rollup, found in described["endpoints"]["rollups"].items()},
        }
        net = _devnet(entry.name, plan, run, control, urls.__getitem__, described["ready_s"])
        try:
            yield net
        finally:
            await net.close()

    def rollup(self, name: str) -> ChainHandle:
        """A rollup by its name.

        Raises:
            RollnetError: there is none of this name.
        """
        if name not in self.rollups:
            raise RollnetError(f"no rollup {name!r} in {self.name}", f"there are: {', '.join(self.rollups)}")
        return self.rollups[name]

    def node(self, name: str) -> NodeHandle:
        """A node by its name: ``l1``, ``sequencer``, ``maker`` or a rollup's."""
        return NodeHandle(name, self.nodes, self.journal)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Funded users."""
        return self.plan.users

    @property
    def execution(self) -> Execution:
        """Where strategies run; for those who want the steps one by one."""
        return Execution(self.plan, self.directory.path, self.rollups, self.sequencer, self.journal)

    async def run(
        self,
        strategy: Strategy,
        *,
        account: int = 0,
        lifetime_s: int = LIFETIME_S,
        prices: Sequence[int] = (),
    ) -> StrategyResult:
        """Run a strategy as one atomic bundle and wait for its end.

        Args:
            strategy: such as ``presets.build("iron_condor", net.plan.market)``.
            account: index of the user who signs.
            lifetime_s: how long it may wait for a slot, seconds.
            prices: settlement prices for the payoff table, 1e-6 USD.
        """
        return await self.execution.run(
            strategy, self.plan.users[account], lifetime_s=lifetime_s, prices=prices
        )

    def describe(self) -> dict[str, Any]:
        """The machine contract of ``rollnet up --json``."""
        return {
            "name": self.name,
            "run_dir": str(self.directory.path),
            "ready_s": round(self.ready_s, 3),
            "endpoints": {
                "l1": {"http": self.l1.http, "ws": self.l1.ws},
                "sequencer": {"http": self.sequencer.http},
                "rollups": {
                    name: {"chain_id": chain.chain_id, "http": chain.http, "ws": chain.ws}
                    for name, chain in self.rollups.items()
                },
            },
            "accounts": [
                {"address": user.address, "private_key": user.private_key} for user in self.plan.users
            ],
        }

    async def close(self) -> None:
        """Close this client's connections (not the devnet)."""
        for client in self._clients:
            await client.close()
        self.journal.close()


@contextlib.asynccontextmanager
async def launch(
    topology: str | Path | Plan,
    *,
    name: str | None = None,
    state: Path | None = None,
    progress: Progress | None = None,
    dedicated: bool = False,
    on_exit: ExitListener | None = None,
) -> "AsyncIterator[tuple[Devnet, ControlServer]]":
    """As :meth:`Devnet.launch`, with the control server for callers that wait for ``rollnet down``."""
    began = time.monotonic()
    plan = topology if isinstance(topology, Plan) else make_plan(load_topology(Path(topology)))
    state = state or home()
    registry = Registry(state)
    registry.require_free(name or plan.name)
    run = RunDirectory.create(state, plan.name, plan.seed)
    if not isinstance(topology, Plan):
        run.topology.write_bytes(Path(topology).read_bytes())
    run.plan.write_bytes(orjson.dumps(plan_to_dict(plan), option=orjson.OPT_INDENT_2))
    specs = node_specs(plan, str(anvil_binary()))
    described: dict[str, Any] = {}
    runtime = ProcessRuntime(run, state, on_exit=on_exit or _unheard)
    # left in reverse: nodes end, then the name is free, then those who asked for `down` are answered
    async with contextlib.AsyncExitStack() as stack:
        control = await stack.enter_async_context(ControlServer(runtime, lambda: described))
        entry = _entry(name or plan.name, run, control, dedicated=dedicated)
        registry.claim(entry)
        stack.callback(registry.release, entry)
        await stack.enter_async_context(runtime)
        await runtime.prepare(specs)
        registry.update(replace(entry, ports=_ports(runtime, specs)))
        await _write_genesis(plan, run)
        await bring_up(runtime, specs, progress or _quiet)
        net = _devnet(
            entry.name, plan, run, LocalNodes(runtime), lambda node: runtime.endpoint(node, "http"), 0.0
        )
        stack.push_async_callback(net.close)
        await _all_rollups_up(net)
        object.__setattr__(net, "ready_s", time.monotonic() - began)
        described.update(net.describe())
        run.devnet.write_bytes(orjson.dumps(described, option=orjson.OPT_INDENT_2))
        yield net, control


def _entry(name: str, run: RunDirectory, control: ControlServer, *, dedicated: bool) -> DevnetEntry:
    owner = ProcessId.of(os.getpid())
    assert owner is not None, "this process runs"
    return DevnetEntry(
        name=name,
        run_id=run.run_id,
        run_dir=str(run.path),
        supervisor=owner,
        control=Control(control.port, control.token),
        dedicated=dedicated,
    )


def _ports(runtime: ProcessRuntime, specs: Sequence[NodeSpec]) -> tuple[int, ...]:
    urls = (runtime.endpoint(spec.name, port) for spec in specs for port in spec.ports)
    return tuple(int(url.rpartition(":")[2].rstrip("/")) for url in urls)


async def _write_genesis(plan: Plan, run: RunDirectory) -> None:
    (run.path / "genesis").mkdir()
    for rollup in plan.rollups:
        genesis = await build_genesis(plan, rollup, cache())
        (run.path / genesis_path(rollup.name)).write_bytes(orjson.dumps(genesis))


def _devnet(
    name: str, plan: Plan, run: RunDirectory, nodes: Nodes, url: Callable[[str], str], ready_s: float
) -> Devnet:
    clients = {
        node: Client(url(node), timeout=35.0) for node in (L1, SEQUENCER, *(r.name for r in plan.rollups))
    }
    client = f"client-{os.getpid()}-{secrets.token_hex(3)}"
    return Devnet(
        name=name,
        plan=plan,
        directory=run,
        nodes=nodes,
        l1=ChainHandle(L1, plan.l1.chain_id, clients[L1].url, clients[L1]),
        sequencer=SequencerHandle(clients[SEQUENCER].url, clients[SEQUENCER]),
        rollups={
            r.name: ChainHandle(r.name, r.chain_id, clients[r.name].url, clients[r.name])
            for r in plan.rollups
        },
        journal=Journal(run.journal_of(client), client, "client"),
        ready_s=ready_s,
        _clients=tuple(clients.values()),
    )


async def _all_rollups_up(net: Devnet) -> None:
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while True:
                rollups = (await net.sequencer.status())["rollups"]
                if all(rollup["state"] == "up" for rollup in rollups.values()):
                    return
                await asyncio.sleep(0.02)
    except TimeoutError as exc:
        states = ", ".join(f"{name} {rollup['state']}" for name, rollup in rollups.items())
        raise RollnetError(
            f"the sequencer does not have all rollups in its slots after {SETTLE_SECONDS:g} s: {states}",
            f"see {net.directory.logs}",
        ) from exc


def _unheard(status: NodeStatus) -> None:
    del status


def _quiet(node: str, state: NodeState, seconds: float) -> None:
    del node, state, seconds
