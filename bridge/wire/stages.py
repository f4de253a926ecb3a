"""The closed vocabulary of message stages.

One word per thing: these names are journal events, metric labels, report rows and, where a stage has code of
its own, modules. A trace reads like the design.
"""

from enum import StrEnum


class Stage(StrEnum):
    """A stage in the life of an atomic bundle on the shared-sequencer path, in order."""

    SUBMITTED = "bundle.submitted"
    """The client sent the bundle (its own clock), or, for foreign clients, the sequencer received it."""
    ADMITTED = "bundle.admitted"
    """The bundle is in the durable admission log and acknowledged."""
    REFUSED = "bundle.refused"
    """The sequencer refused it, or gave no answer: nothing was acknowledged."""
    SEQUENCED = "bundle.sequenced"
    """The bundle was taken into a slot."""
    LEG_STAGED = "leg.staged"
    """A rollup executed the leg behind its gate."""
    DECIDED = "bundle.decided"
    """The decision, commit or abort, is durable."""
    LEG_EXECUTED = "leg.executed"
    """The rollup opened its gate: the leg's receipt is visible."""
    LEG_REVERTED = "leg.reverted"
    """The bundle was aborted: the leg has no effect."""
    EXPIRED = "bundle.expired"
    """The bundle's ``maxTimestamp`` passed before a slot could take it."""
    PUBLISHED = "bundle.published"
    """The superbatch that holds the bundle is in an L1 block."""
    SETTLED = "bundle.settled"
    """The outputs that cover the bundle are final on L1 (needs the L1 bridge)."""


BUNDLE_STAGES: tuple[Stage, ...] = tuple(Stage)
"""Every stage of the shared-sequencer path, in the order in which a bundle meets them."""
