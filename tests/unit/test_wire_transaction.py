"""Transactions against eth_account: every type, random fields, and every signature that must not be believed."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.typed_transactions.blob_transactions.blob_transaction import BlobTransaction
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.testing import private_key, signed
from bridge.wire.transaction import MAX_TRANSACTION_BYTES, SECP256K1_HALF_ORDER, decode_transaction

ORDER = 2 * SECP256K1_HALF_ORDER + 1
KEYS = st.integers(0, 7).map(private_key)
ADDRESSES = st.binary(min_size=20, max_size=20)
WORDS = st.binary(min_size=32, max_size=32)
ACCESS = st.lists(
    st.fixed_dictionaries(
        {"address": ADDRESSES.map(to_hex), "storageKeys": st.lists(WORDS.map(to_hex), max_size=2)}
    ),
    max_size=2,
)
U64, U256 = st.integers(0, 2**63), st.integers(0, 2**255)


@st.composite
def fields(draw: st.DrawFn, kind: int) -> dict[str, Any]:
    """Fields of a transaction of one type, as eth_account takes them."""
    common: dict[str, Any] = {
        "chainId": draw(st.integers(1, 2**40)),
        "nonce": draw(U64),
        "gas": draw(U64),
        "value": draw(U256),
        "data": draw(st.binary(max_size=70)),
        "to": draw(ADDRESSES if kind == 4 else st.one_of(ADDRESSES, st.just(b""))),
    }
    if kind in (0, 1):
        common["gasPrice"] = draw(U256)
    else:
        common["maxFeePerGas"] = draw(U256)
        common["maxPriorityFeePerGas"] = draw(st.integers(0, common["maxFeePerGas"]))
    if kind != 0:
        common |= {"type": kind, "accessList": draw(ACCESS)}
    if kind == 4:
        authorization = {"chainId": 1, "address": draw(ADDRESSES), "nonce": draw(U64)}
        common["authorizationList"] = [Account.sign_authorization(authorization, private_key(9))]
    return common


@given(st.sampled_from([0, 1, 2, 4]).flatmap(lambda kind: st.tuples(st.just(kind), fields(kind))), KEYS)
@settings(max_examples=150, deadline=None)
def test_every_type_decodes_to_what_was_signed(case: tuple[int, dict[str, Any]], key: str) -> None:
    """Fields, hash and sender of a transaction signed by eth_account come out unchanged."""
    kind, wanted = case
    made = Account.sign_transaction(wanted, key)
    sent = decode_transaction(bytes(made.raw_transaction))
    assert bytes(made.raw_transaction) == sent.raw
    assert bytes(made.hash) == sent.hash
    assert Account.from_key(key).address.lower() == to_hex(sent.sender)
    assert (wanted["chainId"], wanted["nonce"], wanted["gas"]) == (sent.chain_id, sent.nonce, sent.gas)
    assert (wanted["value"], wanted["data"], wanted["to"] or None) == (sent.value, sent.data, sent.to)
    max_fee = wanted["gasPrice"] if kind in (0, 1) else wanted["maxFeePerGas"]
    assert (max_fee, wanted["value"] + wanted["gas"] * max_fee) == (sent.max_fee, sent.cost)
    assert wanted.get("maxPriorityFeePerGas", max_fee) == sent.priority_fee


@given(KEYS, U64, U64, U256, st.binary(max_size=80), U256)
@settings(max_examples=60, deadline=None)
def test_signing_gives_the_bytes_of_eth_account(
    key: str, nonce: int, gas: int, fee: int, data: bytes, value: int
) -> None:
    """Our signer is deterministic and byte for byte the reference's."""
    unsigned = UnsignedTransaction(
        chain_id=901,
        nonce=nonce,
        max_fee=fee,
        priority_fee=fee // 2,
        gas=gas,
        to=b"\x07" * 20,
        data=data,
        value=value,
    )
    reference = Account.sign_transaction(
        {
            "type": 2,
            "chainId": 901,
            "nonce": nonce,
            "maxFeePerGas": fee,
            "maxPriorityFeePerGas": fee // 2,
            "gas": gas,
            "to": b"\x07" * 20,
            "data": data,
            "value": value,
        },
        key,
    )
    assert bytes(reference.raw_transaction) == sign_transaction(unsigned, key)
    assert Account.from_key(key).address.lower() == to_hex(address_of(key))


def _resigned(index: int, value: bytes | int) -> bytes:
    """A good EIP-1559 transaction with one member replaced after signing."""
    members = rlp.items(rlp.decode(signed(901, 0, 0).raw[1:]))
    return b"\x02" + rlp.encode([*members[:index], value, *members[index + 1 :]])


_PARITY, _R, _S = (rlp.integer(item) for item in rlp.items(rlp.decode(signed(901, 0, 0).raw[1:]))[-3:])


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (9, 2),
        (9, 27),
        (10, 0),
        (10, 2**256),
        (10, ORDER),
        (11, 0),
        (11, SECP256K1_HALF_ORDER + 1),
        (11, ORDER),
        (11, ORDER - 1),
        (11, 2**256),
    ],
)
def test_signature_values_out_of_range_are_refused(index: int, value: int) -> None:
    """Parity above one, r or s of zero or of the curve's order, and every high s are no signatures (EIP-2)."""
    with pytest.raises(Malformed, match="invalid sender"):
        decode_transaction(_resigned(index, value))


def test_the_malleable_twin_of_a_signature_is_refused() -> None:
    """(s, parity) and (order - s, 1 - parity) recover the same sender; only the low one may pass."""
    members = rlp.items(rlp.decode(signed(901, 0, 0).raw[1:]))
    twin = b"\x02" + rlp.encode([*members[:9], 1 - _PARITY, _R, ORDER - _S])
    with pytest.raises(Malformed, match="invalid sender"):
        decode_transaction(twin)


