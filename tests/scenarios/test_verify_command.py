"""``rollnet verify`` as a command: what it says and how it exits when something is in its way, what it leaves, and batches in blobs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.keccak import from_hex, to_hex
from orchestrator.cli.testing import Rollnet, started
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.verification import live_sources, verify
from orchestrator.verification.testing import LyingClient, flipped
from orchestrator.verification.testing_load import Work, send_mixed, settled
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

NAME = "blobs"
BLOB = "{data_availability: blob, settlement: {challenge_period: 4s, proposal_interval: 2s}}"
QUICK = "l1: {block_time: 400ms, confirmations: 1}\nmessaging: {slot: 100ms, publish_every: 400ms}"


@dataclass(frozen=True)
class World:
    """A devnet that posts its batches in blobs, and its end."""

    net: Devnet
    stack: AsyncExitStack

    async def down(self) -> Path:
        """Take it down, once; its run directory stays."""
        await self.stack.aclose()
        return self.net.directory.path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[World]:
    """Two rollups after some transactions, with outputs of them on L1."""
    async with AsyncExitStack() as stack:
        net = await stack.enter_async_context(
            launched(topology_file(NAME, extra=QUICK, alpha=BLOB, beta=BLOB))
        )
        work = Work()
        await send_mixed(work, net.accounts[5], net.rollup("alpha"))
        await settled(net, work)
        yield World(net, stack)


async def test_batches_in_blobs(world: World, rollnet: Rollnet) -> None:
    """Every superbatch is a type-3 transaction with nothing in its calldata; valid; one bit of one blob otherwise and it is named."""
    net = world.net
    said = await rollnet("verify", NAME, "--json")
    assert (0, "valid") == (said.code, said.json["verdict"]), said
    assert 0 < said.json["outputs"]
    inbox = deployments(net.plan).rollups["alpha"].batch_inbox.lower()
    blocks = [
        await net.l1.rpc("eth_getBlockByNumber", hex(number), True)
        for number in range(said.json["l1_block"] + 1)
    ]
    carriers = [tx for block in blocks for tx in block["transactions"] if tx["to"] == inbox]
    assert {("0x3", "0x")} == {(tx["type"], tx["input"]) for tx in carriers}
    assert all(tx["blobVersionedHashes"] for tx in carriers)
    chosen = carriers[len(carriers) // 2]["hash"]

    def lie(method: str, params: Any, answer: Any) -> Any:
        if method != "anvil_getBlobsByTransactionHash" or params[0] != chosen:
            return answer
        return [to_hex(flipped(from_hex(answer[0]), 40)), *answer[1:]]

    async with live_sources(net.directory.path) as sources, LyingClient(sources.l1.url, lie) as l1:
        found = await verify(replace(sources, l1=l1))
    assert "invalid" == found.verdict
    (batch,) = [finding for _, finding in found.findings if finding.what == "superbatch"]
    assert (f"superbatch {len(carriers) // 2}", chosen) == (batch.claimed, batch.l1_tx)


async def test_what_cannot_be_verified(world: World, rollnet: Rollnet, tmp_path: Path) -> None:
    """No such net, garbage for a run, an L1 that stands still: exit 2, one error in words, no traceback."""
    for name in ("empty", "garbage"):
        (tmp_path / name / "journal").mkdir(parents=True)
    for name in ("plan.json", "deployments.json", "devnet.json"):
        (tmp_path / "garbage" / name).write_bytes(b'{"l1": [1, 2')
    expected = {
        ("nope",): "neither a devnet",
        (str(tmp_path / "nothing"),): "neither a devnet",
        (str(tmp_path / "empty"),): "plan.json",
        (str(tmp_path / "garbage"), "--json"): "is not the directory of a run",
        (NAME,): "L1 does not answer",
    }
    await world.net.node("l1").pause()
    try:
        results = await asyncio.gather(*(rollnet("verify", *arguments) for arguments in expected))
    finally:
        await world.net.node("l1").resume()
    for said, words in zip(results, expected.values(), strict=True):
        assert (2, 1, True) == (said.code, said.err.count("error:"), words in said.err), said
    assert {"error"} == set(results[3].json)


async def test_a_silent_node_leaves_it_open(world: World, rollnet: Rollnet) -> None:
    """A rollup whose node is dead is rebuilt, but not compared: unknown, exit 2, and the rollup is named."""
    await world.net.node("beta").kill()
    try:
        said, human = await asyncio.gather(rollnet("verify", "--json"), rollnet("verify"))
    finally:
        await world.net.node("beta").restart()
    found = said.json
    assert (2, "unknown", ["beta"]) == (said.code, found["verdict"], list(found["uncompared"]))
    assert ([], {"alpha"}, True) == (found["findings"], set(found["served"]), found["blocks"]["beta"] > 0)
    assert (2, True) == (human.code, "beta is not compared with its node" in human.out)


async def test_blobs_of_a_finished_run(world: World, rollnet: Rollnet) -> None:
    """The stored L1 has the blobs too."""
    said = await rollnet("verify", str(await world.down()), "--json")
    assert (0, "valid") == (said.code, said.json["verdict"]), said
    assert 0 < said.json["slots"]


@pytest.mark.parametrize(("number", "engines"), [(signal.SIGINT, 0), (signal.SIGTERM, 1), (signal.SIGINT, 3)])
async def test_an_interrupted_verification_leaves_nothing(
    world: World,
    module_home: Path,
    repository: Path,
    tmp_path: Path,
    number: signal.Signals,
    engines: int,
) -> None:
    """Ctrl-C (twice, as people do) or SIGTERM before, between and after its engines start: exit 130, no process, no file."""
    run = await world.down()
    mark = {"TMPDIR": str(tmp_path), "ROLLNET_VERIFY_TEST": f"{os.getpid()}-{tmp_path.name}"}
    async with started(module_home, repository, "verify", str(run), **mark) as process:

        async def there() -> bool:
            return bool(list(tmp_path.iterdir())) and len(marked(mark)) > engines

        await eventually(there, 30, f"{engines} engines of the verification", every_s=0.002)
        process.send_signal(number)
        process.send_signal(number)
        async with asyncio.timeout(15):
            _, err = await process.communicate()
    assert (130, "interrupted\n") == (process.returncode, err.decode())
    assert ([], []) == (list(tmp_path.iterdir()), marked(mark))


def marked(environment: dict[str, str]) -> list[str]:
    """Processes that have these variables."""
    wanted = {f"{name}={value}".encode() for name, value in environment.items()}
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted <= set((folder / "environ").read_bytes().split(b"\0")):
                found.append(folder.name)
        except OSError:
            continue
    return found
