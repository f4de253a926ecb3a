"""The account on L1 against a real anvil that loses pools and blocks, and against its own death at any moment."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts.codec import Interface
from bridge.l1.account import L1Account
from bridge.l1.account_store import AccountStore, Receipt
from bridge.l1.errors import DatabaseUnusable, Displaced, Reverted, Unaffordable, WouldRevert
from bridge.l1.offers import PRIORITY_FEE, Offer, first_offer, raised
from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from orchestrator.market.scratch import scratch_anvil
from orchestrator.waiting import eventually

KEY = to_hex(keccak256(b"an account"))
ADDRESS = to_hex(address_of(KEY))
CHAIN_ID = 31337
ONCE = "0x" + "0c" * 20
"""Takes each word once, and reverts when it comes again."""
ONCE_CODE = "0x5f358054600c576001905500" + "5b5f5ffd"
TALKER = "0x" + "7a" * 20
"""Always reverts, with an error of its own: Busy(uint256 77)."""
BUSY = Interface(({"type": "error", "name": "Busy", "inputs": [{"name": "until", "type": "uint256"}]},))
TALKER_CODE = "0x63" + keccak256(b"Busy(uint256)")[:4].hex() + "60e01b5f52604d6004526024" + "5ffd"


class Wire(Client):
    """A client whose connection can be cut: before a request arrives, or before its answer does."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.cuts: list[str] = []
        self.down = False
        self.headless = 0
        """How many more questions for the latest block are answered by null, as in the middle of a reorganisation."""

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """One call."""
        found = await super().call(method, *params, deadline=deadline)
        return self._without_head(method, params, found)

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any]:
        """Many calls."""
        found = await super().batch(calls, deadline)
        return [self._without_head(*call, answer) for call, answer in zip(calls, found, strict=True)]

    def _without_head(self, method: str, params: Sequence[Any], answer: Any) -> Any:
        if self.headless and (method, params[:1]) in (
            ("eth_getBlockByNumber", ["latest"]),
            ("eth_getBlockByNumber", ("latest",)),
        ):
            self.headless -= 1
            return None
        return answer

    async def _exchange(self, body: bytes, seconds: float) -> bytes:
        cut = self.cuts.pop(0) if self.cuts else ""
        if self.down or cut == "before":
            raise PeerUnreachable("cut before")
        answer = await super()._exchange(body, seconds)
        if cut == "after":
            raise PeerUnreachable("cut after")
        return answer


class Ground:
    """A real L1 that mines on request, and lives of one account on it."""

    def __init__(self, l1: Client, path: Path) -> None:
        self.l1, self.path = l1, path
        self.wire = Wire(l1.url)

    @contextlib.asynccontextmanager
    async def life(self, patience_s: float = 5.0) -> AsyncIterator[L1Account]:
        """One life of the account; its end is as abrupt as a kill, but for what the disk has."""
        store = AccountStore(self.path, ADDRESS, CHAIN_ID)
        account = L1Account(self.wire, CHAIN_ID, KEY, store, poll_s=0.005, patience_s=patience_s)
        running = asyncio.create_task(account.run())
        try:
            yield account
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            store.close()

    async def mine(self, blocks: int = 1) -> None:
        """Seal blocks."""
        for _ in range(blocks):
            await self.l1.call("evm_mine")

    async def pooled(self) -> int:
        """Transactions that wait for a block."""
        status = await self.l1.call("txpool_status")
        return int(status["pending"], 16)

    async def until_pooled(self, count: int) -> None:
        """Wait for transactions to arrive in the pool."""

        async def there() -> bool:
            return await self.pooled() >= count

        await eventually(there, 20, f"{count} transactions in the pool", every_s=0.005)

    async def outcomes(self) -> list[bool]:
        """Success of every transaction on the chain that the account sent to anybody but itself."""
        found = []
        for number in range(int(await self.l1.call("eth_blockNumber"), 16) + 1):
            for receipt in await self.l1.call("eth_getBlockReceipts", hex(number)):
                foreign = receipt["from"] != ADDRESS or receipt["to"] == ADDRESS
                found += [] if foreign else [receipt["status"] == "0x1"]
        return found


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    """A fresh L1 with the two contracts and a rich account."""
    async with scratch_anvil("--no-mining", "--order", "fifo") as l1:
        await l1.call("anvil_setBalance", ADDRESS, hex(10**21))
        await l1.call("anvil_setCode", ONCE, ONCE_CODE)
        await l1.call("anvil_setCode", TALKER, TALKER_CODE)
        ground = Ground(l1, tmp_path / "account.db")
        await ground.mine()
        yield ground
        await ground.wire.close()


