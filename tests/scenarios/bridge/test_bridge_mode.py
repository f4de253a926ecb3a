"""Messaging mode ``l1-bridge``: every rollup has a sequencer of its own, and what happens to one is nothing to the others."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.execution import NeedsBridge
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies import presets
from orchestrator.strategies.model import ExecutionMode
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

SAFE_S = 30.0
"""Longest wait for a block to be derived from L1, seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, repository: Path) -> AsyncIterator[Devnet]:
    """The shipped pair of rollups without a shared sequencer."""
    async with launched(repository / "topologies" / "bridge-pair.yaml") as running:
        yield running


async def nonce_of(chain: ChainHandle, account: Account) -> int:
    """Next nonce of an account, waiting transactions included."""
    return int(await chain.rpc("eth_getTransactionCount", account.address, "pending"), 16)


async def send(chain: ChainHandle, account: Account, signed: Callable[..., str]) -> str:
    """Send a transfer to its rollup and return its hash."""
    digest: str = await chain.rpc(
        "eth_sendRawTransaction", signed(account, chain, await nonce_of(chain, account), value=1)
    )
    return digest


async def safe_number(chain: ChainHandle) -> int:
    """Number of the newest block that is derived from L1."""
    return int((await chain.rpc("eth_getBlockByNumber", "safe", False))["number"], 16)


async def rollnet(home: Path, *arguments: str) -> Any:
    """The JSON document that a command prints."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("rollnet")),
        *arguments,
        "--json",
        env={**os.environ, "ROLLNET_HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return orjson.loads(out)


async def test_each_sequencer_orders_its_own_rollup(net: Devnet, signed: Callable[..., str]) -> None:
    """A transaction ends in a block of its rollup by the word of its own sequencer; the other has never heard of it."""
    for name, other in (("alpha", "beta"), ("beta", "alpha")):
        chain, own = net.rollup(name), net.sequencer_of(name)
        digest = await send(chain, net.accounts[0], signed)
        end = await own.rpc("rollnet_waitForEnd", digest, 20.0)
        assert ("included", [name]) == (end["status"], [leg["rollup"] for leg in end["legs"]])
        receipt = await chain.receipt(digest)
        assert receipt is not None
        assert (end["legs"][0]["blockHash"], "0x1") == (receipt["blockHash"], receipt["status"])
        assert await net.sequencer_of(other).bundle(digest) is None
        assert end == await net.bundle(digest)
        assert [name] == list((await own.status())["rollups"])


async def test_each_set_is_posted_by_its_own_key_to_its_own_inbox(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Blocks of both rollups become safe, that is derived from L1, where each batcher sent to its rollup's inbox alone."""
    numbers = {}
    for name, chain in net.rollups.items():
        digest = await send(chain, net.accounts[1], signed)
        end = await net.sequencer_of(name).rpc("rollnet_waitForEnd", digest, 20.0)
        numbers[name] = end["legs"][0]["blockNumber"]
    for name, number in numbers.items():

        async def safe(name: str = name, number: int = number) -> bool:
            return await safe_number(net.rollup(name)) >= number

        await eventually(safe, SAFE_S, f"block {number} of {name} derived from L1", every_s=0.1)
    where = deployments(net.plan).rollups
    blocks = [
        await net.l1.rpc("eth_getBlockByNumber", hex(number), True)
        for number in range(await net.l1.height() + 1)
    ]
    sent = {(tx["from"], tx["to"]) for block in blocks for tx in block["transactions"]}
    inboxes = {rollup.batch_inbox.lower(): rollup.batcher.lower() for rollup in where.values()}
    assert inboxes == {to: sender for sender, to in sent if to in inboxes}
    assert len(inboxes) == len(where)


