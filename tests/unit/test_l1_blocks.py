"""Reading L1 blocks: what comes out is what the receipts say, and parts of different blocks never mix."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from bridge.l1.blocks import Watch, fetch, read_blocks
from bridge.l1.bloom import bloom_bits, may_contain
from bridge.l1.errors import L1Moved
from bridge.l1.testing import CASH, OWNER, Meddled, deploy, deploy_portals, deposit_call, send, truth
from bridge.wire.blobs import BLOB_DATA, blob_base_fee, encode_blobs, sidecar
from bridge.wire.deposits import DEPOSITED_TOPIC, apply_alias, decode_deposit, source_hash
from bridge.wire.errors import Malformed
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import L1Block
from bridge.wire.signing import UnsignedTransaction, address_of, sign_blob_transaction, sign_transaction
from orchestrator.market.scratch import scratch_anvil

CHAIN_ID = 900
INBOX, OTHER_INBOX = "0xff" + "00" * 17 + "0385", "0xff" + "00" * 17 + "0386"
STRANGER = "0x" + "57" * 20
KEY = to_hex(keccak256(b"a batcher of this test"))
EMITTER = "60015f5fa1" + "60025f5fa1" + "00"
"""Runtime code that emits two logs with one topic each."""
REFUSES_DATA = "36600557" + "00" + "5b5f5ffd"
"""Runtime code that reverts if it is given any data."""
FORWARDS = "365f5f37" + "5f5f365f5f73" + "{portal}" + "5af1" + "00"
"""Runtime code that passes its call data on to a portal."""


@pytest_asyncio.fixture
async def l1() -> AsyncIterator[Client]:
    """A fresh L1 that mines when it is told to."""
    async with scratch_anvil("--chain-id", str(CHAIN_ID), "--no-mining", "--order", "fifo") as client:
        for account in (OWNER, STRANGER, to_hex(address_of(KEY))):
            await client.call("anvil_setBalance", account, hex(CASH))
        yield client


async def head_of(client: Client) -> int:
    """Number of the head."""
    return int(await client.call("eth_blockNumber"), 16)


def summary(block: L1Block) -> dict[str, Any]:
    """A block in the terms of :func:`bridge.l1.testing.truth`."""
    batches = [(each.hash, each.sender, each.inbox, each.data) for each in block.batches]
    return {
        "hash": block.info.hash,
        "parent": block.info.parent,
        "deposits": dict(block.deposits),
        "batches": batches,
    }


async def everything(client: Client, portals: list[str], inboxes: list[str]) -> list[L1Block]:
    """The whole chain."""
    return [each async for each in read_blocks(client, portals, inboxes, 0, await head_of(client))]


async def test_blocks_are_what_their_receipts_say(l1: Client) -> None:
    """Over 60 random blocks of deposits, batches, failures and noise, in random order within the block."""
    rng = random.Random(5)
    portals = await deploy_portals(l1, 3)
    noise, picky = "0x" + "e0" * 20, OTHER_INBOX
    await l1.call("anvil_setCode", noise, "0x" + EMITTER)
    await l1.call("anvil_setCode", picky, "0x" + REFUSES_DATA)
    actions: list[Callable[[], Awaitable[Any]]] = [
        lambda: send(
            l1, rng.choice(portals), deposit_call(STRANGER, rng.randrange(5), data=rng.randbytes(9))
        ),
        lambda: send(
            l1, rng.choice(portals), deposit_call(OWNER, gas=1)
        ),  # too little gas: the portal reverts
        lambda: send(
            l1, portals[0], value=rng.randrange(9), sender=STRANGER
        ),  # plain ether is a deposit as well
        lambda: send(l1, INBOX, rng.randbytes(rng.choice([0, 1, 500])), sender=rng.choice([OWNER, STRANGER])),
        lambda: send(l1, picky, rng.choice([b"", b"refused"])),
        lambda: send(l1, noise),
        lambda: send(l1, None, bytes.fromhex("00")),
    ]
    for _ in range(60):
        for _ in range(rng.choice([0, 0, 1, 8])):
            await rng.choice(actions)()
        await l1.call("evm_mine")

    blocks = await everything(l1, portals[:2], [INBOX, OTHER_INBOX])

    expected = [
        await truth(l1, number, portals[:2], [INBOX, OTHER_INBOX]) for number in range(await head_of(l1) + 1)
    ]
    assert expected == [summary(block) for block in blocks]
    assert all(
        sum(len(each) for each in kind) > 10
        for kind in zip(*((b.deposits, b.batches) for b in blocks), strict=True)
    )


async def test_header_fields(l1: Client) -> None:
    """Number, hashes, time and fees are the header's."""
    await l1.call("evm_setNextBlockTimestamp", 2_000_000_000)
    await l1.call("anvil_setNextBlockBaseFeePerGas", "0x123456")
    await l1.call("evm_mine")
    genesis, block = await everything(l1, [], [])
    assert (0, 1, genesis.info.hash) == (genesis.info.number, block.info.number, block.info.parent)
    assert (2_000_000_000, 0x123456, 1) == (
        block.info.timestamp,
        block.info.base_fee,
        block.info.blob_base_fee,
    )


