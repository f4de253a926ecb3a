"""What can go wrong with a scenario before it runs; what goes wrong while it runs is its verdict.

::

    RollnetError
    ├── InvalidTopology
    │   └── InvalidScenario        the user mends the file; exit code 3: nothing was started
    └── NotStarted                 the devnet did not come up; exit code 3

A run that breaks down in its middle is no error but a finding: its verdict is unknown. Exit codes of ``rollnet chaos run``: 0 valid, 1 invalid, 2 unknown, 3 could not start. So a mistake in the file is not 2, as with
other commands, because 2 is a verdict here.
"""

from typing import ClassVar

from orchestrator.errors import RollnetError
from orchestrator.topology.errors import InvalidTopology

COULD_NOT_START = 3


class InvalidScenario(InvalidTopology):
    """The scenario can't be used; ``problems`` says everything that is wrong with it, in the order of the file."""

    exit_code: ClassVar[int] = COULD_NOT_START


class NotStarted(RollnetError):  # noqa: N818 - named for what happened
    """The devnet of a scenario did not come up."""

    exit_code: ClassVar[int] = COULD_NOT_START
