"""The closed vocabulary of stages in the life of bundles and messages.

One word per thing: these names are journal events, metric labels, report rows and, where a stage has code of
its own, modules. A trace reads like the design.
"""

from enum import StrEnum


class Stage(StrEnum):
    """A stage in the life of an atomic bundle on the shared-sequencer path, or of a message over the L1 bridge, in order."""

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
    """An output that covers the leg's block is final on L1; told by each rollup of its own legs, the last of which settles the bundle."""

    MESSAGE_SUBMITTED = "message.submitted"
    """The client sent the transaction that sends the message (its own clock)."""
    MESSAGE_SENT = "message.sent"
    """The message is in a block of the rollup that it comes from."""
    MESSAGE_BATCHED = "message.batched"
    """L1 holds the block."""
    MESSAGE_PROPOSED = "message.proposed"
    """An output root on L1 covers the block."""
    MESSAGE_PROVEN = "message.proven"
    """L1's portal accepted a proof that the message is in the state behind the output root."""
    MESSAGE_FINALIZED = "message.finalized"
    """The challenge period is over, and the portal called the message's target on L1."""
    MESSAGE_DEPOSITED = "message.deposited"
    """L1 passed the message on, as a deposit for the rollup that it goes to."""
    MESSAGE_EXECUTED = "message.executed"
    """The message's call succeeded on the rollup that it goes to."""
    MESSAGE_FAILED = "message.failed"
    """The call failed there; it may be tried again while the message is valid."""
    MESSAGE_REFUNDED = "message.refunded"
    """The message expired without being executed, and its sender has the value back."""


BUNDLE_STAGES: tuple[Stage, ...] = tuple(stage for stage in Stage if not stage.startswith("message."))
"""Every stage of the shared-sequencer path, in the order in which a bundle meets them."""
MESSAGE_STAGES: tuple[Stage, ...] = tuple(stage for stage in Stage if stage.startswith("message."))
"""Every stage of the way over the L1 bridge, in the order in which a message meets them."""