async def test_deposits_count_the_logs_before_them(l1: Client) -> None:
    """A deposit's source hash holds its log's index in the whole block, whoever emitted the logs before it."""
    portal, other = await deploy_portals(l1, 2)
    emitter = "0x" + "e0" * 20
    await l1.call("anvil_setCode", emitter, "0x" + EMITTER)
    await send(l1, emitter)
    await send(l1, portal, deposit_call(STRANGER, 1))
    await send(l1, other, deposit_call(STRANGER, 2))
    await send(l1, portal, deposit_call(STRANGER, 3))
    await l1.call("evm_mine")

    block = (await everything(l1, [portal.upper().replace("0X", "0x"), other], []))[-1]

    found = {
        each: [decode_deposit(from_hex(raw)) for raw in block.deposits[each]] for each in (portal, other)
    }
    assert {portal: [1, 3], other: [2]} == {each: [d.value for d in found[each]] for each in found}
    assert [source_hash(0, block.info.hash, index) for index in (2, 4)] == [
        each.source_hash for each in found[portal]
    ]


async def test_contracts_deposit_under_their_alias(l1: Client) -> None:
    """What the real portal says of a contract's deposit carries the alias, of an account's deposit the account; mint is the ether sent."""
    (portal,) = await deploy_portals(l1)
    contract = await deploy(l1, _creation(FORWARDS.format(portal=portal[2:])))
    await send(l1, contract, deposit_call(STRANGER, 0))
    await send(l1, portal, deposit_call(STRANGER, 4), value=7)
    await l1.call("evm_mine")

    block = (await everything(l1, [portal], []))[-1]

    by_contract, by_account = (decode_deposit(from_hex(raw)) for raw in block.deposits[portal])
    assert apply_alias(from_hex(contract)) == by_contract.sender
    assert (from_hex(OWNER), 7, 4) == (by_account.sender, by_account.mint, by_account.value)


async def test_a_log_that_only_looks_like_a_deposit_is_skipped(l1: Client) -> None:
    """A "portal" that emits the event with an unknown version gives no deposit, and no trouble."""
    topic = DEPOSITED_TOPIC[2:]
    # LOG4(0, 0, topic, 0, 0, 1): the event's topics with version 1, and no data at all
    code = "6001" + "5f5f" + "7f" + topic + "5f5f" + "a4" + "00"
    false = "0x" + "fa" * 20
    await l1.call("anvil_setCode", false, "0x" + code)
    await send(l1, false)
    await send(l1, INBOX, b"still there")
    await l1.call("evm_mine")

    block = (await everything(l1, [false], [INBOX]))[-1]

    assert ({}, [b"still there"]) == (dict(block.deposits), [each.data for each in block.batches])


async def test_logs_are_asked_only_where_the_bloom_allows(l1: Client) -> None:
    """Blocks without a deposit to our portals cost no second question; those with one are never passed over."""
    ours, other = await deploy_portals(l1, 2)
    emitter = "0x" + "e0" * 20
    await l1.call("anvil_setCode", emitter, "0x" + EMITTER)
    first = await head_of(l1) + 1
    for index in range(40):
        await send(l1, ours if index % 10 == 0 else other, deposit_call(STRANGER, index))
        await send(l1, emitter)
        await l1.call("evm_mine")
    async with Meddled(l1.url) as client:
        blocks = [each async for each in read_blocks(client, [ours], [], first, first + 39)]

    assert [index % 10 == 0 for index in range(40)] == [bool(block.deposits) for block in blocks]
    assert {"eth_getBlockByNumber": 40, "eth_getLogs": 4} == client.calls


