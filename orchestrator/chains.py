"""Talking to a running devnet: chains, sequencers, and web3 objects on them."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.errors import RollnetError

if TYPE_CHECKING:
    from web3 import AsyncWeb3, Web3


class ChainUnreachable(RollnetError):  # noqa: N818 - states what happened
    """A node of the devnet gave no answer."""


class Refused(RollnetError):  # noqa: N818 - states what happened
    """A node of the devnet answered with an error."""


@contextlib.contextmanager
def translated(who: str) -> Any:
    """Turn wire errors into errors for users."""
    try:
        yield
    except PeerUnreachable as exc:
        raise ChainUnreachable(
            f"{who} does not answer: {exc}",
            f"look at `rollnet status` and `rollnet logs`, or `rollnet node restart {who}`",
        ) from exc
    except RpcError as exc:
        raise Refused(f"{who}: {exc.message}") from exc


@dataclass(frozen=True)
class ChainHandle:
    """One chain's JSON-RPC."""

    name: str
    chain_id: int
    http: str
    """``http://127.0.0.1:…``, or where a Docker engine on another machine publishes it; stable over restarts."""
    client: Client

    @property
    def ws(self) -> str:
        """WebSocket address; the same port."""
        return self.http.replace("http://", "ws://", 1)

    @cached_property
    def web3(self) -> "AsyncWeb3[Any]":
        """web3.py on this chain, asynchronous (``await chain.web3.eth.block_number``)."""
        from web3 import AsyncHTTPProvider, AsyncWeb3  # noqa: PLC0415 - web3 costs a second of imports

        return AsyncWeb3(AsyncHTTPProvider(self.http))

    @cached_property
    def web3_sync(self) -> "Web3":
        """web3.py on this chain, blocking: for threads and scripts."""
        from web3 import HTTPProvider, Web3  # noqa: PLC0415 - web3 costs a second of imports

        return Web3(HTTPProvider(self.http))

    async def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call.

        Raises:
            ChainUnreachable: no answer.
            Refused: an error for an answer.
        """
        with translated(self.name):
            return await self.client.call(method, *params)

    async def receipt(self, transaction_hash: str) -> Mapping[str, Any] | None:
        """Receipt of a transaction that is in a block."""
        receipt: Mapping[str, Any] | None = await self.rpc("eth_getTransactionReceipt", transaction_hash)
        return receipt

    async def height(self) -> int:
        """Number of the latest block."""
        return int(await self.rpc("eth_blockNumber"), 16)


@dataclass(frozen=True)
class ServiceHandle:
    """The JSON-RPC of a node that is no chain, such as the relayer."""

    name: str
    """Of its node."""
    http: str
    client: Client

    async def rpc(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises as :meth:`ChainHandle.rpc`."""
        with translated(self.name):
            return await self.client.call(method, *params)

    async def status(self) -> Mapping[str, Any]:
        """What the node says of itself; a sequencer: term, slots, and the state of each rollup."""
        status: Mapping[str, Any] = await self.rpc("rollnet_status")
        return status


@dataclass(frozen=True)
class SequencerHandle(ServiceHandle):
    """A sequencer's JSON-RPC."""

    async def send_bundle(
        self, transactions: Sequence[bytes], max_timestamp: int, salt: bytes, cause: str | None = None
    ) -> str:
        """Send an atomic bundle; returns its hash once it is acknowledged.

        Args:
            transactions: raw signed legs.
            max_timestamp: unix seconds.
            salt: 32 bytes.
            cause: journal event of the submission, for the trace.
        """
        bundle = {
            "txs": [to_hex(raw) for raw in transactions],
            "maxTimestamp": max_timestamp,
            "salt": to_hex(salt),
        }
        answer = await self.rpc("eth_sendBundle", bundle, *([cause] if cause else []))
        return str(answer["bundleHash"])

    async def bundle(self, bundle_hash: str) -> Mapping[str, Any] | None:
        """Status of a bundle or transaction; None if it was never acknowledged."""
        status: Mapping[str, Any] | None = await self.rpc("rollnet_getStatus", bundle_hash)
        return status


class ChainReads:
    """What strategies read of rollups (``strategies.resolve.ChainAccess``)."""

    def __init__(self, rollups: Mapping[str, ChainHandle]) -> None:
        self._rollups = rollups

    async def nonce(self, rollup: str, address: str) -> int:
        """Next nonce, waiting transactions included."""
        return int(await self._rollups[rollup].rpc("eth_getTransactionCount", address, "pending"), 16)

    async def call(self, rollup: str, to: str, data: bytes) -> bytes:
        """Result of a read-only call in the latest state."""
        return from_hex(
            await self._rollups[rollup].rpc("eth_call", {"to": to, "data": to_hex(data)}, "latest")
        )

    async def ask(self, rollup: str, method: str, *params: Any) -> Any:
        """The answer to a method of the rollup's own."""
        return await self._rollups[rollup].rpc(method, *params)
