"""The sequencer and its publisher crash at each of their points, under users' load; the chains are judged after every one.

Judged are receipts and nonces of every rollup, not what the sequencer says: no partial bundle, nothing acknowledged lost, nothing
executed twice. A killed process loses nothing that it has written, so what a log without fsync would lose is not seen here but in the
simulation, whose disk forgets.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bridge.wire.configuration import VARIABLE
from bridge.wire.crash_points import CRASH_VARIABLE, EXIT_CRASHED
from bridge.wire.errors import PeerUnreachable
from bridge.wire.journal import read_journal
from bridge.wire.jsonrpc import Client
from bridge.wire.stages import Stage
from orchestrator.crash_testing.processes import environment_of, free_port, own_process
from orchestrator.crash_testing.rows import (
    EXPIRED,
    FIRST_BOOT,
    SEQUENCER_AT_BOOT,
    SEQUENCER_UNDER_LOAD,
    TORN_LOG,
)
from orchestrator.crash_testing.world import CrashWorld
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120),
]

QUICK = (
    "l1: {block_time: 400ms, confirmations: 1}\n"
    "messaging: {mode: shared-sequencer, slot: 50ms, publish_every: 200ms, sequencing_window: 30s}"
)
BUSY = "{engine: evm, block_time: 300ms}"
NODE = "sequencer"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[CrashWorld]:
    """Two rollups with short slots and a quick L1."""
    file = topology_file("crashes", extra=QUICK, alpha=BUSY, beta=BUSY)
    async with launched(file, chaos=True) as net:
        yield CrashWorld(net)


@pytest.mark.parametrize(("point", "count"), SEQUENCER_UNDER_LOAD)
async def test_at_a_point_of_its_work(world: CrashWorld, point: str, count: int) -> None:
    """It crashes there, comes back, decides again, and everything that users sent is whole."""
    async with world.judged():
        await world.crash(NODE, point, count)
        await world.revive(NODE, point)


@pytest.mark.parametrize("point", SEQUENCER_AT_BOOT)
async def test_at_a_point_of_its_boot(world: CrashWorld, point: str) -> None:
    """Killed, and crashed while it comes back: the life after that goes on from the log."""
    async with world.judged():
        await world.net.node(NODE).kill()
        await world.crash_while_starting(NODE, point)
        await world.revive(NODE, point)


@pytest.mark.parametrize("point", TORN_LOG)
async def test_while_a_torn_log_is_mended(world: CrashWorld, point: str) -> None:
    """Half a record is cut off at boot, and the crash comes before that is synced: what was acknowledged is there all the same."""
    async with world.judged():
        await world.crash(NODE, "sequencer.wal.torn", 2)
        await world.crash_while_starting(NODE, point)
        await world.revive(NODE, point)


@pytest.mark.parametrize("point", EXPIRED)
async def test_while_deadlines_pass(world: CrashWorld, point: str) -> None:
    """Acknowledged bundles that wait for a nonce in vain are expired, whether or not that was told before the crash."""
    async with world.judged() as load:
        ordered = await world.net.node(NODE).crash_at(point)
        late = [await load.send_late(gap) for gap in (1, 2)]
        await world.crashed(NODE, point, ordered.boot)
        await world.revive(NODE, point)
    for item in late:
        status = await world.net.sequencer.bundle(item.id)
        assert status is not None
        assert "expired" == status["status"]
    told = read_journal(world.net.directory.journal_of(NODE))
    assert {item.id for item in late} <= {each.bundle_id for each in told if each.event == Stage.EXPIRED}


async def test_an_attached_client_orders_the_same(world: CrashWorld, module_home: Path) -> None:
    """Also at a rollup, whose listener wants the token that only its sequencer has; and what it doesn't take, it refuses in words."""
    async with Devnet.attach(world.net.name, state=module_home) as net, world.judged():
        ordered = await net.node("alpha").crash_at("rollup.gate.opened", 2)
        bite = await net.node("alpha").crashed("rollup.gate.opened", ordered.boot)
        assert bite.bit, bite.evidence
        await world.revive("alpha", "rollup.gate.opened by another process")
        for node, point, words in (
            ("alpha", "sequencer.slot.decided", "is a point of sequencer nodes"),
            ("sequencer", "sequencer.slot.nowhere", "no crash point"),
            ("l1", "sequencer.slot.decided", "has no crash points"),
        ):
            with pytest.raises(RollnetError, match=words):
                await net.node(node).crash_at(point)


@pytest.mark.parametrize("point", FIRST_BOOT)
async def test_at_a_point_of_the_first_boot(world: CrashWorld, tmp_path: Path, point: str) -> None:
    """A node of its own, ordered by its environment: the first life ends there, the next one, of the same environment, goes on."""
    environment = await environment_of(world, NODE)
    config = orjson.loads(environment[VARIABLE])
    places = {
        "rpc_port": free_port(),
        "data_dir": str(tmp_path / "data"),
        "journal": str(tmp_path / "journal"),
    }
    # it must meet neither the devnet's rollups nor its superbatches: those have a log of their own
    nobody = [{**rollup, "control_url": "http://127.0.0.1:9"} for rollup in config["rollups"]]
    alone = {**config, **places, "rollups": nobody, "batch_inbox": "0x" + "0b" * 20}
    environment |= {VARIABLE: orjson.dumps(alone).decode(), CRASH_VARIABLE: point}
    first = await own_process(environment)
    assert (EXIT_CRASHED, True) == (await first.wait(), (tmp_path / "data" / "wal.log").exists())
    second = await own_process(environment)
    try:
        async with Client(f"http://127.0.0.1:{places['rpc_port']}") as client:

            async def answers() -> bool:
                with contextlib.suppress(PeerUnreachable):
                    return bool((await client.call("rollnet_status"))["term"] == 1)
                return False

            await eventually(answers, 20, "the second life")
    finally:
        if second.returncode is None:
            second.kill()
        await second.wait()


async def test_at_the_end_everything_is_on_l1_once(world: CrashWorld) -> None:
    """A verifier that has only L1 rebuilds every block that the rollups serve; and all that users ever sent is judged again."""
    async with world.judged(whole=True):
        pass
    async with live_sources(world.net.directory.path) as sources:
        found = await verify(sources)
    assert ((), "valid") == (found.findings, found.verdict)
    told = read_journal(world.net.directory.journal_of(NODE))
    numbers = {each.attrs["number"] for each in told if each.event == "superbatch.published"}
    assert set(range(max(numbers) + 1)) == numbers
    world.report()
