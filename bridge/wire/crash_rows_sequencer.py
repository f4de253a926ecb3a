"""Crash points of sequencers, in the order of their work; :mod:`bridge.wire.crash_table` says how a row is read."""

SEQUENCER = """
sequencer.wal.created | shared_sequencer.wal.WriteAheadLog.__init__ | the first boot
    an empty log -> its folder is synced
    the next life finds an empty log, or none and makes one

sequencer.wal.writing | shared_sequencer.wal.WriteAheadLog._write | each group of records
    records wait in memory -> their first byte is written
    nobody was told of them: items are sent again by their senders, a slot is made anew

sequencer.wal.torn | shared_sequencer.wal.WriteAheadLog._write | each group of records
    half of a group of records -> the rest of it
    the torn end is cut off; nobody was told of what it held; whole records before it count

sequencer.wal.written | shared_sequencer.wal.WriteAheadLog._write | each group of records
    records in the page cache -> fsync
    all or none of them count (all, unless the machine died too); nobody was told before

sequencer.wal.synced | shared_sequencer.wal.WriteAheadLog._write | each group of records
    records on disk -> those who wait for them go on
    all of them count though nobody was told: items end, a slot commits everywhere

sequencer.wal.cut | shared_sequencer.wal.WriteAheadLog._cut_tail | a boot with a torn log
    a torn end is cut off -> fsync of that
    the log is the whole records, whether or not the cut is repeated

sequencer.boot.replayed | shared_sequencer.node._one_life | each boot, and each cut of the log
    the log was read -> the new term's record
    nothing has changed: the next life takes the same term

sequencer.boot.termed | shared_sequencer.node._one_life | each boot, and each cut of the log
    the new term's record -> the last decisions are told again
    the term is spent and no rollup has seen it; the next life has a higher one

sequencer.boot.repeated | shared_sequencer.node._one_life | each boot, and each cut of the log
    the last decisions are in the journal again -> rollups are greeted
    the last decisions are told once more; the log alone says what is decided

sequencer.rollup.greeted | shared_sequencer.rollups.Rollup._greet | each boot
    a rollup has the new term -> the others have it
    rollups of different terms are greeted with a higher one; blocks staged before are undone

sequencer.rollup.rewound | shared_sequencer.rollups.Rollup._greet | blocks that are taken back
    a rollup has dropped blocks that the log took back -> the other rollups, or earlier blocks
    every rollup drops the same slots; none keeps a block of a slot that another has lost

sequencer.admission.reserved | shared_sequencer.admission.Admission._admit_once | each item that is sent
    nonces are reserved in memory -> the item's record
    the item is unknown, its nonces are free; sending it again admits it

sequencer.admission.logged | shared_sequencer.admission.Admission._admit_once | each item that is sent
    the item's record -> its line in the journal
    the item ends though its sender has no answer; sending it again gives the same hash

sequencer.admission.told | shared_sequencer.admission.Admission._admit_once | each item that is sent
    the item's line in the journal -> the answer to its sender
    as before it: once in the log, an item ends

sequencer.slot.sequenced | shared_sequencer.sequencer.Sequencer.slot | each slot with work
    items are told to be sequenced -> any rollup stages them (P0)
    nothing is decided: the items wait, and are sequenced again

sequencer.stage.asking | shared_sequencer.staging._stage_one | each slot
    some rollups were asked to stage -> the next one is
    what was staged is undone by the next term; no reader has seen it

sequencer.stage.answered | shared_sequencer.staging._stage_one | each slot
    some rollups have staged (P1) -> the others have
    presumed abort: what was staged is undone; no reader has seen it

sequencer.stage.judged | shared_sequencer.staging.stage_slot | a leg that fails
    a round is judged: a bundle has a failing leg -> its other rollups stage again without it
    the failing bundle has no effect on any rollup, and is aborted by the next life

sequencer.slot.staged | shared_sequencer.sequencer.Sequencer.slot | each slot
    every rollup has staged (P1) -> the slot's record
    presumed abort: nothing is decided, the items wait and are sequenced again

sequencer.slot.decided | shared_sequencer.sequencer.Sequencer.slot | each slot
    the slot's record (P2) -> anybody is told
    the slot stands: every rollup gets its block from the log, or from the next life

sequencer.decision.told | shared_sequencer.sequencer.Sequencer._apply | each slot with decisions
    some decisions are in the journal -> the others
    the slot stands, and the next life tells its decisions again

sequencer.slot.told | shared_sequencer.sequencer.Sequencer._apply | each slot
    all decisions are in the journal -> any rollup is told
    the slot stands: redo on every rollup

sequencer.commit.sending | shared_sequencer.sequencer.Sequencer._commit | each slot
    some rollups are told to commit -> the next one is (P3)
    redo on those that were not told: they ask for the slot; none serves another block of that number

sequencer.commit.answered | shared_sequencer.sequencer.Sequencer._commit | each slot
    a rollup has committed and serves (P4) -> the others have answered
    the others commit the same slot; what one has served stays

sequencer.slot.served | shared_sequencer.sequencer.Sequencer._apply | each slot
    every rollup has answered -> those who wait for statuses are told
    the slot stands; who waited asks again and gets the same end

sequencer.expiry.logged | shared_sequencer.sequencer.Sequencer._expire | a deadline that passes
    records of items whose deadline has passed -> their lines in the journal
    they are expired, for ever, with the reason of the record; the next life tells it

sequencer.expiry.told | shared_sequencer.sequencer.Sequencer._expire | a deadline that passes
    some of them are in the journal -> the others
    as before it

sequencer.forced.logged | shared_sequencer.l1.L1View._heed | a sequencing window that passes
    the record of a block that L1 forced -> it counts in memory
    the block stands once in the log, and once on its rollup

sequencer.cut.logged | shared_sequencer.l1.L1View._cut | L1 loses an origin in use
    the record of a cut -> a new life without what was cut
    what was cut is gone on every rollup, and its items wait again

sequencer.restore.logged | shared_sequencer.l1.L1View._restore | L1 holds slots that were cut
    the record of slots that count again -> a new life with them
    they are in their old place on every rollup, whatever was decided there since is gone
"""

