"""What is signed with EIP-712 is what wallets sign, counts on one rollup only, and in one form only."""

from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from rollup_node.engines.options.transactions.actions import (
    NAME,
    VERSION,
    action_digest,
    quote_digest,
    signer_of,
    update_digest,
)
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS
from rollup_node.engines.options.transactions.refusals import Refused

KEY = "0x" + "42" * 32
SIGNER = bytes.fromhex(Account.from_key(KEY).address[2:])
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the curve's group."""
TYPES: dict[str, list[tuple[str, str]]] = {
    "Action": [
        ("account", "uint32"),
        ("nonce", "uint64"),
        ("expiry", "uint64"),
        ("bundle", "bytes32"),
        ("target", "address"),
        ("call", "bytes"),
    ],
    "Leg": [("series", "uint32"), ("price", "uint64"), ("quantity", "int64")],
    "Quote": [
        ("maker", "uint32"),
        ("taker", "uint32"),
        ("nonce", "uint64"),
        ("expiry", "uint64"),
        ("legs", "Leg[]"),
    ],
    "Forward": [("expiry", "uint64"), ("price", "uint64")],
    "Volatility": [("expiry", "uint64"), ("strike", "uint64"), ("volatility", "uint64")],
    "Update": [
        ("underlying", "bytes32"),
        ("sequence", "uint64"),
        ("timestamp", "uint64"),
        ("spot", "uint64"),
        ("discount", "uint64"),
        ("confidence", "uint64"),
        ("forwards", "Forward[]"),
        ("volatilities", "Volatility[]"),
    ],
}

u32, u64 = st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)
i64 = st.integers(-(2**63), 2**63 - 1)
actions = st.tuples(
    u32,
    u64,
    u64,
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=20, max_size=20),
    st.binary(max_size=80),
)
quotes = st.tuples(u32, u32, u64, u64, st.lists(st.tuples(u32, u64, i64), max_size=4))
pairs, triples = (st.lists(st.tuples(*[u64] * count), max_size=3) for count in (2, 3))
updates = st.tuples(st.binary(min_size=32, max_size=32), u64, u64, u64, u64, u64, pairs, triples)


def _wallet(kind: str, value: Any, chain_id: int, parts: tuple[str, ...] = ()) -> bytes:
    """Signature of a wallet that knows nothing of ours but the types' names and members."""
    domain = {
        "name": NAME,
        "version": VERSION,
        "chainId": chain_id,
        "verifyingContract": "0x" + ACCOUNTS.hex(),
    }
    types = {name: [{"name": n, "type": t} for n, t in TYPES[name]] for name in (kind, *parts)}
    signed = Account.sign_message(encode_typed_data(domain, types, _message(kind, value)), private_key=KEY)
    return bytes(signed.signature)


def _message(kind: str, value: Any) -> dict[str, Any]:
    message: dict[str, Any] = {}
    for (name, declared), member in zip(TYPES[kind], value, strict=True):
        if declared.endswith("[]"):
            message[name] = [_message(declared[:-2], entry) for entry in member]
        else:
            message[name] = "0x" + member.hex() if declared == "address" else member
    return message


@settings(max_examples=15, deadline=None)
@given(actions, quotes, updates, st.integers(1, 2**53))
def test_wallets_and_engine_agree_on_what_is_signed(
    action: Any, quote: Any, update: Any, chain_id: int
) -> None:
    """For all three kinds, the engine finds the wallet's address behind the wallet's signature."""
    assert SIGNER == signer_of(action_digest(chain_id, action), _wallet("Action", action, chain_id))
    assert SIGNER == signer_of(quote_digest(chain_id, quote), _wallet("Quote", quote, chain_id, ("Leg",)))
    parts = ("Forward", "Volatility")
    assert SIGNER == signer_of(update_digest(chain_id, update), _wallet("Update", update, chain_id, parts))


def test_an_action_for_one_rollup_is_nobodys_on_another() -> None:
    """The domain holds the chain id: the same signature recovers to another address elsewhere."""
    action = (1, 1, 2**32, bytes(32), ACCOUNTS, b"call")
    signature = _wallet("Action", action, 901)
    assert SIGNER == signer_of(action_digest(901, action), signature)
    assert SIGNER != signer_of(action_digest(902, action), signature)


@pytest.mark.parametrize("member", range(6))
def test_every_member_of_an_action_is_signed(member: int) -> None:
    """Changing any one of them changes the signer."""
    action: list[Any] = [1, 1, 2**32, bytes(32), ACCOUNTS, b"call"]
    signature = _wallet("Action", tuple(action), 901)
    action[member] = [2, 2, 2**32 + 1, b"\1" * 32, b"\1" * 20, b"other"][member]
    assert SIGNER != signer_of(action_digest(901, action), signature)


def test_a_signature_has_one_form() -> None:
    """Short, long, with another recovery byte, with zeros, and the malleable twin are all refused."""
    action = (1, 1, 2**32, bytes(32), ACCOUNTS, b"call")
    digest, good = action_digest(901, action), _wallet("Action", action, 901)
    twin = ORDER - int.from_bytes(good[32:64], "big")
    flipped = bytes([55 - good[64]])
    bad = [
        b"",
        good[:64],
        good + b"\0",
        good[:64] + bytes([good[64] - 27]),
        good[:64] + b"\x1d",
        bytes(64) + good[64:],
        good[:32] + bytes(32) + good[64:],
        good[:32] + twin.to_bytes(32, "big") + flipped,
        b"\xff" * 32 + good[32:],
    ]
    for signature in bad:
        with pytest.raises(Refused, match="BadSignature"):
            signer_of(digest, signature)
