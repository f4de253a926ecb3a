"""One rollup as the maker sees it: ordinary calls and ordinary signed transactions, nothing privileged."""

import asyncio
from collections.abc import Sequence
from typing import Any

from bridge.contracts.addresses import OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.signing import UnsignedTransaction
from orchestrator.market.board import Board, Terms, board_call, decode_board
from orchestrator.market.errors import VenueError
from orchestrator.market.quoting import Offer
from orchestrator.market.units import symbol_bytes
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE, Wallet

_OFFERS_PER_TRANSACTION = 40
_GAS_PER_OFFER = 180_000
"""A new series with its quote costs about 140,000."""
_ACCOUNTS_PER_TRANSACTION = 100
_GAS_PER_SETTLEMENT = 90_000
_BASE_GAS = 150_000
_RECEIPT_S = 30.0
"""Seconds that a transaction may take to be included."""
_POLL_S = 0.02


class Venue:
    """The market of one rollup.

    Args:
        name: of the rollup.
        chain_id: of the rollup.
        client: its public JSON-RPC endpoint.
        wallet: the maker's.
    """

    def __init__(self, name: str, chain_id: int, client: Client, wallet: Wallet) -> None:
        self.name = name
        self._chain_id, self._client, self._wallet = chain_id, client, wallet
        self._market = artifact("OptionsMarket").interface
        self._oracle = artifact("PriceOracle").interface

    async def board(self) -> Board:
        """What the maker has on offer.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it has no market.
        """
        return decode_board(await self._call(OPTIONS_MARKET, board_call(to_hex(self._wallet.address))))

    async def post(self, offers: Sequence[Offer]) -> None:
        """Post quotes, listing series that are new; returns once they stand.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it refused a transaction.
        """
        chunks = [
            offers[start : start + _OFFERS_PER_TRANSACTION]
            for start in range(0, len(offers), _OFFERS_PER_TRANSACTION)
        ]
        calls = [
            (
                OPTIONS_MARKET,
                self._market.encode_call(
                    "postQuotes", [(offer.terms.encoded(), offer.quote.encoded()) for offer in chunk]
                ),
                _BASE_GAS + _GAS_PER_OFFER * len(chunk),
            )
            for chunk in chunks
        ]
        await self._send(calls)

    async def spot(self, underlying: str) -> int:
        """The oracle's spot price, 1e-6 USD per unit; zero when nothing was posted."""
        data = self._oracle.encode_call("spot", symbol_bytes(underlying))
        price, _ = self._oracle.decode_result("spot", await self._call(PRICE_ORACLE, data))
        return int(price)

    async def post_spot(self, underlying: str, price: int) -> None:
        """Post the spot price, 1e-6 USD per unit."""
        data = self._oracle.encode_call("postSpot", symbol_bytes(underlying), price)
        await self._send([(PRICE_ORACLE, data, _BASE_GAS)])

    async def fix_settlement(self, underlying: str, expiry: int, price: int) -> int:
        """Fix the settlement price of an expiry unless it is fixed; returns the price that stands.

        Raises:
            VenueError: the rollup's clock hasn't reached the expiry, or it refused the transaction.
        """
        query = self._oracle.encode_call("settlementPrice", symbol_bytes(underlying), expiry)
        known, fixed = self._oracle.decode_result("settlementPrice", await self._call(PRICE_ORACLE, query))
        if known:
            return int(fixed)
        data = self._oracle.encode_call("fixSettlement", symbol_bytes(underlying), expiry, price)
        await self._send([(PRICE_ORACLE, data, _BASE_GAS)])
        return price

    async def settle(self, series: Sequence[tuple[bytes, Terms]]) -> int:
        """Settle everyone who holds a position in series whose price is fixed; returns how many positions.

        Raises:
            VenueError: the rollup refused a transaction.
        """
        settled = 0
        for identity, _ in series:
            holders = await self._holders(identity)
            settled += len(holders)
            calls = [
                (
                    OPTIONS_MARKET,
                    self._market.encode_call("settleMany", identity, chunk),
                    _BASE_GAS + _GAS_PER_SETTLEMENT * len(chunk),
                )
                for start in range(0, len(holders), _ACCOUNTS_PER_TRANSACTION)
                if (chunk := holders[start : start + _ACCOUNTS_PER_TRANSACTION])
            ]
            await self._send(calls)
        return settled

    async def _holders(self, series: bytes) -> list[str]:
        """Who holds a position: everyone who ever traded the series and isn't flat."""
        query = {
            "address": OPTIONS_MARKET,
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [to_hex(self._market.topic("Trade")), to_hex(series)],
        }
        logs = await self._ask("eth_getLogs", query)
        traders = sorted({"0x" + topic[-40:] for entry in logs for topic in entry["topics"][2:4]})
        held = [
            self._market.decode_result(
                "position",
                await self._call(OPTIONS_MARKET, self._market.encode_call("position", series, trader)),
            )[0]
            for trader in traders
        ]
        return [trader for trader, quantity in zip(traders, held, strict=True) if quantity]

    async def _call(self, to: str, data: bytes) -> bytes:
        answer = from_hex(await self._ask("eth_call", {"to": to, "data": to_hex(data)}, "latest"))
        if not answer:
            raise VenueError(
                f"{self.name} has no contract at {to}", "start it from the genesis of this topology"
            )
        return answer

    async def _send(self, calls: Sequence[tuple[str, bytes, int]]) -> None:
        """Sign, send and await (contract, call data, gas limit) in order."""
        if not calls:
            return
        first = int(await self._ask("eth_getTransactionCount", to_hex(self._wallet.address), "pending"), 16)
        hashes = []
        for nonce, (to, data, gas) in enumerate(calls, first):
            call = UnsignedTransaction(
                chain_id=self._chain_id,
                nonce=nonce,
                max_fee=MAX_FEE,
                priority_fee=PRIORITY_FEE,
                gas=gas,
                to=from_hex(to),
                data=data,
            )
            hashes.append(await self._ask("eth_sendRawTransaction", to_hex(self._wallet.sign(call))))
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
                    receipt: dict[str, Any] | None = await self._ask("eth_getTransactionReceipt", digest)
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
                "eth_call", {"from": to_hex(self._wallet.address), "to": to, "data": to_hex(data)}, "latest"
            )
        except RpcError as exc:
            revert = from_hex(exc.data) if isinstance(exc.data, str) else b""
            return str(self._market.decode_error(revert) or self._oracle.decode_error(revert) or exc.message)
        return "it would succeed now"

    async def _ask(self, method: str, *params: Any) -> Any:
        try:
            return await self._client.call(method, *params)
        except RpcError as exc:
            raise VenueError(f"{self.name} refused {method}: {exc.message}", "the maker tries again") from exc
