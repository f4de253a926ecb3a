"""Blobs: the layout, the proofs, and the transactions that carry them, against eth_account, viem and the KZG library's own verifier."""

import json
import random
import subprocess
from pathlib import Path
from typing import Any

import ckzg
import pytest
import rlp as reference_rlp
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.blobs import (
    BLOB_BYTES,
    BLOB_DATA,
    MAX_BLOBS,
    Sidecar,
    decode_blobs,
    encode_blobs,
    sidecar,
    trusted_setup,
)
from bridge.wire.errors import Malformed
from bridge.wire.keccak import to_hex
from bridge.wire.signing import UnsignedTransaction, sign_blob_transaction
from bridge.wire.testing import private_key

SIZES = [
    0,
    1,
    26,
    27,
    28,
    122,
    123,
    124,
    250,
    251,
    BLOB_DATA - 1,
    BLOB_DATA,
    BLOB_DATA + 1,
    MAX_BLOBS * BLOB_DATA,
]
"""Around every boundary of the layout: first element, first round, second round, blob, transaction."""
U64, U256 = st.integers(0, 2**63), st.integers(0, 2**255)
POINTS = st.binary(min_size=48, max_size=48)

VIEM = """
import { readFileSync } from 'node:fs'
import { serializeTransaction } from 'viem'
const c = JSON.parse(readFileSync(0))
const fields = { type: 'eip4844', chainId: c.chainId, nonce: c.nonce, maxFeePerGas: BigInt(c.maxFee), to: c.to, data: c.data,
  maxPriorityFeePerGas: BigInt(c.priorityFee), gas: BigInt(c.gas), maxFeePerBlobGas: BigInt(c.blobFee),
  value: BigInt(c.value), blobVersionedHashes: c.hashes }
const signature = { r: c.r, s: c.s, yParity: c.parity }
process.stdout.write(JSON.stringify([serializeTransaction({ ...fields, sidecars: c.sidecars }, signature),
  serializeTransaction({ ...fields, sidecars: false }, signature)]))
"""


@pytest.mark.parametrize("size", SIZES)
def test_data_of_any_size_comes_back(size: int) -> None:
    """Random data and data of ones survive the layout, in as few blobs as hold it."""
    for data in (random.Random(size).randbytes(size), b"\xff" * size):
        blobs = encode_blobs(data)
        assert data == decode_blobs(blobs)
        assert max(1, -(-size // BLOB_DATA)) == len(blobs)
        assert {BLOB_BYTES} == {len(blob) for blob in blobs}
        assert all(high < 0x40 for blob in blobs for high in blob[::32])


@given(st.binary(max_size=600))
def test_small_data_comes_back(data: bytes) -> None:
    """Every byte string survives the layout."""
    assert data == decode_blobs(encode_blobs(data))


def test_too_much_data_is_refused() -> None:
    """More than a transaction's blobs hold is the caller's mistake."""
    with pytest.raises(ValueError, match="split"):
        encode_blobs(bytes(MAX_BLOBS * BLOB_DATA + 1))


def test_the_layout_is_the_specifications() -> None:
    """Version and length come first, 31 bytes fill an element, and each bit of the bytes between has its place in a high byte."""
    empty = encode_blobs(b"")[0]
    assert bytes(BLOB_BYTES) == empty
    assert b"\0\0\x01\xfb\xfc" == encode_blobs(bytes(BLOB_DATA))[0][:5]
    ones = encode_blobs(b"\xff" * 28)[0]
    assert b"\x3f\0\0\0\x1c" + b"\xff" * 27 + b"\x30" == ones[:33]
    # the OP Stack's table: which bits of x, y, z (bytes 31, 63, 95 of a round) go into which bits of which element
    for byte, bits, element, place in (
        (31, 0x3F, 0, 0),
        (31, 0xC0, 1, -2),
        (63, 0x0F, 1, 0),
        (63, 0xF0, 3, -4),
        (95, 0x3F, 2, 0),
        (95, 0xC0, 3, -2),
    ):
        data = bytearray(127 * 3)
        data[127 - 4 + byte] = bits  # of the second round
        expected = bits >> -place
        high = encode_blobs(bytes(data))[0][128:256:32]
        assert [expected if index == element else 0 for index in range(4)] == list(high)


@given(st.binary(min_size=1, max_size=300), st.integers(0, BLOB_BYTES - 1), st.integers(1, 255))
def test_changed_blobs_say_something_else_or_nothing(data: bytes, place: int, flip: int) -> None:
    """No two blobs decode to the same data: a blob is the only one that it can be."""
    blob = bytearray(encode_blobs(data)[0])
    blob[place] ^= flip
    try:
        other = decode_blobs([bytes(blob)])
    except Malformed:
        return
    assert data != other
    assert [bytes(blob)] == encode_blobs(other)


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        bytes(BLOB_BYTES - 1),
        bytes(BLOB_BYTES + 1),
        b"\xff" * BLOB_BYTES,
        b"\x00\x01".ljust(BLOB_BYTES, b"\0"),
        b"\x00\x00\x01\xfb\xfd".ljust(BLOB_BYTES, b"\0"),
        b"\x40".ljust(BLOB_BYTES, b"\0"),
        b"\x00" * (BLOB_BYTES - 1) + b"\x01",
        b"\x01\x00\x00\x00\x00".ljust(BLOB_BYTES, b"\0"),
    ],
)
def test_garbage_is_refused(blob: bytes) -> None:
    """Wrong sizes, unknown versions, impossible lengths, elements too large and data behind the end are Malformed."""
    with pytest.raises(Malformed):
        decode_blobs([blob])


