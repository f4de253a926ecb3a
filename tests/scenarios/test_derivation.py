"""Deposits, forced inclusion and L1 reorganisations on real nodes; in the end a verifier rebuilds everything from L1 alone."""

import itertools
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.contracts.op import op_artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.reorganisation import reorganise
from orchestrator.settlement.deployments import deployments
from orchestrator.topology.plan import Account
from orchestrator.verification import live_sources, verify
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(180),
]

QUICK = "l1: {block_time: 500ms, confirmations: 1}\nmessaging: {sequencing_window: 6s, slot: 100ms, publish_every: 500ms}"
PORTAL = op_artifact("OptimismPortal").interface
L1_BLOCK = "0x4200000000000000000000000000000000000015"
REVERTING = "0x60006000fd"
"""Init code that reverts."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Two rollups, a quick L1, a short sequencing window."""
    async with launched(topology_file("derivation", extra=QUICK)) as running:
        yield running


class Depositor:
    """Sends deposits of one L1 account to one rollup's portal."""

    def __init__(self, net: Devnet, rollup: str, account: Account, sign: Callable[..., str]) -> None:
        self.net, self.account, self.sign = net, account, sign
        self.portal = deployments(net.plan).rollups[rollup].portal

    async def deposit(
        self,
        to: str,
        value: int,
        *,
        mint: int | None = None,
        data: bytes = b"",
        create: bool = False,
        gas: int = 100_000,
    ) -> str:
        """Submit one deposit; its L1 transaction hash."""
        nonce = int(await self.net.l1.rpc("eth_getTransactionCount", self.account.address, "pending"), 16)
        call = PORTAL.encode_call("depositTransaction", to, value, gas, create, data)
        paid = value if mint is None else mint
        digest: str = await self.net.l1.rpc(
            "eth_sendRawTransaction",
            self.sign(self.account, self.net.l1, nonce, to=self.portal, value=paid, data=call, gas=600_000),
        )
        return digest


async def balance(chain: ChainHandle, address: str) -> int:
    """Wei of an account at the head."""
    return int(await chain.rpc("eth_getBalance", address, "latest"), 16)


async def has_balance(chain: ChainHandle, address: str, wei: int, within_s: float = 20.0) -> None:
    """Wait for a balance."""

    async def there() -> bool:
        try:
            return await balance(chain, address) == wei
        except RollnetError:
            return False  # a node that goes back far starts its engine again

    await eventually(there, within_s, f"{wei} wei of {address} on {chain.name}")


async def head(chain: ChainHandle, tag: str) -> int:
    """Number of a tagged block."""
    return int((await chain.rpc("eth_getBlockByNumber", tag, False))["number"], 16)


async def everything_verifies(net: Devnet) -> Any:
    """The verifier's engines give every hash that the nodes serve as safe."""
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert () == found.findings
    assert "valid" == found.verdict
    return found


async def test_deposits_come_first_in_their_epoch_each_exactly_once(
    net: Devnet, signed: Callable[..., str], receipt_of: Any
) -> None:
    """Several deposits of one sender in one L1 block become type-0x7E transactions in the order of their logs, after the L1 attributes."""
    alpha, user = net.rollup("alpha"), net.accounts[1]
    depositor = Depositor(net, "alpha", user, signed)
    before = await balance(alpha, user.address)
    targets = [f"0x{index:040x}" for index in range(0xD0, 0xD6)]
    sent = [await depositor.deposit(target, 7 + index) for index, target in enumerate(targets)]
    for index, target in enumerate(targets):
        await has_balance(alpha, target, 7 + index)
    assert before == await balance(alpha, user.address)
    origins = {(await receipt_of(net.l1, digest))["blockNumber"] for digest in sent}
    for number in range(await head(alpha, "latest") + 1):
        block = await alpha.rpc("eth_getBlockByNumber", hex(number), True)
        kinds = [tx["type"] for tx in block["transactions"]]
        assert sorted(kinds, key=lambda kind: kind != "0x7e") == kinds
        if number:
            assert L1_BLOCK == block["transactions"][0]["to"]
    found = [
        tx
        for n in range(await head(alpha, "latest") + 1)
        for tx in (await alpha.rpc("eth_getBlockByNumber", hex(n), True))["transactions"]
    ]
    ours = [tx for tx in found if tx.get("to") in targets]
    assert targets == [tx["to"] for tx in ours]
    assert origins
    for tx in ours:
        receipt = await alpha.receipt(tx["hash"])
        assert receipt is not None
        assert (tx["hash"], "0x1") == (receipt["transactionHash"], receipt["status"])