async def test_anvil_sets_its_blooms(l1: Client) -> None:
    """Address and topics of each log are in the bloom of the block, and a bloom is not simply full."""
    emitters = [to_hex(keccak256(bytes([index]))[:20]) for index in range(30)]
    for emitter in emitters:
        await l1.call("anvil_setCode", emitter, "0x" + EMITTER)
        await send(l1, emitter)
    await l1.call("evm_mine")
    block = await l1.call("eth_getBlockByNumber", "latest", False)
    bloom = int(block["logsBloom"], 16)
    topics = [(1).to_bytes(32, "big"), (2).to_bytes(32, "big")]
    assert all(may_contain(bloom, [bloom_bits(value)]) for value in [*map(from_hex, emitters), *topics])
    absent = [bloom_bits(keccak256(b"absent %d" % index)) for index in range(1_000)]
    assert 20 > sum(may_contain(bloom, [bits]) for bits in absent)


@given(st.binary(max_size=40))
def test_bloom_bits_are_one_to_three(value: bytes) -> None:
    """A value sets up to three of 2048 bits, and finds itself."""
    bits = bloom_bits(value)
    assert 1 <= bits.bit_count() <= 3
    assert 2048 >= bits.bit_length()
    assert may_contain(bits, [bits])
    assert not may_contain(0, [bits])


async def test_blobs_are_read_back(l1: Client) -> None:
    """A blob transaction's data is what its blobs hold, over two blobs; blobs of no known encoding hold nothing; calldata beside them is ignored."""
    data = random.Random(1).randbytes(BLOB_DATA + 1_000)
    garbage = [b"\x00\xff" + bytes(131_070)]
    for nonce, blobs in enumerate((encode_blobs(data), garbage)):
        unsigned = UnsignedTransaction(
            CHAIN_ID, nonce, 10**11, 0, 100_000, from_hex(INBOX), data=b"not this" * nonce
        )
        signed = sign_blob_transaction(unsigned, 10**9, await asyncio.to_thread(sidecar, blobs), KEY)
        assert to_hex(signed.hash) == await l1.call("eth_sendRawTransaction", to_hex(signed.raw), deadline=60)
        await l1.call("evm_mine")

    blocks = await everything(l1, [], [INBOX])

    assert [[], [data], [b""]] == [[each.data for each in block.batches] for block in blocks]
    assert to_hex(address_of(KEY)) == blocks[1].batches[0].sender


async def test_the_blob_fee_is_the_engines(tmp_path: Path) -> None:
    """Our exponential gives the fee that the engine reports for a header's excess of blob gas."""
    excess = 100_000_000
    genesis = tmp_path / "genesis.json"
    fields = {
        "config": {"chainId": CHAIN_ID},
        "timestamp": "0x1",
        "gasLimit": hex(30_000_000),
        "difficulty": "0x0",
    }
    genesis.write_bytes(
        orjson.dumps(
            fields
            | {"baseFeePerGas": hex(10**9), "excessBlobGas": hex(excess), "blobGasUsed": "0x0", "alloc": {}}
        )
    )
    async with scratch_anvil("--init", str(genesis), "--no-mining") as client:
        await client.call("evm_mine")
        history = await client.call("eth_feeHistory", "0x1", "latest", [])
        (_, block) = await everything(client, [], [])
    assert int(history["baseFeePerBlobGas"][0], 16) == block.info.blob_base_fee == blob_base_fee(excess)
    assert 1 == blob_base_fee(0)


async def test_an_l1_that_moves_is_reported(l1: Client) -> None:
    """Blocks that L1 doesn't have, and a reorganisation between two rounds, end the reading."""
    await l1.call("anvil_mine", hex(50))
    with pytest.raises(L1Moved, match="block 51"):
        _ = [each async for each in read_blocks(l1, [], [], 45, 60)]
    async with Meddled(l1.url, [None, lambda: l1.call("anvil_reorg", 45, [])]) as client:
        with pytest.raises(L1Moved, match="reorganised below block 20"):
            _ = [each async for each in read_blocks(client, [], [], 0, 50)]


