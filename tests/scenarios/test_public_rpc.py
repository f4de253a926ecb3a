"""The JSON-RPC that users send to by hand: transactions, bundles, refusals in words, batches, and control methods."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bridge.wire.errors import (
    INVALID_PARAMS,
    LIMIT_EXCEEDED,
    METHOD_NOT_FOUND,
    METHOD_NOT_SUPPORTED,
    RpcError,
)
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module")]

MESSAGING = "messaging: {mode: shared-sequencer, slot: 50ms, mempool_limit: 6}"
SALT = "0x" + "07" * 32


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Any]) -> AsyncIterator[Devnet]:
    """Two rollups without a market; ``alpha`` serves control methods; six items may wait."""
    file = topology_file(
        "by-hand", extra=MESSAGING, alpha="{engine: evm, dev_methods: true, block_time: 200ms}"
    )
    async with launched(file) as running:
        yield running


async def nonce_of(chain: ChainHandle, account: Account, tag: str = "pending") -> int:
    """Next nonce of an account."""
    return int(await chain.rpc("eth_getTransactionCount", account.address, tag), 16)


async def refusal(asked: Awaitable[Any]) -> RpcError:
    """The error that a call ends with."""
    with pytest.raises(RpcError) as caught:
        await asked
    return caught.value


async def ended(net: Devnet, digest: str) -> Any:
    """Status of an item once it has ended."""
    return await net.sequencer.rpc("rollnet_waitForEnd", digest, 20.0)


async def test_a_transaction_sent_to_its_rollup_gets_a_receipt(
    net: Devnet, signed: Callable[..., str], receipt_of: Callable[..., Any]
) -> None:
    """It is known by its hash at once, is included once however often it is sent, and moves exactly its value."""
    chain, user, target = net.rollup("alpha"), net.accounts[0], "0x" + "a1" * 20
    raw = signed(user, chain, await nonce_of(chain, user), to=target, value=12345)
    digests = [await chain.rpc("eth_sendRawTransaction", raw) for _ in range(3)]
    assert [to_hex(keccak256(from_hex(raw)))] * 3 == digests
    assert digests[0] == (await chain.rpc("eth_getTransactionByHash", digests[0]))["hash"]
    receipt = await receipt_of(chain, digests[0])
    assert digests[0] == await chain.rpc("eth_sendRawTransaction", raw)
    assert ("0x1", hex(12345)) == (receipt["status"], await chain.rpc("eth_getBalance", target, "latest"))
    raws = (await chain.rpc("eth_getBlockByNumber", receipt["blockNumber"], False))["transactions"]
    assert 1 == raws.count(digests[0])


async def test_refused_transactions_say_why_and_leave_nothing(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Used and far nonces, a fee below the base fee, another chain, no funds, too little gas, garbage: each in geth's words."""
    chain, user = net.rollup("beta"), net.accounts[1]
    send = chain.client.call
    first = await nonce_of(chain, user)
    await send("eth_sendRawTransaction", signed(user, chain, first))
    await ended(net, to_hex(keccak256(from_hex(signed(user, chain, first)))))
    stranger = Account("stranger", "", "0x" + "42" * 32)
    wrong = {
        "nonce too low": signed(user, chain, first, value=1),
        "nonce too high": signed(user, chain, first + 100),
        "max fee per gas less than block base fee": signed(user, chain, first + 1, max_fee=1),
        "invalid chain id": signed(user, net.rollup("alpha"), first + 1),
        "insufficient funds": signed(stranger, chain, 0, value=1),
        "intrinsic gas too low": signed(user, chain, first + 1, gas=20_000),
        "exceeds block gas limit": signed(user, chain, first + 1, gas=10**9, max_fee=10**9),
        "deposit transactions": "0x7e" + "c0",
        "empty transaction": "0x",
    }
    for words, raw in wrong.items():
        error = await refusal(send("eth_sendRawTransaction", raw))
        assert words in error.message, (words, error.message)
    assert first + 1 == await nonce_of(chain, user)
    malformed: list[list[Any]] = [[], [1], [None], ["zz"], [{}], ["0x1"]]
    for params in malformed:
        error = await refusal(send("eth_sendRawTransaction", *params))
        assert INVALID_PARAMS == error.code, (params, error.code, error.message)


