"""What an options engine has after a kill, a torn or damaged file, a caller that gives up: a whole chain, or a plain refusal."""

import asyncio
import errno
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from bridge.wire.disk import Disk
from bridge.wire.errors import RpcError
from bridge.wire.keccak import to_hex
from bridge.wire.slot import Payload
from bridge.wire.testing import MemoryJournal
from rollup_node.engines.base import BlockInput, Header
from rollup_node.engines.options import engine as engines
from rollup_node.engines.options.genesis import GenesisWrong, read_genesis
from rollup_node.engines.options.testing import Both, genesis_bytes, input_on, options_engine
from rollup_node.engines.options.transition.testing import Desk, address, order
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.errors import EngineFailed
from rollup_node.recovery import recover
from rollup_node.store import Store

DOLLAR = PRICE_UNIT


@pytest.fixture
def desk() -> Desk:
    """Eight blocks: a market, orders, trades, and withdrawals in blocks 5 and 7."""
    desk = Desk()
    series, _ = desk.open_market({"alice": 10_000, "bob": 10_000})
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(desk.send("alice", "placeOrder", order(alice, series, 240 * DOLLAR, 500)))
    for lots in (1, 2):
        desk.block(desk.send("bob", "withdraw", bob, address("bob"), lots * DOLLAR))
        desk.block(desk.send("bob", "placeOrder", order(bob, series, 240 * DOLLAR, -100 * lots)))
    return desk


async def _history(engine: engines.OptionsEngine, last: int) -> list[Any]:
    """Everything that is told of blocks."""
    told: list[Any] = [await engine.header(number) for number in range(last + 1)]
    for number in range(last + 1):
        block = await engine.request("eth_getBlockByNumber", [hex(number), True])
        told += [block, await engine.request("eth_getBlockReceipts", [hex(number)])]
    told.append(await engine.request("eth_getLogs", [{"fromBlock": "0x0", "toBlock": hex(last)}]))
    return told


async def test_a_restored_engine_tells_all_that_was_told(desk: Desk, tmp_path: Path) -> None:
    """Blocks, receipts and logs from before the checkpoint; whatever stood in the file behind it is cut off and executed again."""
    async with options_engine(tmp_path, desk) as first:
        await first.start()
        head = await Both(desk, first).catch_up()
        expected = await _history(first, head.number)
        await first.rewind(6)
        await first.checkpoint(tmp_path / "state")
        at = await first.head()
        await Both(desk, first).catch_up()
    archive = tmp_path / "engine" / "blocks.archive"
    archive.write_bytes(archive.read_bytes()[:-7])  # torn by a kill
    async with options_engine(tmp_path, desk) as second:
        await second.start()
        assert at == await second.restore(tmp_path / "state")
        assert expected[:7] == (await _history(second, 6))[:7]
        assert head == await Both(desk, second).catch_up()
        assert expected == await _history(second, head.number)
        await second.checkpoint(tmp_path / "later")
    async with options_engine(tmp_path, desk) as third:
        await third.start()
        assert head == await third.restore(tmp_path / "later")
        assert expected == await _history(third, head.number), "all of it from the disk"


async def test_without_its_archive_the_state_counts_and_history_is_told_to_be_gone(
    desk: Desk, tmp_path: Path
) -> None:
    """On another machine: heads are known, the chain goes on; receipts from before are an error that says so, not an empty list."""
    async with options_engine(tmp_path / "one", desk) as first:
        await first.start()
        head = await Both(desk, first).catch_up()
        await first.checkpoint(tmp_path / "state")
    async with options_engine(tmp_path / "two", desk) as second:
        await second.start()
        assert head == await second.restore(tmp_path / "state")
        assert head.parent == (await second.header(head.number - 1) or head).hash
        for method, params in (("eth_getBlockReceipts", ["0x3"]), ("eth_getLogs", [{"fromBlock": "0x0"}])):
            with pytest.raises(RpcError, match="pruned history"):
                await second.request(method, params)
        desk.block(desk.send("alice", "openAccount"))
        await Both(desk, second).catch_up()
        assert [] != await second.request("eth_getLogs", [{"fromBlock": hex(head.number + 1)}])
        await second.checkpoint(tmp_path / "later")
    async with options_engine(tmp_path / "two", desk) as third:
        await third.start()
        restored = await third.restore(tmp_path / "later")
        assert head.number + 1 == restored.number
        assert [] != await third.request("eth_getBlockReceipts", [hex(restored.number)])
        assert head == await third.header(head.number)


