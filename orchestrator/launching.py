"""Launching a devnet: plan, genesis, nodes, and everything undone in reverse when the block is left.

::

    topology file ─► plan ─► claim the name ─► reserve ports ─► genesis ─► bring up ─► all rollups in slots ─► Devnet
"""

import asyncio
import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from orchestrator.devnet import Devnet, connect
from orchestrator.errors import RollnetError
from orchestrator.genesis_files import write_genesis
from orchestrator.node_handles import LocalNodes
from orchestrator.nodes import node_specs
from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.rundir import RunDirectory, home
from orchestrator.runtimes.base import Capability, ExitListener, NodeState, NodeStatus, Runtime
from orchestrator.runtimes.choice import Choice, choose
from orchestrator.runtimes.control import ControlServer
from orchestrator.runtimes.errors import HostRefusedError
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.ports import LOOPBACK
from orchestrator.runtimes.startup import Progress, bring_up
from orchestrator.topology.load import load_topology
from orchestrator.topology.names import LINKS
from orchestrator.topology.plan import Plan
from orchestrator.topology.plan_json import plan_to_dict
from orchestrator.topology.resolve import make_plan

SETTLE_SECONDS = 20.0
"""Longest time for the sequencers to have all rollups in their slots, once every node has answered."""


@contextlib.asynccontextmanager
async def launch(
    topology: str | Path | Plan,
    *,
    name: str | None = None,
    state: Path | None = None,
    progress: Progress | None = None,
    dedicated: bool = False,
    on_exit: ExitListener | None = None,
    runtime: str | None = None,
    chaos: bool = False,
    mutant: str = "",
) -> "AsyncIterator[tuple[Devnet, ControlServer]]":
    """As :meth:`Devnet.launch`, with the control server for callers that wait for ``rollnet down``."""
    began = time.monotonic()
    plan = topology if isinstance(topology, Plan) else make_plan(load_topology(Path(topology)))
    state, name, tell = state or home(), name or plan.name, progress or _quiet
    # left in reverse: nodes end, then the name is free, then those who asked for `down` are answered
    async with contextlib.AsyncExitStack() as stack:
        with _host_in_words(name, state):
            registry = Registry(state)
            registry.require_free(name)
            choice = await choose(
                runtime or plan.runtime, lambda line: tell("image", line, time.monotonic() - began), state
            )
            tell("runtime", f"{choice.kind}, {choice.why}", time.monotonic() - began)
            specs = node_specs(plan, choice.anvil, chaos=chaos, mutant=mutant)
            run = RunDirectory.create(state, plan.name, plan.seed)
            if not isinstance(topology, Plan):
                run.topology.write_bytes(Path(topology).read_bytes())
            run.plan.write_bytes(orjson.dumps(plan_to_dict(plan), option=orjson.OPT_INDENT_2))
            described: dict[str, Any] = {}
            running = choice.make(run, state, on_exit or _unheard)
            if plan.limits and Capability.LIMITS not in running.capabilities:
                tell("resources", "limits are not held: they are on Docker alone", time.monotonic() - began)
            control = await stack.enter_async_context(ControlServer(running, lambda: described))
            entry = _entry(name, run, control, choice, dedicated=dedicated)
            registry.claim(entry)
            stack.callback(lambda: registry.release(entry) if running.gave_back else None)
            await stack.enter_async_context(running)
            await running.prepare(specs)
            registry.update(replace(entry, ports=_ports(running)))
            await write_genesis(plan, run.path)
            await bring_up(running, specs, tell)
            net = connect(
                entry.name,
                plan,
                run,
                LocalNodes(running),
                lambda node: running.endpoint(node, "http"),
                0.0,
                links=running.endpoint(LINKS, "http") if chaos else None,
            )
            stack.push_async_callback(net.close)
            await _all_rollups_up(net)
            net = replace(net, ready_s=time.monotonic() - began, runtime=choice.kind, runtime_why=choice.why)
            described.update(net.describe())
            run.devnet.write_bytes(orjson.dumps(described, option=orjson.OPT_INDENT_2))
        yield net, control


@contextlib.contextmanager
def _host_in_words(name: str, state: Path) -> Iterator[None]:
    """What this host refuses, as one error."""
    try:
        yield
    except OSError as exc:
        raise HostRefusedError(f"launch {name}", exc, state) from exc


def _entry(
    name: str, run: RunDirectory, control: ControlServer, choice: Choice, *, dedicated: bool
) -> DevnetEntry:
    owner = ProcessId.of(os.getpid())
    assert owner is not None, "this process runs"
    return DevnetEntry(
        name=name,
        run_id=run.run_id,
        run_dir=str(run.path),
        supervisor=owner,
        control=Control(control.port, control.token),
        dedicated=dedicated,
        runtime=choice.kind,
        engine=choice.engine,
    )


def _ports(runtime: Runtime) -> tuple[int, ...]:
    """Those of this host: an engine's may be on another."""
    urls = (urlsplit(url) for status in runtime.status() for url in status.endpoints.values())
    return tuple(url.port for url in urls if url.hostname == LOOPBACK and url.port is not None)


async def _all_rollups_up(net: Devnet) -> None:
    rollups: Mapping[str, Any] = {}
    waiting = deque(net.sequencers.values())
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            while waiting:
                rollups = (await waiting[0].status())["rollups"]
                if all(rollup["state"] == "up" for rollup in rollups.values()):
                    waiting.popleft()
                else:
                    await asyncio.sleep(0.02)
    except TimeoutError as exc:
        states = ", ".join(f"{name} {rollup['state']}" for name, rollup in rollups.items())
        raise RollnetError(
            f"{waiting[0].name} does not have all its rollups in its slots after {SETTLE_SECONDS:g} s: {states}",
            f"see {net.directory.logs}",
        ) from exc


def _unheard(status: NodeStatus) -> None:
    del status


def _quiet(node: str, state: NodeState | str, seconds: float) -> None:
    del node, state, seconds
