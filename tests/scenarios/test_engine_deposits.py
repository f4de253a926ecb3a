"""Deposits on the real engine: what L1 puts into a block is in it, whoever else sends, and everybody knows it by its own hash."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts.addresses import L1_BLOCK, PREDEPLOYS, SEQUENCER_FEE_VAULT
from bridge.contracts.op import op_artifact
from bridge.wire import rlp
from bridge.wire.deposits import apply_alias, l1_attributes
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import L1Info
from bridge.wire.signing import address_of
from orchestrator.market.genesis import build_genesis
from orchestrator.market.scratch import anvil_binary
from orchestrator.market.testing import example_plan
from orchestrator.runtimes.ports import PortReservations
from rollup_node.engines.base import ExecutedBlock
from rollup_node.engines.evm import EvmEngine
from rollup_node.engines.evm.testing import (
    ETHER,
    GAS_LIMIT,
    L1_HASH,
    LOGGING,
    REVERTING,
    SENDER,
    account,
    block_on,
    deposit,
    hand_engine,
    signed,
)
from rollup_node.errors import EngineFailed

pytestmark = pytest.mark.process

POOR_KEY = to_hex(keccak256(b"somebody with nothing on the rollup"))
POOR = to_hex(address_of(POOR_KEY))
ALIAS = to_hex(apply_alias(from_hex(REVERTING)))
"""An L1 contract as it is called on the rollup."""


@contextlib.asynccontextmanager
async def engine(folder: Path, **options: Any) -> AsyncIterator[EvmEngine]:
    """An engine on the small genesis."""
    with PortReservations() as ports:
        async with hand_engine(str(anvil_binary()), ports.reserve(), folder, **options) as running:
            yield running


def statuses(block: ExecutedBlock) -> list[str]:
    """How each transaction fared."""
    return [result.status for result in block.results]


def digest(raw: bytes) -> str:
    """A transaction's hash."""
    return to_hex(keccak256(raw))


