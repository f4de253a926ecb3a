"""What a strategy came to: what each leg paid, and what the whole can still win or lose. Pure.

``to_json`` is a contract with machines: keys are only ever added. Cash and prices in it are integers in 1e-6 USD.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bridge.contracts.addresses import OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.market.options_board import series_number
from orchestrator.market.options_calls import trades_in_logs
from orchestrator.strategies.errors import ReceiptError
from orchestrator.strategies.model import Kind
from orchestrator.strategies.payoff import Holding, Profile, payoff, premium, profile
from orchestrator.strategies.reading import Seat
from orchestrator.strategies.resolve import PlacedLeg, ResolvedStrategy

Outcome = Literal["committed", "aborted", "unknown", "partial"]
"""``unknown``: nobody answered in time; ask again by the hash. ``partial``: some legs were traded and others given up, which only the bridge can do,
and only if somebody refunded a leg before a commit came that was late beyond all margins."""
Execution = Literal["bundle", "bridge"]


@dataclass(frozen=True, slots=True)
class LegOutcome:
    """What became of one leg."""

    placed: PlacedLeg
    transaction_hash: bytes | None
    """Of the rollup's transaction that ended it; None when that isn't known."""
    status: Literal["executed", "reverted", "unknown"]
    price: int | None = None
    """1e-6 USD per unit; None unless executed."""
    premium: int | None = None
    """Paid (positive) or received (negative), 1e-6 USD; None unless executed."""
    locked_s: float | None = None
    """How long its cash was set aside before its end, seconds; None if it never was, or isn't known."""
    locked_cash: int | None = None
    """What of the account's cash was set aside, 1e-6 USD; None as before."""
    fee: int | None = None
    """What the rollup took for the trade besides, 1e-6 USD; None unless executed. EVM rollups take none."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for a report."""
        leg = self.placed.leg
        return {
            "rollup": self.placed.rollup,
            "tx_hash": None if self.transaction_hash is None else to_hex(self.transaction_hash),
            "status": self.status,
            "premium": self.premium,
            "price": self.price,
            "fee": self.fee,
            "side": leg.side.value,
            "kind": leg.kind.value,
            "underlying": leg.underlying,
            "strike": leg.strike,
            "expiry": self.placed.expiry,
            "quantity": leg.quantity,
            "locked": None
            if self.locked_s is None
            else {"seconds": round(self.locked_s, 3), "cash": self.locked_cash},
        }


