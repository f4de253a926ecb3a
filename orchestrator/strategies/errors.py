"""Errors of the strategies package, by the reaction they ask for.

::

    RollnetError
    └── StrategyError
        ├── StrategyDocumentError    mend the YAML: every problem is listed with its line
        ├── PresetError              mend the parameters, or list more strikes
        ├── ResolutionError          the market doesn't offer what the strategy asks for
        └── ReceiptError             the chain's answer isn't that of a market leg
"""

from collections.abc import Iterable

from orchestrator.errors import RollnetError
from orchestrator.topology.errors import Problem


class StrategyError(RollnetError):
    """A strategy is wrong in itself or can't be run here."""

    exit_code = 2


class StrategyDocumentError(StrategyError):
    """A strategy file is wrong; carries all problems at once, in the order of the file."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(map(str, self.problems)))


class PresetError(StrategyError):
    """A preset's parameters don't fit it, or the market doesn't list enough strikes."""


class ResolutionError(StrategyError):
    """The market on a rollup doesn't offer what a leg asks for."""


class ReceiptError(StrategyError):
    """A leg's receipt lacks the trade that the leg must have made."""

    exit_code = 1
