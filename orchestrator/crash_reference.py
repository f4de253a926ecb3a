"""The reference page of crash points, made from their table: ``python -m orchestrator.crash_reference`` writes it."""

from itertools import groupby
from pathlib import Path

from bridge.wire.crash_points import CRASH_FILE, CRASH_POINTS, CRASH_VARIABLE, EXIT_CRASHED, CrashPoint

REFERENCE_FILE = Path("docs/reference/crash-points.md")
"""From the root of the repository."""

_HEAD = f"""# Crash points

Generated from `bridge/wire/crash_table.py` and the rows beside it; don't edit it by hand.

Places in the code of nodes between two steps that outlive the process. A node of a devnet that was launched for chaos can be told to end
there on the spot, with exit code {EXIT_CRASHED} and no clean-up, as `SIGKILL` would end it. It says where in the last line of its log.

| ordered by | takes effect |
|---|---|
| `rollnet_crashAt(point, count)`, `NodeHandle.crash_at(point, count)` | at the `count`-th passage from then on |
| the file `{CRASH_FILE}` in the node's data folder: `point` or `point:count` | in the node's next life, once: for points that are passed at boot |
| `{CRASH_VARIABLE}=point[:count]` in the node's environment | in its first life that comes so far, once |

After every crash, once the node is back, and whatever the table says beside it:

- no bundle has effect on some of its rollups and not on the others;
- whatever was acknowledged ends, as `committed`, `aborted` or `expired`;
- no transaction takes effect twice;
- the sequencer goes on deciding.

`tests/chaos/test_crash_points.py` crashes a real node at every row and judges these four by the chains' own receipts. What only a machine's
death takes away (bytes that were written and not synced) no row shows: they survive the process. The simulation (`orchestrator/simulation`)
has a disk that forgets them.

P0 to P8 are the rows of the crash matrix of a bundle, from before any rollup has staged it to a sequencer that never comes back.
"""


def crash_points_page() -> str:
    """The page, in Markdown."""
    parts = [_HEAD]
    for (roles, engine), points in groupby(
        CRASH_POINTS.values(), key=lambda point: (point.roles, point.engine)
    ):
        title = f"Nodes of role {' and '.join(roles)}" + (f", engine {engine}" if engine else "")
        parts.append(_section(title, list(points)))
    return "\n".join(parts)


def _section(title: str, points: list[CrashPoint]) -> str:
    lines = [f"## {title}", ""]
    lines += ["| point | passed | between | and | then |", "|---|---|---|---|---|"]
    lines += [f"| `{p.name}` | {p.when} | {p.after} | {p.before} | {p.holds} |" for p in points]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the page."""
    (Path(__file__).parents[1] / REFERENCE_FILE).write_text(crash_points_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