PUBLISHER = """
publisher.signing | shared_sequencer.publisher.Publisher._prepare | each superbatch
    slots are decided -> a superbatch of them is signed
    the next life signs one of the same slots, under the same number

publisher.signed | shared_sequencer.publisher.Publisher._prepare | each superbatch
    signed bytes in memory -> their record
    the bytes are forgotten and nobody has them: another superbatch takes their number

publisher.logged | shared_sequencer.publisher.Publisher._prepare | each superbatch
    the record of signed bytes -> they count as the next to send
    the same bytes are sent: the number and the nonce are spent on them

publisher.sending | shared_sequencer.publisher.Publisher._send | each superbatch
    signed bytes on disk -> they are sent to L1
    the same bytes are sent

publisher.sent | shared_sequencer.publisher.Publisher._send | each superbatch
    L1 has the bytes (P5) -> their line in the journal
    sent again or not, they count once: one nonce, one number

publisher.counted | shared_sequencer.publisher.Publisher._note_published | each superbatch
    they count on L1 (P6) -> their line in the journal
    L1 is asked again; nothing is published twice

publisher.told | shared_sequencer.publisher.Publisher._note_published | each superbatch
    the superbatch is in the journal -> its bundles are told to be published, and that is recorded
    all of it is told again, and counts once

publisher.noted | shared_sequencer.publisher.Publisher._note_published | each superbatch
    the record that they count -> they are known to count
    the next superbatch follows; nothing is told again

publisher.discarded | shared_sequencer.publisher.Publisher._push | L1 took its nonce for something else
    the record that a superbatch can't count any more -> its slots are signed anew
    its slots are published by another superbatch, once
"""
