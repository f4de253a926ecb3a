"""How the registry came to its decision, and why a rollup refused, in words. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bridge.contracts.artifacts import artifact
from bridge.relayer.strategies.chains import Happening
from bridge.wire.keccak import to_hex

_CONTRACTS: Final = ("OptionsMarket", "LegEscrow", "PriceOracle", "CashToken", "IOptionsErrors")
"""Whose errors an escrow passes on."""
_SHOWN = 68
"""Bytes of an error that nobody knows: a selector and two words."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A decision and what led to it."""

    commit: bool
    said: Happening
    """``Decided``."""
    refused_by: int | None
    """Chain id of the first rollup that voted no; None when it was not that."""
    reason: bytes
    """Revert data of the refusal."""
    missing: tuple[int, ...]
    """Rollups whose votes had not come by then."""


def verdict(history: Sequence[Happening], chains: Sequence[int]) -> Verdict | None:
    """What was decided; None if nothing was yet.

    Args:
        history: what happened to the strategy on L1, in order.
        chains: the rollups that take part.
    """
    refused: tuple[int, bytes] | None = None
    voted = set()
    for each in history:
        if each.name == "Voted":
            voted.add(each.arguments["chainId"])
            if not each.arguments["yes"] and refused is None:
                refused = each.arguments["chainId"], each.arguments["reason"]
        elif each.name == "Decided":
            missing = tuple(chain_id for chain_id in chains if chain_id not in voted)
            by, reason = refused or (None, b"")
            return Verdict(each.arguments["commit"], each, by, reason, missing)
    return None


def refusal(data: bytes) -> str:
    """What an escrow gave as its reason, such as ``LimitExceeded(price=…, limit=…)``."""
    for name in _CONTRACTS:
        error = artifact(name).interface.decode_error(data)
        if error is not None:
            return str(error)
    return f"unknown error {to_hex(data[:_SHOWN])}" if data else "refused without a reason"


def lateness(names: Sequence[str]) -> str:
    """Why a strategy was aborted that nobody refused."""
    if not names:
        return "not decided in time: the last vote came after the deadline"
    return f"not decided in time: no vote of {', '.join(names)} had reached L1"
