"""Deposits against viem's op-stack module, and executed by the engine on the OP Stack's own L1Block contract."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.op import PACKAGE, op_artifact
from bridge.wire import rlp
from bridge.wire.deposits import (
    ALIAS_OFFSET,
    DEPOSITED_TOPIC,
    DEPOSITOR,
    L1_BLOCK,
    Deposit,
    apply_alias,
    decode_deposit,
    encode_deposit,
    l1_attributes,
    source_hash,
    undo_alias,
    user_deposit,
)
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import L1Info
from orchestrator.market.scratch import scratch_anvil

ADDRESSES, WORDS = st.binary(min_size=20, max_size=20), st.binary(min_size=32, max_size=32)
U64, U256 = st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1)
DEPOSITS = st.builds(
    Deposit,
    source_hash=WORDS,
    sender=ADDRESSES,
    to=st.one_of(st.none(), ADDRESSES),
    mint=U256,
    value=U256,
    gas=U64,
    is_system=st.booleans(),
    data=st.binary(max_size=100),
)
ORIGIN = L1Info(
    number=2**40 + 7,
    hash="0x" + "a1" * 32,
    parent="0x" + "a0" * 32,
    timestamp=1_800_000_123,
    base_fee=2**70 + 5,
    blob_base_fee=2**65 + 3,
)
RICH = "0x" + "99" * 20
VIEM = """
import { readFileSync } from 'node:fs'
import { encodeAbiParameters, encodeEventTopics, encodePacked, parseAbi } from 'viem'
import { extractTransactionDepositedLogs, getL2TransactionHash, getSourceHash, opaqueDataToDepositData,
  serializeTransaction } from 'viem/op-stack'
