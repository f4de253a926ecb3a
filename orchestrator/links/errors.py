"""What can go wrong with faults on links.

::

    RollnetError
    └── LinkError
        ├── InvalidLinkFault    the fault contradicts itself: mend it
        ├── NoSuchLink          no link is meant: mend source or target
        ├── NoSuchLinkFault     no fault has this name
        ├── LinkFaultTaken      a fault of this name is there already: heal it first, or choose another name
        └── LinksUnreachable    the proxy does not answer
"""

from orchestrator.errors import RollnetError


class LinkError(RollnetError):
    """Anything about links."""


class InvalidLinkFault(LinkError):  # noqa: N818 - states what happened
    """The fault contradicts itself."""

    exit_code = 2


class NoSuchLink(LinkError):  # noqa: N818 - states what happened
    """No link is meant by the fault's source and target."""

    exit_code = 2


class NoSuchLinkFault(LinkError):  # noqa: N818 - states what happened
    """No fault has this name."""


class LinkFaultTaken(LinkError):  # noqa: N818 - states what happened
    """A fault of this name is on its links already."""


class LinksUnreachable(LinkError):  # noqa: N818 - states what happened
    """The proxy does not answer."""
