"""Signed transactions as users send them: decoding, hash and sender.

Accepted are legacy (with EIP-155 chain id), EIP-2930, EIP-1559 and EIP-7702 transactions. Deposits (type 0x7E) come
from derivation alone and blob transactions (type 0x03) have no place on a rollup: both are refused here, before
anything else looks at them.
"""

from dataclasses import dataclass
from functools import lru_cache

from coincurve import PublicKey

from bridge.wire import rlp
from bridge.wire.errors import Malformed
from bridge.wire.frozen import quickly_made
from bridge.wire.keccak import keccak256

SECP256K1_HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
"""EIP-2: a signature's ``s`` above this is malleable and refused."""

MAX_TRANSACTION_BYTES = 128 * 1024
"""The pool limit that the field's clients share."""

_FIELDS = {0x01: 11, 0x02: 12, 0x04: 13}


@quickly_made
@dataclass(frozen=True, slots=True)
class Transaction:
    """One decoded, correctly signed transaction."""

    raw: bytes
    hash: bytes
    chain_id: int
    sender: bytes
    """20 bytes."""
    nonce: int
    to: bytes | None
    """20 bytes, or None for contract creation."""
    value: int
    """Wei."""
    gas: int
    max_fee: int
    """Wei per gas."""
    priority_fee: int
    """Wei per gas."""
    data: bytes

    @property
    def cost(self) -> int:
        """The most that the sender can be charged, wei."""
        return self.value + self.gas * self.max_fee

    @property
    def intrinsic_gas(self) -> int:
        """Gas due before execution (EIP-2028, EIP-2, EIP-3860), without access lists."""
        zeros = self.data.count(0)
        words = (len(self.data) + 31) // 32
        creation = 32_000 + 2 * words if self.to is None else 0
        return 21_000 + 4 * zeros + 16 * (len(self.data) - zeros) + creation


@lru_cache(maxsize=16_384)
def decode_transaction(raw: bytes) -> Transaction:
    """Decode a signed transaction and recover its sender (about 100 µs, remembered).

    Raises:
        Malformed: with a message fit for the sender.
    """
    if not raw:
        raise Malformed("empty transaction")
    if len(raw) > MAX_TRANSACTION_BYTES:
        raise Malformed(f"oversized data: transaction size {len(raw)}, limit {MAX_TRANSACTION_BYTES}")
    if raw[0] >= 0xC0:
        return _decode_legacy(raw)
    if raw[0] == 0x7E:
        raise Malformed("deposit transactions (type 0x7e) come from L1, they cannot be sent")
    if raw[0] not in _FIELDS:
        raise Malformed(f"transaction type not supported: {raw[0]:#04x}")
    return _decode_typed(raw)


def _decode_legacy(raw: bytes) -> Transaction:
    fields = rlp.items(rlp.decode(raw), 9)
    nonce, price, gas, _, value, _, v, r, s = (
        rlp.integer(f) if i not in (3, 5) else 0 for i, f in enumerate(fields)
    )
    if v < 35:
        raise Malformed("only replay-protected (EIP-155) transactions allowed over RPC")
    chain_id, parity = (v - 35) // 2, (v - 35) % 2
    payload = keccak256(rlp.encode([*fields[:6], chain_id, b"", b""]))
    return Transaction(
        raw=raw,
        hash=keccak256(raw),
        chain_id=_bounded(chain_id, 64),
        sender=_recover(payload, parity, r, s),
        nonce=_bounded(nonce, 64),
        to=rlp.string(fields[3], (0, 20)) or None,
        value=_bounded(value, 256),
        gas=_bounded(gas, 64),
        max_fee=_bounded(price, 256),
        priority_fee=_bounded(price, 256),
        data=rlp.string(fields[5]),
    )


def _decode_typed(raw: bytes) -> Transaction:
    kind = raw[0]
    body = raw[1:]
    fields = rlp.items(rlp.decode(body), _FIELDS[kind])
    dynamic = kind != 0x01
    # chainId, nonce, then one or two fees, gas, to, value, data, accessList, [authorizationList], yParity, r, s
    chain_id, nonce = rlp.integer(fields[0]), rlp.integer(fields[1])
    priority_fee = rlp.integer(fields[2])
    max_fee = rlp.integer(fields[3]) if dynamic else priority_fee
    gas, to, value, data, access = fields[3 + dynamic : 8 + dynamic]
    rlp.items(access)
    parity, r, s = map(rlp.integer, fields[-3:])
    if max_fee < priority_fee:
        raise Malformed("max priority fee per gas higher than max fee per gas")
    payload = keccak256(raw[:1] + rlp.without_last(body, fields[-3:]))
    return Transaction(
        raw=raw,
        hash=keccak256(raw),
        chain_id=_bounded(chain_id, 64),
        sender=_recover(payload, parity, r, s),
        nonce=_bounded(nonce, 64),
        to=rlp.string(to, (0, 20)) or None,
        value=_bounded(rlp.integer(value), 256),
        gas=_bounded(rlp.integer(gas), 64),
        max_fee=_bounded(max_fee, 256),
        priority_fee=priority_fee,
        data=rlp.string(data),
    )


def _bounded(value: int, bits: int) -> int:
    if value >> bits:
        raise Malformed(f"transaction field exceeds {bits} bits")
    return value


def _recover(payload: bytes, parity: int, r: int, s: int) -> bytes:
    if parity > 1 or not 0 < s <= SECP256K1_HALF_ORDER or not 0 < r < 1 << 256:
        raise Malformed("invalid sender: signature values out of range")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([parity])
    try:
        key = PublicKey.from_signature_and_message(signature, payload, hasher=None)
    except Exception as exc:
        raise Malformed("invalid sender: the signature does not recover") from exc
    return keccak256(key.format(compressed=False)[1:])[12:]
