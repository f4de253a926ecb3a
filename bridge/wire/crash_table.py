"""Every crash point: who passes it, between which two steps it lies, and what must hold once the node is back.

One table of text, because it is read more than it is run, in a file for each kind of node (``crash_rows_…``).
``docs/reference/crash-points.md`` is made from it, ``rollnet chaos points`` prints it, and ``tests/chaos`` crashes a real node at each
row. A step is what outlives the process: bytes in a file, lines of the journal, messages that have left.

Each row is three lines, and a blank one: name, place in the code, when it is passed; what was done and stays ``->`` what would have been
done next; what must hold afterwards, beside what always must: no partial bundle, nothing acknowledged lost, nothing done twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.wire.crash_rows_relayer import ACCOUNT, RELAYER
from bridge.wire.crash_rows_rollup import EVM, OPTIONS, ROLLUP
from bridge.wire.crash_rows_sequencer import PUBLISHER, SEQUENCER


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One place where a node can be made to die."""

    name: str
    roles: tuple[str, ...]
    """Of the nodes that pass it."""
    engine: str
    """Of the rollups whose nodes pass it, ``evm`` or ``options``; empty where that makes no difference."""
    place: str
    """Module and function."""
    when: str
    """When it is passed."""
    after: str
    """What was done, and stays."""
    before: str
    """What would have been done next."""
    holds: str
    """What must be true after the node is back."""

    def is_passed_by(self, role: str, engine: str) -> bool:
        """Whether a node ever comes here.

        Args:
            role: of the node.
            engine: of its rollup; empty for a node of another role.
        """
        return role in self.roles and self.engine in ("", engine)

    @property
    def passed_by(self) -> str:
        """The nodes that come here, in words: ``rollup and relayer``, ``options rollup``."""
        return f"{self.engine} {' and '.join(self.roles)}".strip()


def _rows(text: str, *roles: str, engine: str = "") -> Iterator[CrashPoint]:
    for row in text.strip().split("\n\n"):
        title, steps, holds = row.splitlines()
        name, place, when = title.split(" | ")
        after, before = steps.strip().split(" -> ")
        yield CrashPoint(name, roles, engine, place, when, after, before, holds.strip())


CRASH_POINTS: Mapping[str, CrashPoint] = MappingProxyType(
    {
        point.name: point
        for point in (
            *_rows(SEQUENCER, "sequencer"),
            *_rows(PUBLISHER, "sequencer"),
            *_rows(ROLLUP, "rollup"),
            *_rows(EVM, "rollup", engine="evm"),
            *_rows(OPTIONS, "rollup", engine="options"),
            *_rows(ACCOUNT, "rollup", "relayer"),
            *_rows(RELAYER, "relayer"),
        )
    }
)
"""By name; in the order of a node's work."""
