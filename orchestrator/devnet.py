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
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.journal import Journal
from bridge.wire.jsonrpc import Client
from orchestrator.chains import ChainHandle, ChainUnreachable, SequencerHandle, ServiceHandle
from orchestrator.errors import RollnetError
from orchestrator.execution import LIFETIME_S, Execution, chosen_mode
from orchestrator.links.handle import CONTROL_ANSWER_S, LinksHandle
from orchestrator.links.plan import links_token
from orchestrator.node_handles import NodeHandle, Nodes
from orchestrator.registry import find_devnet
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.control import ControlClient
from orchestrator.runtimes.startup import Progress
from orchestrator.strategies.model import ExecutionMode, Strategy
from orchestrator.strategies.result import StrategyResult
from orchestrator.topology.names import L1, LINKS, RELAYER, SEQUENCER
from orchestrator.topology.plan import SHARED_SEQUENCER, Account, Plan
from orchestrator.topology.plan_json import plan_from_dict
from orchestrator.topology.sequencing import sequencing_sets, sets_of

ANSWER_S = 10.0
"""Longest wait for a chain's answer, seconds."""
WAIT_S = 35.0
"""The same for a sequencer, which may be asked to wait for a bundle's end for 30 s."""


@dataclass(frozen=True)
class Devnet:
    """A running devnet."""

    name: str
    plan: Plan
    directory: RunDirectory
    """Where everything about this run lies."""
    nodes: Nodes
    l1: ChainHandle
    sequencers: Mapping[str, SequencerHandle]
    """By the name of the node; in mode ``shared-sequencer`` there is one."""
    relayer: ServiceHandle
    """Proves and finalizes on L1 what leaves the rollups."""
    rollups: Mapping[str, ChainHandle]
    journal: Journal
    """This client's own journal."""
    ready_s: float
    """How long it took to come up, seconds."""
    runtime: str = "process"
    """Where its nodes run: ``process`` or ``docker``."""
    runtime_why: str = ""
    """Why there, for people."""
    links: LinksHandle | None = None
    """Faults on the links between nodes; None unless it was launched with ``chaos``."""
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
        runtime: str | None = None,
        chaos: bool = False,
        mutant: str = "",
    ) -> "AsyncIterator[Devnet]":
        """Launch a devnet and take it down at the end of the block.

        Args:
            topology: a topology file, or a plan.
            name: under which it is registered; the topology's name by default.
            state: the state home; ``$ROLLNET_HOME`` or its default.
            progress: told of each node's way up.
            dedicated: this process does nothing else, so ``rollnet down`` may end it by force.
            runtime: ``process``, ``docker`` or ``auto`` (see ``runtimes.choice``); what the topology says by default.
            mutant: how nodes are broken on purpose (``bridge.wire.mutants``); needs ``chaos``.
            chaos: nodes may be told to crash at a point, and there are :attr:`links` to break.

        Raises:
            InvalidTopology: with all problems of the file.
            RollnetError: it does not come up; everything started is down again.
        """
        from orchestrator.launching import launch  # noqa: PLC0415 - launching makes Devnets, so it imports this module

        async with launch(
            topology,
            name=name,
            state=state,
            progress=progress,
            dedicated=dedicated,
            runtime=runtime,
            chaos=chaos,
            mutant=mutant,
        ) as (net, _):
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
            RELAYER: described["endpoints"]["relayer"]["http"],
            **{node: found["http"] for node, found in described["endpoints"]["sequencers"].items()},
            **{rollup: found["http"] for rollup, found in described["endpoints"]["rollups"].items()},
        }
        links = described["endpoints"].get(LINKS, {}).get("http")
        net = connect(entry.name, plan, run, control, urls.__getitem__, described["ready_s"], links=links)
        net = replace(net, runtime=described["runtime"]["kind"], runtime_why=described["runtime"]["why"])
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

    @property
    def sequencer(self) -> SequencerHandle:
        """The sequencer that all rollups share.

        Raises:
            RollnetError: they share none.
        """
        if self.plan.messaging.mode != SHARED_SEQUENCER:
            raise RollnetError(
                f"{self.name} has no shared sequencer: its messaging mode is {self.plan.messaging.mode}, "
                "so there is one for each rollup",
                f"ask for the sequencer of one: {', '.join(self.sequencers)}",
            )
        return self.sequencers[SEQUENCER]

    def sequencer_of(self, rollup: str) -> SequencerHandle:
        """The sequencer that orders a rollup.

        Raises:
            RollnetError: there is no rollup of this name.
        """
        (ordering,) = sets_of(self.plan, [self.rollup(rollup).name])
        return self.sequencers[ordering.node]

    def node(self, name: str) -> NodeHandle:
        """A node by its name: ``l1``, ``sequencer``, ``relayer``, ``maker``, a rollup's, or ``<rollup>-sequencer``."""
        return NodeHandle(name, self.nodes, self.journal, self.plan)

    async def bundle(self, digest: str) -> Mapping[str, Any] | None:
        """What became of a bundle or transaction; None if no sequencer ever acknowledged it.

        Raises:
            ChainUnreachable: none of those that answer knows it, and one does not answer.
        """
        silent: ChainUnreachable | None = None
        asked = [asyncio.create_task(one.bundle(digest)) for one in self.sequencers.values()]
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    found = await answer
                except ChainUnreachable as exc:
                    silent = exc
                    continue
                if found is not None:
                    return found
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
        if silent is not None:
            raise silent
        return None

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Funded users."""
        return self.plan.users

    @property
    def execution(self) -> Execution:
        """Where strategies run; for those who want the steps one by one."""
        return Execution(self.plan, self.directory.path, self.rollups, self.sequencers, self.journal)

    async def run(
        self,
        strategy: Strategy,
        *,
        account: int = 0,
        lifetime_s: int | None = None,
        prices: Sequence[int] = (),
        execution: ExecutionMode | None = None,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> StrategyResult:
        """Run a strategy, all its legs or none, and wait for its end.

        Args:
            strategy: such as ``presets.build("iron_condor", net.plan.market)``.
            account: index of the user who signs.
            lifetime_s: how long it may take until it is decided, seconds; by default :data:`LIFETIME_S` for a bundle, and over the
                bridge as long as the topology's waits ask for.
            prices: settlement prices for the payoff table, 1e-6 USD.
            execution: as a bundle or over the bridge; by default as the strategy says.
            tell: told of each step over the bridge, a line at a time.

        Raises:
            ResolutionError: it does not fit this devnet.
            NeedsBridge: a bundle is wanted for legs that no single sequencer orders.
            RollnetError: a node that has to be read does not answer, or the account can't pay.
        """
        user = self.plan.users[account]
        if chosen_mode(self.plan, strategy, execution) is ExecutionMode.BUNDLE:
            lifetime_s = LIFETIME_S if lifetime_s is None else lifetime_s
            return await self.execution.run(strategy, user, lifetime_s=lifetime_s, prices=prices)
        from orchestrator.bridge_execution.running import run_over_bridge  # noqa: PLC0415 - it takes Devnets, so it imports this module

        return await run_over_bridge(self, strategy, user, tell, lifetime_s=lifetime_s, prices=prices)

    def describe(self) -> dict[str, Any]:
        """The machine contract of ``rollnet up --json``.

        ``endpoints.sequencer`` is there where all rollups share one.
        """
        sequencers = {name: {"http": sequencer.http} for name, sequencer in self.sequencers.items()}
        return {
            "name": self.name,
            "run_dir": str(self.directory.path),
            "ready_s": round(self.ready_s, 3),
            "runtime": {
                "kind": self.runtime,
                "why": self.runtime_why,
                "limits_not_held": [limits.node for limits in self.plan.limits if self.runtime != "docker"],
            },
            "endpoints": {
                "l1": {"http": self.l1.http, "ws": self.l1.ws},
                **({SEQUENCER: sequencers[SEQUENCER]} if SEQUENCER in sequencers else {}),
                "sequencers": sequencers,
                "relayer": {"http": self.relayer.http},
                **({LINKS: {"http": self.links.http}} if self.links is not None else {}),
                "rollups": {
                    rollup.name: {
                        "chain_id": rollup.chain_id,
                        "engine": rollup.engine,
                        "http": self.rollups[rollup.name].http,
                        "ws": self.rollups[rollup.name].ws,
                    }
                    for rollup in self.plan.rollups
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


def connect(
    name: str,
    plan: Plan,
    run: RunDirectory,
    nodes: Nodes,
    url: Callable[[str], str],
    ready_s: float,
    *,
    links: str | None = None,
) -> Devnet:
    """A handle on a devnet whose nodes' addresses ``url`` knows by name; ``links`` is that of its link proxy, if it has one."""
    sequencers = [one.node for one in sequencing_sets(plan)]
    clients = {node: Client(url(node), timeout=WAIT_S) for node in sequencers}
    others = (L1, RELAYER, *(rollup.name for rollup in plan.rollups))
    clients |= {node: Client(url(node), timeout=ANSWER_S) for node in others}
    if links is not None:
        clients[LINKS] = Client(links, token=links_token(plan), timeout=CONTROL_ANSWER_S)
    client = f"client-{os.getpid()}-{secrets.token_hex(3)}"
    journal = Journal(run.journal_of(client), client, "client")
    return Devnet(
        name=name,
        plan=plan,
        directory=run,
        nodes=nodes,
        l1=ChainHandle(L1, plan.l1.chain_id, clients[L1].url, clients[L1]),
        sequencers={node: SequencerHandle(node, clients[node].url, clients[node]) for node in sequencers},
        relayer=ServiceHandle(RELAYER, clients[RELAYER].url, clients[RELAYER]),
        rollups={
            r.name: ChainHandle(r.name, r.chain_id, clients[r.name].url, clients[r.name])
            for r in plan.rollups
        },
        journal=journal,
        ready_s=ready_s,
        links=LinksHandle(links, clients[LINKS], journal) if links is not None else None,
        _clients=tuple(clients.values()),
    )
