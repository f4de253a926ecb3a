"""What is staged but not decided is seen by nobody: through no method, tag, hash, filter or subscription.

::

    bundle admitted ─► beta paused ─► alpha has staged, the slot is stuck ─► hammering readers ─► it commits, or it never does

The engine behind ``alpha`` is asked directly whether it holds a block above the gate, so that a test that saw nothing to hide fails.
While the slot is stuck nothing else is committed, so every answer must be the one from before the bundle was sent.
"""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from bridge.contracts.artifacts import artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.node_handles import LocalNodes
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

TOKEN = artifact("CashToken")
TARGET = "0x" + "7a" * 20
UNKNOWN = "0x" + "99" * 32
"""A hash that names nothing."""
SLOW = "l1: {block_time: 60s}\nmessaging: {mode: shared-sequencer, slot: 1200ms}"
RARE = "{engine: evm, block_time: 60s}"
"""No block without work (an L1 block would open an epoch), so that the gate stands still while nobody sends anything."""

Call = tuple[str, tuple[Any, ...]]
Answer = tuple[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Any]) -> AsyncIterator[Devnet]:
    """Two rollups with long slots, so that there is time between admission and staging."""
    file = topology_file("undecided", extra=SLOW, alpha=RARE, beta=RARE)
    async with launched(file) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(net: Devnet) -> AsyncIterator[Client]:
    """alpha's engine itself, past its gate."""
    assert isinstance(net.nodes, LocalNodes)
    async with Client(net.nodes.runtime.endpoint("alpha", "engine")) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def token(net: Devnet, signed: Callable[..., str], receipt_of: Callable[..., Any]) -> str:
    """A token on ``alpha`` whose owner, the first user, may mint: a leg that leaves balances, storage and a log."""
    alpha, owner = net.rollup("alpha"), net.accounts[0]
    creation = signed(owner, alpha, 0, to="0x", data=TOKEN.deployment(owner.address), gas=3_000_000)
    receipt = await receipt_of(alpha, await alpha.rpc("eth_sendRawTransaction", creation))
    return str(receipt["contractAddress"])


@dataclass(frozen=True)
class Stuck:
    """A bundle between admission and decision, and how alpha answered before there was one."""

    bundle: str
    leg: str
    """Transaction hash of its leg on alpha."""
    calls: Sequence[Call]
    before: Sequence[Answer]
    staged: Mapping[str, Any]
    """The block above the gate, as the engine shows it."""


Sticking = Callable[..., Any]


@pytest_asyncio.fixture(loop_scope="module")
async def stuck(
    net: Devnet, engine: Client, token: str, signed: Callable[..., str], receipt_of: Any
) -> AsyncIterator[Sticking]:
    """Sends a bundle and holds its slot between staging and decision by pausing ``beta``."""

    async def stick(lifetime_s: int) -> Stuck:
        alpha, beta, owner = net.rollup("alpha"), net.rollup("beta"), net.accounts[0]
        nonces = [
            int(await c.rpc("eth_getTransactionCount", owner.address, "latest"), 16) for c in (alpha, beta)
        ]
        mint = TOKEN.interface.encode_call("mint", TARGET, 5)
        # a slot just now, so that the next one opens only after the pause
        pace = signed(
            net.accounts[9],
            beta,
            int(await beta.rpc("eth_getTransactionCount", net.accounts[9].address, "latest"), 16),
        )
        await receipt_of(beta, await beta.rpc("eth_sendRawTransaction", pace))
        legs = [
            signed(owner, alpha, nonces[0], to=token, data=mint),
            signed(owner, beta, nonces[1], to=TARGET, value=3),
        ]
        leg = to_hex(keccak256(from_hex(legs[0])))
        calls = await reads(alpha, owner, token, leg)
        before = [await answer_of(alpha.client, call) for call in calls]
        bundle = await net.sequencer.send_bundle(
            [from_hex(raw) for raw in legs], int(time.time()) + lifetime_s, keccak256(leg.encode())
        )
        await net.node("beta").pause()
        gate = await alpha.height()

        async def is_staged() -> bool:
            return int(await engine.call("eth_blockNumber"), 16) > gate

        await eventually(is_staged, 10, "a staged block in alpha's engine", every_s=0.005)
        return Stuck(bundle, leg, calls, before, await engine.call("eth_getBlockByNumber", "latest", False))

    yield stick
    for status in net.nodes.runtime.status():  # type: ignore[attr-defined]
        if status.state == "paused":
            await net.node(status.name).resume()
    await both_up(net)


