"""What the seam promises, held against both engines with the same transactions: equal inputs, equal blocks, whatever came between."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.wire.keccak import keccak256, to_hex
from orchestrator.market.scratch import anvil_binary
from orchestrator.runtimes.ports import PortReservations
from rollup_node.engines.base import Engine, ExecutedBlock, Header
from rollup_node.engines.evm.testing import (
    CHAIN_ID,
    ETHER,
    REVERTING,
    SENDER,
    SINK,
    block_on,
    deposit,
    hand_engine,
    signed,
)
from rollup_node.engines.options.testing import options_engine
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.testing import MARKET, Desk
from rollup_node.errors import EngineFailed

UNIT = 10**12
"""Wei: what both engines can move."""
FUND = deposit(0, SENDER, mint=ETHER)
"""Uses up the sender's nonce 0 on both."""


@contextlib.asynccontextmanager
async def opened(kind: str, folder: Path) -> AsyncIterator[Engine]:
    """An engine, not started."""
    if kind == "options":
        async with options_engine(folder, Desk(Parameters(CHAIN_ID, {1: MARKET}, signers_needed=2))) as mine:
            yield mine
        return
    with PortReservations() as ports:
        async with hand_engine(str(anvil_binary()), ports.reserve(), folder) as anvil:
            yield anvil


engines = pytest.mark.parametrize("kind", ["options", pytest.param("evm", marks=pytest.mark.process)])


def paid(nonce: int, units: int = 1) -> bytes:
    """A transfer that succeeds."""
    return signed(nonce, value=units * UNIT)


def failing(nonce: int) -> bytes:
    """A call that is in the block and has no effect."""
    return signed(nonce, to=REVERTING, data=b"\x01", gas=100_000)


def statuses(block: ExecutedBlock) -> list[str]:
    """How each transaction fared."""
    return [result.status for result in block.results]


async def built(engine: Engine, head: Header, *blocks: tuple[bytes, ...]) -> list[Header]:
    """The headers from ``head`` on."""
    headers = [head]
    for transactions in blocks:
        headers.append((await engine.execute(block_on(headers[-1], *transactions))).header)
    return headers


BLOCKS = [(FUND,), (paid(1), failing(2)), (), (paid(3, 5), paid(4))]


@engines
async def test_equal_inputs_give_equal_blocks(kind: str, tmp_path: Path) -> None:
    """On two engines; undone and done again; restored on a third, which goes on with the same block. Another timestamp is another block."""
    async with opened(kind, tmp_path / "one") as one, opened(kind, tmp_path / "two") as two:
        heads = await built(one, await one.start(), *BLOCKS)
        assert heads == await built(two, await two.start(), *BLOCKS)
        assert [heads[-1], heads[2], None] == [await one.head(), await one.header(2), await one.header(9)]
        assert len({head.hash for head in heads}) == len(heads)

        await one.rewind(1)
        assert [heads[1], None] == [await one.head(), await one.header(2)]
        other = block_on(heads[1], *BLOCKS[1])
        late = type(other)(other.parent, other.timestamp + 1, other.base_fee, other.transactions)
        assert heads[2].hash != (await one.execute(late)).header.hash
        await one.rewind(1)
        assert heads[1:] == await built(one, heads[1], *BLOCKS[1:])

        await two.rewind(3)
        await two.checkpoint(tmp_path / "state")
        await two.stop()
        await two.start()
        assert heads[3] == await two.restore(tmp_path / "state")
        await two.learn(dict(enumerate(BLOCKS[:3], 1)))
        assert heads[3:] == await built(two, heads[3], BLOCKS[3])
        await two.rewind(3)
        with pytest.raises(EngineFailed):
            await two.rewind(2)
        with pytest.raises(EngineFailed):
            await two.rewind(4)
        assert heads[3] == await two.head()


@engines
async def test_what_can_not_be_in_a_block_leaves_no_trace(kind: str, tmp_path: Path) -> None:
    """Rubbish, twins, used nonces and another chain's are invalid, a nonce ahead is a gap; the block is the one without them."""
    rubbish = [b"", b"\xc0", b"\x05abc", b"\x03" + paid(1)[1:], paid(1)[:-1]]
    invalid = [*rubbish, paid(0), signed(1, chain_id=CHAIN_ID + 1), deposit(3, SENDER, mint=1 << 128)]
    good = [deposit(1, SENDER, mint=7 * UNIT), paid(2), failing(3)]
    async with opened(kind, tmp_path) as engine:
        heads = await built(engine, await engine.start(), (FUND,))
        clean = await engine.execute(block_on(heads[-1], *good))
        assert ["success", "success", "failed"] == statuses(clean)
        await engine.rewind(1)
        dirty = await engine.execute(block_on(heads[-1], *good, *invalid, paid(2), paid(9)))
        assert [*statuses(clean), *["invalid"] * (len(invalid) + 1), "gap"] == statuses(dirty)
        assert clean.header == dirty.header
        assert all(result.reason for result in dirty.results[3:])
        reason, data = await engine.explain(clean.results[2].hash)
        assert reason
        assert data.startswith("0x")
        late = await engine.execute(block_on(dirty.header, paid(9), paid(4)))
        assert ["gap", "success"] == statuses(late)


@engines
async def test_reads_of_a_block_stay_what_they_were(kind: str, tmp_path: Path) -> None:
    """Nonces and balances of each block are the same while later ones come and go, and receipts go by the transactions' own hashes."""
    async with opened(kind, tmp_path) as engine:
        heads = [await engine.start()]
        seen = [await _told(engine, 0)]
        for transactions in BLOCKS:
            heads += (await built(engine, heads[-1], transactions))[1:]
            seen.append(await _told(engine, heads[-1].number))
        assert seen == [await _told(engine, number) for number in range(5)]
        assert len({told[2] for told in seen}) == 3, "the sink has grown twice"
        for number, transactions in enumerate(BLOCKS, 1):
            for raw in transactions:
                receipt = await engine.request("eth_getTransactionReceipt", [to_hex(keccak256(raw))])
                assert (hex(number), heads[number].hash) == (receipt["blockNumber"], receipt["blockHash"])
                assert hex(raw != failing(2)) == receipt["status"]
        await engine.rewind(2)
        assert seen[:3] == [await _told(engine, number) for number in range(3)]
        assert await engine.request("eth_getTransactionReceipt", [to_hex(keccak256(paid(3, 5)))]) is None


async def _told(engine: Engine, number: int) -> tuple[str, ...]:
    asked = [("eth_getTransactionCount", SENDER), ("eth_getBalance", SENDER), ("eth_getBalance", SINK)]
    return tuple([await engine.request(method, [address, hex(number)]) for method, address in asked])
