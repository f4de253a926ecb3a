"""An ordinary user at one rollup: calls, and signed transactions until they stand in a block. Nothing privileged."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bridge.contracts.codec import Interface
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.errors import VenueError
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet

_RECEIPT_S = 30.0
"""Seconds that a transaction may take to be included."""
_POLL_S = 0.02


class Sender:
    """The maker at one rollup.

    Args:
        name: of the rollup.
        chain_id: of the rollup.
        client: its public JSON-RPC endpoint.
        wallet: the maker's.
        interfaces: of the contracts that it speaks with, to say why one refused.
    """

    def __init__(
        self, name: str, chain_id: int, client: Client, wallet: Wallet, interfaces: Sequence[Interface]
    ) -> None:
        self.name, self.chain_id, self.wallet = name, chain_id, wallet
        self._client, self._interfaces = client, interfaces

    async def ask(self, method: str, *params: Any) -> Any:
        """The answer to a JSON-RPC request.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it refused.
        """
        try:
            return await self._client.call(method, *params)
        except RpcError as exc:
            raise VenueError(f"{self.name} refused {method}: {exc.message}", "the maker tries again") from exc

    async def call(self, to: str, data: bytes) -> bytes:
        """What a read-only call returns in the latest state.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: there is no such contract, or it refused.
        """
        answer = from_hex(await self.ask("eth_call", {"to": to, "data": to_hex(data)}, "latest"))
        if not answer:
            raise VenueError(
                f"{self.name} has no contract at {to}", "start it from the genesis of this topology"
            )
        return answer

    async def send(self, calls: Sequence[tuple[str, bytes, int]]) -> None:
        """Sign, send and await (contract, call data, gas limit) in order.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it refused one, or it isn't in a block.
        """
        if not calls:
            return
        first = int(await self.ask("eth_getTransactionCount", to_hex(self.wallet.address), "pending"), 16)
        hashes = []
        for nonce, (to, data, gas) in enumerate(calls, first):
            call = UnsignedTransaction(
                chain_id=self.chain_id,
                nonce=nonce,
                max_fee=MAX_FEE,
                priority_fee=PRIORITY_FEE,
                gas=gas,
                to=from_hex(to),
                data=data,
            )
            hashes.append(await self.ask("eth_sendRawTransaction", to_hex(self.wallet.sign(call))))
        for digest, (to, data, _) in zip(hashes, calls, strict=True):
            receipt = await self._receipt(digest)
            if int(receipt["status"], 16) != 1:
                raise VenueError(
                    f"{self.name}: transaction {digest} of the maker reverted: {await self._why(to, data)}",
                    "the maker tries again; if it persists, look at its log",
                )

    async def _receipt(self, digest: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(_RECEIPT_S):
                while True:
                    receipt: dict[str, Any] | None = await self.ask("eth_getTransactionReceipt", digest)
                    if receipt is not None:
                        return receipt
                    await asyncio.sleep(_POLL_S)  # inclusion is no event that plain JSON-RPC could tell
        except TimeoutError as exc:
            raise VenueError(
                f"{self.name}: transaction {digest} of the maker is not in a block after {_RECEIPT_S:g} s",
                "see whether the sequencer makes slots",
            ) from exc

    async def _why(self, to: str, data: bytes) -> str:
        """Ask the latest state why a call fails; an answer for humans only."""
        try:
            await self._client.call(
                "eth_call", {"from": to_hex(self.wallet.address), "to": to, "data": to_hex(data)}, "latest"
            )
        except RpcError as exc:
            revert = from_hex(exc.data) if isinstance(exc.data, str) else b""
            known = (interface.decode_error(revert) for interface in self._interfaces)
            return str(next(filter(None, known), exc.message))
        return "it would succeed now"
