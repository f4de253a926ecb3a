"""What a verification reads: an L1, and what the devnet's own nodes say of their chains.

A live devnet moves while it is read, so an answer of a node only counts together with the L1 block up to which the node had
derived when it gave it: a rebuild from another L1 chain says nothing about it.
"""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bridge.l1.state import loadable
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from orchestrator.errors import RollnetError
from orchestrator.market.errors import GenesisError
from orchestrator.market.scratch import scratch_anvil
from orchestrator.nodes import genesis_path
from orchestrator.rundir import RunDirectory
from orchestrator.settlement.deployments import FILE_NAME, Deployments
from orchestrator.topology.names import L1
from orchestrator.topology.plan import Plan, RollupPlan
from orchestrator.topology.plan_json import plan_from_dict
from orchestrator.verification.errors import CannotVerify
from rollup_node.store import Store

PAGE = 50
"""Blocks asked for at once."""
L1_ANSWER_S = 5.0
"""Longest wait for the first word of L1, seconds."""
CATCH_UP_S = 10.0
"""Longest wait for a node to have derived up to L1's head, seconds."""
LOOK_S = 0.05
"""Between two looks at how far a node is, seconds."""


@dataclass(frozen=True, slots=True)
class Served:
    """What one rollup's node says of its chain."""

    safe: int
    """Its safe head."""
    hashes: Mapping[int, str]
    """Block hash by number, from 0 or 1 up to the safe head."""
    where: str
    """Its name, for findings."""
    derived_from: tuple[tuple[int, str], ...] = ()
    """Numbers and hashes of the L1 blocks up to which it had derived before and after it said so; none if that is not known."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Everything that a verification needs."""

    plan: Plan
    deployments: Deployments
    genesis: Path
    """Folder with the rollups' genesis files."""
    l1: Client
    served: Mapping[str, Served]
    """By rollup; one that does not answer is missing."""
    uncompared: Mapping[str, str]
    """Why a rollup's own chain cannot be compared, or not to its end, by rollup."""
    complete: bool
    """Whether L1 is at least as new as what the nodes say (a stored L1 lacks its last second if it was killed)."""

    def genesis_of(self, rollup: RollupPlan) -> Path:
        """A rollup's genesis file."""
        return self.genesis / Path(genesis_path(rollup.name)).name


@contextlib.asynccontextmanager
async def live_sources(run: Path) -> AsyncIterator[Sources]:
    """The sources of a running devnet.

    Raises:
        CannotVerify: the run directory lacks what is needed, or L1 does not answer.
    """
    directory = RunDirectory(run)
    plan, contracts = _read(directory)
    urls = _endpoints(directory, plan)
    async with contextlib.AsyncExitStack() as stack:
        l1 = await stack.enter_async_context(Client(urls[L1]))
        head = await _head_of(l1)
        clients = {
            rollup.name: await stack.enter_async_context(Client(urls[rollup.name])) for rollup in plan.rollups
        }
        async with asyncio.TaskGroup() as group:
            asked = {name: group.create_task(_ask(client, name, head)) for name, client in clients.items()}
        answers = {name: task.result() for name, task in asked.items()}
        yield Sources(
            plan,
            contracts,
            directory.path / "genesis",
            l1,
            {name: answer for name, answer in answers.items() if isinstance(answer, Served)},
            {name: answer for name, answer in answers.items() if isinstance(answer, str)},
            complete=True,
        )


@contextlib.asynccontextmanager
async def stored_sources(run: Path) -> AsyncIterator[Sources]:
    """The sources of a finished run: its L1 comes up again from its stored state, and mines no more.

    Raises:
        CannotVerify: the run directory lacks what is needed.
    """
    directory = RunDirectory(run)
    plan, contracts = _read(directory)
    state = directory.data_of(L1) / "state.json"
    with tempfile.TemporaryDirectory(prefix="rollnet-verify-") as scratch:
        copy = Path(scratch) / "l1.json"
        _copy_state(state, copy)
        # not in a thread: it would still write when an interrupted verification removes its files
        served = {rollup.name: _stored(directory, rollup.name, Path(scratch)) for rollup in plan.rollups}
        uncompared = {name: why for name, found in served.items() if (why := _damage(found))}
        async with contextlib.AsyncExitStack() as stack:
            options = ("--no-mining", "--load-state", str(copy), "--chain-id", str(plan.l1.chain_id))
            try:
                l1 = await stack.enter_async_context(scratch_anvil(*options))
            except GenesisError as exc:
                raise CannotVerify(
                    f"no L1 comes up from {state}: {exc.message}", "verify an undamaged run"
                ) from exc
            known = {name: found for name, found in served.items() if found is not None}
            yield Sources(plan, contracts, directory.path / "genesis", l1, known, uncompared, complete=False)


