"""What a strategy came to: what each leg paid, and what the whole can still win or lose. Pure.

``to_json`` is a contract with machines: keys are only ever added. Cash and prices in it are integers in 1e-6 USD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.strategies.errors import ReceiptError
from orchestrator.strategies.payoff import Holding, Profile, payoff, profile
from orchestrator.strategies.resolve import PlacedLeg, ResolvedStrategy

Outcome = Literal["committed", "aborted", "unknown"]
"""``unknown``: nobody answered in time; ask again by the bundle's hash."""


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What became of one leg."""

    placed: PlacedLeg
    transaction_hash: bytes
    status: Literal["executed", "reverted", "unknown"]
    price: int | None = None
    """1e-6 USD per unit; None unless executed."""
    premium: int | None = None
    """Paid (positive) or received (negative), 1e-6 USD; None unless executed."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a report."""
        leg = self.placed.leg
        return {
            "rollup": self.placed.rollup,
            "tx_hash": to_hex(self.transaction_hash),
            "status": self.status,
            "premium": self.premium,
            "price": self.price,
            "side": leg.side.value,
            "kind": leg.kind.value,
            "underlying": leg.underlying,
            "strike": leg.strike,
            "expiry": self.placed.expiry,
            "quantity": leg.quantity,
        }


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """The end of one run of a strategy."""

    outcome: Outcome
    strategy: str
    bundle_hash: bytes
    legs: tuple[LegOutcome, ...]
    reason: str | None = None
    """Why it was aborted, or why its end isn't known."""
    profile: Profile | None = None
    """Net premium, extremes and break-evens; None unless committed and read."""
    payoffs: tuple[tuple[int, int], ...] = ()
    """(settlement price, payoff without premium), 1e-6 USD; empty unless committed and read."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """By stage."""
    critical_path: tuple[Mapping[str, Any], ...] = ()
    """Its steps in order: since, until (stages), node, leg, ms; their times sum to the end-to-end time."""

    def to_json(self) -> dict[str, Any]:
        """The machine contract of ``rollnet strategy run --json``."""
        known = self.profile
        return {
            "outcome": self.outcome,
            "strategy": self.strategy,
            "bundle_hash": to_hex(self.bundle_hash),
            "legs": [leg.to_json() for leg in self.legs],
            "reason": self.reason,
            "net_premium": known.net_premium if known else None,
            "max_loss": known.max_loss if known else None,
            "max_gain": known.max_gain if known else None,
            "break_evens": list(known.break_evens) if known else [],
            "payoffs": [{"price": price, "payoff": value} for price, value in self.payoffs],
            "latency_ms": dict(self.latency_ms),
            "critical_path": [dict(step) for step in self.critical_path],
        }


def committed(
    resolved: ResolvedStrategy,
    receipts: Sequence[Mapping[str, Any]],
    *,
    prices: Sequence[int] = (),
    latency_ms: Mapping[str, float] | None = None,
    critical_path: Sequence[Mapping[str, Any]] = (),
) -> StrategyResult:
    """The result of a bundle that took effect.

    Args:
        resolved: what was sent.
        receipts: each leg's receipt as ``eth_getTransactionReceipt`` returns it, in order.
        prices: settlement prices for the payoff table, 1e-6 USD per unit; none means every strike and the price cap.
        latency_ms: by stage.
        critical_path: the steps that the latency is made of.

    Raises:
        ReceiptError: a receipt isn't that of the leg's trade.
    """
    pairs = zip(resolved.legs, resolved.transaction_hashes, receipts, strict=True)
    legs = tuple(_executed(resolved, placed, digest, receipt) for placed, digest, receipt in pairs)
    holdings = [holding_of(placed) for placed in resolved.legs]
    strikes = {placed.leg.strike for placed in resolved.legs}
    table = sorted(set(prices) or {0, *strikes, resolved.price_cap})
    return StrategyResult(
        outcome="committed",
        strategy=resolved.strategy.name,
        bundle_hash=resolved.bundle_hash,
        legs=legs,
        profile=profile(holdings, sum(leg.premium or 0 for leg in legs), resolved.price_cap),
        payoffs=tuple((price, payoff(holdings, price, resolved.price_cap)) for price in table),
        latency_ms=latency_ms or {},
        critical_path=tuple(critical_path),
    )


def not_committed(
    resolved: ResolvedStrategy,
    outcome: Literal["aborted", "unknown"],
    reason: str,
    latency_ms: Mapping[str, float] | None = None,
) -> StrategyResult:
    """The result of a bundle without effect, or of one whose end isn't known."""
    status: Literal["reverted", "unknown"] = "reverted" if outcome == "aborted" else "unknown"
    pairs = zip(resolved.legs, resolved.transaction_hashes, strict=True)
    return StrategyResult(
        outcome=outcome,
        strategy=resolved.strategy.name,
        bundle_hash=resolved.bundle_hash,
        legs=tuple(LegOutcome(placed, digest, status) for placed, digest in pairs),
        reason=reason,
        latency_ms=latency_ms or {},
    )


def committed_unread(
    resolved: ResolvedStrategy, reason: str, latency_ms: Mapping[str, float] | None = None
) -> StrategyResult:
    """The result of a bundle that was decided to take effect, while a rollup can't show its receipts yet."""
    pairs = zip(resolved.legs, resolved.transaction_hashes, strict=True)
    return StrategyResult(
        outcome="committed",
        strategy=resolved.strategy.name,
        bundle_hash=resolved.bundle_hash,
        legs=tuple(LegOutcome(placed, digest, "unknown") for placed, digest in pairs),
        reason=reason,
        latency_ms=latency_ms or {},
    )


def revert_reason(resolved: ResolvedStrategy, leg: int, data: bytes) -> str:
    """Why a leg reverted, readable: ``leg 2 on gamma: LimitExceeded(price=…, limit=…)``."""
    for name in ("OptionsMarket", "BundleGuard", "CashToken", "PriceOracle"):
        error = artifact(name).interface.decode_error(data)
        if error is not None:
            return f"leg {leg} on {resolved.legs[leg].rollup}: {error}"
    shown = f"unknown error {to_hex(data[:68])}" if data else "reverted without a reason (out of gas?)"
    return f"leg {leg} on {resolved.legs[leg].rollup}: {shown}"


def holding_of(placed: PlacedLeg) -> Holding:
    """The position that an executed leg opens."""
    return Holding(placed.leg.kind, placed.leg.strike, placed.leg.signed_quantity, placed.expiry)


def _executed(
    resolved: ResolvedStrategy, placed: PlacedLeg, digest: bytes, receipt: Mapping[str, Any]
) -> LegOutcome:
    interface = artifact("OptionsMarket").interface
    for entry in receipt["logs"]:
        if str(entry["address"]).lower() != OPTIONS_MARKET:
            continue
        event = interface.decode_event(
            [from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"])
        )
        if event is None or event.name != "Trade" or event.arguments["bundle"] != resolved.bundle_hash:
            continue
        paid = event.arguments["premium"] if event.arguments["quantity"] > 0 else -event.arguments["premium"]
        return LegOutcome(placed, digest, "executed", event.arguments["price"], paid)
    raise ReceiptError(
        f"the receipt of leg {placed.index} on {placed.rollup} ({to_hex(digest)}) shows no trade of bundle "
        f"{to_hex(resolved.bundle_hash)}",
        "the rollup executed something else than the leg: keep the run directory and report it",
    )
