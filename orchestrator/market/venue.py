"""The market of one EVM rollup as the maker sees it: its board, its oracle, its settlements."""

from collections.abc import Sequence

from bridge.contracts.addresses import OPTIONS_MARKET, PRICE_ORACLE
from bridge.contracts.artifacts import artifact
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from orchestrator.market.board import Board, Terms, board_call, decode_board
from orchestrator.market.quoting import Offer
from orchestrator.market.sender import Sender
from orchestrator.market.units import symbol_bytes
from orchestrator.market.wallet import Wallet

_OFFERS_PER_TRANSACTION = 40
_GAS_PER_OFFER = 180_000
"""A new series with its quote costs about 140,000."""
_ACCOUNTS_PER_TRANSACTION = 100
_GAS_PER_SETTLEMENT = 90_000
_BASE_GAS = 150_000


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
        self._market = artifact("OptionsMarket").interface
        self._oracle = artifact("PriceOracle").interface
        self._sender = Sender(name, chain_id, client, wallet, (self._market, self._oracle))

    async def board(self) -> Board:
        """What the maker has on offer.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it has no market.
        """
        return decode_board(
            await self._sender.call(OPTIONS_MARKET, board_call(to_hex(self._sender.wallet.address)))
        )

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
        await self._sender.send(calls)

    async def spot(self, underlying: str) -> int:
        """The oracle's spot price, 1e-6 USD per unit; zero when nothing was posted."""
        data = self._oracle.encode_call("spot", symbol_bytes(underlying))
        price, _ = self._oracle.decode_result("spot", await self._sender.call(PRICE_ORACLE, data))
        return int(price)

    async def post_spot(self, underlying: str, price: int) -> None:
        """Post the spot price, 1e-6 USD per unit."""
        data = self._oracle.encode_call("postSpot", symbol_bytes(underlying), price)
        await self._sender.send([(PRICE_ORACLE, data, _BASE_GAS)])

    async def fix_settlement(self, underlying: str, expiry: int, price: int) -> int:
        """Fix the settlement price of an expiry unless it is fixed; returns the price that stands.

        Raises:
            VenueError: the rollup's clock hasn't reached the expiry, or it refused the transaction.
        """
        query = self._oracle.encode_call("settlementPrice", symbol_bytes(underlying), expiry)
        known, fixed = self._oracle.decode_result(
            "settlementPrice", await self._sender.call(PRICE_ORACLE, query)
        )
        if known:
            return int(fixed)
        data = self._oracle.encode_call("fixSettlement", symbol_bytes(underlying), expiry, price)
        await self._sender.send([(PRICE_ORACLE, data, _BASE_GAS)])
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
            await self._sender.send(calls)
        return settled

    async def _holders(self, series: bytes) -> list[str]:
        """Who holds a position: everyone who ever traded the series and isn't flat."""
        query = {
            "address": OPTIONS_MARKET,
            "fromBlock": "0x0",
            "toBlock": "latest",
            "topics": [to_hex(self._market.topic("Trade")), to_hex(series)],
        }
        logs = await self._sender.ask("eth_getLogs", query)
        traders = sorted({"0x" + topic[-40:] for entry in logs for topic in entry["topics"][2:4]})
        held = [
            self._market.decode_result(
                "position",
                await self._sender.call(OPTIONS_MARKET, self._market.encode_call("position", series, trader)),
            )[0]
            for trader in traders
        ]
        return [trader for trader, quantity in zip(traders, held, strict=True) if quantity]
