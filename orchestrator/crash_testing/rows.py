"""Which test crashes a node at which point; a test holds that every point is somebody's."""

SEQUENCER_UNDER_LOAD = (
    ("sequencer.wal.writing", 1),
    ("sequencer.wal.torn", 1),
    ("sequencer.wal.written", 2),
    ("sequencer.wal.synced", 1),
    ("sequencer.admission.reserved", 1),
    ("sequencer.admission.logged", 1),
    ("sequencer.admission.told", 2),
    ("sequencer.stage.asking", 2),
    ("sequencer.stage.judged", 1),
    ("sequencer.slot.staged", 1),
    ("sequencer.slot.decided", 2),
    ("sequencer.decision.told", 1),
    ("sequencer.slot.told", 1),
    ("sequencer.commit.sending", 2),
    ("sequencer.slot.served", 1),
    ("publisher.signing", 1),
    ("publisher.signed", 1),
    ("publisher.logged", 1),
    ("publisher.sending", 1),
    ("publisher.noted", 1),
    ("publisher.told", 1),
)
"""Points that a sequencer passes again and again while users send, each with the passage that crashes."""
SEQUENCER_AT_BOOT = (
    "sequencer.boot.replayed",
    "sequencer.boot.termed",
    "sequencer.boot.repeated",
    "sequencer.rollup.greeted",
)
ROLLUP_UNDER_LOAD = (
    ("rollup.engine.mining", 1),
    ("rollup.engine.mined", 1),
    ("rollup.stage.executed", 2),
    ("rollup.stage.told", 1),
    ("rollup.commit.executed", 2),
    ("rollup.output.torn", 1),
    ("rollup.output.noted", 1),
    ("rollup.block.torn", 1),
    ("rollup.gate.opened", 1),
    ("rollup.commit.told", 1),
    ("rollup.note.written", 1),
    ("rollup.safe.noted", 1),
    ("rollup.output.proposing", 1),
    ("rollup.output.proposed", 1),
)
"""Points that a rollup node passes again and again while users send."""
OPTIONS_UNDER_LOAD = (("options.archive.torn", 1), ("options.archive.appended", 2))
"""Points that the node of an options rollup passes at each block."""
OPTIONS_CHECKPOINTS = ("options.archive.synced", "options.checkpoint.torn")
OPTIONS_AT_BOOT = ("options.archive.opened", "options.archive.cut")
PROPOSER = ("account.assigned", "account.sent")
"""Points of the account with which a rollup node proposes; the relayer passes them all."""
ROLLUP_CHECKPOINTS = ("rollup.control.done", "rollup.checkpoint.written", "rollup.checkpoint.renamed")
ROLLUP_AT_BOOT = (
    "rollup.boot.read",
    "rollup.boot.restored",
    "rollup.boot.replayed",
    "rollup.checkpoint.refused",
)
ROLLUP_GREETED = ("rollup.term.raised",)
CHALLENGER = ("rollup.output.deleting", "rollup.output.deleted")
RELAYER_UNDER_LOAD = (
    "relayer.sent.told",
    "relayer.sent.stored",
    "relayer.l1.stored",
    "relayer.withdrawal.told",
    "relayer.withdrawal.stored",
    "relayer.withdrawal.acting",
    "relayer.withdrawal.done",
    "relayer.message.told",
    "relayer.message.stored",
    "relayer.message.acting",
    "relayer.message.done",
    "relayer.strategy.found",
    "relayer.strategy.told",
    "relayer.strategy.kept",
    "relayer.strategy.acting",
    "relayer.strategy.done",
    "relayer.strategy.ended",
    "account.tried",
    "account.assigned",
    "account.sending",
    "account.sent",
    "account.mined",
    "account.settled",
    "database.committing",
    "database.committed",
)
"""Points that the relayer passes while messages and strategies are on their way."""
RELAYER_AT_BOOT = ("relayer.boot.opened",)
REORGANISED = (
    ("rollup.rewind.asked", "rollup.rewind.stored"),
    ("rollup.rewind.cleared", "rollup.rewind.noted"),
    ("rollup.rewind.told", None),
)
"""Points that two rollups pass when L1 has lost an origin, a reorganisation each."""
REORGANISED_TOO = ("sequencer.cut.logged", "sequencer.rollup.rewound", "relayer.lost.stored")
FORCED = ("rollup.derive.executed", "sequencer.forced.logged")
DISCARDED = ("publisher.discarded",)
FINAL = ("rollup.settled.told",)
REPRICED = ("account.resigned",)
TRAVELLED = ("account.reopened", "sequencer.restore.logged")
EXPIRED = ("sequencer.expiry.logged", "sequencer.expiry.told")
TORN_LOG = ("sequencer.wal.cut",)
FIRST_BOOT = ("sequencer.wal.created",)
MATRIX = (
    "sequencer.slot.sequenced",
    "sequencer.stage.answered",
    "sequencer.slot.decided",
    "rollup.block.stored",
    "rollup.commit.asked",
    "sequencer.commit.answered",
    "publisher.sent",
    "publisher.counted",
)
"""Points of the crash matrix of a bundle, P0 to P6."""