def _read(directory: RunDirectory) -> tuple[Plan, Deployments]:
    try:
        plan = plan_from_dict(orjson.loads(directory.plan.read_bytes()))
        contracts = Deployments.from_json(orjson.loads((directory.path / FILE_NAME).read_bytes()))
        missing = {rollup.name for rollup in plan.rollups} - contracts.rollups.keys()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RollnetError) as exc:
        said = isinstance(exc, OSError | RollnetError)
        raise _no_run(directory, str(exc) if said else repr(exc)) from exc
    if missing:
        raise _no_run(directory, f"{FILE_NAME} does not know {', '.join(sorted(missing))}")
    for rollup in plan.rollups:
        if not (directory.path / genesis_path(rollup.name)).is_file():
            raise _no_run(directory, f"{genesis_path(rollup.name)} is missing")
    return plan, contracts


def _endpoints(directory: RunDirectory, plan: Plan) -> dict[str, str]:
    """Addresses of the L1 and the rollups' nodes, by name."""
    try:
        told = orjson.loads(directory.devnet.read_bytes())["endpoints"]
        rollups = {rollup.name: str(told["rollups"][rollup.name]["http"]) for rollup in plan.rollups}
        return {L1: str(told["l1"]["http"]), **rollups}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CannotVerify(
            f"{directory.devnet} does not say where the nodes are: {exc!r}", "wait until the devnet is up"
        ) from exc


def _no_run(directory: RunDirectory, why: str) -> CannotVerify:
    return CannotVerify(
        f"{directory.path} is not the directory of a run that came up: {why}",
        "name a running devnet (`rollnet status`) or a run directory",
    )


async def _head_of(l1: Client) -> int:
    try:
        return int(await l1.call("eth_blockNumber", deadline=L1_ANSWER_S), 16)
    except (PeerUnreachable, RpcError) as exc:
        raise CannotVerify(
            f"L1 does not answer: {exc}", "look at `rollnet status`; `rollnet node restart l1`"
        ) from exc


async def _ask(client: Client, name: str, l1_head: int) -> Served | str:
    """What a node serves once it has derived up to an L1 block, or why that is not to be had."""
    try:
        before = await _caught_up(client, l1_head)
        safe = int((await client.call("eth_getBlockByNumber", "safe", False))["number"], 16)
        hashes = await _hashes(client, safe)
        after = await _derived_from(client)
    except TimeoutError:
        return f"after {CATCH_UP_S:g} s it has not derived up to L1 block {l1_head}"
    except (PeerUnreachable, RpcError, Malformed) as exc:
        return str(exc)
    return Served(safe, hashes, f"node {name}", tuple(dict.fromkeys((before, after))))


async def _caught_up(client: Client, l1_head: int) -> tuple[int, str]:
    async with asyncio.timeout(CATCH_UP_S):
        while True:
            position = await _derived_from(client)
            if position[0] >= l1_head:
                return position
            await asyncio.sleep(LOOK_S)


async def _derived_from(client: Client) -> tuple[int, str]:
    current = (await client.call("optimism_syncStatus"))["current_l1"]
    return (-1, "") if current is None else (current["number"], current["hash"])


async def _hashes(client: Client, last: int) -> dict[int, str]:
    hashes: dict[int, str] = {}
    for first in range(0, last + 1, PAGE):
        numbers = range(first, min(first + PAGE, last + 1))
        asked: list[tuple[str, list[Any]]] = [
            ("eth_getBlockByNumber", [hex(number), False]) for number in numbers
        ]
        for number, block in zip(numbers, await client.batch(asked), strict=True):
            if isinstance(block, RpcError):
                raise block
            if block is None:
                raise Malformed(f"it says that block {last} is safe, and has no block {number}")
            hashes[number] = block["hash"]
    return hashes


def _copy_state(state: Path, copy: Path) -> None:
    """What anvil is to start from: a copy, for the run directory is evidence."""
    try:
        content = loadable(state.read_bytes())
    except OSError as exc:
        raise CannotVerify(
            f"there is no L1 state at {state}", "verify a run that came up, or the running devnet by name"
        ) from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise CannotVerify(f"the L1 state {state} is damaged: {exc!r}", "verify an undamaged run") from exc
    copy.write_bytes(content)


def _damage(found: Served | None) -> str:
    """Why a block log cannot be compared to its safe head; empty if it can."""
    if found is None:
        return "its block log is missing"
    lost = next((number for number in range(1, found.safe + 1) if number not in found.hashes), None)
    if lost is None:
        return ""
    return f"its block log is damaged: block {lost} is missing, and its safe head is {found.safe}"


def _stored(directory: RunDirectory, name: str, scratch: Path) -> Served | None:
    """From a copy: reading a block log mends its torn end, and a run directory is evidence."""
    folder = scratch / name
    folder.mkdir()
    try:
        shutil.copyfile(directory.data_of(name) / "blocks.log", folder / "blocks.log")
    except FileNotFoundError:
        return None
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(directory.data_of(name) / "safe", folder / "safe")
    store = Store(folder)
    try:
        hashes = {block.number: block.hash for block in store.blocks() if block.number <= store.safe}
        return Served(store.safe, hashes, f"block log of {name}")
    finally:
        store.close()