def word(number: int) -> bytes:
    """Call data for the contract that takes each word once."""
    return number.to_bytes(32, "big")


async def holds(fact: bool) -> bool:
    """A fact as a condition to wait for."""
    return fact


async def until_final(account: L1Account) -> None:
    """Wait until L1 has everything for good."""
    await eventually(lambda: holds(not account._nonces.open), 20, "everything final", every_s=0.01)


async def settle(ground: Ground, sends: Sequence["asyncio.Task[Receipt]"]) -> list[Receipt]:
    """Mine until everything is answered."""
    async with asyncio.timeout(30):
        while not all(send.done() for send in sends):
            await ground.mine()
            await asyncio.sleep(0.01)
    return [send.result() for send in sends]


async def test_many_at_once_are_mined_once_each_in_one_block(ground: Ground) -> None:
    """Nonces are handed out without waiting for blocks; what a receipt says is what the chain says."""
    async with ground.life() as account:
        sends = [asyncio.create_task(account.send(f"k{n}", ONCE, word(n))) for n in range(30)]
        await ground.until_pooled(30)
        await ground.mine()
        receipts = await settle(ground, sends)
    assert 1 == len({receipt.block_number for receipt in receipts})
    assert [True] * 30 == await ground.outcomes()
    real = await ground.l1.call("eth_getTransactionReceipt", receipts[7].hash)
    assert int(real["gasUsed"], 16) * int(real["effectiveGasPrice"], 16) == receipts[7].wei
    assert 10**21 - int(await ground.l1.call("eth_getBalance", ADDRESS, "latest"), 16) == sum(
        receipt.wei for receipt in receipts
    )


async def test_a_key_is_done_once_whoever_asks_and_however_often(ground: Ground) -> None:
    """Callers at the same time, callers after, and callers of the next life all get the one receipt."""
    async with ground.life() as account:
        sends = [asyncio.create_task(account.send("the key", ONCE, word(1))) for _ in range(8)]
        receipts = await settle(ground, sends)
        again = await account.send("the key", ONCE, word(1))
        await ground.mine(80)  # final by now
        await until_final(account)
        finally_ = await account.send("the key", ONCE, word(1))
    async with ground.life() as account:
        next_life = await account.send("the key", TALKER, b"what counts is the key")
    assert [receipts[0]] * 11 == [*receipts, again, finally_, next_life]
    assert [True] == await ground.outcomes()


async def test_a_chain_without_a_head_for_a_moment_ends_nothing(ground: Ground) -> None:
    """anvil answers null for its latest block in the middle of a reorganisation: who asked just then is told so, and the next look finds it."""
    async with ground.life() as account:
        ground.wire.headless = 3
        await eventually(lambda: holds(not ground.wire.headless), 20, "upkeep meets it", every_s=0.001)
        ground.wire.headless = 1
        with contextlib.suppress(PeerUnreachable):  # the caller, or upkeep once more
            await settle(ground, [asyncio.create_task(account.send("meets it", ONCE, word(2), gas=100_000))])
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("after", ONCE, word(3)))])
    assert receipt.success


async def test_what_would_revert_is_not_sent_and_the_reason_is_told(ground: Ground) -> None:
    """Custom errors by name, nothing in the pool, and the nonce is still there for the next."""
    async with ground.life() as account:
        with pytest.raises(WouldRevert, match=r"Busy\(until=77\)"):
            await account.send("a", TALKER, b"", interface=BUSY)
        with pytest.raises(WouldRevert, match="Busy"):
            await account.send("a", TALKER, b"", gas=100_000, interface=BUSY)
        assert 0 == await ground.pooled()
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("a", ONCE, word(1)))])
        assert receipt.success
        with pytest.raises(WouldRevert):
            await account.send("b", ONCE, word(1))
    assert [True] == await ground.outcomes()


