"""How checkers speak of what they found: short names and times that a reader can find again. Pure."""

from orchestrator.checks.facts import Placed, RunFacts
from orchestrator.load.history import Operation

SHORT = 10
"""Characters of a hash that tell it apart in one run."""


def short(digest: str) -> str:
    """The beginning of a hash."""
    return digest if len(digest) <= SHORT + 2 else digest[:SHORT] + "…"


def when(facts: RunFacts, moment_ns: int) -> str:
    """A moment, in seconds since the run's first fact."""
    return f"{(moment_ns - facts.zero_ns) / 1e9:.3f} s"


def operation(facts: RunFacts, one: Operation) -> str:
    """One operation and what its client knows."""
    said = "acknowledged" if one.acknowledged else "not acknowledged"
    end = f"{one.result} {one.outcome}".strip()
    end = f"{end}, without an end" if one.ended_ns is None else f"{end} at {when(facts, one.ended_ns)}"
    why = f" ({one.reason})" if one.reason else ""
    return (
        f"{one.kind} {short(one.id)}, operation {one.op}: sent at {when(facts, one.invoked_ns)}, {said}, "
        f"{end}{why}"
    )


def event_of(one: Operation) -> str:
    """The id under which a counter-example names an operation."""
    return f"history/{one.op}"


def place(found: Placed) -> str:
    """Where a transaction is."""
    fate = "succeeded" if found.transaction.ok else "reverted"
    within = f" in bundle {short(found.transaction.bundle)}" if found.transaction.bundle else ""
    return f"{found.rollup} block {found.block}: transaction {short(found.transaction.hash)} {fate}{within}"