async def test_a_failed_deposit_keeps_its_mint(net: Devnet, signed: Callable[..., str]) -> None:
    """A deposit whose call reverts, or which sends more than it has, is included and fails; what it minted stays with the sender."""
    alpha, user = net.rollup("alpha"), net.accounts[2]
    depositor = Depositor(net, "alpha", user, signed)
    before = await balance(alpha, user.address)
    nonce = int(await alpha.rpc("eth_getTransactionCount", user.address, "latest"), 16)
    await depositor.deposit("0x" + "00" * 20, 0, mint=5, data=from_hex(REVERTING), create=True)
    await depositor.deposit("0x" + "77" * 20, 10**30, mint=6)
    await has_balance(alpha, user.address, before + 11)
    assert 0 == await balance(alpha, "0x" + "77" * 20)
    assert nonce + 2 == int(await alpha.rpc("eth_getTransactionCount", user.address, "latest"), 16)


async def test_every_block_knows_its_origin(net: Devnet) -> None:
    """The L1Block predeploy names a canonical L1 block, and origins advance one by one."""
    alpha = net.rollup("alpha")
    latest = await head(alpha, "latest")
    interface = op_artifact("L1Block").interface
    origins = []
    for number in range(1, latest + 1):
        told = [
            interface.decode_result(
                name,
                from_hex(
                    await alpha.rpc(
                        "eth_call", {"to": L1_BLOCK, "data": to_hex(interface.encode_call(name))}, hex(number)
                    )
                ),
            )[0]
            for name in ("number", "hash", "timestamp", "sequenceNumber")
        ]
        block = await net.l1.rpc("eth_getBlockByNumber", hex(told[0]), False)
        assert (block["hash"], int(block["timestamp"], 16)) == (to_hex(told[1]), told[2])
        origins.append((told[0], told[3]))
    for (before, sequence), (origin, after) in itertools.pairwise(origins):
        assert (origin, after) in ((before, sequence + 1), (before + 1, 0))


async def test_a_dead_sequencer_cannot_hold_a_deposit_back(
    net: Devnet, signed: Callable[..., str], receipt_of: Any
) -> None:
    """With the sequencer dead a deposit executes when the window has passed; what was acknowledged before has its effect afterwards."""
    alpha, beta = net.rollup("alpha"), net.rollup("beta")
    depositor = Depositor(net, "alpha", net.accounts[3], signed)
    user, target = net.accounts[4], "0x" + "f0" * 20
    await net.node("sequencer").kill()
    try:
        await depositor.deposit(target, 41)
        await has_balance(alpha, target, 41, within_s=30)

        async def all_safe() -> bool:
            return await head(alpha, "safe") == await head(alpha, "latest")

        await eventually(all_safe, 10, "a head that follows from L1 alone")
        safe = await head(alpha, "safe")
    finally:
        await net.node("sequencer").restart()
    nonce = int(await alpha.rpc("eth_getTransactionCount", user.address, "latest"), 16)
    sent: list[str] = []

    async def taken() -> bool:
        try:
            sent.append(await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, nonce, value=3)))
        except RollnetError:
            return False
        return True

    await eventually(taken, 20, "the sequencer takes transactions again")
    assert "0x1" == (await receipt_of(alpha, sent[-1]))["status"]
    assert safe <= await head(alpha, "safe")
    assert 0 < await head(beta, "safe")
    assert 0 < (await everything_verifies(net)).forced