async def test_readers_see_nothing_until_the_decision_and_everything_after(
    net: Devnet, engine: Client, stuck: Sticking
) -> None:
    """HTTP and WebSocket readers get the old answers while the slot is stuck; then beta thaws, the bundle commits, all is there."""
    alpha = net.rollup("alpha")
    logs = await alpha.rpc("eth_newFilter", {})
    blocks = await alpha.rpc("eth_newBlockFilter")
    async with listening(alpha) as (socket_client, heard):
        for filter_ in (logs, blocks):
            await alpha.rpc("eth_getFilterChanges", filter_)
        held: Stuck = await stuck(30)
        await net.node("sequencer").pause()  # it would not wait for beta for so long
        heard_before = len(heard)
        rounds = await hammer(net, held, engine, socket_client, seconds=1.5)
        assert rounds >= 2
        assert await is_still_staged(engine, held)
        assert ([], []) == tuple([await alpha.rpc("eth_getFilterChanges", f) for f in (logs, blocks)])
        assert heard_before == len(heard)
        for name in ("beta", "sequencer"):
            await net.node(name).resume()
        status = await net.sequencer.rpc("rollnet_waitForEnd", held.bundle, 20.0)
        assert "committed" == status["status"]
        receipt = await alpha.receipt(held.leg)
        assert receipt is not None
        assert (held.staged["hash"], "0x1", 1) == (
            receipt["blockHash"],
            receipt["status"],
            len(receipt["logs"]),
        )
        told = await alpha.rpc("eth_getFilterChanges", logs)
        assert [held.leg] == [entry["transactionHash"] for entry in told]
        assert [held.staged["hash"]] == await alpha.rpc("eth_getFilterChanges", blocks)

        async def announced() -> bool:
            await socket_client.call("eth_chainId")  # takes what has come in the meantime
            return len(heard) >= heard_before + 2

        await eventually(announced, 5, "the new head and the log over WebSocket")
        assert {held.staged["hash"], held.leg} == {
            entry.get("transactionHash", entry.get("hash")) for entry in heard[heard_before:]
        }


async def test_a_bundle_that_never_commits_was_never_seen(
    net: Devnet, engine: Client, stuck: Sticking
) -> None:
    """beta stays away longer than its deadline: alpha's block is undone, the answers are the old ones before, during and after."""
    alpha = net.rollup("alpha")
    held: Stuck = await stuck(2)
    await hammer(net, held, engine, alpha.client, seconds=1.0)

    async def undone() -> bool:
        return bool((await net.sequencer.bundle(held.bundle) or {})["status"] != "pending")

    await eventually(undone, 15, "the end of a bundle whose rollup is paused")
    status = await net.sequencer.bundle(held.bundle)
    assert status is not None
    assert "expired" == status["status"]
    assert "rollup beta was down" in status["reason"]["message"]
    assert held.before == [await answer_of(alpha.client, call) for call in held.calls]