async def test_a_transaction_that_the_account_can_not_pay_is_not_sent(ground: Ground) -> None:
    """Value or gas beyond the balance: nothing is sent, no nonce is lost, and it works once there is money."""
    async with ground.life() as account:
        with pytest.raises(Unaffordable, match="send it ether"):
            await account.send("rich", "0x" + "11" * 20, b"", value=2 * 10**21)
        await ground.l1.call("anvil_setBalance", ADDRESS, hex(10**9))
        with pytest.raises(Unaffordable, match="send it ether"):
            await account.send("poor", ONCE, word(1))
        await ground.l1.call("anvil_setBalance", ADDRESS, hex(10**21))
        await settle(ground, [asyncio.create_task(account.send("poor", ONCE, word(1)))])
    assert [True] == await ground.outcomes()


async def test_a_failure_on_chain_is_told_and_frees_the_key(ground: Ground) -> None:
    """Someone else was faster in the same block: the caller learns why; later the key can be used again."""
    thief = "0x" + "99" * 20
    await ground.l1.call("anvil_setBalance", thief, hex(10**21))
    async with ground.life() as account:
        send = asyncio.create_task(account.send("k", ONCE, word(5), gas=90_000))
        await ground.until_pooled(1)
        # the pool is first in, first out: put the thief's in front of ours
        raws = [to_hex(entry.last.raw) for entry in account._nonces.open.values()]
        await ground.l1.call("anvil_dropAllTransactions")
        fields = {"from": thief, "to": ONCE, "data": to_hex(word(5)), "gas": hex(90_000)}
        await ground.l1.call("eth_sendTransaction", fields)
        for raw in raws:
            await ground.l1.call("eth_sendRawTransaction", raw)
        await ground.mine()
        with pytest.raises(Reverted, match="k: transaction 0x"):
            await asyncio.wait_for(send, 10)
        await ground.l1.call("anvil_setStorageAt", ONCE, to_hex(word(5)), to_hex(word(0)))
        await ground.mine()
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(5)))])
    assert receipt.success
    assert [False, True] == await ground.outcomes()


async def test_a_lost_pool_is_filled_again_with_the_same_bytes(ground: Ground) -> None:
    """As after a restart of L1: nothing has to be asked again, and hashes stay."""
    async with ground.life() as account:
        sends = [asyncio.create_task(account.send(f"k{n}", ONCE, word(n))) for n in range(5)]
        await ground.until_pooled(5)
        hashes = [entry.last.hash for entry in account._nonces.open.values()]
        await ground.l1.call("anvil_dropAllTransactions")
        receipts = await settle(ground, sends)
    assert set(hashes) == {receipt.hash for receipt in receipts}
    assert [True] * 5 == await ground.outcomes()


@pytest.mark.parametrize("depth", [1, 3, 70])
async def test_a_reorganisation_at_any_depth_is_mended(ground: Ground, depth: int) -> None:
    """Mined, told, even final on L1's word; then gone with its block: the same bytes are sent again unasked."""
    async with ground.life() as account:
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(1)))])
        await ground.mine(depth - 1)
        if depth > 64:
            await until_final(account)
        head = int(await ground.l1.call("eth_blockNumber"), 16)
        await ground.l1.call("anvil_reorg", head - receipt.block_number + 1, [])
        assert await ground.l1.call("eth_getTransactionReceipt", receipt.hash) is None
        await ground.until_pooled(1)
        await ground.mine()
        after = await asyncio.wait_for(account.send("k", ONCE, word(1)), 10)
        while after.block_hash == receipt.block_hash:
            after = await account.send("k", ONCE, word(1))
    assert receipt.hash == after.hash
    assert [True] == await ground.outcomes()