const portalAbi = parseAbi(['event TransactionDeposited(address indexed, address indexed, uint256 indexed, bytes)'])
const answers = JSON.parse(readFileSync(0)).map((c) => {
  const opaque = encodePacked(['uint256', 'uint256', 'uint64', 'bool', 'bytes'],
    [BigInt(c.mint), BigInt(c.value), BigInt(c.gas), c.creation, c.data])
  const topics = encodeEventTopics({ abi: portalAbi, eventName: 'TransactionDeposited',
    args: [c.from, c.to, 0n] })
  const emitted = { address: c.from, topics, data: encodeAbiParameters([{ type: 'bytes' }], [opaque]),
    blockHash: c.block, logIndex: c.index }
  const [log] = extractTransactionDepositedLogs({ logs: [emitted] })
  const fields = opaqueDataToDepositData(log.args.opaqueData)
  const sourceHash = getSourceHash({ domain: 'userDeposit', l1BlockHash: c.block, l1LogIndex: c.index })
  const raw = serializeTransaction({ type: 'deposit', sourceHash, from: log.args.from, isSystemTx: false,
    to: fields.isCreation ? undefined : log.args.to, ...fields })
  return { log: { ...emitted, logIndex: '0x' + c.index.toString(16) }, raw, hash: getL2TransactionHash({ log }),
    attributes: getSourceHash({ domain: 'l1InfoDeposit', l1BlockHash: c.block, sequenceNumber: c.index }) }
})
process.stdout.write(JSON.stringify(answers))
"""


def _cases(seed: int, count: int) -> list[dict[str, Any]]:
    rng = random.Random(seed)

    def number(bits: int) -> int:
        return rng.choice([0, 1, 2**bits - 1, rng.getrandbits(bits), rng.getrandbits(rng.randint(1, bits))])

    return [
        {
            "from": to_hex(rng.randbytes(20)),
            "to": to_hex(rng.choice([bytes(20), rng.randbytes(20)])),
            "mint": str(number(256)),
            "value": str(number(256)),
            "gas": str(number(64)),
            "creation": rng.random() < 0.3,
            "data": to_hex(rng.randbytes(rng.choice([0, 1, 31, 32, 33, 500]))),
            "block": to_hex(rng.randbytes(32)),
            "index": rng.choice([0, 1, 127, 128, 255, 256, 65_535]),
        }
        for _ in range(count)
    ]


def test_user_deposits_are_those_of_viem(node: str, repository: Path) -> None:
    """From 400 logs that viem encodes, we derive the transactions that viem derives, to the byte, and their hashes."""
    cases = _cases(seed=11, count=400)
    made = subprocess.run(
        [node, "--input-type=module", "-e", VIEM],
        input=json.dumps(cases),
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert 0 == made.returncode, made.stderr
    for case, answer in zip(cases, json.loads(made.stdout), strict=True):
        raw = user_deposit(answer["log"], case["block"])
        assert answer["raw"] == to_hex(raw)
        assert answer["hash"] == to_hex(keccak256(raw))
        assert answer["attributes"] == to_hex(source_hash(1, case["block"], case["index"]))
        deposit = decode_deposit(raw)
        assert case["from"] == to_hex(deposit.sender)
        assert (None if case["creation"] else from_hex(case["to"])) == deposit.to
        assert [case["mint"], case["value"], case["gas"]] == [
            str(deposit.mint),
            str(deposit.value),
            str(deposit.gas),
        ]
        assert (case["data"], False) == (to_hex(deposit.data), deposit.is_system)


@given(DEPOSITS)
def test_a_deposit_and_its_bytes_determine_each_other(deposit: Deposit) -> None:
    """Decoding gives what was encoded."""
    assert deposit == decode_deposit(encode_deposit(deposit))


@given(DEPOSITS, st.data())
def test_changed_bytes_are_another_deposit_or_none(deposit: Deposit, data: st.DataObject) -> None:
    """No two byte strings decode to the same deposit, and decoding garbage never breaks."""
    raw = bytearray(encode_deposit(deposit))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        other = decode_deposit(bytes(raw))
    except Malformed:
        return
    assert deposit != other
    assert bytes(raw) == encode_deposit(other)


@given(st.binary(max_size=200))
def test_garbage_is_no_deposit(garbage: bytes) -> None:
    """Arbitrary bytes are refused as such, or are the canonical form of something."""
    raw = b"\x7e" + garbage
    try:
        deposit = decode_deposit(raw)
    except Malformed:
        return
    assert raw == encode_deposit(deposit)


def _log(opaque: bytes, *, version: int = 0, **changes: Any) -> dict[str, Any]:
    padded = opaque.ljust((len(opaque) + 31) // 32 * 32, b"\0")
    return {
        "topics": [
            DEPOSITED_TOPIC,
            "0x" + "0" * 24 + "11" * 20,
            "0x" + "0" * 24 + "22" * 20,
            f"0x{version:064x}",
        ],
        "data": to_hex((32).to_bytes(32, "big") + len(opaque).to_bytes(32, "big") + padded),
        "logIndex": "0x3",
    } | changes


GOOD = bytes(32 + 32 + 8 + 1)
BAD_LOGS = {
    "unknown version": _log(GOOD, version=1),
    "version of 32 bytes": _log(GOOD, version=2**255),
    "opaque data too short": _log(GOOD[:-1]),
    "no opaque data": _log(b""),
    "creation flag neither 0 nor 1": _log(GOOD[:-1] + b"\x02"),
    "another event": _log(GOOD, topics=["0x" + "77" * 32] * 4),
    "no topics": _log(GOOD, topics=[]),
    "topics missing": {"data": "0x", "logIndex": "0x0"},
    "sender is no address": _log(
        GOOD, topics=[DEPOSITED_TOPIC, "0x" + "11" * 32, "0x" + "00" * 32, "0x" + "00" * 32]
    ),
    "data missing": _log(GOOD, data=None),
    "data empty": _log(GOOD, data="0x"),
    "data cut": _log(GOOD, data=_log(GOOD)["data"][:-64]),
    "data too long": _log(GOOD, data=_log(GOOD)["data"] + "00" * 32),
    "odd digits": _log(GOOD, data="0x123"),
    "length beyond the data": _log(GOOD, data=to_hex((32).to_bytes(32, "big") + b"\xff" * 64)),
    "log index missing": _log(GOOD, logIndex=None),
    "log index is no number": _log(GOOD, logIndex="0xzz"),
}


@pytest.mark.parametrize("name", BAD_LOGS)
def test_a_log_that_no_portal_emits_is_refused(name: str) -> None:
    """Each deviation from the event's form, alone, is reason to refuse."""
    assert encode_deposit(decode_deposit(user_deposit(_log(GOOD), ORIGIN.hash)))
    with pytest.raises(Malformed):
        user_deposit(BAD_LOGS[name], ORIGIN.hash)


