"""The crash matrix of one bundle, P0 to P7: where the crash is, what readers see while the nodes are dead, and what they see afterwards.

::

    P0 before any staging   P1 staged, not decided   P2 decided, nobody told   P3 applied on one, served by none
    P4 served by one        P5 on its way to L1      P6 on L1, unnoticed       P7 two leaders           (P8: test_crash_points_l1)

The chains stand still but for the bundle, so that it is the only thing that passes the points.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bridge.wire.configuration import VARIABLE
from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from orchestrator.crash_testing.judge import Item
from orchestrator.crash_testing.load import SINK, Load
from orchestrator.crash_testing.processes import environment_of, free_port, own_process
from orchestrator.crash_testing.rows import MATRIX
from orchestrator.crash_testing.world import CrashWorld
from orchestrator.errors import RollnetError
from orchestrator.runtimes.base import ALIVE
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

SLOW = (
    "l1: {block_time: 2s, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 300ms, sequencing_window: 60s}"
)
RARE = "{engine: evm, block_time: 60s}"
"""No block without work but for the epochs that L1 opens, every two seconds."""
BOTH, NEITHER = [True, True], [False, False]
P0, P1, P2, STORED, ASKED, SERVED, SENT, COUNTED = MATRIX


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[CrashWorld]:
    """Two rollups that rest."""
    async with launched(topology_file("matrix", extra=SLOW, alpha=RARE, beta=RARE), chaos=True) as net:
        yield CrashWorld(net)


async def quiet(world: CrashWorld) -> None:
    """Wait for a slot to be over: the next comes with a bundle, or with the next L1 block."""
    slots = (await world.net.sequencer.status())["slots"]

    async def over() -> bool:
        return bool((await world.net.sequencer.status())["slots"] > slots)

    await eventually(over, 20, "the slots of an epoch", every_s=0.005)
    await asyncio.sleep(
        0.15
    )  # both rollups' shares of the epoch; there is nothing to wait for that would say so


async def bundle(world: CrashWorld) -> Item:
    """A bundle over both rollups, acknowledged."""
    load = Load(world.net, serial=world.serial)
    chains = list(world.net.rollups.values())
    try:
        item = await load.send(world.net.accounts[0], chains, [SINK] * len(chains), 30)
    finally:
        world.serial = load.serial
    world.sent.append(item)
    return item


async def served(world: CrashWorld, item: Item) -> list[bool | None]:
    """Whether each rollup shows its leg; None for one that does not answer."""
    found: list[bool | None] = []
    for leg in item.legs:
        try:
            found.append(await world.net.rollup(leg.rollup).receipt(leg.digest) is not None)
        except RollnetError:
            found.append(None)
    return found


async def committed(world: CrashWorld, item: Item) -> None:
    """It ends, and is on both."""
    status = await world.net.sequencer.rpc("rollnet_waitForEnd", item.id, 20.0)
    assert "committed" == status["status"]
    await eventually(lambda: _shown(world, item), 20, "both legs")


async def _shown(world: CrashWorld, item: Item) -> bool:
    return BOTH == await served(world, item)


@pytest.mark.parametrize("point", [P0, P1, P2], ids=["P0", "P1", "P2"])
async def test_before_anybody_is_told(world: CrashWorld, point: str) -> None:
    """P0, P1, P2: nobody serves a leg while the sequencer is dead; afterwards the bundle is whole, by redo or by a new slot."""
    await quiet(world)
    ordered = await world.net.node("sequencer").crash_at(point)
    item = await bundle(world)
    await world.crashed("sequencer", point, ordered.boot)
    assert NEITHER == await served(world, item)
    await world.revive("sequencer", f"{point} with one bundle")
    await committed(world, item)


async def test_p3_applied_on_one_and_served_by_none(world: CrashWorld) -> None:
    """Alpha has stored the block and not opened its gate, beta has not begun, all die: alpha comes back with it, beta gets it from the log."""
    await quiet(world)
    alpha = await world.net.node("alpha").crash_at(STORED)
    beta = await world.net.node("beta").crash_at(ASKED)
    item = await bundle(world)
    await world.crashed("alpha", STORED, alpha.boot)
    await world.crashed("beta", ASKED, beta.boot)
    await world.net.node("sequencer").kill()
    for node in ("alpha", "beta"):
        await world.net.node(node).restart()
    assert [True, False] == await served(world, item)
    await world.revive("sequencer", "P3")
    await committed(world, item)


async def test_p4_served_by_one(world: CrashWorld) -> None:
    """Alpha serves its leg, beta was never told, beta and the sequencer die: what alpha showed stays, and beta follows."""
    await quiet(world)
    beta = await world.net.node("beta").crash_at(ASKED)
    sequencer = await world.net.node("sequencer").crash_at(SERVED)
    item = await bundle(world)
    await world.crashed("sequencer", SERVED, sequencer.boot)
    await world.crashed("beta", ASKED, beta.boot)
    assert [True, None] == await served(world, item)
    shown = await world.net.rollup("alpha").receipt(item.legs[0].digest)
    await world.net.node("beta").restart()
    assert [True, False] == await served(world, item)
    await world.revive("sequencer", "P4")
    await committed(world, item)
    assert shown == await world.net.rollup("alpha").receipt(item.legs[0].digest)


async def test_p5_and_p6_on_its_way_to_l1_and_there(world: CrashWorld) -> None:
    """Dead when L1 has the superbatch, it is safe on both rollups without anybody; dead again when it was seen there, it is not sent twice."""
    net = world.net
    await quiet(world)
    sequencer = await net.node("sequencer").crash_at(SENT)
    item = await bundle(world)
    await world.crashed("sequencer", SENT, sequencer.boot)

    async def safe() -> bool:
        tops = [await net.rollup(leg.rollup).rpc("eth_getBlockByNumber", "safe", False) for leg in item.legs]
        receipts = [await net.rollup(leg.rollup).receipt(leg.digest) for leg in item.legs]
        return all(
            receipt is not None and int(receipt["blockNumber"], 16) <= int(top["number"], 16)
            for top, receipt in zip(tops, receipts, strict=True)
        )

    await eventually(safe, 20, "both legs safe without a sequencer")
    await world.crash_while_starting("sequencer", COUNTED)
    await world.revive("sequencer", "P6")
    await committed(world, item)
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)


async def test_p7_two_leaders(world: CrashWorld, tmp_path: Path) -> None:
    """Frozen while another one takes over on a copy of its log, the first goes on beside it, and both publish the same slots.

    Of each number one superbatch counts, whoever's; the other sequencer finds that out and ends by itself, and what was served stays.
    """
    net = world.net
    await quiet(world)
    item = await bundle(world)
    await committed(world, item)
    await net.node("sequencer").pause()
    data = tmp_path / "data"
    data.mkdir()
    shutil.copy(net.directory.data_of("sequencer") / "wal.log", data / "wal.log")
    environment = await environment_of(world, "sequencer")
    port = free_port()
    config = orjson.loads(environment[VARIABLE])
    other = {**config, "rpc_port": port, "data_dir": str(data), "journal": str(tmp_path / "journal")}
    second = await own_process({**environment, VARIABLE: orjson.dumps(other).decode()})
    try:
        async with Client(f"http://127.0.0.1:{port}") as client:

            async def has_taken_over() -> bool:
                with contextlib.suppress(PeerUnreachable):
                    rollups = (await client.call("rollnet_status"))["rollups"].values()
                    return {"up"} == {rollup["state"] for rollup in rollups}
                return False

            await eventually(has_taken_over, 20, "the second sequencer to lead")
            await net.node("sequencer").resume()

            async def one_has_given_up() -> bool:
                first = await net.node("sequencer").status()
                return first.state not in ALIVE or second.returncode is not None

            await eventually(one_has_given_up, 30, "one of the two to find that L1 took the other's")
    finally:
        if second.returncode is None:
            second.kill()
        await second.wait()
    assert BOTH == await served(world, item)
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)
