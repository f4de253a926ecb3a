"""A rollup node that dies at any moment comes back to the identical chain, and the others do not wait for it."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.node_handles import LocalNodes
from orchestrator.runtimes.orphans import group_members
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

TOKEN = artifact("CashToken")
SEED = 606
KILLS = 5
NAMES = ("alpha", "beta", "gamma")
FAST = "messaging: {mode: shared-sequencer, slot: 20ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Three rollups with short slots, so that a kill falls into every phase of one."""
    quick = dict.fromkeys(NAMES, "{engine: evm, block_time: 300ms}")
    async with launched(topology_file("restarts", rollups=NAMES, extra=FAST, **quick)) as running:
        yield running


@contextlib.asynccontextmanager
async def load(net: Devnet, signed: Callable[..., str]) -> AsyncIterator[list[str]]:
    """Bundles over pairs of rollups and single transactions, for as long as the block lasts; gives the acknowledged bundles."""
    acknowledged: list[str] = []
    stop = asyncio.Event()

    async def user(index: int) -> None:
        rng = random.Random(f"{SEED}/{index}")
        account = net.accounts[index]
        while not stop.is_set():
            chains = [net.rollup(name) for name in rng.sample(NAMES, 2)]
            try:
                nonces = [
                    int(await chain.rpc("eth_getTransactionCount", account.address, "pending"), 16)
                    for chain in chains
                ]
                legs = [
                    from_hex(signed(account, chain, nonce, value=rng.randrange(100)))
                    for chain, nonce in zip(chains, nonces, strict=True)
                ]
                bundle = await net.sequencer.send_bundle(legs, int(time.time()) + 4, rng.randbytes(32))
                acknowledged.append(bundle)
                await net.sequencer.rpc("rollnet_waitForEnd", bundle, 10.0)
            except RollnetError:
                await asyncio.sleep(0.05)  # one of the two rollups is down: users try again

    async with asyncio.TaskGroup() as tasks:
        for index in range(3):
            tasks.create_task(user(index))
        try:
            yield acknowledged
        finally:
            stop.set()


async def block(chain: ChainHandle, number: str = "latest") -> Mapping[str, Any]:
    """A block with its transactions."""
    found: Mapping[str, Any] = await chain.rpc("eth_getBlockByNumber", number, True)
    return found


async def everything_up(net: Devnet) -> None:
    """Wait until the sequencer has every rollup in its slots."""

    async def up() -> bool:
        states = [rollup["state"] for rollup in (await net.sequencer.status())["rollups"].values()]
        return set(states) == {"up"}

    await eventually(up, 20, "every rollup up")


@pytest.mark.long
async def test_killed_at_random_moments_it_comes_back_to_the_same_chain(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Under load, killed five times: every block seen before the kill is the same after it, the others went on, bundles are whole."""
    rng = random.Random(SEED)
    print(f"seed {SEED}, run directory {net.directory.path}")  # noqa: T201 - shown when the test fails
    async with load(net, signed) as acknowledged:
        for _ in range(KILLS):
            victim = rng.choice(NAMES)
            others = [net.rollup(name) for name in NAMES if name != victim]
            await asyncio.sleep(0.2 + rng.random() * 0.4)
            seen = await block(net.rollup(victim))
            await net.node(victim).kill()
            heights = [await chain.height() for chain in others]
            await asyncio.sleep(rng.random() * 0.3)

            async def went_on(others: Any = others, heights: Any = heights) -> bool:
                return all(
                    [await chain.height() > height for chain, height in zip(others, heights, strict=True)]
                )

            await eventually(went_on, 5, f"blocks of the others while {victim} is dead", every_s=0.02)
            await net.node(victim).restart()
            assert seen == await block(net.rollup(victim), seen["number"])
            await everything_up(net)
        await asyncio.sleep(0.5)
    assert len(acknowledged) > 10
    await chains_are_those_that_were_decided(net)
    for digest in acknowledged:
        status = await net.sequencer.bundle(digest)
        assert status is not None
        assert status["status"] in ("committed", "expired"), status
        receipts = [await net.rollup(leg["rollup"]).receipt(leg["transactionHash"]) for leg in status["legs"]]
        present = [receipt is not None and receipt["status"] == "0x1" for receipt in receipts]
        assert [status["status"] == "committed"] * len(present) == present, status


async def test_with_the_sequencer_dead_it_serves_its_own_store(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Killed and restarted while there is no sequencer, it is ready, has the identical head and still answers reads of old blocks."""
    alpha, user = net.rollup("alpha"), net.accounts[5]
    await everything_up(net)
    digest = await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, 0, value=9))
    await net.sequencer.rpc("rollnet_waitForEnd", digest, 10.0)
    await net.node("sequencer").kill()
    try:
        head, receipt = await block(alpha), await alpha.receipt(digest)
        assert receipt is not None
        logs = await alpha.rpc("eth_getLogs", {"fromBlock": "0x0"})
        await net.node("alpha").kill()
        await net.node("alpha").restart()
        assert (head, receipt) == (await block(alpha), await alpha.receipt(digest))
        assert logs == await alpha.rpc("eth_getLogs", {"fromBlock": "0x0"})
        assert "0x1" == await alpha.rpc("eth_getTransactionCount", user.address, "pending")
        with pytest.raises(RollnetError, match="nothing was acknowledged"):
            await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, 1))
    finally:
        await net.node("sequencer").restart()
    await everything_up(net)
    again = await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, 1))
    assert "included" == (await net.sequencer.rpc("rollnet_waitForEnd", again, 10.0))["status"]