@given(st.integers(0, 8), st.data())
@settings(deadline=None)
def test_a_tampered_transaction_is_somebody_elses(index: int, data: st.DataObject) -> None:
    """Changing any signed member never leaves the sender as it was."""
    members = rlp.items(rlp.decode(signed(901, 0, 0).raw[1:]))
    if index == 8:
        other: Any = [[b"\x01" * 20, []]]
    elif index == 5:
        other = data.draw(ADDRESSES.filter(lambda to: to != members[5]))
    else:
        other = data.draw(
            st.integers(0, 2**60).filter(lambda number: rlp.encode(number) != rlp.encode(members[index]))
        )
    try:
        sent = decode_transaction(_resigned(index, other))
    except Malformed:
        return
    assert sent.sender != signed(901, 0, 0).sender


@pytest.mark.parametrize("key", [private_key(0), private_key(1)])
def test_transactions_without_a_chain_id_are_refused(key: str) -> None:
    """Pre-EIP-155 signatures could be replayed on every rollup."""
    raw = Account.sign_transaction(
        {"nonce": 0, "gas": 21_000, "gasPrice": 1, "to": b"\1" * 20, "value": 0}, key
    )
    with pytest.raises(Malformed, match="EIP-155"):
        decode_transaction(bytes(raw.raw_transaction))


@pytest.mark.parametrize("v", [35 + 2 * 2**64, 35 + 2 * 2**300])
def test_chain_ids_are_bounded(v: int) -> None:
    """A legacy ``v`` of any size fits RLP; the chain id in it must stay a number that everything can carry."""
    raw = rlp.encode([0, 1, 21_000, b"\1" * 20, 0, b"", v, _R, _S])
    with pytest.raises(Malformed, match="64 bits"):
        decode_transaction(raw)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty"),
        (b"\x7e" + rlp.encode([b"\0" * 32]), "deposit"),
        (b"\x03" + signed(901, 0, 0).raw[1:], "not supported"),
        (b"\x05" + signed(901, 0, 0).raw[1:], "not supported"),
        (b"\x7f", "not supported"),
        (b"\x80", "not supported"),
        (signed(901, 0, 0).raw + b"\0", "after the end"),
        (signed(901, 0, 0).raw[:-1], "truncated"),
        (b"\x01" + signed(901, 0, 0).raw[1:], "11 members"),
        (_resigned(5, b"\x01" * 19), "bytes"),
        (_resigned(8, b"\x01"), "list"),
        (_resigned(1, 2**64), "64 bits"),
        (_resigned(6, 2**256), "256 bits"),
        (_resigned(2, 2**70), "priority fee"),
        (b"\x02" + bytes(MAX_TRANSACTION_BYTES), "oversized"),
    ],
)
def test_what_is_no_user_transaction_is_refused(raw: bytes, reason: str) -> None:
    """Deposits, blobs, unknown types, other shapes and other sizes are refused, each with its reason."""
    with pytest.raises(Malformed, match=reason):
        decode_transaction(raw)


def test_a_real_blob_transaction_is_refused() -> None:
    """A well-formed type 3 transaction has no place on a rollup."""
    assert BlobTransaction.transaction_type == 3
    blob = b"\x03" + rlp.encode(
        [901, 0, 1, 1, 21_000, b"\1" * 20, 0, b"", [], 1, [b"\1" * 32], _PARITY, _R, _S]
    )
    with pytest.raises(Malformed, match="not supported: 0x03"):
        decode_transaction(blob)


def test_the_largest_transaction_still_passes() -> None:
    """The limit is inclusive: exactly 128 KiB decode, one byte more does not."""
    overhead = len(signed(901, 0, 0, padding=100_000).raw) - 100_000
    largest = signed(901, 0, 0, padding=MAX_TRANSACTION_BYTES - overhead)
    assert MAX_TRANSACTION_BYTES == len(largest.raw)
    with pytest.raises(Malformed, match="oversized"):
        signed(901, 0, 0, padding=MAX_TRANSACTION_BYTES - overhead + 1)


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x01", b"\x02", b"\x04"]))
def test_random_bytes_raise_nothing_but_malformed(data: bytes, prefix: bytes) -> None:
    """A stranger's bytes never get further than the refusal."""
    with pytest.raises(Malformed):
        decode_transaction(prefix + data)


@given(st.binary(max_size=200), st.booleans())
@settings(deadline=None)
def test_intrinsic_gas_is_what_the_protocol_charges(data: bytes, creates: bool) -> None:
    """21,000, 4 and 16 gas a byte, and for creation 32,000 and 2 gas a word of code."""
    words = -(-len(data) // 32)
    expected = 21_000 + sum(16 if byte else 4 for byte in data) + (32_000 + 2 * words if creates else 0)
    made = Account.sign_transaction(
        {
            "chainId": 1,
            "nonce": 0,
            "gas": 1,
            "gasPrice": 1,
            "value": 0,
            "data": data,
            "to": b"" if creates else b"\1" * 20,
        },
        private_key(0),
    )
    assert expected == decode_transaction(bytes(made.raw_transaction)).intrinsic_gas


def test_decoding_is_remembered() -> None:
    """The same bytes give the same object, so that admission, staging and recovery recover a sender once."""
    raw = signed(901, 3, 3).raw
    assert decode_transaction(raw) is decode_transaction(bytes(bytearray(raw)))
    assert keccak256(raw) == decode_transaction(raw).hash
