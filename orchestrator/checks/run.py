"""Every checker over one run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.checks import (
    agreement,
    at_most_once,
    atomicity,
    conservation,
    coverage,
    finality,
    liveness,
    no_ghosts,
    no_loss,
    order,
    serialisable,
    strategy,
)
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.verdict import CheckResult, guarded
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
    asked: Callable[[RunFacts], bool] = lambda _: True
    """Whether the question makes sense for a run."""


def _has_strategies(facts: RunFacts) -> bool:
    return any(leg.trade for one in facts.operations for leg in one.legs) or any(
        event.name == "Trade" for where in facts.placed.values() for event in where[0].transaction.events
    )


def _has_faults(facts: RunFacts) -> bool:
    return bool(facts.windows)


def _is_rebuilt(facts: RunFacts) -> bool:
    return facts.rebuilt is not None


CHECKERS: tuple[Checker, ...] = (
    Checker(conservation.NAME, conservation.OF_WHAT, conservation.check),
    Checker(no_ghosts.NAME, no_ghosts.OF_WHAT, no_ghosts.check),
    Checker(at_most_once.NAME, at_most_once.OF_WHAT, at_most_once.check),
    Checker(no_loss.NAME, no_loss.OF_WHAT, no_loss.check),
    Checker(atomicity.NAME, atomicity.OF_WHAT, atomicity.check),
    Checker(order.NAME, order.OF_WHAT, order.check),
    Checker(agreement.NAME, agreement.OF_WHAT, agreement.check),
    Checker(agreement.REPLAY, agreement.REPLAYED, agreement.check_replay, _is_rebuilt),
    Checker(finality.NAME, finality.OF_WHAT, finality.check),
    Checker(strategy.NAME, strategy.OF_WHAT, strategy.check, _has_strategies),
    Checker(serialisable.NAME, serialisable.OF_WHAT, serialisable.check),
    Checker(liveness.DRAINED, "operations", liveness.drained),
    Checker(liveness.RECOVERY, "healed faults", liveness.recovery, _has_faults),
    Checker(liveness.BLAST_RADIUS, "looks", liveness.blast_radius, _has_faults),
    Checker(coverage.NAME, coverage.OF_WHAT, coverage.check),
)
"""In the order in which they are reported: safety, then liveness, then whether anything was seen at all."""


def check_run(facts: RunFacts, checkers: Sequence[Checker] = CHECKERS) -> tuple[CheckResult, ...]:
    """Ask every question that makes sense for a run. Pure.

    Args:
        facts: of the run.
        checkers: what to ask.
    """
    return tuple(guarded(one.name, one.of_what, one.check, facts) for one in checkers if one.asked(facts))


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