async def test_a_bundle_holds_one_rollup_s_legs(net: Devnet, signed: Callable[..., str]) -> None:
    """A strategy on one rollup commits as a bundle; a bundle for two is refused by whichever sequencer gets it, with the chain."""
    assert net.plan.market is not None
    alone = await net.run(presets.build("vertical", net.plan.market, rollups=("beta",)), account=2)
    assert ("committed", ["executed"] * 2) == (alone.outcome, [leg.status for leg in alone.legs])
    with pytest.raises(NeedsBridge):
        await net.run(presets.build("vertical", net.plan.market), account=2, execution=ExecutionMode.BUNDLE)
    chains = list(net.rollups.values())
    raws = [
        from_hex(signed(net.accounts[3], chain, await nonce_of(chain, net.accounts[3]))) for chain in chains
    ]
    for name, stranger in (("alpha", net.rollup("beta")), ("beta", net.rollup("alpha"))):
        with pytest.raises(RollnetError, match=str(stranger.chain_id)):
            await net.sequencer_of(name).send_bundle(raws, int(time.time()) + 20, bytes(32))
    assert [0, 0] == [await nonce_of(chain, net.accounts[3]) for chain in chains]


async def test_a_dead_sequencer_is_nothing_to_the_other_rollup(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Alpha's is killed: alpha serves what it has and takes nothing new; beta goes on. Brought back, alpha continues its chain."""
    alpha, beta = net.rollup("alpha"), net.rollup("beta")
    before = await send(alpha, net.accounts[4], signed)
    end = await net.sequencer_of("alpha").rpc("rollnet_waitForEnd", before, 20.0)
    waiting = signed(net.accounts[4], alpha, await nonce_of(alpha, net.accounts[4]))
    await net.node("alpha-sequencer").kill()
    try:
        receipt = await alpha.receipt(before)
        assert receipt is not None
        with pytest.raises(RpcError):
            await alpha.client.call("eth_sendRawTransaction", waiting)
        heights = await beta.height(), await net.l1.height()
        digest = await send(beta, net.accounts[4], signed)
        status = await net.sequencer_of("beta").rpc("rollnet_waitForEnd", digest, 20.0)
        assert status["status"] == "included"
        assert status == await net.bundle(digest)

        async def both_go_on() -> bool:
            return await beta.height() > heights[0] + 3 and await net.l1.height() > heights[1] + 1

        await eventually(both_go_on, 20, "blocks of beta and of L1", every_s=0.1)
    finally:
        await net.node("alpha-sequencer").restart()
    assert to_hex(keccak256(from_hex(waiting))) == await alpha.rpc("eth_sendRawTransaction", waiting)
    after = await net.sequencer_of("alpha").rpc(
        "rollnet_waitForEnd", to_hex(keccak256(from_hex(waiting))), 20.0
    )
    assert after["status"] == "included"
    block = await alpha.rpc("eth_getBlockByNumber", hex(end["legs"][0]["blockNumber"]), False)
    assert end["legs"][0]["blockHash"] == block["hash"]


async def test_another_process_finds_the_same_sequencers(
    net: Devnet, module_home: Path, signed: Callable[..., str]
) -> None:
    """Attached or from the command line: status lists them, logs and bundles are found without saying whose they are."""
    digest = await send(net.rollup("beta"), net.accounts[5], signed)
    await net.sequencer_of("beta").rpc("rollnet_waitForEnd", digest, 20.0)
    async with Devnet.attach(net.name, state=module_home) as attached:
        assert net.describe() == attached.describe()
        assert await net.bundle(digest) == await attached.bundle(digest)
    told, logs, status = await asyncio.gather(
        rollnet(module_home, "bundle", digest),
        rollnet(module_home, "logs", "beta-sequencer"),
        rollnet(module_home, "status"),
    )
    assert ("included", ["beta"]) == (told["status"], [leg["rollup"] for leg in told["legs"]])
    assert any("node.ready" in line for line in logs["lines"])
    (devnet,) = status["devnets"]
    running = {node["name"] for node in devnet["nodes"] if node["state"] == "ready"}
    assert {"l1", "alpha-sequencer", "beta-sequencer", "alpha", "beta", "relayer", "maker"} == running
    assert net.describe()["endpoints"] == devnet["endpoints"]
