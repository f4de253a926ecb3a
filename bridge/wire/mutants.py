"""Nodes that are broken on purpose, so that people can see a verdict say so: ``rollnet chaos run --mutant NAME``.

A mutant is one rule of safety left out. ``ROLLNET_MUTANT`` names it, and counts only beside ``ROLLNET_CHAOS``: no other devnet has one.
"""

import os
from collections.abc import Mapping

from bridge.wire.configuration import CHAOS_VARIABLE

MUTANT_VARIABLE = "ROLLNET_MUTANT"

MUTANTS: Mapping[str, str] = {
    "commit-failing-legs": "the sequencer takes every leg for a success, so a bundle commits although a leg of it failed: no atomicity",
    "forget-waiting": "a sequencer that comes back forgets what it had acknowledged and not decided: no survival of crashes",
}
"""What each leaves out."""

_CHOSEN = os.environ.get(MUTANT_VARIABLE, "") if os.environ.get(CHAOS_VARIABLE) else ""


def mutant(name: str) -> bool:
    """Whether this node is that mutant; a literal of :data:`MUTANTS`, at the rule that it leaves out."""
    return name == _CHOSEN
