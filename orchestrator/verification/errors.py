"""Errors of verification, by the reaction they ask for.

::

    RollnetError
    └── CannotVerify        nothing was shown, neither right nor wrong: read the message, then verify again
        └── Moved           L1 was reorganised meanwhile: verify again
"""

from orchestrator.errors import RollnetError


class CannotVerify(RollnetError):  # noqa: N818 - states what is so
    """A verification could not be done to its end."""

    exit_code = 2


class Moved(CannotVerify):
    """What was read does not belong to one L1 chain."""