@dataclass(frozen=True, slots=True)
class StrategyResult:
    """The end of one run of a strategy."""

    outcome: Outcome
    strategy: str
    bundle_hash: bytes
    """Of the bundle; over the bridge the strategy's id."""
    legs: tuple[LegOutcome, ...]
    reason: str | None = None
    """Why it was aborted, or why its end isn't known."""
    profile: Profile | None = None
    """Net premium, extremes and break-evens, fees counted; None unless committed and read."""
    payoffs: tuple[tuple[int, int], ...] = ()
    """(settlement price, payoff without premium), 1e-6 USD; empty unless committed and read."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """By stage."""
    critical_path: tuple[Mapping[str, Any], ...] = ()
    """Its steps in order: since, until (stages), node, leg, ms; their times sum to the end-to-end time."""
    execution: Execution = "bundle"
    l1_gas: int | None = None
    """Gas of the L1 transactions that were sent for this strategy alone; None for a bundle, which shares its superbatch's."""

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
            "fees": sum(leg.fee or 0 for leg in self.legs) if known else None,
            "above_cap": above_cap(self.legs) if known else None,
            "payoffs": [{"price": price, "payoff": value} for price, value in self.payoffs],
            "latency_ms": dict(self.latency_ms),
            "critical_path": [dict(step) for step in self.critical_path],
            "execution": self.execution,
            "locked": self._locked(),
            "l1_gas": self.l1_gas,
        }

    def _locked(self) -> dict[str, float | int] | None:
        """The longest time that a leg was locked, and all cash that was."""
        legs = [leg for leg in self.legs if leg.locked_s is not None]
        if not legs:
            return None
        return {
            "seconds": round(max(leg.locked_s or 0.0 for leg in legs), 3),
            "cash": sum(leg.locked_cash or 0 for leg in legs),
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
    known, table = outlook(legs, resolved.price_cap, prices)
    return StrategyResult(
        outcome="committed",
        strategy=resolved.strategy.name,
        bundle_hash=resolved.bundle_hash,
        legs=legs,
        profile=known,
        payoffs=table,
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


def outlook(
    legs: Sequence[LegOutcome], price_cap: int, prices: Sequence[int] = ()
) -> tuple[Profile, tuple[tuple[int, int], ...]]:
    """What executed legs can still win or lose together: the profile, and (settlement price, payoff without premium) at prices.

    Args:
        legs: all of them executed.
        price_cap: settlement prices above count as this, 1e-6 USD per unit.
        prices: settlement prices of the table, 1e-6 USD per unit; none means every strike and the price cap.
    """
    holdings = [holding_of(leg.placed) for leg in legs]
    table = sorted(set(prices) or {0, *(leg.placed.leg.strike for leg in legs), price_cap})
    paid, fees = sum(leg.premium or 0 for leg in legs), sum(leg.fee or 0 for leg in legs)
    known = replace(profile(holdings, paid + fees, price_cap), net_premium=paid)
    return known, tuple((price, payoff(holdings, price, price_cap)) for price in table)


def above_cap(legs: Sequence[LegOutcome]) -> int:
    """By how much the payoff still moves with settlement prices above the market's cap, 1e-4 units.

    EVM rollups cap what a call pays, options rollups don't. Below zero the loss has no bound there.
    """
    return sum(
        leg.placed.leg.signed_quantity
        for leg in legs
        if leg.placed.seat is not None and leg.placed.leg.kind is Kind.CALL
    )


def revert_reason(resolved: ResolvedStrategy, leg: int, data: bytes) -> str:
    """Why a leg reverted, readable: ``leg 2 on gamma: LimitExceeded(price=…, limit=…)``."""
    for name in ("OptionsMarket", "BundleGuard", "CashToken", "PriceOracle", "IOptionsErrors"):
        error = artifact(name).interface.decode_error(data)
        if error is not None:
            return f"leg {leg} on {resolved.legs[leg].rollup}: {error}"
    shown = f"unknown error {to_hex(data[:68])}" if data else "reverted without a reason (out of gas?)"
    return f"leg {leg} on {resolved.legs[leg].rollup}: {shown}"


def holding_of(placed: PlacedLeg) -> Holding:
    """The position that an executed leg opens."""
    leg = placed.leg
    return Holding(leg.kind, leg.strike, leg.signed_quantity, placed.expiry, capped=placed.seat is None)


def _executed(
    resolved: ResolvedStrategy, placed: PlacedLeg, digest: bytes, receipt: Mapping[str, Any]
) -> LegOutcome:
    if placed.seat is not None:
        return _executed_on_options(resolved, placed, placed.seat, digest, receipt)
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
        return LegOutcome(placed, digest, "executed", event.arguments["price"], paid, fee=0)
    raise _no_trade(resolved, placed, digest)


def _executed_on_options(
    resolved: ResolvedStrategy, placed: PlacedLeg, seat: Seat, digest: bytes, receipt: Mapping[str, Any]
) -> LegOutcome:
    """The trade in a leg's own receipt; its market maker settles at the price that is logged, to the unit."""
    for event in trades_in_logs(receipt["logs"]):
        about = event.arguments
        said = (about["taker"], about["series"], about["quantity"])
        if said == (seat.account, series_number(placed.series), placed.leg.signed_quantity):
            paid = premium(about["price"], about["quantity"])
            return LegOutcome(placed, digest, "executed", about["price"], paid, fee=about["takerFee"])
    raise _no_trade(resolved, placed, digest)


def _no_trade(resolved: ResolvedStrategy, placed: PlacedLeg, digest: bytes) -> ReceiptError:
    return ReceiptError(
        f"the receipt of leg {placed.index} on {placed.rollup} ({to_hex(digest)}) shows no trade of bundle "
        f"{to_hex(resolved.bundle_hash)}",
        "the rollup executed something else than the leg: keep the run directory and report it",
    )
