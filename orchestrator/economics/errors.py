"""What can go wrong.

::

    RollnetError
    └── CannotBook     L1 moved while it was read: ask again
"""

from orchestrator.errors import RollnetError


class CannotBook(RollnetError):  # noqa: N818 - states what happened
    """There is no statement."""
