"""Errors of a Docker engine, by the reaction they ask for, and how its answers become them.

::

    DevnetError
    └── EngineError                 the engine said no, in its own words
        ├── EngineUnreachableError  start it, or get permission; or choose the process runtime
        ├── EngineUnfitError        another engine, or another way to it: too old, or its ports are out of reach
        ├── ImageError              build the image, or mend what it is built from
        ├── NameConflictError       something that is not ours has the name
        ├── HeldByStrangersError    somebody else's container holds what is ours; its owner has to let go
        ├── AddressPoolError        networks have to go before another one fits
        ├── PortTakenError          somebody listens there
        └── DiskFullError           make room where the engine keeps its files
"""

from orchestrator.runtimes.errors import DevnetError


class EngineError(DevnetError):
    """A Docker engine refused, or failed at, what was asked of it."""


class EngineUnreachableError(EngineError):
    """No engine answers, or it does not answer this user."""


class EngineUnfitError(EngineError):
    """An engine answers that nodes can't run on."""


class ImageError(EngineError):
    """There is no image, or it can't be built."""

    exit_code = 2


class NameConflictError(EngineError):
    """Something of somebody else has a name that we need; it is left alone."""


class HeldByStrangersError(EngineError):
    """A container of somebody else is on a network of ours, or has a volume of ours; it is left alone, and so is that."""


class AddressPoolError(EngineError):
    """The engine has no address range left for another network."""


class PortTakenError(EngineError):
    """A port of this host that was to be published is in use."""


class DiskFullError(EngineError):
    """The engine has no room left."""


_KNOWN: tuple[tuple[tuple[str, ...], type[EngineError], str], ...] = (
    (
        ("no space left on device", "disk quota exceeded"),
        DiskFullError,
        "make room: `docker system df` shows what takes it, `rollnet image prune` removes old images of ours",
    ),
    (
        ("fully subnetted", "non-overlapping ipv4 address pool"),
        AddressPoolError,
        "each devnet takes two networks: take one down, `rollnet gc`, or remove unused ones: docker network prune",
    ),
    (
        ("port is already allocated", "address already in use"),
        PortTakenError,
        "try again: ports are chosen anew",
    ),
    (
        ("is already in use by container", "network with name"),
        NameConflictError,
        "it is not this devnet's, so it was left alone; remove or rename it",
    ),
    (
        ("no such container",),
        EngineError,
        "somebody else has removed it; take the devnet down and up again to have it back",
    ),
    (("no such image", "pull access denied"), ImageError, "build it: rollnet image build"),
)


def from_answer(what: str, explanation: str) -> EngineError:
    """What an engine's refusal means.

    Args:
        what: what was asked, such as ``start alpha``.
        explanation: the engine's own words.
    """
    words = explanation.lower()
    for signs, kind, hint in _KNOWN:
        if any(sign in words for sign in signs):
            return kind(f"can't {what}: {explanation}", hint)
    return EngineError(f"can't {what}: {explanation}", "the engine's own log may say more")
