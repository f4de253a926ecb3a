"""One options rollup as the maker sees it: what its feed said last, what is listed, and what its market maker quotes."""

from collections.abc import Sequence
from dataclasses import dataclass

from bridge.contracts.artifacts import artifact
from bridge.wire.jsonrpc import Client
from orchestrator.market.board import Terms
from orchestrator.market.options_board import read_options_board, terms_of
from orchestrator.market.options_calls import (
    EXCHANGE,
    ORACLE,
    Update,
    decode_spot,
    list_call,
    spot_call,
    update_call,
)
from orchestrator.market.sender import Sender
from orchestrator.market.wallet import Wallet

UPDATE_GAS, LIST_GAS = 1_000_000, 250_000
"""Gas limits; an update of 64 series takes about 400,000, a listing 90,000."""


@dataclass(frozen=True, slots=True)
class OptionsRollup:
    """What the maker is told of an options rollup."""

    name: str
    url: str
    """Public JSON-RPC."""
    chain_id: int
    signers: tuple[str, ...]
    """Private keys of its oracle's signers."""
    needed: int
    """Signatures of an update."""
    trusted_s: int
    """For how long it takes an update for fresh, seconds."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What an options rollup shows."""

    spot: int
    """1e-6 USD per unit; zero before the first update."""
    sequence: int
    timestamp: int
    """Of the last update, unix seconds."""
    listed: frozenset[Terms]
    """Every series that there ever was."""
    settled: tuple[tuple[int, int], ...]
    """(expiry, settlement price) of those that have one."""


class OptionsVenue:
    """The market of one options rollup.

    Args:
        rollup: which, and who signs for its oracle.
        client: its public JSON-RPC endpoint.
        wallet: whoever sends.
    """

    def __init__(self, rollup: OptionsRollup, client: Client, wallet: Wallet) -> None:
        self.name, self.rollup = rollup.name, rollup
        errors = artifact("IOptionsErrors").interface
        self._sender = Sender(rollup.name, rollup.chain_id, client, wallet, (errors,))
        signers = sorted(map(Wallet, rollup.signers), key=lambda one: one.address)
        self._signers = tuple(signers[: rollup.needed])

    async def look(self, underlying: str) -> Seen:
        """What is there now.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it refuses.
        """
        spot, sequence, timestamp = decode_spot(await self._sender.call(ORACLE, spot_call(underlying)))
        series = await self._sender.ask("options_getSeries", underlying, True)
        settled = {
            (entry["expiry"], int(entry["settlement"])) for entry in series if entry["status"] != "live"
        }
        return Seen(spot, sequence, timestamp, frozenset(map(terms_of, series)), tuple(sorted(settled)))

    async def bring(self, update: Update | None, listings: Sequence[Terms]) -> None:
        """Send an update, signed, and list series; returns once all of it is in blocks.

        Raises:
            PeerUnreachable: the rollup doesn't answer.
            VenueError: it refused one.
        """
        calls = (
            []
            if update is None
            else [(ORACLE, update_call(self.rollup.chain_id, update, self._signers), UPDATE_GAS)]
        )
        calls += [(EXCHANGE, list_call(terms), LIST_GAS) for terms in listings]
        await self._sender.send(calls)

    async def quoted(self, underlying: str) -> int:
        """How many series its market maker trades both ways, one unit of the underlying at a time."""
        board = await read_options_board(self._sender.ask, underlying)
        return sum(bool(row.quote.bid_size and row.quote.ask_size) for row in board.rows)
