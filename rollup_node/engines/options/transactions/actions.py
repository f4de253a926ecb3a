"""What is signed with EIP-712: actions of accounts, quotes of makers, updates of the oracle's signers.

One domain for each rollup, so that nothing signed for one counts on another. Type hashes are written out from the types below; a test
holds all of it to an independent implementation.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from coincurve import PublicKey

from bridge.wire.keccak import keccak256
from bridge.wire.transaction import SECP256K1_HALF_ORDER
from rollup_node.engines.options.transactions.interfaces import ACCOUNTS
from rollup_node.engines.options.transactions.refusals import Refused

NAME: Final = "rollnet options"
VERSION: Final = "1"

ACTION_TYPE: Final = (
    "Action(uint32 account,uint64 nonce,uint64 expiry,bytes32 bundle,address target,bytes call)"
)
LEG_TYPE: Final = "Leg(uint32 series,uint64 price,int64 quantity)"
QUOTE_TYPE: Final = f"Quote(uint32 maker,uint32 taker,uint64 nonce,uint64 expiry,Leg[] legs){LEG_TYPE}"
FORWARD_TYPE: Final = "Forward(uint64 expiry,uint64 price)"
VOLATILITY_TYPE: Final = "Volatility(uint64 expiry,uint64 strike,uint64 volatility)"
UPDATE_TYPE: Final = (
    "Update(bytes32 underlying,uint64 sequence,uint64 timestamp,uint64 spot,uint64 discount,uint64 confidence,"
    f"Forward[] forwards,Volatility[] volatilities){FORWARD_TYPE}{VOLATILITY_TYPE}"
)

_DOMAIN_TYPE = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_ACTION, _LEG, _QUOTE, _FORWARD, _VOLATILITY, _UPDATE = (
    keccak256(text.encode())
    for text in (ACTION_TYPE, LEG_TYPE, QUOTE_TYPE, FORWARD_TYPE, VOLATILITY_TYPE, UPDATE_TYPE)
)


@lru_cache(maxsize=64)
def domain(chain_id: int) -> bytes:
    """Separator of a rollup's domain."""
    words = (_DOMAIN_TYPE, keccak256(NAME.encode()), keccak256(VERSION.encode()))
    return keccak256(b"".join(words) + chain_id.to_bytes(32, "big") + ACCOUNTS.rjust(32, b"\0"))


def action_digest(chain_id: int, action: Sequence[Any]) -> bytes:
    """What is signed of an action: its members in the interface's order."""
    account, nonce, expiry, bundle, target, call = action
    words = _ACTION + _numbers(account, nonce, expiry) + bundle + target.rjust(32, b"\0") + keccak256(call)
    return _digest(chain_id, words)


def quote_digest(chain_id: int, quote: Sequence[Any]) -> bytes:
    """What is signed of a maker's quote."""
    maker, taker, nonce, expiry, legs = quote
    hashed = b"".join(keccak256(_LEG + _numbers(*leg)) for leg in legs)
    return _digest(chain_id, _QUOTE + _numbers(maker, taker, nonce, expiry) + keccak256(hashed))


def update_digest(chain_id: int, update: Sequence[Any]) -> bytes:
    """What is signed of an oracle update."""
    underlying, *numbers, forwards, volatilities = update
    forward_hash = keccak256(b"".join(keccak256(_FORWARD + _numbers(*forward)) for forward in forwards))
    volatility_hash = keccak256(b"".join(keccak256(_VOLATILITY + _numbers(*entry)) for entry in volatilities))
    words = _UPDATE + underlying + _numbers(*numbers)
    return _digest(chain_id, words + forward_hash + volatility_hash)


@lru_cache(maxsize=65_536)
def signer_of(digest: bytes, signature: bytes) -> bytes:
    """The address behind a signature of 65 bytes: r, s, and 27 or 28; remembered.

    Raises:
        Refused: it is none, or the malleable twin of one.
    """
    if len(signature) != 65 or signature[64] not in (27, 28):
        raise Refused("BadSignature")
    if not 0 < int.from_bytes(signature[32:64], "big") <= SECP256K1_HALF_ORDER:
        raise Refused("BadSignature")
    try:
        key = PublicKey.from_signature_and_message(
            signature[:64] + bytes([signature[64] - 27]), digest, hasher=None
        )
    except Exception:
        raise Refused("BadSignature") from None
    return keccak256(key.format(compressed=False)[1:])[12:]


def _digest(chain_id: int, words: bytes) -> bytes:
    return keccak256(b"\x19\x01" + domain(chain_id) + keccak256(words))


def _numbers(*values: int) -> bytes:
    return b"".join(value.to_bytes(32, "big", signed=value < 0) for value in values)