async def test_what_is_damaged_is_refused_and_never_told(desk: Desk, tmp_path: Path) -> None:
    """Any byte of a checkpoint, and another rollup's: refused. A changed byte of the archive: that block isn't told."""
    async with options_engine(tmp_path, desk) as first:
        await first.start()
        head = await Both(desk, first).catch_up()
        await first.checkpoint(tmp_path / "state")
    data = (tmp_path / "state").read_bytes()
    async with options_engine(tmp_path, desk) as second:
        await second.start()
        for place in (0, 9, 40, len(data) // 2, len(data) - 1):
            broken = bytearray(data)
            broken[place] ^= 1
            (tmp_path / "broken").write_bytes(broken)
            with pytest.raises(EngineFailed):
                await second.restore(tmp_path / "broken")
        assert 0 == (await second.head()).number, "a refused checkpoint leaves the engine as it was"
        await second.restore(tmp_path / "state")
    archive = tmp_path / "engine" / "blocks.archive"
    content = bytearray(archive.read_bytes())
    content[-5] ^= 1  # in the last block's receipts
    archive.write_bytes(content)
    async with options_engine(tmp_path, desk) as third:
        await third.start()
        assert head == await third.restore(tmp_path / "state")
        with pytest.raises(RpcError, match="isn't as it was written"):
            await third.request("eth_getBlockReceipts", ["latest"])
    (tmp_path / "genesis.json").write_bytes(genesis_bytes(desk, timestamp=7))
    other = engines.OptionsEngine(tmp_path / "genesis.json", tmp_path / "engine")
    await other.start()
    with pytest.raises(EngineFailed, match="of the chain"):
        await other.restore(tmp_path / "state")
    await other.stop()


async def test_a_caller_that_gives_up_leaves_a_whole_chain(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is cancelled while a block is executed in a thread: the next request waits for its end, finds it whole, and undoes it."""
    whole = engines.execute

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.05)
        return whole(*arguments)

    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        head = await Both(desk, engine).catch_up()
        monkeypatch.setattr(engines, "INLINE", 0)
        monkeypatch.setattr(engines, "execute", slowly)
        block = input_on(head, (desk.send("alice", "openAccount"),))
        for seconds in (0.0, 0.02):
            task = asyncio.create_task(engine.execute(block))
            await asyncio.sleep(seconds)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await engine.rewind(head.number)
            await asyncio.sleep(0.06)
            assert head == await engine.head(), "nothing goes on behind the engine's back"
        made = await engine.execute(block)
        assert (head.number + 1, head.hash) == (made.header.number, made.header.parent)
        wrong = BlockInput(head, block.timestamp, 0, ())
        with pytest.raises(EngineFailed, match="can't follow"):
            await engine.execute(wrong)


class FullDisk(Disk):
    """Takes the beginning of what it is given, then nothing, while it is full."""

    full = False

    def append(self, descriptor: int, data: bytes) -> None:
        """See :meth:`Disk.append`."""
        super().append(descriptor, data[: len(data) // 2] if self.full else data)
        if self.full:
            raise OSError(errno.ENOSPC, "no space left")


async def test_a_disk_that_is_full_leaves_the_block_before(desk: Desk, tmp_path: Path) -> None:
    """The block is refused with nothing of it in the state; once there is room it is executed, and comes out as ever."""
    (tmp_path / "genesis.json").write_bytes(genesis_bytes(desk))
    disk = FullDisk()
    engine = engines.OptionsEngine(tmp_path / "genesis.json", tmp_path / "engine", disk)
    await engine.start()
    last = desk.history.pop()
    head = await engine.head()
    for content in desk.history:
        head = (await engine.execute(input_on(head, tuple(content.transactions)))).header
    desk.history.append(last)
    for disk.full in (True, True):
        with pytest.raises(EngineFailed, match="no space left"):
            await engine.execute(input_on(head, tuple(last.transactions)))
        assert head == await engine.head()
    disk.full = False
    both = Both(desk, engine)
    head = await both.catch_up()
    assert ["success"] == [result.status for result in both.made[0].results]
    await engine.checkpoint(tmp_path / "state")
    await engine.start()
    assert head == await engine.restore(tmp_path / "state")
    assert last.number == len(await _history(engine, head.number)) // 3 - 1
    await engine.stop()


async def test_a_node_comes_back_with_the_same_chain(desk: Desk, tmp_path: Path) -> None:
    """The node's own recovery: its store's payloads, the engine's checkpoint; killed after any block it has the same head again."""
    payloads = []
    for content in desk.history:
        raws = tuple(map(to_hex, content.transactions))
        deposits, sent = (raws, ()) if content.number == 1 else ((), raws)
        payloads.append(Payload(content.timestamp, sent, (), deposits=deposits))
    heads: list[Header] = []
    for killed in (3, 5, 8):
        async with options_engine(tmp_path, desk) as engine:
            store = Store(tmp_path / "store")
            chain = await recover(engine, store, MemoryJournal())
            assert [chain.gate] == heads[-1:] or not heads
            for number in range(chain.gate.number + 1, killed + 1):
                await chain.derive(901, number, payloads[number - 1])
                if number % 4 == 0:
                    await chain.checkpoint()
            heads.append(chain.gate)
            store.close()
    assert to_hex(desk.world.root()) == heads[-1].state_root
    shutil.rmtree(tmp_path / "engine")  # the archive is lost with everything in it
    async with options_engine(tmp_path, desk) as engine:
        store = Store(tmp_path / "store")
        chain = await recover(engine, store, MemoryJournal())
        assert heads[-1] == chain.gate
        store.close()


def test_a_genesis_that_is_wrong_says_all_that_is_wrong() -> None:
    """One message for everything: fields that nobody reads, types, ranges, symbols, addresses, too few signers."""
    wrong = {
        "markets": {"1": {"symbol": "Ä", "tick": -1}, "x": {"symbol": "BTC"}},
        "parameters": {"gas_free": 1, "nonsense": 2, "signers_needed": 4, "max_positions": 65},
        "cash": {"0x12": 5},
        "extra": True,
    }
    with pytest.raises(GenesisWrong) as caught:
        read_genesis(genesis_bytes(Desk(), **wrong))
    parts = (
        "symbol",
        "tick",
        "gas_free",
        "nonsense",
        "max_positions",
        "expected 20 bytes",
        "extra",
        "signers",
        "'x'",
    )
    said = str(caught.value)
    assert [] == [part for part in parts if part not in said]
    for data in (b"", b"[]", b"{"):
        with pytest.raises(GenesisWrong):
            read_genesis(data)


def test_first_cash_is_held_by_l1_and_part_of_the_chains_name() -> None:
    """I1 from block 0 on; another sum is another chain, another layout of the same file isn't."""
    name = to_hex(address("alice"))
    rich, poor = (read_genesis(genesis_bytes(Desk(), cash={name: cash})) for cash in (5 * DOLLAR, 4 * DOLLAR))
    world = rich.world()
    assert 5 * DOLLAR * 10**12 == world.globals.vault
    assert 5 * DOLLAR == sum(account.cash for account in world.accounts.values())
    assert rich.head(world).hash != poor.head(poor.world()).hash
    again = read_genesis(b" " + genesis_bytes(Desk(), cash={name: str(5 * DOLLAR)}))
    assert again.head(again.world()).sealed.state_root == world.root()