async def test_nothing_is_seen_when_the_sequencer_dies_before_deciding(
    net: Devnet, engine: Client, stuck: Sticking
) -> None:
    """Killed in mid-slot it decides nothing: readers see nothing while it is dead; its successor runs the bundle, whole."""
    alpha = net.rollup("alpha")
    held: Stuck = await stuck(40)
    await net.node("sequencer").kill()
    try:
        await hammer(net, held, engine, alpha.client, seconds=0.7)
        assert await is_still_staged(engine, held)
    finally:
        await net.node("beta").resume()
        await net.node("sequencer").restart()
    status = await net.sequencer.rpc("rollnet_waitForEnd", held.bundle, 20.0)
    assert "committed" == status["status"]
    for leg in status["legs"]:
        receipt = await net.rollup(leg["rollup"]).receipt(leg["transactionHash"])
        assert receipt is not None
        assert "0x1" == receipt["status"]


async def reads(chain: ChainHandle, user: Account, token: str, leg: str) -> list[Call]:
    """Every read that could give a staged block away, at every tag that could reach it."""
    gate = await chain.height()
    head = await chain.rpc("eth_getBlockByNumber", hex(gate), False)
    next_ = hex(gate + 1)
    held = to_hex(TOKEN.interface.encode_call("balanceOf", TARGET))
    query = {"to": token, "data": held}
    # not "safe" and "finalized": they follow L1, which goes on; they are looked at in `hammer`
    tags = ["latest", "pending", "earliest", hex(gate), next_, hex(gate + 2)]
    named = [*tags, head["hash"], {"blockHash": head["hash"]}, {"blockNumber": next_}]
    state: list[Call] = []
    for tag in named:
        state += [
            ("eth_getBalance", (user.address, tag)),
            ("eth_getCode", (token, tag)),
            ("eth_getStorageAt", (token, "0x2", tag)),
            ("eth_call", (query, tag)),
            ("eth_getProof", (user.address, ["0x0"], tag)),
            ("debug_traceCall", (query, tag, {"tracer": "callTracer"})),
        ]
        if tag != "pending":  # what waits is no secret
            state.append(("eth_getTransactionCount", (user.address, tag)))
    blocks: list[Call] = []
    for tag in tags:
        blocks += [
            ("eth_getBlockByNumber", (tag, True)),
            ("eth_getBlockReceipts", (tag,)),
            ("eth_getBlockTransactionCountByNumber", (tag,)),
            ("eth_getTransactionByBlockNumberAndIndex", (tag, "0x0")),
            ("debug_traceBlockByNumber", (tag, {"tracer": "callTracer"})),
        ]
    logs: list[Call] = [
        ("eth_getLogs", ({"fromBlock": first, "toBlock": last},))
        for first, last in itertools.product(
            ("earliest", "latest", "pending", next_), ("latest", "pending", next_)
        )
    ]
    rest: list[Call] = [
        ("eth_getLogs", ({"address": token},)),
        ("eth_getTransactionByHash", (leg,)),
        ("eth_getTransactionReceipt", (leg,)),
        ("eth_getRawTransactionByHash", (leg,)),
        ("debug_traceTransaction", (leg, {"tracer": "callTracer"})),
        ("eth_estimateGas", (query, "latest")),
        ("eth_estimateGas", (query,)),
        ("eth_getAccountInfo", (user.address, "latest")),
        ("eth_feeHistory", ("0x4", "latest", [50])),
        ("eth_feeHistory", ("0x4", "pending", [50])),
        ("eth_gasPrice", ()),
        ("eth_blockNumber", ()),
        ("eth_syncing", ()),
    ]
    return [*state, *blocks, *logs, *rest]


def by_hash(digest: str, token: str) -> list[Call]:
    """Reads of a block that is named by its hash."""
    query = {"to": token, "data": to_hex(TOKEN.interface.encode_call("balanceOf", TARGET))}
    return [
        ("eth_getBlockByHash", (digest, True)),
        ("eth_getBlockTransactionCountByHash", (digest,)),
        ("eth_getTransactionByBlockHashAndIndex", (digest, "0x0")),
        ("debug_traceBlockByHash", (digest, {"tracer": "callTracer"})),
        ("eth_getBlockReceipts", (digest,)),
        ("eth_getBlockReceipts", ({"blockHash": digest},)),
        ("eth_getLogs", ({"blockHash": digest},)),
        ("eth_getBalance", (TARGET, {"blockHash": digest})),
        ("eth_getTransactionCount", (TARGET, digest)),
        ("eth_call", (query, {"blockHash": digest})),
        ("debug_traceCall", (query, {"blockHash": digest}, {"tracer": "callTracer"})),
    ]


