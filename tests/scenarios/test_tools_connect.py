"""The field's own tools on a rollup's endpoint, unmodified: web3.py in both forms, viem, and Foundry's cast.

Each deploys the same compiled ERC-20, calls it, waits for receipts and reads logs the way its users do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from web3 import AsyncWeb3, Web3, WebSocketProvider
from web3.exceptions import ContractCustomError

from bridge.contracts.artifacts import FOLDER, artifact
from bridge.wire.keccak import to_hex
from orchestrator.devnet import Devnet
from orchestrator.strategies import presets

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

TOKEN = artifact("CashToken")
TOOL_S = 60.0
"""Longest time for one tool's whole script, seconds."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, repository: Path) -> AsyncIterator[Devnet]:
    """Two rollups with a market."""
    async with launched(repository / "topologies" / "pair.yaml") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bundle_block(net: Devnet) -> int:
    """Number of a block of ``alpha`` that holds the L1 attributes, then a bundle's leg between its system transactions."""
    assert net.plan.market is not None
    result = await net.run(presets.build("vertical", net.plan.market), account=5)
    assert "committed" == result.outcome
    receipt = await net.rollup("alpha").receipt(to_hex(result.legs[0].transaction_hash))
    assert receipt is not None
    return int(receipt["blockNumber"], 16)


