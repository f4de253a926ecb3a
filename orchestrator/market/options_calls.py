"""What is sent to an options rollup: calls of its system addresses, and what is signed for it with EIP-712. Pure.

Units are the market's own on both kinds of rollup (1e-6 USD, 1e-4 units of the underlying, unix seconds), so numbers pass as they are;
what an options rollup has besides, volatilities and discounts in 1e-18, comes from :func:`~orchestrator.market.units.wad`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.addresses import OPTIONS_SYSTEM
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.wire.keccak import from_hex
from orchestrator.market.board import Terms
from orchestrator.market.units import symbol_bytes
from orchestrator.market.wallet import Wallet
from rollup_node.engines.options.transactions.actions import action_digest, update_digest

ACCOUNTS: Final = OPTIONS_SYSTEM["IOptionsAccounts"]
EXCHANGE: Final = OPTIONS_SYSTEM["IOptionsExchange"]
ORACLE: Final = OPTIONS_SYSTEM["IOptionsOracle"]
_ACCOUNTS, _EXCHANGE, _ORACLE = (
    artifact(name).interface for name in ("IOptionsAccounts", "IOptionsExchange", "IOptionsOracle")
)

Update = tuple[bytes, int, int, int, int, int, tuple[tuple[int, int], ...], tuple[tuple[int, int, int], ...]]
"""``IOptionsOracle.Update``."""


@dataclass(frozen=True, slots=True)
class Action:
    """A call that an account's owner signs; who brings it doesn't matter."""

    account: int
    nonce: int
    """Higher than every one that this signer has used for this account."""
    expiry: int
    """Last second in which it counts, by the block's time."""
    bundle: bytes
    """32 bytes: the bundle in which it must run; zeros: anywhere."""
    target: str
    """System address."""
    call: bytes

    def digest(self, chain_id: int) -> bytes:
        """What is signed; worth nothing on a rollup of another chain id."""
        return action_digest(chain_id, self._members(from_hex(self.target)))

    def transaction_data(self, chain_id: int, wallet: Wallet) -> bytes:
        """Call data that brings it to :data:`ACCOUNTS`, signed."""
        signature = wallet.sign_digest(self.digest(chain_id))
        return _ACCOUNTS.encode_call("act", self._members(self.target), signature)

    def _members(self, target: bytes | str) -> tuple[Any, ...]:
        return (self.account, self.nonce, self.expiry, self.bundle, target, self.call)


def trade_call(account: int, series: int, signed_quantity: int, limit: int) -> bytes:
    """A trade with the rollup's market maker.

    Args:
        account: whose.
        series: which.
        signed_quantity: bought; below zero sold, 1e-4 units.
        limit: worst price, 1e-6 USD per unit.
    """
    buys = signed_quantity > 0
    return _EXCHANGE.encode_call("tradeAmm", account, series, buys, abs(signed_quantity), limit)


def list_call(terms: Terms) -> bytes:
    """A series is to be traded."""
    symbol = symbol_bytes(terms.underlying)
    return _EXCHANGE.encode_call("listSeries", symbol, terms.expiry, terms.strike, terms.is_call)


def update_call(chain_id: int, update: Update, signers: Sequence[Wallet]) -> bytes:
    """What the feed says, with the signatures of all these signers in the order that the rollup asks for."""
    digest = update_digest(chain_id, update)
    ordered = sorted(signers, key=lambda wallet: wallet.address)
    return _ORACLE.encode_call("update", update, [wallet.sign_digest(digest) for wallet in ordered])


def spot_call(underlying: str) -> bytes:
    """Asks for what the feed said last."""
    return _ORACLE.encode_call("spotOf", symbol_bytes(underlying))


def decode_spot(data: bytes) -> tuple[int, int, int]:
    """Spot (1e-6 USD), sequence and timestamp of the feed's last word; zeros before the first."""
    spot, sequence, timestamp = _ORACLE.decode_result("spotOf", data)
    return spot, sequence, timestamp


def trades_in_logs(logs: Sequence[Mapping[str, Any]]) -> list[Decoded]:
    """The trades of a receipt, in order."""
    found = []
    for entry in logs:
        if str(entry["address"]).lower() == EXCHANGE:
            topics = [from_hex(topic) for topic in entry["topics"]]
            event = _EXCHANGE.decode_event(topics, from_hex(entry["data"]))
            if event is not None and event.name == "Trade":
                found.append(event)
    return found
