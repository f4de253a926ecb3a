"""The relayer's kind of account on a rollup behind its public RPC: every intention once, while sequencer and rollup are killed."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore, Receipt
from bridge.l1.errors import Unaffordable
from bridge.wire.errors import WireError
from bridge.wire.jsonrpc import Client
from orchestrator.devnet import Devnet
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.process,
    pytest.mark.long,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(150),
]

SINK = "0x" + "5a" * 20
SETTLED = "{block_time: 500ms, settlement: {challenge_period: 1s, proposal_interval: 500ms}}"
QUICK = "l1: {block_time: 400ms, confirmations: 1}\nmessaging: {slot: 100ms, publish_every: 400ms}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """One rollup."""
    async with launched(topology_file("account", rollups=("alpha",), extra=QUICK, alpha=SETTLED)) as running:
        yield running


class Life:
    """One life of an account's process, as far as the account can tell."""

    def __init__(self, net: Devnet, user: Account, path: Path) -> None:
        chain = net.rollup("alpha")
        self._client = Client(chain.http)
        self._store = AccountStore(path, user.address.lower(), chain.chain_id)
        self.account = L1Account(self._client, chain.chain_id, user.private_key, self._store, poll_s=0.05)
        self._running = asyncio.create_task(self.account.run())

    async def transfer(self, number: int) -> Receipt:
        """One intention, however often it takes."""
        while True:
            try:
                return await self.account.send(f"transfer/{number}", SINK, b"", value=number)
            except (WireError, Unaffordable):
                await asyncio.sleep(0.05)  # nobody to ask; nothing was sent

    async def die(self) -> None:
        """The end."""
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)
        await self._client.close()
        self._store.close()


@pytest.mark.parametrize(
    ("victims", "seed"), [(("sequencer",), 1), (("alpha",), 2), (("sequencer", "alpha"), 3)]
)
async def test_every_intention_is_done_once_whoever_is_killed(
    net: Devnet, tmp_path: Path, victims: tuple[str, ...], seed: int
) -> None:
    """Killed with transactions waiting, for longer than patience lasts, and the account's own process too: none is given up or done twice."""
    chance, user, chain = random.Random(seed), net.accounts[seed], net.rollup("alpha")
    before = int(await chain.rpc("eth_getBalance", SINK, "latest"), 16)
    first = int(await chain.rpc("eth_getTransactionCount", user.address, "latest"), 16)
    life = Life(net, user, tmp_path / "account.sqlite")
    numbers = range(1, 41)
    tasks = [asyncio.create_task(life.transfer(number)) for number in numbers]
    for victim in victims:
        await asyncio.sleep(chance.random() / 5)
        await net.node(victim).kill()
    await asyncio.sleep(6)  # longer than the account is patient with what is refused
    for victim in victims:
        await net.node(victim).restart()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await life.die()
    life = Life(net, user, tmp_path / "account.sqlite")
    try:
        async with asyncio.timeout(30):
            receipts = await asyncio.gather(*(life.transfer(number) for number in numbers))
    finally:
        await life.die()
    assert all(receipt.success for receipt in receipts)
    assert 40 == len({receipt.hash for receipt in receipts})
    assert before + sum(numbers) == int(await chain.rpc("eth_getBalance", SINK, "latest"), 16)
    assert first + 40 == int(await chain.rpc("eth_getTransactionCount", user.address, "latest"), 16)


async def test_what_is_final_on_the_rollup_is_let_go_and_known(net: Devnet, tmp_path: Path) -> None:
    """The rollup's tag ``finalized`` is what the account goes by; afterwards it still knows what it paid."""
    life = Life(net, net.accounts[4], tmp_path / "account.sqlite")
    try:
        receipt = await life.transfer(7)

        async def settled() -> bool:
            return not life.account._nonces.open  # whether it is final shows nowhere else

        await eventually(settled, 30, "the receipt to be final")
        assert receipt == await life.account.paid(receipt.hash)
        assert await life.account.paid("0x" + "00" * 32) is None
        assert receipt == await life.account.send("transfer/7", SINK, b"", value=7)
    finally:
        await life.die()