@pytest.mark.parametrize("depth", [2, 5, 25])
async def test_an_l1_reorganisation_moves_everybody_to_the_new_chain(
    net: Devnet, signed: Callable[..., str], receipt_of: Any, depth: int
) -> None:
    """After L1 loses blocks all rollups stand on the new ones: deposits that went away have no effect, later transactions work, all verifies."""
    alpha = net.rollup("alpha")
    depositor = Depositor(net, "alpha", net.accounts[5], signed)
    user, target = net.accounts[6], f"0x{depth:040x}"

    async def long_enough() -> bool:
        return await net.l1.height() > depth + 3

    await eventually(long_enough, 30, "L1 has blocks to lose")
    before = await balance(alpha, target)
    await depositor.deposit(target, 9)
    await has_balance(alpha, target, before + 9)
    await reorganise(net.l1, depth, net.plan.l1.block_time_s)

    async def agreed() -> bool:
        told = []
        for chain in net.rollups.values():
            interface = op_artifact("L1Block").interface
            data = to_hex(interface.encode_call("number"))
            origin = int(await chain.rpc("eth_call", {"to": L1_BLOCK, "data": data}, "latest"), 16)
            digest = await chain.rpc(
                "eth_call", {"to": L1_BLOCK, "data": to_hex(interface.encode_call("hash"))}, "latest"
            )
            block = await net.l1.rpc("eth_getBlockByNumber", hex(origin), False)
            told.append(block is not None and block["hash"] == digest)
        return all(told)

    await eventually(agreed, 30, "both rollups build on the new L1 chain")
    on_l1 = await net.l1.rpc("eth_getLogs", {"address": depositor.portal, "fromBlock": "0x0"})
    wanted = before + 9 * sum(1 for log in on_l1 if log["topics"][2].endswith(target[2:]))
    if before == 0:
        await has_balance(alpha, target, wanted)
    sent: list[str] = []

    async def executed() -> bool:
        try:
            nonce = int(await alpha.rpc("eth_getTransactionCount", user.address, "latest"), 16)
            sent.append(await alpha.rpc("eth_sendRawTransaction", signed(user, alpha, nonce, value=1)))
        except RollnetError:
            return False
        return True

    await eventually(executed, 20, "transactions are taken again")
    assert "0x1" == (await receipt_of(alpha, sent[-1], 20))["status"]
    derived = await head(alpha, "latest")

    async def safe() -> bool:
        return await head(alpha, "safe") >= derived

    await eventually(safe, 20, f"block {derived} is derived from L1")
    await everything_verifies(net)


async def test_strangers_in_the_inbox_change_nothing(
    net: Devnet, signed: Callable[..., str], receipt_of: Any
) -> None:
    """Garbage, and a copy of a genuine superbatch, sent by a stranger, have no effect and are counted by the verifier."""
    inbox = deployments(net.plan).rollups["alpha"].batch_inbox
    stranger = net.accounts[7]
    nonce = int(await net.l1.rpc("eth_getTransactionCount", stranger.address, "pending"), 16)
    genuine: list[bytes] = []
    for number in range(await net.l1.height() + 1):
        block = await net.l1.rpc("eth_getBlockByNumber", hex(number), True)
        genuine += [
            from_hex(tx["input"]) for tx in block["transactions"] if (tx["to"] or "").lower() == inbox.lower()
        ]
    for index, data in enumerate((b"\x02garbage", genuine[-1], b"")):
        raw = signed(stranger, net.l1, nonce + index, to=inbox, data=data, gas=2_000_000)
        await receipt_of(net.l1, await net.l1.rpc("eth_sendRawTransaction", raw))
    assert 3 == (await everything_verifies(net)).strangers