async def test_a_base_fee_above_the_offer_is_followed(ground: Ground) -> None:
    """The replacement has the same nonce, both fees go up by what pools ask for, and one of the two is mined."""
    async with ground.life() as account:
        send = asyncio.create_task(account.send("k", ONCE, word(1)))
        await ground.until_pooled(1)
        (entry,) = account._nonces.open.values()
        await ground.l1.call("anvil_setNextBlockBaseFeePerGas", hex(entry.last.max_fee * 20))
        (receipt,) = await settle(ground, [send])
        assert receipt.success
        assert 2 <= len(entry.attempts)
        assert all(attempt.raw != entry.attempts[0].raw for attempt in entry.attempts[1:])
    assert [True] == await ground.outcomes()
    assert 1 == int(await ground.l1.call("eth_getTransactionCount", ADDRESS, "latest"), 16)


async def test_a_replacement_is_known_to_the_next_life(ground: Ground) -> None:
    """Killed after other bytes were sent for the nonce: when those are mined, the key is done."""
    async with ground.life() as account:
        send = asyncio.create_task(account.send("k", ONCE, word(1)))
        await ground.until_pooled(1)
        (entry,) = account._nonces.open.values()
        first = entry.last
        await ground.l1.call("anvil_setNextBlockBaseFeePerGas", hex(first.max_fee * 20))
        await ground.mine()
        await eventually(lambda: holds(len(entry.attempts) > 1), 20, "a replacement", every_s=0.01)
        await ground.until_pooled(1)
        last = entry.last
        send.cancel()
    await ground.mine()
    assert [True] == await ground.outcomes()
    async with ground.life() as account:
        receipt = await asyncio.wait_for(account.send("k", ONCE, word(1)), 10)
    assert last.hash == receipt.hash
    assert [True] == await ground.outcomes()


async def test_what_failed_and_was_sent_again_is_not_done_twice_after_a_reorganisation(
    ground: Ground,
) -> None:
    """The failure's nonce comes back open; its bytes would succeed now, but the key has gone on to another nonce."""
    async with ground.life() as account:
        await ground.mine(2)
        send = asyncio.create_task(account.send("k", ONCE, word(1), gas=90_000))
        await ground.until_pooled(1)
        await ground.l1.call("anvil_setStorageAt", ONCE, to_hex(word(1)), to_hex(word(1)))
        await ground.mine()
        with pytest.raises(Reverted):
            await asyncio.wait_for(send, 10)
        await ground.l1.call("anvil_setStorageAt", ONCE, to_hex(word(1)), to_hex(word(0)))
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(1)))])
        head = int(await ground.l1.call("eth_blockNumber"), 16)
        await ground.l1.call("anvil_reorg", head - 2, [])
        assert [] == await ground.outcomes()

        async def again() -> bool:
            await ground.mine()
            return len(await ground.outcomes()) > 0 and account.waiting == 0

        await eventually(again, 20, "the second to be mined again", every_s=0.02)
        assert receipt.hash == (await account.send("k", ONCE, word(1))).hash
    assert [True] == await ground.outcomes()


async def test_a_lost_transaction_that_would_revert_by_now_gives_way(ground: Ground) -> None:
    """Its caller is told; those behind it are not held up; its own nonce costs 21,000 gas and no failure."""
    async with ground.life(patience_s=0.2) as account:
        first = asyncio.create_task(account.send("first", ONCE, word(1)))
        await ground.until_pooled(1)
        second = asyncio.create_task(account.send("second", ONCE, word(2)))
        await ground.until_pooled(2)
        await ground.l1.call("anvil_dropAllTransactions")
        await ground.l1.call("anvil_setStorageAt", ONCE, to_hex(word(1)), to_hex(word(1)))
        await ground.mine()
        async with asyncio.timeout(20):
            while not (first.done() and second.done()):
                await ground.mine()
                await asyncio.sleep(0.02)
        with pytest.raises(Displaced, match="first: nonce 0"):
            first.result()
        assert second.result().success
        with pytest.raises(WouldRevert):
            await account.send("first", ONCE, word(1))
    assert [True] == await ground.outcomes()


