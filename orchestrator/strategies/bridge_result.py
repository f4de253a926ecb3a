"""What a strategy over the bridge came to, from what the chains showed at its end. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from bridge.contracts.addresses import LEG_ESCROW, OPTIONS_MARKET
from bridge.contracts.artifacts import artifact
from bridge.contracts.codec import Decoded
from bridge.relayer.strategies.lifecycle import GIVEN_UP, Lock
from bridge.relayer.strategies.reasons import refusal
from bridge.wire.keccak import from_hex
from orchestrator.market.options_calls import EXCHANGE, trades_in_logs
from orchestrator.strategies.bridge_terms import BridgeStrategy, Participant
from orchestrator.strategies.errors import ReceiptError
from orchestrator.strategies.payoff import premium
from orchestrator.strategies.result import LegOutcome, Outcome, StrategyResult, outlook

_ESCROW: Final = artifact("LegEscrow").interface
_MARKET: Final = artifact("OptionsMarket").interface


@dataclass(frozen=True, slots=True)
class Trade:
    """What one leg paid."""

    price: int
    """1e-6 USD per unit."""
    paid: int
    """Premium paid (positive) or received (negative), 1e-6 USD."""
    fee: int = 0
    """What the rollup took besides, 1e-6 USD."""


@dataclass(frozen=True, slots=True)
class RollupEnd:
    """How one rollup's part ended, as far as the rollup showed it."""

    lock: Lock | None
    """None when it doesn't answer."""
    transaction: bytes | None = None
    """Hash of the rollup's transaction that ended it, or locked it if that is how far it is."""
    trades: tuple[Trade, ...] = ()
    """Of each leg in order; empty unless they were traded and the receipt was read."""
    locked_s: int | None = None
    """How long its cash was set aside, seconds on the rollup's clock; None if it never was, or still is. That clock stands still while its
    sequencer is down, so what the journals say goes before."""
    locked_cash: tuple[int | None, ...] = ()
    """What of the account's cash was set aside for each leg, 1e-6 USD; empty if nothing was or it isn't known."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the journals say that it took."""

    latency_ms: Mapping[str, float]
    """By stage."""
    critical_path: Sequence[Mapping[str, Any]]
    l1_gas: int | None
    locked_s: Mapping[int, float] = field(default_factory=dict)
    """How long a rollup's cash was set aside, seconds, by its place among the participants."""


def bridge_result(
    bridged: BridgeStrategy,
    outcome: Outcome,
    reason: str | None,
    ends: Mapping[str, RollupEnd],
    measured: Measured,
    prices: Sequence[int] = (),
) -> StrategyResult:
    """The result of one run.

    Args:
        bridged: what was opened.
        outcome: how it ended.
        reason: why it was aborted, or why its end isn't known.
        ends: by rollup; rollups that are missing showed nothing.
        measured: from the journals.
        prices: settlement prices of the payoff table, 1e-6 USD per unit; none means every strike and the price cap.
    """
    unseen = RollupEnd(None)
    legs: dict[int, LegOutcome] = {}
    for leg, part in enumerate(bridged.participants):
        end = ends.get(part.rollup, unseen)
        seconds = None if end.locked_s is None else measured.locked_s.get(leg, float(end.locked_s))
        for place, index in enumerate(part.legs):
            legs[index] = _leg(bridged, index, place, end, seconds)
    ordered = tuple(legs[index] for index in sorted(legs))
    read = outcome == "committed" and all(leg.premium is not None for leg in ordered)
    known, table = outlook(ordered, bridged.price_cap, prices) if read else (None, ())
    return StrategyResult(
        outcome=outcome,
        strategy=bridged.strategy.name,
        bundle_hash=bridged.id,
        legs=ordered,
        reason=reason,
        profile=known,
        payoffs=table,
        latency_ms=measured.latency_ms,
        critical_path=tuple(measured.critical_path),
        execution="bridge",
        l1_gas=measured.l1_gas,
    )


def refused(part: Participant, leg: int | None, data: bytes) -> str:
    """Why a rollup refused its legs, readable: ``leg 2 on gamma: LimitExceeded(price=…, limit=…)``.

    Args:
        part: the rollup's.
        leg: which of its legs, counted on this rollup; None if that isn't known.
        data: what the escrow gave as its reason.
    """
    if leg is not None or len(part.legs) == 1:
        return f"leg {part.legs[leg or 0]} on {part.rollup}: {refusal(data)}"
    return f"one of the legs {', '.join(map(str, part.legs))} on {part.rollup}: {refusal(data)}"


def trades_in(receipt: Mapping[str, Any], strategy: bytes, legs: int) -> tuple[Trade, ...]:
    """What a rollup traded in the transaction in which it applied a commit.

    The escrow executes the legs one after the other and then says ``LegCommitted``: they are the market's last trades before it.

    Raises:
        ReceiptError: it didn't.
    """
    trades: list[Trade] = []
    for entry in receipt["logs"]:
        address = str(entry["address"]).lower()
        if address == OPTIONS_MARKET:
            event = _event(_MARKET, entry)
            if event is not None and event.name == "Trade":
                sign = 1 if event.arguments["quantity"] > 0 else -1
                trades.append(Trade(event.arguments["price"], sign * event.arguments["premium"]))
        elif address == EXCHANGE:
            trades += [
                Trade(about["price"], premium(about["price"], about["quantity"]), about["takerFee"])
                for about in (event.arguments for event in trades_in_logs([entry]))
            ]
        elif address == LEG_ESCROW:
            event = _event(_ESCROW, entry)
            if event is not None and event.name == "LegCommitted" and event.arguments["strategy"] == strategy:
                if len(trades) < legs:
                    break
                return tuple(trades[-legs:])
    raise ReceiptError(
        f"the receipt of {receipt['transactionHash']} doesn't show the {legs} trades of strategy 0x{strategy.hex()}",
        "the rollup executed something else than the legs: keep the run directory and report it",
    )


def _event(interface: Any, entry: Mapping[str, Any]) -> Decoded | None:
    found: Decoded | None = interface.decode_event(
        [from_hex(topic) for topic in entry["topics"]], from_hex(entry["data"])
    )
    return found


def _leg(
    bridged: BridgeStrategy, index: int, place: int, end: RollupEnd, locked_s: float | None
) -> LegOutcome:
    status: Literal["executed", "reverted", "unknown"] = "unknown"
    if end.lock is Lock.COMMITTED:
        status = "executed"
    elif end.lock in GIVEN_UP:
        status = "reverted"
    trade = end.trades[place] if status == "executed" and end.trades else None
    return LegOutcome(
        bridged.legs[index],
        end.transaction,
        status,
        trade.price if trade else None,
        trade.paid if trade else None,
        locked_s,
        end.locked_cash[place] if end.locked_cash else None,
        trade.fee if trade else None,
    )
