"""What L1 was paid: by whom, for what, and how much of it a message or strategy stands for. Pure.

Every node that pays on L1 journals what its transactions cost, so the account is a reading of the journals: an event that states ``gas``,
``wei`` and ``l1_tx`` is a payment, and each transaction counts once, however often it is told.

Some payments are for one message alone: its proof, its finalization, the opening of a strategy. They are its *own*. Others are made for all
alike, whatever they hold: a superbatch, an output. These are divided among those whom they served, superbatches by the transactions in
them, outputs by the withdrawals proven against them; what served nobody, such as the batches of idle blocks, is nobody's and stays
*overhead*. Shares are whole gas and whole wei, and all of them and the overhead sum to what was paid.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from bridge.wire.journal import Event
from bridge.wire.stages import Stage
from orchestrator.tracing.trace import Kind, TraceSet, event_order, rollup_of

USER = "user"
"""Who pays for what a client sends, whoever sees and tells it."""


class Purpose(StrEnum):
    """What L1 was paid for."""

    BATCHES = "batches"
    """Superbatches in the inbox, blobs included."""
    PROPOSALS = "proposals"
    """Output roots."""
    CHALLENGES = "challenges"
    """Outputs deleted because they were wrong."""
    OPENS = "opens"
    """Strategies opened at the registry."""
    PROOFS = "proofs"
    """Withdrawals proven."""
    FINALIZATIONS = "finalizations"
    """Withdrawals finalized; of a vote this includes counting it, and of the last vote deciding and sending the decision."""
    RELAYS = "relays"
    """Calls that a messenger on L1 held and was made to make again, decisions sent again, and whatever else a message took."""
    OTHER = "other"
    """Payments that concern no message."""


_PURPOSES: Mapping[str, Purpose] = {
    "superbatch.published": Purpose.BATCHES,
    "output.proposed": Purpose.PROPOSALS,
    "output.deleted": Purpose.CHALLENGES,
    Stage.ADMITTED: Purpose.OPENS,
    Stage.MESSAGE_PROVEN: Purpose.PROOFS,
    Stage.MESSAGE_FINALIZED: Purpose.FINALIZATIONS,
}
_ORDER = tuple(Purpose)


@dataclass(frozen=True, slots=True)
class Cost:
    """Gas, and wei for gas and blob gas together."""

    gas: int = 0
    wei: int = 0

    def __add__(self, other: Self) -> "Cost":
        return Cost(self.gas + other.gas, self.wei + other.wei)


@dataclass(frozen=True, slots=True)
class Payment:
    """One transaction on L1."""

    transaction: str
    """Hash."""
    purpose: Purpose
    payer: str
    """The node that paid, or :data:`USER`."""
    cost: Cost
    event: Event = field(repr=False)
    """Where it is told."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one message or strategy stands for."""

    own: Cost = Cost()
    """Paid for it alone."""
    shared: Cost = Cost()
    """Its part of what was paid for several."""

    @property
    def total(self) -> Cost:
        """Both."""
        return self.own + self.shared


@dataclass(frozen=True, slots=True)
class GasAccount:
    """All of a run's payments on L1."""

    payments: tuple[Payment, ...]
    """In order of time."""
    shares: Mapping[str, Share]
    """By message key; those that nothing was paid for are not in it."""

    @property
    def total(self) -> Cost:
        """All that was paid."""
        return total(self.payments)

    @property
    def overhead(self) -> Cost:
        """What served no message."""
        used = sum((share.total for share in self.shares.values()), Cost())
        return Cost(self.total.gas - used.gas, self.total.wei - used.wei)

    def rows(self) -> tuple[tuple[Purpose, str, int, Cost], ...]:
        """Purpose, payer, transactions and their cost, in the order of purposes."""
        found: defaultdict[tuple[Purpose, str], list[Payment]] = defaultdict(list)
        for payment in self.payments:
            found[payment.purpose, payment.payer].append(payment)
        ordered = sorted(found, key=lambda place: (_ORDER.index(place[0]), place[1]))
        return tuple((*place, len(found[place]), total(found[place])) for place in ordered)

    def share(self, key: str) -> Share:
        """What a message stands for."""
        return self.shares.get(key, Share())


def total(payments: Iterable[Payment]) -> Cost:
    """Their sum."""
    return sum((payment.cost for payment in payments), Cost())


