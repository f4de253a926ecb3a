"""``rollnet deposit`` and ``rollnet withdraw`` on a running devnet: balances to the wei, exit codes, and words for what is in the way."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.relayer.lifecycle import ORDER
from orchestrator.chains import ChainHandle
from orchestrator.cli.testing import Rollnet, Said
from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SETTLED = "{settlement: {challenge_period: 2s, proposal_interval: 2s}}"
SLOW = "{settlement: {challenge_period: 300s, proposal_interval: 2s}}"
QUICK = "l1: {block_time: 400ms, confirmations: 1}"
ETHER = 10**18
REFUSING = "0x4200000000000000000000000000000000000015"
"""A contract of the rollup that takes no ETH."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """A rollup that settles quickly, and one that doesn't."""
    async with launched(topology_file("bridging", extra=QUICK, alpha=SETTLED, beta=SLOW)) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def refused(net: Devnet, rollnet: Rollnet) -> AsyncIterator["asyncio.Task[Said]"]:
    """A withdrawal to a contract that takes no ETH; it takes its time while other tests run."""
    oracle = deployments(net.plan).rollups["alpha"].output_oracle
    task = asyncio.create_task(
        rollnet("withdraw", "alpha", "0.1", "--account", "3", "--to", oracle, "--json")
    )
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def balance(chain: ChainHandle, address: str) -> int:
    """Wei."""
    return int(await chain.rpc("eth_getBalance", address, "latest"), 16)


async def fee_of(chain: ChainHandle, digest: str) -> int:
    """What a transaction cost, wei."""
    receipt = await chain.receipt(digest)
    assert receipt is not None
    return int(receipt["gasUsed"], 16) * int(receipt["effectiveGasPrice"], 16)


async def test_there_and_back_to_the_wei(net: Devnet, rollnet: Rollnet) -> None:
    """Two equal deposits at once are two deposits; one withdrawal passes every stage in order; every balance is exact."""
    alpha, user, portal = net.rollup("alpha"), net.accounts[1], deployments(net.plan).rollups["alpha"].portal
    here, there, paid = await asyncio.gather(
        balance(net.l1, user.address), balance(alpha, user.address), balance(net.l1, portal)
    )
    target, recipient = "0x" + "d0" * 20, "0x" + "d1" * 20
    deposit = ("deposit", "alpha", "1.000000000000000001", "--account", "1", "--to", target, "--json")
    both = await asyncio.gather(rollnet(*deposit), rollnet(*deposit))
    assert [0, 0] == [said.code for said in both], both
    documents = [said.json for said in both]
    assert 2 == len({document["l2_transaction"] for document in documents})
    fees = sum([await fee_of(net.l1, document["l1_transaction"]) for document in documents])
    wei = 2 * (ETHER + 1)
    assert here - wei - fees == await balance(net.l1, user.address)
    assert (paid + wei, wei, there) == (
        await balance(net.l1, portal),
        await balance(alpha, target),
        await balance(alpha, user.address),
    )
    receipt = await alpha.receipt(documents[0]["l2_transaction"])
    assert receipt is not None
    assert ("0x7e", documents[0]["l2_block"]) == (receipt["type"], int(receipt["blockNumber"], 16))

    said = await rollnet("withdraw", "alpha", "0.7", "--account", "1", "--to", recipient, "--json")
    found = said.json
    assert (0, "finalized", None) == (said.code, found["outcome"], found["ask_again"]), said
    assert [*ORDER] == list(found["stages"])
    assert sorted(found["stages"].values()) == list(found["stages"].values())
    assert all(f"{stage} after" in said.err for stage in ORDER), said.err
    wei = 7 * ETHER // 10
    cost = await fee_of(alpha, found["l2_transaction"])
    assert (wei, there - wei - cost) == (
        await balance(net.l1, recipient),
        await balance(alpha, user.address),
    )
    again = await rollnet("withdraw", "--status", found["hash"])
    assert (0, True) == (again.code, "finalized" in again.out), again