def test_sidecars_are_what_eth_account_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commitments, versioned hashes and signed body are eth_account's; the proofs satisfy the library's verifier."""
    # it reads the same file again for every commitment, two seconds each
    monkeypatch.setattr("eth_account.typed_transactions.base.load_trusted_setup", lambda *_: trusted_setup())
    blobs = encode_blobs(random.Random(2).randbytes(BLOB_DATA + 77))
    made = sidecar(blobs)
    assert ckzg.verify_blob_kzg_proof_batch(
        b"".join(blobs), b"".join(made.commitments), b"".join(made.proofs), trusted_setup()
    )
    unsigned = UnsignedTransaction(900, 3, 10**11, 10**9, 50_000, b"\xff" * 20, b"beside", 5)
    ours = sign_blob_transaction(unsigned, 77, made, private_key(1))
    fields = {
        "type": 3,
        "chainId": 900,
        "nonce": 3,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
        "maxFeePerBlobGas": 77,
        "gas": 50_000,
        "to": b"\xff" * 20,
        "value": 5,
        "data": b"beside",
    }
    theirs = bytes(Account.sign_transaction(fields, private_key(1), blobs=list(blobs)).raw_transaction)
    body, _, their_blobs, commitments, _ = reference_rlp.decode(theirs[1:])
    assert ours.canonical[1:] == reference_rlp.encode(body)
    assert (list(made.blobs), list(made.commitments)) == (their_blobs, commitments)
    assert ours.raw[1:] == reference_rlp.encode([body, blobs, made.commitments, made.proofs])


@pytest.mark.parametrize("blob", [b"short", b"\x7f" + b"\xff" * (BLOB_BYTES - 1)])
def test_no_sidecar_for_what_is_no_blob(blob: bytes) -> None:
    """A wrong size and an element above the modulus are refused."""
    with pytest.raises(Malformed):
        sidecar([blob])


@given(
    st.integers(0, 7),
    U64,
    U64,
    st.tuples(U256, U256, U256, U256),
    st.binary(max_size=60),
    st.lists(POINTS, min_size=1, max_size=6),
)
@settings(max_examples=60)
def test_canonical_form_and_hash_are_eth_accounts(
    account: int, nonce: int, gas: int, amounts: tuple[int, ...], data: bytes, commitments: list[bytes]
) -> None:
    """Signing is byte for byte the reference's, and the hash is that of the form without blobs."""
    max_fee, priority_fee, blob_fee, value = amounts
    carried = Sidecar((b"",) * len(commitments), tuple(commitments), tuple(commitments))
    unsigned = UnsignedTransaction(901, nonce, max_fee, priority_fee, gas, b"\x12" * 20, data, value)
    ours = sign_blob_transaction(unsigned, blob_fee, carried, private_key(account))
    fields: dict[str, Any] = {
        "type": 3,
        "chainId": 901,
        "nonce": nonce,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": priority_fee,
        "maxFeePerBlobGas": blob_fee,
        "gas": gas,
        "to": b"\x12" * 20,
        "value": value,
        "data": data,
        "blobVersionedHashes": carried.versioned_hashes,
    }
    theirs = Account.sign_transaction(fields, private_key(account))
    assert to_hex(bytes(theirs.raw_transaction)) == to_hex(ours.canonical)
    assert bytes(theirs.hash) == ours.hash


def test_both_forms_are_viems(node: str, repository: Path) -> None:
    """viem writes the same bytes for the network and for the block."""
    carried = Sidecar(
        (b"\x01" * BLOB_BYTES, bytes(BLOB_BYTES)), (b"\x0c" * 48, b"\x0d" * 48), (b"\x0e" * 48, b"\x0f" * 48)
    )
    unsigned = UnsignedTransaction(900, 7, 10**11, 10**9, 50_000, b"\xee" * 20, b"", 0)
    ours = sign_blob_transaction(unsigned, 9, carried, private_key(0))
    parity, r, s = reference_rlp.decode(ours.canonical[1:])[-3:]
    case = {
        "chainId": 900,
        "nonce": 7,
        "maxFee": str(10**11),
        "priorityFee": str(10**9),
        "gas": "50000",
        "to": "0x" + "ee" * 20,
        "data": "0x",
        "blobFee": "9",
        "value": "0",
        "hashes": [to_hex(each) for each in carried.versioned_hashes],
        "sidecars": [
            {"blob": to_hex(blob), "commitment": to_hex(commitment), "proof": to_hex(proof)}
            for blob, commitment, proof in zip(
                carried.blobs, carried.commitments, carried.proofs, strict=True
            )
        ],
        "r": to_hex(r),
        "s": to_hex(s),
        "parity": int.from_bytes(parity, "big"),
    }
    made = subprocess.run(
        [node, "--input-type=module", "-e", VIEM],
        input=json.dumps(case),
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert 0 == made.returncode, made.stderr
    assert [to_hex(ours.raw), to_hex(ours.canonical)] == json.loads(made.stdout)