async def output_of(*command: str, cwd: Path | None = None) -> str:
    """Standard output of a tool; it fails with the tool's own words."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(TOOL_S):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert 0 == process.returncode, f"{' '.join(command)[:300]}\n{err.decode()}\n{out.decode()}"
    return out.decode()


async def test_web3_async_deploys_calls_and_waits(net: Devnet, bundle_block: int) -> None:
    """AsyncWeb3 estimates, deploys, sends, waits for receipts, filters logs and decodes a custom error, fees left to it."""
    web3, user, other = net.rollup("alpha").web3, net.accounts[0], net.accounts[9]
    signer = web3.eth.account.from_key(user.private_key)
    nonce = await web3.eth.get_transaction_count(signer.address, "pending")
    sender: Any = {"from": user.address, "nonce": nonce}
    creation = (
        await web3.eth.contract(abi=TOKEN.abi, bytecode=TOKEN.creation_code)
        .constructor(user.address)
        .build_transaction(sender)
    )
    digest = await web3.eth.send_raw_transaction(signer.sign_transaction(creation).raw_transaction)
    deployed = await web3.eth.wait_for_transaction_receipt(digest, timeout=15, poll_latency=0.05)
    assert 1 == deployed["status"]
    token = web3.eth.contract(address=deployed["contractAddress"], abi=TOKEN.abi)
    watching = await token.events.Transfer.create_filter(from_block="latest")
    call = token.functions.mint(other.address, 7)
    following: Any = {**sender, "nonce": nonce + 1}
    estimate = await call.estimate_gas({"from": user.address})
    minting = await call.build_transaction(following)
    minted = await web3.eth.wait_for_transaction_receipt(
        await web3.eth.send_raw_transaction(signer.sign_transaction(minting).raw_transaction),
        timeout=15,
        poll_latency=0.05,
    )
    assert (1, True) == (minted["status"], estimate >= minted["gasUsed"])
    assert 7 == await token.functions.balanceOf(other.address).call()
    assert 0 == await token.functions.balanceOf(other.address).call(block_identifier=deployed["blockNumber"])
    (event,) = await watching.get_new_entries()
    assert (minted["transactionHash"], 7) == (event["transactionHash"], event["args"]["value"])
    (found,) = await token.events.Transfer().get_logs(from_block=minted["blockNumber"])
    assert event["args"] == found["args"]
    with pytest.raises(ContractCustomError):
        await token.functions.mint(other.address, 1).call({"from": other.address})
    block = await web3.eth.get_block(bundle_block, full_transactions=True)
    transactions: Any = block["transactions"]
    assert [0x7E, 0x7E, 2, 0x7E] == [transaction["type"] for transaction in transactions]
    assert (await web3.eth.get_block("latest"))["number"] <= await web3.eth.get_block_number()
    assert net.rollup("alpha").chain_id == await web3.eth.chain_id


async def test_web3_in_a_thread_does_the_same(net: Devnet) -> None:
    """The blocking Web3 works from a thread beside a running event loop."""
    user, chain = net.accounts[1], net.rollup("beta")

    def script() -> tuple[int, int, list[int]]:
        web3 = Web3(Web3.HTTPProvider(chain.http))
        signer = web3.eth.account.from_key(user.private_key)
        creation = web3.eth.contract(abi=TOKEN.abi, bytecode=TOKEN.creation_code).constructor(user.address)
        sender: Any = {"from": user.address, "nonce": web3.eth.get_transaction_count(signer.address)}
        raw = signer.sign_transaction(creation.build_transaction(sender)).raw_transaction
        deployed = web3.eth.wait_for_transaction_receipt(
            web3.eth.send_raw_transaction(raw), timeout=15, poll_latency=0.05
        )
        token = web3.eth.contract(address=deployed["contractAddress"], abi=TOKEN.abi)
        statuses = []
        for amount in (3, 4):  # the second is signed while the first may still wait
            nonce = web3.eth.get_transaction_count(signer.address, "pending")
            minting: Any = {"from": user.address, "nonce": nonce, "gas": 100_000}
            transaction = token.functions.mint(user.address, amount).build_transaction(minting)
            statuses.append(
                web3.eth.send_raw_transaction(signer.sign_transaction(transaction).raw_transaction)
            )
        receipts = [web3.eth.wait_for_transaction_receipt(digest, timeout=15) for digest in statuses]
        held = token.functions.balanceOf(user.address).call()
        return deployed["status"], held, [receipt["status"] for receipt in receipts]

    assert (1, 7, [1, 1]) == await asyncio.to_thread(script)


async def test_web3_subscribes_over_websocket(
    net: Devnet, signed: Callable[..., str], receipt_of: Callable[..., Any]
) -> None:
    """WebSocketProvider sees new heads without a gap, logs of a contract once, and pending transactions."""
    chain, user = net.rollup("alpha"), net.accounts[2]
    async with AsyncWeb3(WebSocketProvider(chain.ws)) as web3:
        heads = await web3.eth.subscribe("newHeads")
        pending = await web3.eth.subscribe("newPendingTransactions")
        first = await web3.eth.get_block_number()
        nonce = int(await chain.rpc("eth_getTransactionCount", user.address, "latest"), 16)
        digest = await chain.rpc("eth_sendRawTransaction", signed(user, chain, nonce, value=1))
        receipt = await receipt_of(chain, digest)
        numbers: list[int] = []
        announced: list[str] = []
        async with asyncio.timeout(15):
            async for message in web3.socket.process_subscriptions():
                if message["subscription"] == heads:
                    numbers.append(message["result"]["number"])
                elif message["subscription"] == pending:
                    announced.append(to_hex(bytes(message["result"])))
                if numbers and numbers[-1] >= int(receipt["blockNumber"], 16) and announced:
                    break
        assert await web3.eth.unsubscribe(heads)
    later = [number for number in numbers if number > first]
    assert list(range(later[0], later[0] + len(later))) == later
    assert [digest] == announced


async def test_viem_deploys_calls_watches_and_reads_bundles(
    net: Devnet, node: str, repository: Path, bundle_block: int
) -> None:
    """A viem script with HTTP and WebSocket transports runs to its end, and sees what the chain did."""
    chain = net.rollup("alpha")
    given = {
        "http": chain.http,
        "ws": chain.ws,
        "chainId": chain.chain_id,
        "key": net.accounts[3].private_key,
        "other": net.accounts[9].address,
        "artifact": str(FOLDER / "CashToken.json"),
        "bundleBlock": bundle_block,
    }
    script = repository / "tests" / "scenarios" / "connect_with_viem.mjs"
    said = orjson.loads(await output_of(node, str(script), orjson.dumps(given).decode()))
    assert ("success", "success", True, 5) == tuple(
        said[key] for key in ("deployed", "minted", "gasEnough", "balance")
    )
    assert ("rollnet cash", "OwnableUnauthorizedAccount") == (said["name"], said["refused"])
    assert [said["minting"]] == said["filtered"]
    assert said["minting"] == said["watched"]
    assert {"OwnershipTransferred", "Transfer"} == set(said["events"])
    assert [said["minting"]] == said["blockHolds"][1:]  # behind the L1 attributes
    assert list(range(said["heads"][0], said["heads"][-1] + 1)) == said["heads"]
    assert ["0x7e", "0x7e", "0x2", "0x7e"] == said["bundledTypes"]
    assert "success" == said["systemStatus"]
    assert "0x" != await chain.rpc("eth_getCode", said["address"], "latest")


async def test_cast_deploys_and_calls(net: Devnet, cast: str) -> None:
    """``cast send --create``, ``cast send``, ``cast call``, ``cast logs``, ``cast block`` and ``cast estimate`` work as documented."""
    chain, user, other = net.rollup("beta"), net.accounts[4], net.accounts[9]
    rpc = ("--rpc-url", chain.http)
    key = ("--private-key", user.private_key)
    creation = TOKEN.deployment(user.address)
    deployed = orjson.loads(await output_of(cast, "send", *rpc, *key, "--json", "--create", to_hex(creation)))
    token = deployed["contractAddress"]
    minted = orjson.loads(
        await output_of(
            cast, "send", *rpc, *key, "--json", token, "mint(address,uint256)", other.address, "9"
        )
    )
    assert ("0x1", "0x1") == (deployed["status"], minted["status"])
    held = await output_of(cast, "call", *rpc, token, "balanceOf(address)(uint256)", other.address)
    assert "9" == held.strip()
    logs = orjson.loads(
        await output_of(
            cast, "logs", *rpc, "--json", "--from-block", "0", "--address", token,
            "Transfer(address,address,uint256)",
        )
    )  # fmt: skip
    assert [minted["transactionHash"]] == [entry["transactionHash"] for entry in logs]
    block = orjson.loads(await output_of(cast, "block", *rpc, "--json", str(int(minted["blockNumber"], 16))))
    assert minted["blockHash"] == block["hash"]
    gas = await output_of(
        cast, "estimate", *rpc, "--from", user.address, token, "mint(address,uint256)", other.address, "1"
    )
    assert 21_000 < int(gas.strip()) < 100_000
