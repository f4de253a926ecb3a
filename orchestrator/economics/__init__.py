"""The sequencer's profit and loss: what each rollup has earned in fees, what it has cost on L1, and who made up the difference.

::

    rollups: fee vaults, options_getFees ─► Earned ┐
                                                   ├─► book ─► Statement ─┬─► terminal (orchestrator.cli.economics)
    L1: payers' transactions, receipts ─► Paid ────┘                      └─► to_json
            │ superbatch ─► weights ─► split

``reading`` deals with a running devnet; all else is pure.

Decided here, and nowhere else:

- *Cost* is what L1's receipts say the batcher and the proposers have paid: gas used times effective price, blob gas likewise, failed
  transactions too. A superbatch's is split over its rollups by the bytes that each has in it before compression; a proposal's is its
  rollup's own. The relayer's, the challenger's and the deployer's gas is no cost of sequencing.
- *Units*: ether is worth the topology's ``market.spot``; an options rollup earns dollars as it is. A devnet without a market is booked in ether.
- *Subsidy* is the deficit: what the operator has put in for a rollup to break even, zero where fees cover the cost. Nothing in a topology
  sets it, so it can't be forgotten, and a rollup that is free of gas and fees shows its whole cost as such.
- *Fees* of an EVM rollup are what its fee vaults hold. Of an options rollup they are those of its state, by kind, less the insurance fund's share.
"""

from orchestrator.economics.booking import book
from orchestrator.economics.model import Earned, FeeGroup, Paid, Purpose, Row, Statement
from orchestrator.economics.to_json import statement_to_json

__all__ = ["Earned", "FeeGroup", "Paid", "Purpose", "Row", "Statement", "book", "statement_to_json"]
