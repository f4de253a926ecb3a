"""What one run of the main job showed, and whether anything happened that must not."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from orchestrator.strategies.result import StrategyResult
from orchestrator.verification import Verification


@dataclass(frozen=True, slots=True)
class LegsOnChain:
    """What one acknowledged bundle came to, by the rollups' own receipts."""

    bundle: str
    decided: str
    """The sequencer's word: committed, aborted or expired; ``unknown`` if it has none."""
    executed: int
    """Legs with a successful receipt."""
    legs: int

    @property
    def whole(self) -> bool:
        """All legs or none, and as decided."""
        return self.executed == {"committed": self.legs, "aborted": 0, "expired": 0}.get(self.decided, -1)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the run showed."""

    committed: StrategyResult
    aborted: StrategyResult
    bundles: tuple[LegsOnChain, ...]
    in_flight_at_kill: int
    recovery_s: float
    rebuilt: Verification
    """Every rollup again, from L1 alone."""
    report: Path

    @property
    def violations(self) -> tuple[str, ...]:
        """Everything that must not happen and did."""
        found = [
            f"bundle {b.bundle}: decided {b.decided}, {b.executed} of {b.legs} legs on chain"
            for b in self.bundles
            if not b.whole
        ]
        if self.committed.outcome != "committed":
            found.append(
                f"the iron condor should have committed: {self.committed.outcome}, {self.committed.reason}"
            )
        if self.aborted.outcome != "aborted":
            found.append(f"the condor with a failing leg should have aborted: {self.aborted.outcome}")
        found += [
            f"{name} block {finding.block}: {finding.what} claimed {finding.claimed}, L1 gives {finding.derived}"
            for name, finding in self.rebuilt.findings
        ]
        return tuple(found)

    @property
    def counts(self) -> dict[str, int]:
        """Acknowledged bundles by outcome."""
        return dict(Counter(bundle.decided for bundle in self.bundles))
