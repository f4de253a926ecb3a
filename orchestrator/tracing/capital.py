"""How long a strategy's cash was tied up: locked for legs that were neither traded nor given up yet. Pure.

The clock of a leg runs from the moment in which its rollup has set the cash aside, where nobody else can have it, to the one in which the leg is
traded or given up. In a bundle that is from ``leg.staged``, behind the gate, to ``leg.executed`` or ``leg.reverted``; over the bridge the
same stages stand for the escrow's lock and its end. What is locked is the trader's cash in the smallest unit, 1e-6 USD.
"""

from dataclasses import dataclass

from bridge.wire.stages import Stage
from orchestrator.tracing.graph import MessageGraph

NO = ("no", False)
"""Values of ``vote`` of a leg that could not be locked."""


@dataclass(frozen=True, slots=True)
class Lock:
    """One leg's cash."""

    leg: int
    since_ns: int
    until_ns: int | None
    """None while it is locked."""
    amount: int | None
    """1e-6 USD; None where no journal states it."""

    @property
    def duration_ns(self) -> int | None:
        """How long; None while it is locked."""
        return None if self.until_ns is None else self.until_ns - self.since_ns


@dataclass(frozen=True, slots=True)
class Capital:
    """What a strategy tied up."""

    locks: tuple[Lock, ...]
    """By leg; legs that were never locked are not among them."""

    @property
    def amount(self) -> int | None:
        """All of it, 1e-6 USD; None unless every lock states its part."""
        amounts = [lock.amount for lock in self.locks]
        known = [amount for amount in amounts if amount is not None]
        return sum(known) if known and len(known) == len(amounts) else None

    @property
    def locked_ns(self) -> int | None:
        """From the first lock to the end of the last; None while any of it is locked, or none ever was."""
        ends = [lock.until_ns for lock in self.locks if lock.until_ns is not None]
        if not ends or len(ends) < len(self.locks):
            return None
        return max(ends) - min(lock.since_ns for lock in self.locks)

    @property
    def cash_ns(self) -> int | None:
        """Cash times time, 1e-6 USD x nanoseconds; None unless all of it is known and free again."""
        parts = [
            lock.amount * lock.duration_ns
            for lock in self.locks
            if lock.amount is not None and lock.duration_ns is not None
        ]
        return sum(parts) if parts and len(parts) == len(self.locks) else None


def capital_of(built: MessageGraph) -> Capital:
    """What one bundle or strategy tied up."""
    locks = []
    for (stage, leg), staged in sorted(built.first.items(), key=lambda item: (item[0][1], item[0][0])):
        if stage != Stage.LEG_STAGED or staged.attrs.get("vote") in NO:
            continue
        ends = [built.first.get((end, leg)) for end in (Stage.LEG_EXECUTED, Stage.LEG_REVERTED)]
        until = min((end.mono_ns for end in ends if end is not None), default=None)
        amount = staged.attrs.get("amount")
        locks.append(Lock(leg, staged.mono_ns, until, amount if isinstance(amount, int) else None))
    return Capital(tuple(locks))