async def test_a_nonce_that_someone_else_used_is_noticed(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same key in other hands: the caller is told, and the next transaction goes on behind."""
    monkeypatch.setattr("bridge.l1.upkeep.FOREIGN_S", 0.2)
    async with ground.life() as account:
        send = asyncio.create_task(account.send("k", ONCE, word(1)))
        await ground.until_pooled(1)
        await ground.l1.call("anvil_dropAllTransactions")
        foreign = UnsignedTransaction(CHAIN_ID, 0, 10**11, 10**11, 21_000, b"\x55" * 20, b"")
        await ground.l1.call("eth_sendRawTransaction", to_hex(sign_transaction(foreign, KEY)))
        async with asyncio.timeout(20):
            while not send.done():
                await ground.mine()
                await asyncio.sleep(0.02)
        with pytest.raises(Displaced):
            send.result()
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(1)))])
    assert receipt.success


async def test_a_gap_that_a_reorganisation_leaves_is_filled(ground: Ground) -> None:
    """Somebody else's transaction of the same key, below ours, is gone for good: ours doesn't wait for it for ever."""
    foreign = UnsignedTransaction(CHAIN_ID, 0, 10**11, 10**11, 21_000, b"\x55" * 20, b"")
    await ground.l1.call("eth_sendRawTransaction", to_hex(sign_transaction(foreign, KEY)))
    await ground.mine()
    async with ground.life() as account:
        (receipt,) = await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(1)))])
        head = int(await ground.l1.call("eth_blockNumber"), 16)
        await ground.l1.call("anvil_reorg", head - 1, [])
        assert [] == await ground.outcomes()

        async def there() -> bool:
            await ground.mine()
            return [True] == await ground.outcomes()

        await eventually(there, 20, "our transaction", every_s=0.02)
        assert receipt.hash == (await account.send("k", ONCE, word(1))).hash


async def test_an_l1_that_is_away_only_delays(ground: Ground) -> None:
    """Sent before, during and after: everything is done once the connection is back."""
    async with ground.life() as account:
        before = asyncio.create_task(account.send("before", ONCE, word(1)))
        await ground.until_pooled(1)
        ground.wire.down = True
        with pytest.raises(PeerUnreachable):
            await account.send("during", ONCE, word(2))
        await ground.mine()
        ground.wire.down = False
        after = asyncio.create_task(account.send("after", ONCE, word(3)))
        await settle(ground, [before, after])
    assert [True] * 2 == await ground.outcomes()


async def test_killed_between_the_disk_and_the_wire(ground: Ground) -> None:
    """Bytes that are on disk and were never sent are sent by the next life; its caller only waits for them."""
    async with ground.life() as account:
        transmit = account._nonces.transmit

        async def dies(entry: Any) -> str:
            raise PeerUnreachable("killed here")

        account._nonces.transmit = dies  # type: ignore[method-assign]
        lost = asyncio.create_task(account.send("k", ONCE, word(1)))
        await eventually(lambda: holds(bool(account._nonces.open)), 20, "a nonce", every_s=0.005)
        assert 0 == await ground.pooled()
        account._nonces.transmit = transmit  # type: ignore[method-assign]
        lost.cancel()
    async with ground.life() as account:
        await settle(ground, [asyncio.create_task(account.send("k", ONCE, word(1)))])
    assert [True] == await ground.outcomes()


async def test_a_cancelled_caller_leaves_no_half_assigned_nonce(ground: Ground) -> None:
    """Callers that give up at any point don't disturb the order of nonces: all that has one is mined."""
    async with ground.life() as account:
        quitters = []
        for n in range(20):
            quitters.append(asyncio.create_task(account.send(f"q{n}", ONCE, word(n))))
            for _ in range(n):
                await asyncio.sleep(0.0005)
            quitters[-1].cancel()
        keeper = asyncio.create_task(account.send("keeper", ONCE, word(99)))
        await settle(ground, [keeper])
        sends = [asyncio.create_task(account.send(f"q{n}", ONCE, word(n))) for n in range(20)]
        await settle(ground, sends)
    assert [True] * 21 == await ground.outcomes()


async def misfortune(ground: Ground, chance: random.Random) -> None:
    """One thing that happens to L1, to the connection, or just in time."""
    match chance.choice(("mine", "mine", "drop", "reorg", "cut", "fee", "wait")):
        case "mine":
            await ground.mine()
        case "drop":
            await ground.l1.call("anvil_dropAllTransactions")
        case "reorg":
            head = int(await ground.l1.call("eth_blockNumber"), 16)
            await ground.l1.call("anvil_reorg", chance.randint(1, max(1, min(6, head - 1))), [])
        case "cut":
            ground.wire.cuts += chance.choices(("before", "after", ""), k=6)
        case "fee":
            fee = chance.choice((10**9, 10**10, 10**11))
            await ground.l1.call("anvil_setNextBlockBaseFeePerGas", hex(fee))
        case _:
            await asyncio.sleep(chance.random() / 20)


@pytest.mark.parametrize("seed", range(8))
async def test_every_intention_is_done_exactly_once_over_any_misfortune(ground: Ground, seed: int) -> None:
    """Kills, lost requests and answers, lost pools, reorganisations and fee storms, in any order: one success for each key, no failure."""
    chance = random.Random(seed)
    keys = 12
    done: set[int] = set()

    async def insist(account: L1Account, number: int) -> None:
        while True:
            with contextlib.suppress(PeerUnreachable):
                await account.send(f"k{number}", ONCE, word(number))
                done.add(number)
                return

    for _ in range(5):
        async with ground.life() as account, asyncio.TaskGroup() as tasks:
            wanted = [tasks.create_task(insist(account, number)) for number in range(keys)]
            for _ in range(chance.randint(1, 12)):
                await misfortune(ground, chance)
            for task in wanted:
                task.cancel()
    ground.wire.cuts.clear()
    async with ground.life() as account:
        sends = [asyncio.create_task(account.send(f"k{n}", ONCE, word(n))) for n in range(keys)]
        await settle(ground, sends)
        # what a reorganisation of the last moment took away is brought back without being asked
        async with asyncio.timeout(20):
            while sum(await ground.outcomes()) < keys:
                await ground.mine()
                await asyncio.sleep(0.02)
    assert [True] * keys == await ground.outcomes()


def test_a_file_belongs_to_one_process_and_one_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two nodes on one file, a file of another account, of another version, or garbage: refused in words."""
    monkeypatch.setattr("bridge.l1.database._WAIT_S", 0.05)
    path = tmp_path / "account.db"
    store = AccountStore(path, ADDRESS, CHAIN_ID)
    with pytest.raises(DatabaseUnusable, match="locked"):
        AccountStore(path, ADDRESS, CHAIN_ID)
    store.close()
    with pytest.raises(DatabaseUnusable, match="not of 0x11"):
        AccountStore(path, "0x11", CHAIN_ID)
    with pytest.raises(DatabaseUnusable, match="on chain 31337"):
        AccountStore(path, ADDRESS, 1)
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(DatabaseUnusable, match="version 99"):
        AccountStore(path, ADDRESS, CHAIN_ID)
    path.write_bytes(b"no database at all, but long enough to be looked at" * 100)
    with pytest.raises(DatabaseUnusable, match="damaged"):
        AccountStore(path, ADDRESS, CHAIN_ID)


@pytest.mark.parametrize("base_fee", [0, 7, 10**9, 10**12])
def test_offers_cover_the_base_fee_and_replacements_are_accepted(base_fee: int) -> None:
    """A first offer covers two full blocks more; a raised one is at least a tenth above in both fees and covers too."""
    offer = first_offer(base_fee)
    assert offer.covers(base_fee * 81 // 64)
    for fee in (0, base_fee, base_fee * 50):
        more = raised(offer, fee)
        assert more.covers(fee)
        assert more.max_fee * 10 >= offer.max_fee * 11
        assert more.priority_fee * 10 >= offer.priority_fee * 11
        assert more.priority_fee <= more.max_fee
    assert Offer(PRIORITY_FEE, PRIORITY_FEE).covers(0)
    assert from_hex(ADDRESS) == address_of(KEY)
