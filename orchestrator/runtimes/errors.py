"""Errors of the runtimes, by the reaction they ask for.

::

    RollnetError
    └── DevnetError
        ├── UnsupportedError        use another runtime, or leave the fault out
        ├── ChoiceError             mend $ROLLNET_RUNTIME
        ├── HostRefusedError        this host said no: a disk, a folder, a limit; the message says which
        ├── UnknownNodeError        mend the name
        ├── PlanError               mend the specs: placeholders, dependencies, ports
        ├── BadFaultError           mend the fault: its kind, or its numbers
        ├── FaultInForceError       heal the one that is in force first
        ├── FaultFailedError        it could not be applied; the message says what was in the way
        ├── NodeStateError          the node is in no state for this; look at its status
        ├── NodeStartError          read the node's log
        │   ├── NodeExitedError     it ended before it was ready
        │   └── NodeNotReadyError   it runs, but has not answered in time
        ├── NodeStuckError          the kernel has not done what was asked in time
        ├── NoPortError             take devnets down, or let the system have more ports or descriptors
        ├── NameTakenError          choose another name, or take the other devnet down
        ├── DevnetGoneError         nothing answers; sweep with ``rollnet gc``
        ├── RefusedError            the devnet said no; the message says why
        └── SupervisorError         the background process failed; read its log
"""

import difflib
import errno
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.errors import RollnetError


class DevnetError(RollnetError):
    """Anything that goes wrong with running nodes."""


class UnsupportedError(DevnetError):
    """The runtime, or this machine, can't do what was asked."""


class ChoiceError(DevnetError):
    """The environment asks for a runtime that there is not."""

    exit_code = 2


class HostRefusedError(DevnetError):
    """This host refused what every devnet needs, such as a file or a process.

    Args:
        what: was to be done.
        refusal: in the system's words.
        state: where files were to go.
    """

    def __init__(self, what: str, refusal: OSError, state: Path) -> None:
        named = f": {refusal.filename}" if refusal.filename else ""
        place = f"{state}, or choose another place: ROLLNET_HOME=…"
        hints = {
            errno.ENOSPC: f"make room in {place}",
            errno.EDQUOT: f"make room in {place}",
            errno.EMFILE: "let this process open more files: ulimit -n 4096",
            errno.ENFILE: "this machine has too many files open",
            errno.EAGAIN: "this user has too many processes: ulimit -u",
            errno.ENOMEM: "this machine has too little memory left",
        }
        hint = hints.get(refusal.errno or 0, f"see whether you may write {place}")
        super().__init__(f"can't {what}: {refusal.strerror or refusal}{named}", hint)


class UnknownNodeError(DevnetError):
    """No node has this name."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the nodes are: {', '.join(names) or 'none'}"
        super().__init__(f"no node is called {name!r}", hint)


class PlanError(DevnetError):
    """The specs contradict themselves."""

    exit_code = 2


class BadFaultError(DevnetError):
    """What was to be injected is no fault, or its numbers make no sense."""


class FaultInForceError(DevnetError):
    """Another fault is in force where this one was to be."""


class FaultFailedError(DevnetError):
    """A fault could be neither applied nor undone: the means failed, not the aim."""


class NodeStateError(DevnetError):
    """The node is in no state in which this can be done."""


class NodeStartError(DevnetError):
    """A node did not come up.

    Args:
        node: its name.
        message: what happened.
        last_lines: the end of its log.
        hint: what to do next.
    """

    def __init__(self, node: str, message: str, last_lines: Sequence[str] = (), hint: str = "") -> None:
        log = "".join(f"\n  | {line}" for line in last_lines or ("(its log is empty)",))
        super().__init__(f"{node}: {message}{log}", hint)
        self.node = node
        self.last_lines = tuple(last_lines)


class NodeExitedError(NodeStartError):
    """The node ended before it was ready."""


class NodeNotReadyError(NodeStartError):
    """The node runs, but has not answered its readiness request in time."""


class NodeStuckError(DevnetError):
    """The kernel has not done what was asked in time, such as ending a process that waits for a disk."""


class NoPortError(DevnetError):
    """The system has no port, or no descriptor, left for a node."""


class NameTakenError(DevnetError):
    """Another devnet of this name runs."""


class DevnetGoneError(DevnetError):
    """No devnet answers under this name or address."""


class RefusedError(DevnetError):
    """The devnet answered with an error.

    Args:
        kind: class name of the error over there, such as ``UnknownNodeError``.
        message: what happened.
        hint: what to do next.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


class SupervisorError(DevnetError):
    """The background process of a devnet did not come up.

    Args:
        message: its own words, or the end of its log.
        hint: what to do next.
        reported_exit_code: exit code of the error that it reported, for the command line to exit with.
    """

    def __init__(self, message: str, hint: str = "", reported_exit_code: int = 1) -> None:
        super().__init__(message, hint)
        self.reported_exit_code = reported_exit_code