async def test_a_bundle_by_hand_takes_effect_on_both_rollups(net: Devnet, signed: Callable[..., str]) -> None:
    """Sent twice, also through a rollup, it has one hash and one effect; its status names both blocks."""
    user, chains = net.accounts[2], (net.rollup("alpha"), net.rollup("beta"))
    before = [await nonce_of(chain, user) for chain in chains]
    bundle = {
        "txs": [signed(user, chain, nonce) for chain, nonce in zip(chains, before, strict=True)],
        "maxTimestamp": hex(int(time.time()) + 20),
        "salt": SALT,
    }
    first = await net.sequencer.rpc("eth_sendBundle", bundle)
    assert first == await chains[0].rpc("eth_sendBundle", bundle)
    status = await ended(net, first["bundleHash"])
    assert first == await net.sequencer.rpc("eth_sendBundle", bundle)
    assert ("committed", ["alpha", "beta"]) == (status["status"], [leg["rollup"] for leg in status["legs"]])
    for chain, nonce, leg in zip(chains, before, status["legs"], strict=True):
        receipt = await chain.receipt(leg["transactionHash"])
        assert receipt is not None
        assert (leg["blockHash"], "0x1") == (receipt["blockHash"], receipt["status"])
        assert nonce + 1 == await nonce_of(chain, user, "latest")


async def test_malformed_bundles_are_refused_with_a_standard_code(
    net: Devnet, signed: Callable[..., str]
) -> None:
    """Whatever shape the parameters have, the answer is a JSON-RPC error with a reason, never an internal error."""
    user, chain = net.accounts[3], net.rollup("alpha")
    good: dict[str, Any] = {
        "txs": [signed(user, chain, 0)],
        "maxTimestamp": int(time.time()) + 20,
        "salt": SALT,
    }
    changes: list[dict[str, Any]] = [
        {"txs": None}, {"txs": []}, {"txs": "0x"}, {"txs": [1]}, {"txs": [None]}, {"txs": ["0x00"]}, {"txs": good["txs"] * 2},
        {"txs": good["txs"] * 65}, {"maxTimestamp": None}, {"maxTimestamp": "soon"}, {"maxTimestamp": -1},
        {"maxTimestamp": True}, {"maxTimestamp": 1.5}, {"maxTimestamp": hex(2**70)}, {"maxTimestamp": 2**40},
        {"salt": "0x07"}, {"salt": 7}, {"salt": None}, {"blockNumber": "0x1"},
    ]  # fmt: skip
    wrong: list[list[Any]] = [[], [None], ["0x"], [[]], [good, "cause", "more"]]
    wrong += [[{**good, **change}] for change in changes]
    for params in wrong:
        error = await refusal(net.sequencer.client.call("eth_sendBundle", *params))
        assert INVALID_PARAMS == error.code, (params, error.code, error.message)
        assert error.message
    late = await refusal(net.sequencer.client.call("eth_sendBundle", {**good, "maxTimestamp": 1}))
    assert "expired" in late.message
    assert 0 == await nonce_of(chain, user)


async def test_a_full_pool_says_so_and_has_room_again(net: Devnet, signed: Callable[..., str]) -> None:
    """Bundles that wait for a nonce fill the pool; the next item is refused; when they have expired there is room, and each says why."""
    user, other, chain = net.accounts[4], net.accounts[5], net.rollup("alpha")
    deadline = int(time.time()) + 2
    waiting = [
        await net.sequencer.send_bundle([from_hex(signed(user, chain, nonce))], deadline, bytes(32))
        for nonce in range(1, 7)
    ]
    error = await refusal(chain.client.call("eth_sendRawTransaction", signed(other, chain, 0)))
    assert (LIMIT_EXCEEDED, True) == (error.code, "txpool is full" in error.message)
    ends = [await ended(net, digest) for digest in waiting]
    assert ["expired"] * 6 == [end["status"] for end in ends]
    assert "leg 0: nonce 1 on alpha never became next (next is 0)" == ends[0]["reason"]["message"]
    digest = await chain.rpc("eth_sendRawTransaction", signed(other, chain, 0))
    assert "included" == (await ended(net, digest))["status"]


