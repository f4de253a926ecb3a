"""Which accounts are below maintenance margin: all that are in the world, found with numpy, exactly as ``margins`` says of each.

::

    accounts ─► Holdings (kept; rows of those that changed are read again) ─► scan, once for each mode ─► who is short, and of what share
                                                                            └─► the rule: locked legs, dues, cash past 64 bits

A block in which marks move looks at everybody.
"""

import numpy as np

from rollup_node.engines.options.risk.scan import missing, scan
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.holdings import MODES, RULE, holdings
from rollup_node.engines.options.transition.margins import margin_of


def below_maintenance(world: World, context: Context) -> list[tuple[int, int]]:
    """Every account that is to be liquidated and isn't flagged yet, with the parts per million of its margin that it misses."""
    table, numbers = holdings(world), list(world.accounts)
    risks = [context.risks[series] for series in table.series.tolist()]
    found: list[tuple[int, int]] = []
    for kind, mode in MODES.items():
        rows = np.flatnonzero(table.kinds == kind)
        if rows.size:
            figures = scan(table.cash[rows], table.quantities[rows], risks, mode)
            found += [(numbers[rows[row]], share) for row, share in figures.short_of()]
    for row in np.flatnonzero(table.kinds == RULE).tolist():
        margin = margin_of(world, context, numbers[row])
        if margin.liquidatable:
            found.append((numbers[row], missing(margin.equity, margin.maintenance)))
    return found
