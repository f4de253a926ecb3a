"""What a run of a scenario found: the verdict, and what it rests on. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.chaos.nemesis import Struck
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.checks import EXIT_CODES, CheckResult, CounterExample, RunFacts, Verdict, worst
from orchestrator.checks.verdict import judged


@dataclass(frozen=True)
class Findings:
    """One run."""

    plan: ScenarioPlan
    mutant: str
    """How the nodes were broken on purpose; empty for real ones."""
    directory: Path
    checks: tuple[CheckResult, ...]
    """Steady state and faults first, then the checkers."""
    struck: tuple[Struck, ...]
    """What came of each fault, in the order of the file; none if the devnet was never steady."""
    facts: RunFacts
    warnings: tuple[str, ...] = ()
    """What went wrong once there was a verdict; it changes nothing about it."""

    @property
    def verdict(self) -> Verdict:
        """The worst that any checker says."""
        return worst(check.verdict for check in self.checks)

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]

    @property
    def because(self) -> tuple[CheckResult, ...]:
        """The checks that the verdict comes from; none if it is valid."""
        if self.verdict is Verdict.VALID:
            return ()
        return tuple(check for check in self.checks if check.verdict is self.verdict)


def own_checks(plan: ScenarioPlan, struck: Sequence[Struck], unsteady: str) -> tuple[CheckResult, ...]:
    """What comes before any checker: whether the devnet was steady, and whether each fault bit and was healed.

    Args:
        plan: of the scenario.
        struck: what came of its faults.
        unsteady: why the devnet was not steady; empty if it was.
    """
    steady = judged(
        "steady state", 1 + len(plan.devnet.rollups), "chains", unknown=[unsteady] if unsteady else []
    )
    return steady, _faults(struck)


def backlog_check(struck: Sequence[Struck], left: Sequence[str], wrong: str = "") -> CheckResult:
    """Whether what waited while things were broken had its end in time afterwards.

    Args:
        struck: what came of the faults.
        left: what was still waiting when the scenario's patience was over, as lines.
        wrong: why nobody waited for as long as the scenario says; empty if somebody did.
    """
    found = [CounterExample(tuple(left))] if left else []
    doubts = [f"nobody waited for it: {wrong}"] if wrong and not left else []
    return judged("backlog", len(struck), "faults", found, unknown=doubts)


def broken_check(said: str, trouble: Path) -> CheckResult:
    """A run that broke down in its middle: nobody knows."""
    return judged("the run", 0, "stages", unknown=[f"the run broke down: {said}", f"see {trouble}"])


def lost_check(plan: ScenarioPlan, lost: Sequence[str], stuck: Sequence[str] = ()) -> tuple[CheckResult, ...]:
    """Whether every node that a fault struck came back in the end; nothing if none was to.

    Args:
        plan: of the scenario.
        lost: those that did not, as lines.
        stuck: what else could not be undone, as lines: no fault of the devnet, and what it shows from then on means little.
    """
    struck = {node for fault in plan.faults for node in fault.targets}
    if not struck and not stuck:
        return ()
    found = [CounterExample(tuple(lost))] if lost else []
    return (judged("nodes came back", len(struck), "nodes", found, unknown=stuck),)


def _faults(struck: Sequence[Struck]) -> CheckResult:
    missed = [f"{one.fault.name}: {one.bite.evidence}" for one in struck if not one.bite.bit]
    stuck = [
        f"{one.fault.name} was not healed: {one.healing.evidence}" for one in struck if not one.healing.healed
    ]
    bit = [f"{one.fault.name}: {one.bite.evidence}" for one in struck if one.bite.bit]
    doubts = [*missed, *stuck]
    return judged(
        "faults bit", len(bit), f"of {len(struck)} faults", notes=[] if doubts else bit, unknown=doubts
    )
