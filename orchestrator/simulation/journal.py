"""A journal that says nothing: names of events are all that nodes need of it."""

from collections.abc import Sequence
from typing import Any

from bridge.wire.journal import Journal


class SilentJournal(Journal):
    """Gives events their names and forgets them.

    Args:
        node: name of the node.
        boot: which life of it.
    """

    def __init__(self, node: str, boot: int) -> None:
        self._node, self._boot, self._seq = node, format(boot, "x"), 0

    def emit(
        self,
        event: str,  # noqa: ARG002 - as the journal has it
        *,
        reserved: str | None = None,
        bundle_id: str | None = None,  # noqa: ARG002 - as above
        msg_id: str | None = None,  # noqa: ARG002 - as above
        leg: int | None = None,  # noqa: ARG002 - as above
        cause: Sequence[str] = (),  # noqa: ARG002 - as above
        at_ns: int | None = None,  # noqa: ARG002 - as above
        **attrs: Any,  # noqa: ARG002 - as above
    ) -> str:
        """The event's name."""
        return reserved or self.reserve()

    def close(self) -> None:
        """Nothing to close."""