async def answer_of(client: Client, call: Call) -> Answer:
    """An answer, or the code of an error."""
    try:
        return call[0], await client.call(call[0], *call[1])
    except RpcError as exc:
        return call[0], exc.code


async def hammer(net: Devnet, held: Stuck, engine: Client, second: Any, seconds: float) -> int:
    """Read everything again and again over two connections; returns how many whole rounds there were."""
    alpha = net.rollup("alpha")
    (token,) = {call[1][0] for call in held.calls if call[0] == "eth_getCode"}
    unknown = [await answer_of(alpha.client, call) for call in by_hash(UNKNOWN, token)]
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        for client in (alpha.client, second):
            now = [await answer_of(client, call) for call in held.calls]
            different = [
                (call, old, new)
                for call, old, new in zip(held.calls, held.before, now, strict=True)
                if old != new
            ]
            assert [] == different[:3]
            for tag in ("safe", "finalized"):
                block = await client.call("eth_getBlockByNumber", tag, False)
                assert int(block["number"], 16) < int(held.staged["number"], 16)
            known = [await answer_of(client, call) for call in by_hash(held.staged["hash"], token)]
            assert unknown == known
            for digest in held.staged["transactions"]:
                assert ("eth_getTransactionReceipt", None) == await answer_of(
                    client, ("eth_getTransactionReceipt", (digest,))
                )
                assert ("eth_getTransactionByHash", None) == await answer_of(
                    client, ("eth_getTransactionByHash", (digest,))
                )
        rounds += 1
    return rounds


async def is_still_staged(engine: Client, held: Stuck) -> bool:
    """Whether the engine still holds the block that nobody may see."""
    return bool((await engine.call("eth_getBlockByNumber", "latest", False))["hash"] == held.staged["hash"])


class SocketClient:
    """JSON-RPC over one WebSocket; notifications go to ``heard``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, heard: list[Any]) -> None:
        self._socket, self._heard, self._id = socket, heard, 0

    async def call(self, method: str, *params: Any) -> Any:
        """One call, waiting for its answer."""
        self._id += 1
        await self._socket.send_json({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        while True:
            message = await self._receive()
            if message.get("id") == self._id:
                if "error" in message:
                    raise RpcError(message["error"]["code"], message["error"]["message"])
                return message["result"]

    async def _receive(self) -> Any:
        message = await self._socket.receive_json()
        if message.get("method") == "eth_subscription":
            self._heard.append(message["params"]["result"])
        return message


class listening:  # noqa: N801 - used as `async with listening(chain)`, as a function would be
    """A WebSocket with subscriptions to heads and logs."""

    def __init__(self, chain: ChainHandle) -> None:
        self._chain, self._session = chain, aiohttp.ClientSession()
        self.heard: list[Any] = []

    async def __aenter__(self) -> tuple[Any, list[Any]]:
        self._socket = await self._session.ws_connect(self._chain.ws)
        client = SocketClient(self._socket, self.heard)
        await client.call("eth_subscribe", "newHeads")
        await client.call("eth_subscribe", "logs", {})
        return client, self.heard

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._session.close()


async def both_up(net: Devnet) -> None:
    """Wait until the sequencer has both rollups in its slots again."""

    async def up() -> bool:
        return {"up"} == {rollup["state"] for rollup in (await net.sequencer.status())["rollups"].values()}

    await eventually(up, 15, "both rollups up")