async def test_gaps_are_filled_in_any_order(net: Devnet, signed: Callable[..., str]) -> None:
    """Nonces sent backwards all end included, each once."""
    user, chain = net.accounts[6], net.rollup("beta")
    digests = [
        await chain.rpc("eth_sendRawTransaction", signed(user, chain, nonce)) for nonce in (3, 2, 1, 0)
    ]
    assert ["included"] * 4 == [(await ended(net, digest))["status"] for digest in digests]
    assert 4 == await nonce_of(chain, user, "latest")


async def test_a_batch_of_two_hundred_reads(net: Devnet) -> None:
    """A raw JSON-RPC batch is answered whole, ids kept, errors in their place; an empty or endless one is one error."""
    chain = net.rollup("alpha")
    methods = [
        ("eth_blockNumber", []),
        ("eth_getBalance", [net.accounts[0].address, "latest"]),
        ("no_such", []),
    ]
    batch = [
        {
            "jsonrpc": "2.0",
            "id": f"call-{index}",
            "method": methods[index % 3][0],
            "params": methods[index % 3][1],
        }
        for index in range(200)
    ]
    async with aiohttp.ClientSession() as session:

        async def post(body: Any) -> Any:
            async with session.post(chain.http, json=body) as response:
                return await response.json()

        answers = {answer["id"]: answer for answer in await post(batch)}
        empty, endless = await post([]), await post(batch * 6)
    assert {call["id"] for call in batch} == set(answers)
    codes = {answers[f"call-{index}"].get("error", {}).get("code") for index in range(2, 200, 3)}
    assert {METHOD_NOT_FOUND} == codes
    assert all("result" in answers[f"call-{index}"] for index in range(200) if index % 3 != 2)
    assert (-32600, -32600) == (empty["error"]["code"], endless["error"]["code"])


async def test_control_methods_only_where_the_topology_allows_them(net: Devnet) -> None:
    """``dev_methods`` opens the engine's setters and nothing that makes blocks; without it they are refused with the way out."""
    alpha, beta = net.rollup("alpha"), net.rollup("beta")
    target = "0x" + "d1" * 20
    await alpha.rpc("anvil_setBalance", target, hex(99))
    assert hex(99) == await alpha.rpc("eth_getBalance", target, "latest")
    head = await alpha.height()

    async def next_block() -> bool:
        return await alpha.height() > head + 1

    await eventually(next_block, 10, "two blocks after the mutation")
    assert hex(99) == await alpha.rpc("eth_getBalance", target, "latest")
    for method in (
        "evm_mine",
        "anvil_mine",
        "evm_snapshot",
        "anvil_reset",
        "evm_setAutomine",
        "anvil_rollback",
    ):
        assert METHOD_NOT_SUPPORTED == (await refusal(alpha.client.call(method))).code
    error = await refusal(beta.client.call("anvil_setBalance", target, hex(99)))
    assert (METHOD_NOT_SUPPORTED, True) == (error.code, "dev_methods: true" in error.message)
    for chain in (alpha, beta):
        for method in ("eth_sendTransaction", "eth_sign", "personal_sign", "eth_signTypedData_v4"):
            assert METHOD_NOT_SUPPORTED == (await refusal(chain.client.call(method, {}))).code


async def test_what_control_methods_changed_outlives_a_restart(net: Devnet) -> None:
    """A balance set behind the sequencer's back is there after SIGKILL too, and the node comes back to the same head."""
    alpha, target = net.rollup("alpha"), "0x" + "d2" * 20
    await alpha.rpc("anvil_setBalance", target, hex(77))
    height = await alpha.height()

    async def higher() -> bool:
        return await alpha.height() > height + 1

    await eventually(higher, 10, "blocks on top of the mutation")
    head = await alpha.rpc("eth_getBlockByNumber", "latest", False)
    await net.node("alpha").kill()
    await net.node("alpha").restart()
    again = await alpha.rpc("eth_getBlockByNumber", head["number"], False)
    assert (head["hash"], hex(77)) == (again["hash"], await alpha.rpc("eth_getBalance", target, "latest"))
