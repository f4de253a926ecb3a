"""What can go wrong when journals are read back; all of it is mended by the user's input, never by a retry.

::

    RollnetError
    └── TracingError                   exit status 2
        ├── NoJournalError             the run directory holds no journal: wrong path, or nothing was started in it
        ├── UnknownMessageError        no message has this hash: mistyped, or not submitted yet
        └── AmbiguousMessageError      the prefix fits several messages: give more digits

A torn or lost journal line is no error: killed nodes leave them, so they are counted and shown in the report.
"""

from typing import ClassVar

from orchestrator.errors import RollnetError


class TracingError(RollnetError):
    """The journals can't answer what was asked."""

    exit_code: ClassVar[int] = 2


class NoJournalError(TracingError):
    """The directory is no run directory, or nothing was started in it yet."""


class UnknownMessageError(TracingError):
    """No journal of the run mentions this hash."""


class AmbiguousMessageError(TracingError):
    """The hash prefix is too short to name one message."""