def test_no_mint_is_an_empty_field() -> None:
    """Zero wei to mint and nothing to mint are the same bytes: the empty string, as the specification's nil."""
    fields = rlp.items(rlp.decode(user_deposit(_log(GOOD), ORIGIN.hash)[1:]), 8)
    assert [b"", b"", b""] == fields[3:6]


@given(ADDRESSES)
def test_aliases_can_be_undone(address: bytes) -> None:
    """An alias is a shift around the circle of all addresses."""
    assert address == undo_alias(apply_alias(address)) == apply_alias(undo_alias(address))
    assert address != apply_alias(address)


def test_aliases_wrap_around() -> None:
    """The sum is taken modulo 2**160."""
    assert ALIAS_OFFSET.to_bytes(20, "big") == apply_alias(bytes(20))
    assert (ALIAS_OFFSET - 1).to_bytes(20, "big") == apply_alias(b"\xff" * 20)


async def test_attributes_reach_the_l1_block_contract() -> None:
    """Executed by the engine, the attributes are what the OP Stack's own contract then says of L1; from anybody else they fail."""
    artifact = json.loads((PACKAGE / "forge-artifacts" / "L1Block.sol" / "L1Block.json").read_bytes())
    interface = op_artifact("L1Block").interface
    batcher = bytes(range(1, 21))
    raw = l1_attributes(ORIGIN, 9, batcher, base_fee_scalar=1_368, blob_base_fee_scalar=810_949)
    async with scratch_anvil("--network", "optimism", "--no-mining", "--chain-id", "901") as client:
        await client.call("anvil_setCode", to_hex(L1_BLOCK), artifact["deployedBytecode"]["object"])

        async def read(function: str) -> Any:
            call = {"from": RICH, "to": to_hex(L1_BLOCK), "data": to_hex(interface.encode_call(function))}
            result = await client.call("eth_call", call, "latest")
            return interface.decode_result(function, from_hex(result))[0]

        # the engine takes its L1 fee from this very contract, for calls as well
        await client.call("anvil_setBalance", RICH, hex(2**200))

        digest = await client.call("eth_sendRawTransaction", to_hex(raw))
        await client.call("evm_mine")
        receipt = await client.call("eth_getTransactionReceipt", digest)
        assert (to_hex(keccak256(raw)), "0x1") == (digest, receipt["status"])
        expected = {
            "number": ORIGIN.number,
            "timestamp": ORIGIN.timestamp,
            "basefee": ORIGIN.base_fee,
            "blobBaseFee": ORIGIN.blob_base_fee,
            "hash": from_hex(ORIGIN.hash),
            "sequenceNumber": 9,
            "batcherHash": bytes(12) + batcher,
            "baseFeeScalar": 1_368,
            "blobBaseFeeScalar": 810_949,
        }
        assert expected == {function: await read(function) for function in expected}
        stranger = {
            "from": "0x" + "99" * 20,
            "to": to_hex(L1_BLOCK),
            "data": to_hex(decode_deposit(raw).data),
        }
        with pytest.raises(RpcError, match="revert"):
            await client.call("eth_call", stranger, "latest")


def test_attributes_are_a_deposit_of_the_depositor() -> None:
    """Sender, receiver, gas and source hash are those of the specification; each place in an epoch has its own source hash."""
    batcher = bytes(20)
    deposits = [decode_deposit(l1_attributes(ORIGIN, sequence, batcher)) for sequence in range(3)]
    assert 3 == len({deposit.source_hash for deposit in deposits})
    assert {(DEPOSITOR, L1_BLOCK, 0, 0, 1_000_000, False)} == {
        (each.sender, each.to, each.mint, each.value, each.gas, each.is_system) for each in deposits
    }
    assert {4 + 5 * 32} == {len(each.data) for each in deposits}
