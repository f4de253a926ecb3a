"""Where a superbatch's bytes go on L1: the seam between publishing and data availability.

``calldata`` puts them into the transaction itself, ``blob`` beside it (EIP-4844): cheaper, and kept by L1 nodes for a while only.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from bridge.l1.nonces import latest_block
from bridge.l1.sealing import Sealer
from bridge.wire.blobs import blob_base_fee, encode_blobs
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256
from bridge.wire.signing import UnsignedTransaction, sign_blob_transaction, sign_transaction

PRIORITY_FEE = 10**9
"""Wei per gas."""
FEE_HEADROOM = 10
"""A superbatch offers this many times the L1 base fee, so that it stays valid while it waits."""


class Availability(Protocol):
    """Makes L1 transactions that hold superbatches."""

    async def sign(self, data: bytes, nonce: int) -> tuple[bytes, bytes]:
        """The transaction as it is sent, and its hash.

        Raises:
            PeerUnreachable: L1 does not say its fees.
        """


class Calldata:
    """Superbatches as calldata.

    Args:
        l1: where they go.
        chain_id: of L1.
        private_key: who sends them.
        inbox: address that they are sent to.
    """

    def __init__(self, l1: Client, chain_id: int, private_key: str, inbox: str) -> None:
        self._l1, self._chain_id, self._key, self._inbox = l1, chain_id, private_key, from_hex(inbox, 20)

    async def sign(self, data: bytes, nonce: int) -> tuple[bytes, bytes]:
        """See :class:`Availability`."""
        raw = sign_transaction(await self._unsigned(data, nonce), self._key)
        return raw, keccak256(raw)

    async def _unsigned(self, data: bytes, nonce: int) -> UnsignedTransaction:
        head = await self._head()
        return UnsignedTransaction(
            chain_id=self._chain_id,
            nonce=nonce,
            max_fee=FEE_HEADROOM * int(head["baseFeePerGas"], 16) + PRIORITY_FEE,
            priority_fee=PRIORITY_FEE,
            gas=calldata_gas(data),
            to=self._inbox,
            data=data,
        )

    async def _head(self) -> Mapping[str, Any]:
        return latest_block(await self._l1.call("eth_getBlockByNumber", "latest", False))

    async def start(self) -> None:
        """Nothing to begin."""

    async def close(self) -> None:
        """Nothing to end."""


class Blob(Calldata):
    """Superbatches in blobs; arguments as :class:`Calldata`."""

    def __init__(self, l1: Client, chain_id: int, private_key: str, inbox: str) -> None:
        super().__init__(l1, chain_id, private_key, inbox)
        self._sealer = Sealer()

    async def sign(self, data: bytes, nonce: int) -> tuple[bytes, bytes]:
        """See :class:`Availability`."""
        sidecar = await self._sealer.seal(encode_blobs(data))
        excess = int((await self._head()).get("excessBlobGas") or "0x0", 16)
        unsigned = await self._unsigned(b"", nonce)
        max_blob_fee = FEE_HEADROOM * blob_base_fee(excess)
        transaction = sign_blob_transaction(unsigned, max_blob_fee, sidecar, self._key)
        return transaction.raw, transaction.hash

    async def start(self) -> None:
        """Begin to read the trusted set-up, so that the first superbatch does not wait for it."""
        await self._sealer.start()

    async def close(self) -> None:
        """End the child that makes side-cars."""
        await self._sealer.close()


AVAILABILITIES: dict[str, type[Calldata]] = {"calldata": Calldata, "blob": Blob}
"""By the topology's word."""


def calldata_gas(data: bytes) -> int:
    """Gas of a transaction that only carries data: the larger of EIP-2028's price and EIP-7623's floor."""
    zeros = data.count(0)
    others = len(data) - zeros
    return 21_000 + max(4 * zeros + 16 * others, 10 * (zeros + 4 * others))
