"""Every checker over one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.checks import (
    agreement,
    at_most_once,
    atomicity,
    blast_radius,
    conservation,
    coverage,
    drained,
    finality,
    no_ghosts,
    no_loss,
    order,
    recovery,
    serialisable,
    settlement,
    strategy,
)
from orchestrator.checks.conduct import Conduct
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.verdict import CheckResult, guarded, judged
from orchestrator.errors import RollnetError
from orchestrator.verification import Moved, live_sources, stored_sources, verify
from orchestrator.verification.rebuild import Progress


@dataclass(frozen=True, slots=True)
class Checker:
    """One question to a run."""

    name: str
    of_what: str
    """What it counts."""
    check: Callable[[RunFacts], CheckResult]
    senseless: Callable[[RunFacts], str] = lambda _: ""
    """Why the question makes no sense for a run; empty if it does."""


def _without_strategies(facts: RunFacts) -> str:
    traded = any(leg.trade for one in facts.operations for leg in one.legs) or any(
        event.name == "Trade" for where in facts.placed.values() for event in where[0].transaction.events
    )
    return "" if traded else "nobody traded"


def _without_faults(facts: RunFacts) -> str:
    return "" if facts.windows else "there was no fault"


def _without_bystanders(facts: RunFacts) -> str:
    return _without_faults(facts) or ("" if facts.expected.bystanders else "every fault touches every node")


def _without_replay(facts: RunFacts) -> str:
    return "" if facts.rebuilt is not None else "nothing was to be rebuilt"


CHECKERS: tuple[Checker, ...] = (
    Checker(conservation.NAME, conservation.OF_WHAT, conservation.check),
    Checker(no_ghosts.NAME, no_ghosts.OF_WHAT, no_ghosts.check),
    Checker(at_most_once.NAME, at_most_once.OF_WHAT, at_most_once.check),
    Checker(no_loss.NAME, no_loss.OF_WHAT, no_loss.check),
    Checker(atomicity.NAME, atomicity.OF_WHAT, atomicity.check),
    Checker(order.NAME, order.OF_WHAT, order.check),
    Checker(agreement.NAME, agreement.OF_WHAT, agreement.check),
    Checker(agreement.REPLAY, agreement.REPLAYED, agreement.check_replay, _without_replay),
    Checker(finality.NAME, finality.OF_WHAT, finality.check),
    Checker(strategy.NAME, strategy.OF_WHAT, strategy.check, _without_strategies),
    Checker(serialisable.NAME, serialisable.OF_WHAT, serialisable.check),
    Checker(drained.NAME, drained.OF_WHAT, drained.check),
    Checker(settlement.NAME, settlement.OF_WHAT, settlement.check),
    Checker(recovery.NAME, recovery.OF_WHAT, recovery.check, _without_faults),
    Checker(blast_radius.NAME, blast_radius.OF_WHAT, blast_radius.check, _without_bystanders),
    Checker(coverage.NAME, coverage.OF_WHAT, coverage.check),
)
"""In the order in which they are reported: safety, then liveness, then whether anything was seen at all."""


def check_run(facts: RunFacts, checkers: Sequence[Checker] = CHECKERS) -> tuple[CheckResult, ...]:
    """Ask every question that the run is to answer and that makes sense for it. Pure.

    Of the given checkers those are asked that the run's expectations name, and coverage; what the run concluded of itself stands around them. A
    question that makes no sense is told: of one that the run names, nothing is known; of all others, coverage says why they were not asked.

    Args:
        facts: of the run.
        checkers: what may be asked.
    """
    conduct = facts.conduct or Conduct()
    if conduct.broken:
        return conduct.before
    named = facts.expected.checkers
    results: list[CheckResult] = []
    unasked: list[str] = []
    for one in checkers:
        if named is not None and one.name not in (*named, coverage.NAME):
            continue
        why = one.senseless(facts)
        if why and (named is None or one.name == agreement.REPLAY):
            unasked.append(f"{one.name} was not asked: {why}")
        elif why:
            results.append(judged(one.name, 0, one.of_what, unknown=[f"it can't be asked: {why}"]))
        else:
            results.append(guarded(one.name, one.of_what, one.check, facts))
    told = [
        replace(one, notes=(*one.notes, *unasked)) if one.name == coverage.NAME else one for one in results
    ]
    return (*conduct.before, *told, *conduct.after)


async def rebuilt(
    facts: RunFacts, run_dir: Path, *, live: bool = False, progress: Progress | None = None
) -> RunFacts:
    """The facts, with every rollup rebuilt from L1 (:attr:`RunFacts.rebuilt`): the one thing that takes engines and seconds.

    Args:
        facts: of the run.
        run_dir: its directory.
        live: whether its devnet runs: then its L1 and its nodes are asked.
        progress: told of the L1 blocks read and of how many there are.
    """
    try:
        async with live_sources(run_dir) if live else stored_sources(run_dir) as sources:
            return replace(facts, rebuilt=await verify(sources, progress))
    except Moved as exc:
        return replace(facts, rebuilt=f"L1 moved meanwhile: {exc.message}")
    except RollnetError as exc:
        return replace(facts, rebuilt=exc.message)
    except Exception as exc:
        return replace(facts, rebuilt=f"the rebuild broke down: {exc!r}")
