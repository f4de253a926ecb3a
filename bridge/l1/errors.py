"""Errors of reading L1 and of writing to it.

::

    L1Error
    ├── L1Moved              L1 was reorganised, or is shorter than asked: read again
    ├── SealerFailed         the child that proves blobs broke down: call again
    ├── DatabaseUnusable     a node's own file: the user mends it
    └── NotDone              a transaction did not do its work
        ├── WouldRevert      nothing was sent and nothing paid: read the reason
        ├── Unaffordable     nothing was sent: fund the account
        ├── Reverted         it was mined, paid for, and had no effect
        └── Displaced        its nonce went to something else: look at L1, and send it again if it is still wanted
"""


class L1Error(Exception):
    """Base of what goes wrong with L1 itself; a missing answer is :class:`bridge.wire.errors.PeerUnreachable`."""


class L1Moved(L1Error):  # noqa: N818 - names what L1 did
    """What was read does not fit together any more."""


class DatabaseUnusable(L1Error):  # noqa: N818 - names the state of the file
    """A node's file is locked, damaged or not its own."""


class NotDone(L1Error):  # noqa: N818 - names what became of the transaction
    """A transaction did not do its work."""


class WouldRevert(NotDone):
    """L1 says that the transaction would revert; it was not sent."""


class Unaffordable(NotDone):
    """The account can't pay for the transaction; it was not sent."""


class Reverted(NotDone):
    """The transaction was mined and reverted."""


class Displaced(NotDone):
    """Another transaction took the nonce."""


class SealerFailed(L1Error):  # noqa: N818 - as above
    """The child process broke down; the next call starts another."""