async def test_history_before_a_checkpoint_outlives_a_restart(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Back from a stored state and not from genesis, it still answers for the blocks, receipts and logs from before that state."""
    alpha, user = net.rollup("alpha"), net.accounts[7]
    folder = net.directory.data_of("alpha")
    await everything_up(net)
    creation = signed(user, alpha, 0, to="0x", data=TOKEN.deployment(user.address), gas=3_000_000)
    digest = await alpha.rpc("eth_sendRawTransaction", creation)
    await net.sequencer.rpc("rollnet_waitForEnd", digest, 10.0)
    created = await alpha.receipt(digest)
    assert created is not None
    nonce = 1
    while not [
        path for path in folder.glob("checkpoint-*") if stored_height(path) > int(created["blockNumber"], 16)
    ]:
        sent = await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, nonce))
        await net.sequencer.rpc("rollnet_waitForEnd", sent, 10.0)
        nonce += 1
    asked: list[tuple[str, list[Any]]] = [
        ("eth_getTransactionReceipt", [digest]),
        ("eth_getTransactionByHash", [digest]),
        ("eth_getBlockByNumber", [created["blockNumber"], True]),
        ("eth_getBlockByHash", [created["blockHash"], False]),
        ("eth_getBlockReceipts", [created["blockNumber"]]),
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": created["blockNumber"]}]),
        ("eth_getCode", [created["contractAddress"], "latest"]),
    ]
    before = await alpha.client.batch(asked)
    await net.node("alpha").kill()
    await net.node("alpha").restart()
    assert before == await alpha.client.batch(asked)
    journal = (net.directory.journals / "alpha.jsonl").read_text().splitlines()
    recovered = [line for line in journal if '"node.recovered"' in line]
    assert '"checkpoint":0' not in recovered[-1]


def stored_height(path: Path) -> int:
    """Block number of a stored state."""
    return int(path.name.split("-")[1])


async def test_an_engine_that_dies_alone_is_rebuilt_in_place(net: Devnet, signed: Callable[..., str]) -> None:
    """SIGKILL to anvil only: the node keeps its process, rebuilds the identical chain and takes part again."""
    alpha, user = net.rollup("alpha"), net.accounts[6]
    assert isinstance(net.nodes, LocalNodes)
    await everything_up(net)
    head = await block(alpha)
    before = next(status for status in net.nodes.runtime.status() if status.name == "alpha")
    assert before.pid is not None
    members = {
        pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in group_members(os.getpgid(before.pid))
    }
    (engine,) = (
        pid for pid, command in members.items() if b"anvil\0" in command and b"rollup_node" not in command
    )
    os.kill(engine, signal.SIGKILL)

    async def serves_again() -> bool:
        return head == await block(alpha, head["number"])

    await eventually(serves_again, 15, "alpha's identical head after its engine died", every_s=0.02)
    await everything_up(net)
    digest = await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, 0))
    assert "included" == (await net.sequencer.rpc("rollnet_waitForEnd", digest, 10.0))["status"]
    after = next(status for status in net.nodes.runtime.status() if status.name == "alpha")
    assert (before.pid, before.boot) == (after.pid, after.boot)


async def chains_are_those_that_were_decided(net: Devnet) -> None:
    """Every decided block is on its rollup, by number, hash, state root and content."""
    await everything_up(net)
    first, decided = 0, []
    while page := await net.sequencer.rpc("rollnet_getSlots", first, 500):
        decided += [decided_block for slot in page for decided_block in slot["blocks"]]
        first += len(page)
    chains = {chain.chain_id: chain for chain in net.rollups.values()}
    for chain_id, chain in chains.items():
        wanted = [b for b in decided if b["chain_id"] == chain_id]
        assert list(range(1, len(wanted) + 1)) == [b["number"] for b in wanted]
        answers: list[Any] = await chain.client.batch(
            [("eth_getBlockByNumber", [hex(b["number"]), False]) for b in wanted]
        )
        assert [(b["hash"], b["state_root"]) for b in wanted] == [
            (a["hash"], a["stateRoot"]) for a in answers
        ]
