"""Batches in EIP-4844 blobs: how bytes are laid out in them, and the proofs that they travel with.

::

    data ─► encode_blobs ─► blobs ─► sidecar ─► bridge.wire.signing.sign_blob_transaction ─► L1
    L1 ─► bridge.l1.follower ─► blobs ─► decode_blobs ─► data

The layout is the OP Stack's *blob encoding version 0* (its specification, derivation): a blob is 4096 field elements of 32 bytes, each
below a modulus of a little less than 2**255, so the two highest bits of each stay clear. Four elements carry 127 bytes: 31 in the low
bytes of each, and three more cut into four times six bits for the high bytes. The first element also holds the version and the length.

Proofs are those of EIP-4844, one per blob. An L1 since Osaka asks for 128 cell proofs per blob instead (EIP-7594); anvil takes either,
and a blob proof costs a fifth of the time (60 ms against 300 ms for a blob).

The library holds the interpreter's lock in all it does, and reading the trusted set-up takes two seconds: :mod:`bridge.l1.sealing`
makes side-cars beside a node's event loop. Encoding and decoding need neither.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import ckzg

from bridge.wire.errors import Malformed

BLOB_BYTES = 131_072
"""Size of one blob: 4096 field elements of 32 bytes."""
BLOB_DATA = 127 * 1024 - 4
"""Bytes that one blob carries."""
MAX_BLOBS = 6
"""Blobs that L1 takes in one transaction."""
GAS_PER_BLOB = 131_072
"""Blob gas."""

_VERSION = 0
_ROUNDS = 1024
_ROUND_BLOB, _ROUND_DATA = 128, 127
_FEE_FRACTION = 5_007_716
"""Blob gas that multiplies the fee by e (EIP-7691)."""
_SET_UP = Path("typed_transactions", "blob_transactions", "kzg_trusted_setup.txt")


@dataclass(frozen=True, slots=True)
class Sidecar:
    """Blobs and what proves them to L1."""

    blobs: tuple[bytes, ...]
    commitments: tuple[bytes, ...]
    """48 bytes each."""
    proofs: tuple[bytes, ...]
    """48 bytes each."""

    @property
    def versioned_hashes(self) -> tuple[bytes, ...]:
        """What the transaction itself names the blobs by, 32 bytes each."""
        return tuple(b"\x01" + hashlib.sha256(commitment).digest()[1:] for commitment in self.commitments)


def encode_blobs(data: bytes) -> list[bytes]:
    """As few blobs as hold the data, at least one.

    Raises:
        ValueError: more than one transaction can carry.
    """
    if len(data) > MAX_BLOBS * BLOB_DATA:
        raise ValueError(
            f"{len(data)} bytes exceed the {MAX_BLOBS * BLOB_DATA} that the {MAX_BLOBS} blobs of a transaction hold; "
            "split the batch"
        )
    return [_encode(data[start : start + BLOB_DATA]) for start in range(0, max(1, len(data)), BLOB_DATA)]


def decode_blobs(blobs: Sequence[bytes]) -> bytes:
    """The data of a transaction's blobs, in their order.

    Raises:
        Malformed: not what :func:`encode_blobs` gives.
    """
    return b"".join(_decode(blob) for blob in blobs)


def sidecar(blobs: Sequence[bytes]) -> Sidecar:
    """Commit to blobs and prove the commitments (20 to 100 ms a blob; the first call reads the trusted set-up).

    Raises:
        Malformed: a blob has the wrong size, or an element above the modulus.
        FileNotFoundError: the installation is incomplete.
    """
    setup = trusted_setup()
    commitments, proofs = [], []
    for blob in blobs:
        try:
            commitments.append(ckzg.blob_to_kzg_commitment(blob, setup))
            proofs.append(ckzg.compute_blob_kzg_proof(blob, commitments[-1], setup))
        except (RuntimeError, ValueError) as exc:
            raise Malformed(f"not a blob: {exc}") from exc
    return Sidecar(tuple(blobs), tuple(commitments), tuple(proofs))


@cache
def trusted_setup() -> Any:
    """The outcome of the KZG ceremony, read once in a process (2 s).

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    # eth-account ships the file; finding the package does not import it, which would cost half a second.
    package = find_spec("eth_account")
    path = Path(package.origin).parent / _SET_UP if package and package.origin else _SET_UP
    if not path.is_file():
        raise FileNotFoundError(f"the KZG trusted set-up is not at {path}; run 'make setup'")
    return ckzg.load_trusted_setup(str(path), 0)


def blob_base_fee(excess_blob_gas: int) -> int:
    """Wei per blob gas in a block whose header has this excess (EIP-4844, the integer exponential)."""
    total, term, step = 0, _FEE_FRACTION, 1
    while term > 0:
        total += term
        term = term * excess_blob_gas // (_FEE_FRACTION * step)
        step += 1
    return total // _FEE_FRACTION


def _encode(data: bytes) -> bytes:
    padded = (bytes([_VERSION]) + len(data).to_bytes(3, "big") + data).ljust(_ROUNDS * _ROUND_DATA, b"\0")
    blob = bytearray()
    for start in range(0, 4 + len(data), _ROUND_DATA):
        # 31 bytes, x, 31 bytes, y, 31 bytes, z, 31 bytes; the low bits of x, y, z ride on three elements, the rest on two
        chunk = padded[start : start + _ROUND_DATA]
        x, y, z = chunk[31], chunk[63], chunk[95]
        blob.append(x & 0x3F)
        blob += chunk[:31]
        blob.append(y & 0x0F | (x & 0xC0) >> 2)
        blob += chunk[32:63]
        blob.append(z & 0x3F)
        blob += chunk[64:95]
        blob.append((z & 0xC0) >> 2 | y >> 4)
        blob += chunk[96:]
    return bytes(blob).ljust(BLOB_BYTES, b"\0")


def _decode(blob: bytes) -> bytes:
    if len(blob) != BLOB_BYTES:
        raise Malformed(f"a blob has {BLOB_BYTES} bytes, got {len(blob)}")
    if any(high > 0x3F for high in blob[::32]):
        raise Malformed("a field element of the blob exceeds 254 bits")
    version, size = blob[1], int.from_bytes(blob[2:5], "big")
    if version != _VERSION or size > BLOB_DATA:
        raise Malformed(f"blob encoding version {version} with {size} bytes is unknown")
    end = (4 + size + _ROUND_DATA - 1) // _ROUND_DATA * _ROUND_BLOB
    padded = bytearray()
    for start in range(0, end, _ROUND_BLOB):
        chunk = blob[start : start + _ROUND_BLOB]
        a, b, c, d = chunk[0], chunk[32], chunk[64], chunk[96]
        padded += chunk[1:32]
        padded.append(a | (b & 0x30) << 2)
        padded += chunk[33:64]
        padded.append(b & 0x0F | (d & 0x0F) << 4)
        padded += chunk[65:96]
        padded.append(c | (d & 0x30) << 2)
        padded += chunk[97:]
    if any(padded[4 + size :]) or any(blob[end:]):
        raise Malformed(f"the blob goes on after its {size} bytes")
    return bytes(padded[4 : 4 + size])
