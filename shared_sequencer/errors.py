"""What stops the sequencer, by the reaction it asks for.

::

    SequencerError
    ├── WalDamaged      the log is broken before its end: stop, a human must look
    ├── WalFailed       the disk refused a write or an fsync: stop, nothing more may be acknowledged
    ├── WalLocked       another sequencer owns this log: stop
    ├── CutNeeded       L1 contradicts the log, which was cut: begin again from it
    └── RollupDown      a rollup node does not take part: go on without it
"""


class SequencerError(Exception):
    """Base of this package's errors."""


class WalDamaged(SequencerError):  # noqa: N818 - states what happened
    """A record before the end of the log does not have its checksum."""


class WalFailed(SequencerError):  # noqa: N818 - states what happened
    """A write or fsync failed; what it should have made durable may or may not be."""


class WalLocked(SequencerError):  # noqa: N818 - states what happened
    """Another process holds the log."""


class CutNeeded(SequencerError):  # noqa: N818 - states what happened
    """Decided slots no longer stand; the log says so from now on."""


class RollupDown(SequencerError):  # noqa: N818 - states what happened
    """A rollup node is unreachable, behind, or refuses."""