HUGE = b"\x01" * 1_000
CASES: dict[str, tuple[list[bytes], list[str], int, int]] = {
    # deposits of one poor account; their statuses; its balance and nonce afterwards
    "one": ([deposit(0, POOR, mint=ETHER, value=5)], ["success"], ETHER - 5, 1),
    "the call reverts": ([deposit(0, POOR, to=REVERTING, mint=ETHER, value=5)], ["failed"], ETHER, 1),
    "more value than it has": ([deposit(0, POOR, mint=ETHER, value=2 * ETHER)], ["failed"], ETHER, 1),
    "value without a mint": ([deposit(0, POOR, value=1)], ["failed"], 0, 1),
    "less gas than any call costs": ([deposit(0, POOR, mint=ETHER, gas=20_000)], ["failed"], ETHER, 1),
    "no gas at all": ([deposit(0, POOR, mint=ETHER, gas=0)], ["failed"], ETHER, 1),
    "the portal's least gas, below the floor of EIP-7623": (
        [deposit(0, POOR, mint=ETHER, gas=21_000 + 16 * len(HUGE), data=HUGE)],
        ["failed"],
        ETHER,
        1,
    ),
    "a creation": ([deposit(0, POOR, to=None, mint=ETHER, value=7)], ["success"], ETHER - 7, 1),
    "a creation that fails": (
        [deposit(0, POOR, to=None, mint=ETHER, value=7, data=b"\xfe")],
        ["failed"],
        ETHER,
        1,
    ),
    "the second spends what the first minted": (
        [deposit(0, POOR, mint=ETHER), deposit(1, POOR, value=ETHER // 2)],
        ["success", "success"],
        ETHER // 2,
        2,
    ),
    "many, among them every kind of failure": (
        [
            deposit(0, POOR, mint=ETHER, value=2 * ETHER),
            deposit(1, POOR, to=REVERTING, mint=3),
            deposit(2, POOR, gas=0, mint=4),
            deposit(3, POOR, to=None, value=5),
            deposit(4, POOR, value=ETHER),
        ],
        ["failed", "failed", "failed", "success", "success"],
        2,
        5,
    ),
}


@pytest.mark.parametrize("case", list(CASES))
async def test_a_deposit_is_in_the_block_and_its_mint_stays(case: str, tmp_path: Path) -> None:
    """Whatever its call does (OP Stack, deposits): the mint survives, the nonce rises, the receipt tells of a failure."""
    deposits, expected, balance, nonce = CASES[case]
    async with engine(tmp_path) as running:
        made = await running.execute(block_on(await running.start(), *deposits))
        assert expected == statuses(made)
        assert (balance, nonce) == await account(running, POOR)
        for index, (raw, status) in enumerate(zip(deposits, expected, strict=True)):
            receipt = await running.request("eth_getTransactionReceipt", [digest(raw)])
            assert (digest(raw), hex(index)) == (receipt["transactionHash"], receipt["transactionIndex"])
            assert {"success": "0x1", "failed": "0x0"}[status] == receipt["status"]
            if receipt["contractAddress"] is not None and status == "success":
                created = keccak256(rlp.encode([from_hex(POOR), index]))[12:]
                assert to_hex(created) == receipt["contractAddress"].lower()


@pytest.mark.parametrize("sender", [REVERTING, ALIAS, SENDER])
async def test_anybody_can_be_a_depositor(sender: str, tmp_path: Path) -> None:
    """An address with code (EIP-3607 forbids it to sign), an alias that nobody has the key of, and a rich account."""
    async with engine(tmp_path) as running:
        head = await running.start()
        before, _ = await account(running, sender)
        made = await running.execute(block_on(head, *(deposit(i, sender, mint=9, value=4) for i in range(3))))
        assert ["success"] * 3 == statuses(made)
        assert (before + 15, 3) == await account(running, sender)
        # what impersonated for the block must not stay so: a stranger's request is refused
        refused = await running.request("eth_accounts", [])
        assert [] == refused


async def test_a_signed_transaction_may_follow_its_senders_deposits(tmp_path: Path) -> None:
    """Deposits raise the nonce in the same block: the next nonce fits, and may spend what was minted, as geth would have it."""
    follow = [signed(nonce, value=1, key=POOR_KEY) for nonce in (2, 3)]
    async with engine(tmp_path) as running:
        head = await running.start()
        deposits = [deposit(index, POOR, mint=ETHER) for index in range(2)]
        made = await running.execute(block_on(head, *deposits, *follow))
        assert ["success"] * 4 == statuses(made)
        assert 4 == (await account(running, POOR))[1]


@pytest.mark.parametrize("deposits", [1, 2])
async def test_a_waiting_transaction_never_takes_a_deposits_place(deposits: int, tmp_path: Path) -> None:
    """A signed transaction with the nonce that a deposit uses up is stale, whatever it pays: the deposit stands, it is invalid."""
    waiting = [signed(nonce, max_fee=10**12) for nonce in range(deposits)]
    async with engine(tmp_path) as running:
        head = await running.start()
        first = [deposit(index, SENDER, mint=1) for index in range(deposits)]
        made = await running.execute(block_on(head, *first, *waiting, signed(deposits)))
        assert ["success"] * deposits + ["invalid"] * deposits + ["success"] == statuses(made)
        assert all("nonce too low" in result.reason for result in made.results[deposits : 2 * deposits])
        assert deposits + 1 == (await account(running, SENDER))[1]
        late = await running.execute(block_on(made.header, signed(0), signed(9)))
        assert ["invalid", "gap"] == statuses(late)


async def test_what_no_batch_should_hold_is_invalid_and_harms_nobody(tmp_path: Path) -> None:
    """Rubbish, strange types, twins, transactions without means: none is in the block, all others are, and the engine goes on."""
    good = [deposit(0, POOR, mint=1), signed(0)]
    rubbish = [
        b"",
        b"\xc0",
        b"\x05abc",
        b"\x03" + signed(0)[1:],
        b"\x02\x01\x02",
        signed(0)[:-1],
        signed(0),
        deposit(3, POOR, mint=1 << 128),
    ]
    poor = [signed(0, key=POOR_KEY, value=1)]
    reasons = {
        "intrinsic gas too low": signed(1, gas=20_999),
        "exceeds block gas limit": signed(1, gas=GAS_LIMIT + 1),
        "less than block base fee": signed(1, max_fee=7),
        "insufficient funds": signed(1, value=10**24),
    }
    async with engine(tmp_path) as running:
        head = await running.start()
        made = await running.execute(block_on(head, *good, *rubbish, *poor))
        assert ["success"] * 2 + ["invalid"] * len([*rubbish, *poor]) == statuses(made)
        assert all(result.reason for result in made.results[2:])
        for words, raw in reasons.items():
            made = await running.execute(block_on(made.header, raw))
            assert ["invalid"] == statuses(made)
            assert words in made.results[0].reason
        assert ["success"] == statuses(await running.execute(block_on(made.header, signed(1))))


async def _names(running: EvmEngine, raws: list[bytes], first: int, last: int) -> list[Any]:
    """Everything that names the transactions of some blocks, asked for by their own hashes."""
    told: list[Any] = []
    for raw in raws:
        for method in ("eth_getTransactionReceipt", "eth_getTransactionByHash"):
            found = await running.request(method, [digest(raw)])
            assert digest(raw) == found.get("transactionHash", found.get("hash"))
            told.append(found)
    for number in range(first, last + 1):
        whole = await running.request("eth_getBlockByNumber", [hex(number), True])
        short = await running.request("eth_getBlockByNumber", [hex(number), False])
        receipts = await running.request("eth_getBlockReceipts", [hex(number)])
        hashes = [sent["hash"] for sent in whole["transactions"]]
        assert hashes == short["transactions"] == [receipt["transactionHash"] for receipt in receipts]
        told.append([whole, receipts])
    logs = await running.request("eth_getLogs", [{"fromBlock": hex(first), "toBlock": hex(last)}])
    assert {log["transactionHash"] for log in logs} <= set(map(digest, raws))
    return [*told, logs]


async def test_transactions_go_by_their_own_hashes_everywhere(tmp_path: Path) -> None:
    """Receipts, blocks and logs say the canonical hash; so do a second engine, a restored one, and one that went back and forth."""
    blocks = [
        [deposit(10 * n + i, POOR, to=LOGGING, mint=3 * ETHER) for i in range(3)]
        + [signed(4 * n + 3, to=LOGGING, gas=50_000, key=POOR_KEY), signed(n)]
        for n in range(3)
    ]
    raws = [raw for block in blocks for raw in block]
    async with engine(tmp_path / "first") as first, engine(tmp_path / "second") as second:
        heads = [await first.start()]
        await second.start()
        for block in blocks:
            made = await first.execute(block_on(heads[-1], *block))
            assert made == await second.execute(block_on(heads[-1], *block))
            assert ["success"] * 5 == statuses(made)
            heads.append(made.header)
        expected = await _names(first, raws, 1, 3)
        assert 12 == len(expected[-1])
        assert expected == await _names(second, raws, 1, 3)

        await first.checkpoint(tmp_path / "state")
        await second.stop()
        await second.start()
        assert heads[-1] == await second.restore(tmp_path / "state")
        await second.learn(dict(enumerate(blocks, 1)))
        assert expected == await _names(second, raws, 1, 3)
        assert heads == [await second.header(number) for number in range(4)]

        await first.rewind(1)
        assert [heads[1], None] == [await first.header(number) for number in (1, 2)]
        assert await first.request("eth_getTransactionReceipt", [digest(blocks[1][0])]) is None
        for parent, block in zip(heads[1:], blocks[1:], strict=False):
            await first.execute(block_on(parent, *block))
        assert expected == await _names(first, raws, 1, 3)
        # once more, alone: then it goes in raw, and has no other name
        await first.rewind(2)
        await first.execute(block_on(heads[2], blocks[2][0]))
        await _names(first, [*blocks[0], *blocks[1], blocks[2][0]], 1, 3)


async def test_an_engine_does_not_go_back_beyond_what_it_restored(tmp_path: Path) -> None:
    """It says so and stays where it is; up to there it goes back and comes again with the same blocks."""
    async with engine(tmp_path) as running:
        heads = [await running.start()]
        for _ in range(4):
            heads.append((await running.execute(block_on(heads[-1], deposit(1, POOR, mint=1)))).header)
        await running.rewind(3)
        await running.checkpoint(tmp_path / "state")
        await running.stop()
        await running.start()
        await running.restore(tmp_path / "state")
        for _ in range(2):
            assert heads[4] == (await running.execute(block_on(heads[3], deposit(1, POOR, mint=1)))).header
            await running.rewind(3)
        with pytest.raises(EngineFailed):
            await running.rewind(2)
        assert heads[3] == await running.head()


async def test_fees_and_l1_attributes_land_in_the_real_predeploys(tmp_path: Path) -> None:
    """The sequencer's vault gets tips, the base fee's vault base fees, deposits pay neither, and L1Block tells of the origin."""
    plan = example_plan(("alpha",))
    genesis = await build_genesis(plan, plan.rollups[0], tmp_path / "cache")
    origin = L1Info(77, L1_HASH, "0x" + "00" * 32, 1_900_000_000, 12 * 10**9, 3)
    batcher = b"\x0b" * 20
    l1_block = op_artifact("L1Block").interface

    async def told(function: str) -> Any:
        data = to_hex(l1_block.encode_call(function))
        answer = await running.request("eth_call", [{"to": L1_BLOCK, "data": data}, "latest"])
        return l1_block.decode_result(function, from_hex(answer))[0]

    async with engine(tmp_path, genesis=genesis) as running:
        head = await running.start()
        for sequence in range(2):
            made = await running.execute(block_on(head, l1_attributes(origin, sequence, batcher)))
            assert ["success"] == statuses(made)
            head = made.header
            assert sequence == await told("sequenceNumber")
        said = [await told(name) for name in ("number", "timestamp", "basefee", "blobBaseFee", "hash")]
        assert [77, 1_900_000_000, 12 * 10**9, 3, from_hex(L1_HASH)] == said
        assert batcher.rjust(32, b"\0") == await told("batcherHash")
        vaults = (SEQUENCER_FEE_VAULT, PREDEPLOYS["BaseFeeVault"])
        assert [0, 0] == [(await account(running, vault))[0] for vault in vaults]

        await running.execute(block_on(head, deposit(0, POOR, mint=ETHER)))
        head = await running.head()
        user = plan.users[0]
        paid = signed(0, key=user.private_key, chain_id=plan.rollups[0].chain_id)
        block = block_on(head, deposit(1, POOR), paid)
        made = await running.execute(block)
        assert ["success", "success"] == statuses(made)
        balances = [(await account(running, vault))[0] for vault in vaults]
        assert [0, 21_000 * block.base_fee] == balances
        mined = await running.request("eth_getBlockByNumber", ["latest", False])
        assert SEQUENCER_FEE_VAULT == mined["miner"]
