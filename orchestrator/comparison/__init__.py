"""The same strategies over the shared sequencer and over the L1 bridge: what each way takes, costs and ties up.

::

    work ─► two runs, one after the other ─► journals ─► Recorded x2 ─► build ─► Comparison ─┬─► tables ─┬─► terminal
    (running, work, watch)                                                ▲                  │           └─► markdown
                                                        waits, what the ──┘                  ├─► html (drawing ◄─ the two critical paths)
                                                        topology imposes                     └─► to_json

``running``, ``work`` and ``watch`` deal with devnets, ``write`` with the disk; all else is pure.
"""

from orchestrator.comparison.build import Recorded, SentMessage, build_comparison
from orchestrator.comparison.model import Comparison, Standing
from orchestrator.comparison.terminal import print_comparison
from orchestrator.comparison.to_json import comparison_to_json
from orchestrator.comparison.write import write_comparison

__all__ = [
    "Comparison",
    "Recorded",
    "SentMessage",
    "Standing",
    "build_comparison",
    "comparison_to_json",
    "print_comparison",
    "write_comparison",
]
