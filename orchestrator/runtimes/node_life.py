"""What a managed node stands on: a place, which begins its lives one after the other."""

from collections.abc import Callable
from enum import StrEnum
from signal import Signals
from typing import Protocol

from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.logfile import CappedLog


class Change(StrEnum):
    """What happens to a life, for those who confirm it."""

    START = "start"
    FREEZE = "freeze"
    THAW = "thaw"
    END = "end"


class NodeLife(Protocol):
    """One life of a node."""

    @property
    def pid(self) -> int | None:
        """Process id on this host, if there is one to know."""
        ...

    @property
    def paused(self) -> bool:
        """Whether it is frozen."""
        ...

    @property
    def asked(self) -> NodeState | None:
        """How it was told to end, ``STOPPED`` or ``KILLED``; ``None`` as long as nobody has."""
        ...

    @property
    def exit_code(self) -> int | None:
        """With which it ended by itself."""
        ...

    @property
    def exit_signal(self) -> str | None:
        """Name of the signal that ended it."""
        ...

    @property
    def over(self) -> bool:
        """Whether it has ended and was taken note of."""
        ...

    async def begun(self) -> None:
        """Wait until it runs.

        Raises:
            NodeStartError: it can't be run.
        """
        ...

    def ask(self, how: NodeState, number: Signals) -> None:
        """Send a signal that is meant to end the node, and thaw it; a death that came before stays unexpected."""
        ...

    async def freeze(self) -> None:
        """Return when nothing of it runs, or when it is over."""
        ...

    async def thaw(self) -> None:
        """Let it run again."""
        ...

    async def ended(self) -> None:
        """Wait for the end of the node itself."""
        ...

    async def witnessed(self, change: Change) -> str | None:
        """Who else has seen that the last change was this one, in words; ``None`` if nobody has within reason."""
        ...

    async def gone(self) -> None:
        """Wait until nothing of it is left, so that its ports and files are free.

        Raises:
            NodeStuckError: it takes too long.
        """
        ...


class Place(Protocol):
    """Where one node runs."""

    @property
    def container_name(self) -> str | None:
        """Name of its container; ``None`` where it is a process group."""
        ...

    def address(self, port: str) -> str | None:
        """Address of an endpoint from this host; ``None`` if the node has none of this name that is reached from here."""
        ...

    def begin(self, log: CappedLog, on_end: Callable[[], None]) -> NodeLife:
        """Begin a life; called in the event loop, and must not wait.

        Args:
            log: where the node's output goes.
            on_end: called once when that life has ended.

        Raises:
            NodeStartError: it can't be run.
        """
        ...