def account_gas(traces: TraceSet) -> GasAccount:
    """A run's payments, and whom they served."""
    told: dict[str, Payment] = {}
    owners: dict[str, str] = {}
    for key, event in _events(traces):
        payment = _payment(key, event) if "gas" in event.attrs else None
        if payment is None:
            continue
        known = told.get(payment.transaction)
        if known is None or _rank(payment) < _rank(known):
            told[payment.transaction] = payment
            if key is not None:
                owners[payment.transaction] = key
    if not told:
        return GasAccount((), {})
    served = _Served(traces)
    own: defaultdict[str, Cost] = defaultdict(Cost)
    shared: defaultdict[str, Cost] = defaultdict(Cost)
    for transaction, payment in told.items():
        if transaction in owners:
            own[owners[transaction]] += payment.cost
        for key, part in divide(payment.cost, served.by(payment)).items():
            shared[key] += part
    shares = {key: Share(own[key], shared[key]) for key in sorted({*own, *shared})}
    payments = sorted(told.values(), key=lambda payment: event_order(payment.event))
    return GasAccount(tuple(payments), shares)


def divide(cost: Cost, weights: Mapping[str, int]) -> dict[str, Cost]:
    """Divide a cost in whole units, in proportion to positive weights and nothing left over; the first keys have the odd units."""
    if not weights:
        return {}
    keys = sorted(weights)
    gas, wei = (_parts(amount, [weights[key] for key in keys]) for amount in (cost.gas, cost.wei))
    return {key: Cost(*parts) for key, parts in zip(keys, zip(gas, wei, strict=True), strict=True)}


def _parts(amount: int, weights: Sequence[int]) -> list[int]:
    whole = sum(weights)
    parts = [amount * weight // whole for weight in weights]
    for place in range(amount - sum(parts)):
        parts[place] += 1
    return parts


def _events(traces: TraceSet) -> Iterator[tuple[str | None, Event]]:
    for event in traces.node_events:
        yield None, event
    for key, trace in traces.traces.items():
        for event in trace.events:
            yield key, event


def _payment(key: str | None, event: Event) -> Payment | None:
    gas, wei, transaction = (event.attrs.get(name) for name in ("gas", "wei", "l1_tx"))
    if not isinstance(gas, int) or not transaction or isinstance(gas, bool):
        return None
    otherwise = Purpose.OTHER if key is None else Purpose.RELAYS
    purpose = _PURPOSES.get(event.event, otherwise)
    payer = USER if purpose is Purpose.OPENS else event.node
    cost = Cost(gas, wei if isinstance(wei, int) else 0)
    return Payment(str(transaction), purpose, payer, cost, event)


def _rank(payment: Payment) -> tuple[int, tuple[int, str, str, int]]:
    """Of several events that tell one transaction, the one that names its purpose best, then the earliest."""
    return _ORDER.index(payment.purpose), event_order(payment.event)


class _Served:
    """Who had a part in the payments that are made for all."""

    def __init__(self, traces: TraceSet) -> None:
        self._batched: defaultdict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
        self._proven: defaultdict[tuple[str, Any], Counter[str]] = defaultdict(Counter)
        senders = _senders(traces)
        for key, trace in traces.traces.items():
            for event in trace.events:
                if event.event == Stage.PUBLISHED:
                    carrier = event.attrs.get("l1_tx")
                    weight = 1 + max((other.leg or 0 for other in trace.events), default=0)
                    self._batched[event.node, carrier][senders.get(key, key)] = (
                        weight if trace.kind.has_legs else 1
                    )
                elif event.event == Stage.MESSAGE_PROPOSED:
                    place = rollup_of(event), event.attrs.get("root")
                    self._proven[place][key] = 1

    def by(self, payment: Payment) -> Mapping[str, int]:
        """Weights of those that a payment served; empty if it served one alone, or none."""
        if payment.purpose is Purpose.BATCHES:
            return self._batched.get((payment.event.node, payment.transaction), {})
        if payment.purpose is Purpose.PROPOSALS:
            return self._proven.get((payment.event.node, payment.event.attrs.get("root")), {})
        return {}


def _senders(traces: TraceSet) -> dict[str, str]:
    """Messages by the transaction that sent them: what that cost is theirs."""
    return {
        str(event.attrs["l2_tx"]): key
        for key, trace in traces.traces.items()
        if trace.kind is Kind.MESSAGE
        for event in trace.events
        if event.event == Stage.MESSAGE_SENT and "l2_tx" in event.attrs
    }
