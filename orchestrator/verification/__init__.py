"""Verifying a devnet: every sequencing set again, from L1 alone, held against what was claimed.

::

    running devnet ─► its L1, its nodes ──────────┐
                                                  ├─► sources ─► rebuild (rollup_node.derivation.verifier) ─► Verification
    run directory ─► stored L1 state, block logs ─┘
"""

from orchestrator.verification.errors import CannotVerify, Moved
from orchestrator.verification.proposals import proposed_outputs
from orchestrator.verification.rebuild import Verification, verify
from orchestrator.verification.sources import Served, Sources, live_sources, stored_sources

__all__ = [
    "CannotVerify",
    "Moved",
    "Served",
    "Sources",
    "Verification",
    "live_sources",
    "proposed_outputs",
    "stored_sources",
    "verify",
]