async def test_calls_that_fail(net: Devnet, rollnet: Rollnet, refused: "asyncio.Task[Said]") -> None:
    """Recipients that take no ETH: exit 1 on both ways; what was deposited stays with the sender on the rollup."""
    alpha, user = net.rollup("alpha"), net.accounts[2]
    before = await balance(alpha, user.address)
    deposited = await rollnet("deposit", "alpha", "1", "--account", "2", "--to", REFUSING)
    withdrawn = await refused
    assert (1, True) == (deposited.code, "keeps the 1 ETH on alpha" in deposited.out), deposited
    assert before + ETHER == await balance(alpha, user.address)
    assert (1, "failed") == (withdrawn.code, withdrawn.json["outcome"]), withdrawn


async def test_not_waiting(rollnet: Rollnet, net: Devnet) -> None:
    """A long challenge period is not waited for; it says how to ask again, and asking sends nothing."""
    said = await rollnet("withdraw", "beta", "1", "--account", "4", "--json")
    assert (2, "unfinished") == (said.code, said.json["outcome"]), said
    assert "not waited for without --wait" in said.err
    spent = await balance(net.rollup("beta"), net.accounts[4].address)
    asked, deposited = await asyncio.gather(
        rollnet(*said.json["ask_again"].split()[1:], "--json"),
        rollnet("deposit", "beta", "1", "--account", "4", "--no-wait", "--json"),
    )
    assert (2, said.json["hash"]) == (asked.code, asked.json["hash"]), asked
    assert asked.json["state"] in ORDER
    assert (2, "unknown") == (deposited.code, deposited.json["outcome"]), deposited
    assert spent <= await balance(net.rollup("beta"), net.accounts[4].address)


async def test_mistakes_move_nothing(inside: Rollnet, net: Devnet) -> None:
    """Every mistake has words and exit 2, and no transaction is sent for it."""
    portal = deployments(net.plan).rollups["alpha"].portal
    expected = {
        ("deposit", "gamma", "1"): "no rollup 'gamma'",
        ("withdraw", "alpha", "-1"): "more than zero",
        ("deposit", "alpha", "1e30"): "has 10000 ETH on l1",
        ("withdraw", "alpha", "10000", "--account", "5"): "with fees",
        ("deposit", "alpha", "1", "--account", "99"): "no account 99",
        ("withdraw", "alpha", "1", "--account", "5", "--to", portal): "never pays itself",
        ("withdraw", "--status", "0x" + "00" * 32): "no withdrawal",
        ("deposit", "alpha", "1", "--net", "nope", "--json"): "not running",
    }
    results = [await inside(*arguments) for arguments in expected]
    for said, words in zip(results, expected.values(), strict=True):
        assert (2, 1, True) == (said.code, said.err.count("error:"), words in said.err), said
    assert {"error"} == set(results[-1].json)
    for chain in (net.l1, net.rollup("alpha")):
        assert "0x0" == await chain.rpc("eth_getTransactionCount", net.accounts[5].address, "pending")


async def test_nodes_that_are_down(rollnet: Rollnet, net: Devnet) -> None:
    """Without a relayer a withdrawal stops, loses nothing and is finished once it is back; without L1 nothing is deposited."""
    await net.node("relayer").kill()
    said = await rollnet("withdraw", "alpha", "0.5", "--account", "6", "--to", "0x" + "d6" * 20, "--json")
    assert (2, "unfinished") == (said.code, said.json["outcome"]), said
    assert "nothing is lost" in said.json["reason"]
    assert "rollnet node restart relayer" in said.json["reason"]
    await net.node("relayer").restart()
    done = await rollnet("withdraw", "--status", said.json["hash"], "--wait", "--json")
    assert (0, "finalized") == (done.code, done.json["outcome"]), done
    assert ETHER // 2 == await balance(net.l1, "0x" + "d6" * 20)
    await net.node("l1").kill()
    silent = await rollnet("deposit", "alpha", "1", "--account", "6")
    assert (2, True) == (silent.code, "l1 does not answer" in silent.err), silent
