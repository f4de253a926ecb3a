"""What stops or delays a rollup node, by the reaction it asks for.

::

    NodeError
    ├── EngineFailed     the engine did not do what it was told: restart it and replay
    ├── Diverged         a block that was committed here is another now: stop, a human must look
    ├── StaleTerm        the caller is a deposed sequencer: refuse it
    └── NotNext          the request does not build on this node's head: follow the log first
"""


class NodeError(Exception):
    """Base of this package's errors."""


class EngineFailed(NodeError):  # noqa: N818 - states what happened
    """The engine is gone, does not answer, or mined something other than it was given."""


class Diverged(NodeError):  # noqa: N818 - states what happened
    """Executing a payload again gave another block than the one that this node had committed, and stored."""


class StaleTerm(NodeError):  # noqa: N818 - states what happened
    """A request of a term that has been superseded."""


class NotNext(NodeError):  # noqa: N818 - states what happened
    """A request for a block that is not the child of this node's head."""