@pytest.mark.parametrize("depth", [1, 3, 5])
@pytest.mark.parametrize("kind", ["deposit", "batch", "both", "batch lost", "both lost", "reorg"])
async def test_parts_of_different_blocks_never_mix(l1: Client, kind: str, depth: int) -> None:
    """L1 moves after headers were read and before their details, to blocks with the same transactions: what is given is true, the rest left out."""
    (portal,) = await deploy_portals(l1)
    watch, first = Watch([portal], [INBOX]), await head_of(l1) + 1
    raws = [to_hex(_signed(nonce, INBOX, bytes([nonce]))) for nonce in range(6)]

    async def fill(index: int) -> None:
        if "batch" not in kind:
            await send(l1, portal, deposit_call(STRANGER, index % 10))
        if kind != "deposit":
            await l1.call("eth_sendRawTransaction", raws[index % 10])
        await l1.call("evm_mine")

    async def replace() -> None:
        if kind == "reorg":
            await l1.call("anvil_reorg", depth, [])
            return
        await l1.call("anvil_rollback", depth)
        await l1.call("anvil_dropAllTransactions")
        for index in range(6 - depth, 6) if "lost" not in kind else ():
            await l1.call("evm_increaseTime", 5)
            await fill(index + 10)

    for index in range(6):
        await fill(index)
    expected = [await truth(l1, number, [portal], [INBOX]) for number in range(first, first + 6)]
    async with Meddled(l1.url, [None, replace]) as client:
        blocks = await fetch(client, watch, first, first + 5)

    assert expected[: 6 - depth] == [summary(block) for block in blocks]
    assert first + 6 - depth * ("lost" in kind) == len(await everything(l1, [portal], [INBOX]))


async def test_a_torn_round_ends_at_the_tear(l1: Client) -> None:
    """L1 moves while the headers are read: the first half is of the old chain, and nothing of the new chain is put on top of it."""
    await l1.call("anvil_mine", hex(19))
    expected = [block.info.hash for block in await everything(l1, [], [])][:10]

    async def replace() -> None:
        await l1.call("anvil_reorg", 15, [])

    async with Meddled(l1.url, [replace], tear=True) as client:
        blocks = await fetch(client, Watch([], []), 0, 19)

    assert expected == [block.info.hash for block in blocks]


ANSWERS: list[Any] = [
    5,
    "0x",
    [],
    {},
    {"number": "0x0", "hash": "0x12", "parentHash": None},
    {"number": "zz", "hash": "0x" + "00" * 32, "parentHash": "0x" + "00" * 32},
    {"number": "0x0", "hash": "0x" + "00" * 32, "parentHash": "0x" + "00" * 32, "transactions": [7]},
]


class Scripted(Client):
    """A client that answers everything the same."""

    def __init__(self, answer: Any) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = answer

    async def batch(self, calls: Any, deadline: float | None = None) -> list[Any]:
        """The same for all."""
        return [self.answer] * len(calls)


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_that_is_no_block_is_called_so(answer: Any) -> None:
    """Whatever JSON comes, it is Malformed, not a crash."""
    with pytest.raises(Malformed):
        await fetch(Scripted(answer), Watch([], []), 0, 3)


async def test_reading_can_be_given_up(l1: Client) -> None:
    """A reader that stops after a block leaves nothing behind."""
    await l1.call("anvil_mine", hex(30))
    async with aclosing(read_blocks(l1, [], [], 0, 30)) as blocks:
        async for block in blocks:
            if block.info.number == 3:
                break


def _signed(nonce: int, to: str, data: bytes) -> bytes:
    """An ordinary transaction of the batcher."""
    return sign_transaction(UnsignedTransaction(CHAIN_ID, nonce, 10**11, 0, 100_000, from_hex(to), data), KEY)


def _creation(runtime: str) -> bytes:
    """Code that leaves the runtime code as a contract."""
    code = bytes.fromhex(runtime)
    return bytes.fromhex(f"61{len(code):04x}80600a5f395ff3") + code
