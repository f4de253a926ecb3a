"""Every crash point: who passes it, between which two steps it lies, and what must hold once the node is back.

Longer than other files because it is one table, and a table of text because it is read more than it is run.
``docs/reference/crash-points.md`` is made from it, ``rollnet chaos points`` prints it, and ``tests/chaos`` crashes a real node at each
row. A step is what outlives the process: bytes in a file, lines of the journal, messages that have left.

Each row is three lines, and a blank one: name, place in the code, when it is passed; what was done and stays ``->`` what would have been
done next; what must hold afterwards, beside what always must: no partial bundle, nothing acknowledged lost, nothing done twice.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

SEQUENCER, ROLLUP, RELAYER = "sequencer", "rollup", "relayer"


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """One place where a node can be made to die."""

    name: str
    roles: tuple[str, ...]
    """Of the nodes that pass it."""
    place: str
    """Module and function."""
    when: str
    """When it is passed."""
    after: str
    """What was done, and stays."""
    before: str
    """What would have been done next."""
    holds: str
    """What must be true after the node is back."""


_SEQUENCER = """
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

_PUBLISHER = """
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

_ROLLUP = """
rollup.boot.read | rollup_node.store.Store.blocks | each boot
    a torn end of the block log is cut off -> the engine starts
    blocks that are missing come from the sequencer's log, or from L1

rollup.checkpoint.refused | rollup_node.recovery._restored | a boot with a useless checkpoint
    a checkpoint that is of no use is deleted -> an older one, or genesis, is taken
    the chain is the same, replayed from further back

rollup.boot.restored | rollup_node.recovery.recover | each boot
    the engine stands at a checkpoint, or at genesis -> stored blocks are replayed
    the replay begins again

rollup.boot.replayed | rollup_node.recovery.recover | each boot
    stored blocks are replayed -> anybody is served
    the replay begins again, to the same head

rollup.note.written | rollup_node.store.Store._write_number | each boot, and each change of safe
    a new term (durably), safe or finalized number under a temporary name -> its rename
    the old number counts: no term that was answered is forgotten, L1 tells the others again

rollup.term.raised | rollup_node.store.Store.raise_term | each boot of the sequencer
    a new term on disk -> the sequencer is answered
    older terms are refused; the sequencer greets again

rollup.engine.mining | rollup_node.engines.evm.engine.EvmEngine.execute | each block
    the engine stands at the gate -> it is given transactions and mines
    nothing was executed: the sequencer goes on without this rollup until it is back

rollup.engine.mined | rollup_node.engines.evm.engine.EvmEngine.execute | each block
    the engine has mined a block -> it is read back
    the block is gone with the engine; nobody has seen it

rollup.stage.executed | rollup_node.chain.Chain.stage | each block
    a block is staged above the gate -> its legs are in the journal
    the block was seen by nobody; what needs this rollup waits, the other rollups go on

rollup.stage.told | rollup_node.chain.Chain.stage | each block
    staged legs are in the journal -> the sequencer is answered
    as before it: without an answer nothing is decided

rollup.commit.asked | rollup_node.chain.Chain.commit | each block
    the block is decided -> it is executed here (P3)
    the block comes from the sequencer's log and is served as it was decided

rollup.commit.executed | rollup_node.chain.Chain._open_gate | each block, and each that is replayed
    a decided block is executed behind the gate -> it is stored
    the block comes from the sequencer's log; readers never saw less than before

rollup.derive.executed | rollup_node.chain.Chain.derive | a block that comes from L1 first
    a block that L1 tells is executed -> it is stored
    the block is derived again, to the same hash

rollup.output.torn | rollup_node.outputs.Outputs.note | each block that is due for proposal
    half of an output's note -> the rest of it
    the torn note is cut off, its block is executed and noted again

rollup.output.noted | rollup_node.chain.Chain._accept | each block
    the block's output is noted, if it is due -> the block is stored
    a note of a block that is not stored is not used; the block comes again

rollup.block.torn | rollup_node.store.Store._write | each block
    half of a block's line in the log -> the rest of it
    the torn line is cut off, the block comes from the sequencer's log

rollup.block.stored | rollup_node.chain.Chain._accept | each block
    the block is stored -> the gate opens (P4)
    the block is replayed and served, the same as everywhere

rollup.gate.opened | rollup_node.chain.Chain._accept | each block
    the gate is open: readers may have seen the block -> subscribers are told
    the block is replayed: what was seen stays

rollup.commit.told | rollup_node.chain.Chain.commit | each block
    the block's legs are in the journal -> the sequencer is answered
    the block stands; the sequencer finds the rollup where it left it

rollup.rewind.asked | rollup_node.chain.Chain._rewind | blocks that are taken back
    blocks are to go back -> that is stored
    the next greeting, or L1, asks for it again

rollup.rewind.stored | rollup_node.store.Store.rewind | blocks that are taken back
    the line that blocks count no more -> their checkpoints are deleted
    the blocks are gone; a checkpoint of one of them is not used

rollup.rewind.cleared | rollup_node.store.Store.rewind | blocks that are taken back
    their checkpoints are deleted -> safe and finalized are lowered
    the blocks are gone; safe and finalized are not above the head

rollup.rewind.noted | rollup_node.chain.Chain._rewind | blocks that are taken back
    all files say so -> the gate moves back, and the journal is told
    the blocks are gone on the next boot

rollup.rewind.told | rollup_node.chain.Chain._rewind | blocks that are taken back
    the journal is told -> the engine goes back
    the blocks are gone on the next boot

rollup.safe.noted | rollup_node.store.Store.note_settled | each change of safe
    the safe number -> the finalized number
    finalized is not above safe, and neither goes back

rollup.settled.told | rollup_node.chain.Chain.covered | an output that becomes final
    legs that a final output covers are in the journal -> it is stored that they were told
    they are told again, and count once

rollup.control.done | rollup_node.chain.Chain.mutate | each control method
    a control method has changed the engine -> its state is stored
    the change is lost, and nobody was told that it was done

rollup.checkpoint.written | rollup_node.chain.Chain._store_state | every 250 blocks
    a checkpoint under a temporary name -> its rename
    the older checkpoint is taken

rollup.checkpoint.renamed | rollup_node.chain.Chain._store_state | every 250 blocks
    a new checkpoint -> old ones are deleted
    the newest is taken; old ones are deleted by the next

rollup.output.proposing | rollup_node.proposer.Proposer._propose | each proposal
    an output is due -> the account is asked to propose it
    the output is proposed once

rollup.output.proposed | rollup_node.proposer.Proposer._propose | each proposal
    L1 has the output -> its line in the journal
    the output is on L1 once; the journal may lack the line

rollup.output.deleting | rollup_node.challenger.Challenger._delete | a wrong output
    an output was found wrong -> the account is asked to delete it
    the output is deleted by the next life, within its period

rollup.output.deleted | rollup_node.challenger.Challenger._delete | a wrong output
    L1 has deleted it -> the line in the journal
    the output is deleted once; right ones follow
"""

_OPTIONS = """
options.archive.opened | rollup_node.engines.options.archive.Archive.__init__ | each boot of an options rollup
    the archive of blocks, empty on the first boot -> a checkpoint is read, or genesis is taken
    nothing has changed: what the archive has beyond the checkpoint is executed again

options.archive.cut | rollup_node.engines.options.archive.Archive.append | a boot with blocks after the checkpoint, and blocks that are taken back
    blocks that are executed anew are cut off the archive -> the first of them is written
    they are executed again: the node's block log has them all, the archive decides nothing

options.archive.torn | rollup_node.engines.options.archive.Archive.append | each block of an options rollup
    half of an executed block in the archive -> the rest of it
    the torn end is cut off; the block is executed again, to the same roots, or comes from the sequencer's log

options.archive.appended | rollup_node.engines.options.archive.Archive.append | each block of an options rollup
    an executed block in the archive -> the node knows that it was executed
    the block log alone says whether the block counts; in the archive it is overwritten

options.archive.synced | rollup_node.engines.options.archive.Archive.sync | every 250 blocks of an options rollup
    the archive on disk up to its head -> the state is written beside it
    the older checkpoint is taken, and all after it executed again

options.checkpoint.torn | rollup_node.engines.options.engine._checkpoint | every 250 blocks of an options rollup
    half of the state under a temporary name -> the rest of it
    nobody reads it: the older checkpoint is taken, or genesis, to the same roots
"""

_ACCOUNT = """
account.tried | bridge.l1.account.L1Account._enter | each transaction that the account sends
    a transaction would succeed -> it has a nonce, and signed bytes on disk
    nothing was sent and no nonce is spent; the intention is taken up again

account.assigned | bridge.l1.nonces.Nonces.assign | each transaction that the account sends
    nonce and signed bytes on disk -> they are known in memory, and sent
    the same bytes are sent; the intention is not sent under another nonce

account.sending | bridge.l1.nonces.Nonces.transmit | each transaction that the account sends
    nonce and signed bytes on disk -> they are sent
    as before it

account.sent | bridge.l1.nonces.Nonces.transmit | each transaction that the account sends
    the chain has the bytes -> their sender knows
    the bytes are mined once

account.resigned | bridge.l1.nonces.Nonces.sign_again | a base fee above the offer
    other bytes for the same nonce on disk -> they are sent
    one of the two is mined, and counts for the intention

account.mined | bridge.l1.upkeep.Upkeep._collect | each transaction that is mined
    a transaction is mined -> who waits for it knows
    its receipt is read again; the intention is done, once

account.settled | bridge.l1.nonces.Nonces.settle | each transaction that is final
    final receipts on disk -> their nonces are let go
    a key that was used is known for ever

account.reopened | bridge.l1.nonces.Nonces.reopen | the chain loses what was final
    nonces are open again on disk -> their bytes are sent again
    what the chain lost is mined again, once

database.committing | bridge.l1.database.transaction | each write of an account or of the relayer
    all statements of a transaction -> its commit
    none of it happened

database.committed | bridge.l1.database.transaction | each write of an account or of the relayer
    its commit -> anybody knows
    all of it happened, and the next life goes on from there
"""

_RELAYER = """
relayer.boot.opened | bridge.relayer.node.run | each boot
    all files are open -> anything is read or sent
    nothing has changed

relayer.sent.told | bridge.relayer.arrivals.Arrivals._add | each withdrawal
    new withdrawals are in the journal -> they, and that their blocks were read, are stored
    they are read and told again, and relayed once

relayer.sent.stored | bridge.relayer.arrivals.Arrivals._add | each withdrawal
    they are stored -> they are looked at
    they are relayed

relayer.lost.stored | bridge.relayer.arrivals.Arrivals._lose | blocks that are taken back
    it is stored that a rollup's blocks are gone -> the journal is told
    withdrawals of these blocks are not relayed unless they come again

relayer.l1.stored | bridge.relayer.arrivals.L1Arrivals.read | each message between rollups
    what L1's logs say of messages is stored -> they are looked at
    each message goes on from what its logs say

relayer.withdrawal.told | bridge.relayer.withdrawals.Withdrawals._judge | each withdrawal
    new stages are in the journal -> they are stored
    the stages are read from L1 and told again; nothing is done twice

relayer.withdrawal.stored | bridge.relayer.withdrawals.Withdrawals._judge | each withdrawal
    new stages are stored -> steps begin
    the steps begin in the next life

relayer.withdrawal.acting | bridge.relayer.withdrawals.Withdrawals._act | each withdrawal
    a step is due -> anything of it is done
    the step is taken by the next life

relayer.withdrawal.done | bridge.relayer.withdrawals.Withdrawals._act | each withdrawal
    a step has ended -> how it went is stored
    L1 says what was achieved; it is not done twice

relayer.message.told | bridge.relayer.messages.crossings.Crossings._round | each message between rollups
    new stages are in the journal -> they are stored
    the stages are told again; the message is executed once

relayer.message.stored | bridge.relayer.messages.crossings.Crossings._round | each message between rollups
    new stages are stored -> steps begin
    the steps begin in the next life

relayer.message.acting | bridge.relayer.messages.crossings.Crossings._act | a message that fails or expires
    a step is due -> anything of it is done
    the step is taken by the next life

relayer.message.done | bridge.relayer.messages.crossings.Crossings._act | a message that fails or expires
    a step has ended -> how it went is stored
    the chains say what was achieved; value moves once

relayer.strategy.found | bridge.relayer.strategies.queue.StrategyQueue.found | each strategy over the bridge
    strategies that L1 opened are stored, and how far it was read -> they are looked at
    they are seen to their end

relayer.strategy.told | bridge.relayer.strategies.telling.StrategyTeller._say | each strategy over the bridge
    a stage is in the journal -> it is stored that it was told
    the stage is told again; what is done follows from the chains alone

relayer.strategy.kept | bridge.relayer.strategies.telling.StrategyTeller._say | each strategy over the bridge
    it is stored that a stage was told -> the next stage, or a step
    the stage is told once; what is due is done by the next life

relayer.strategy.acting | bridge.relayer.strategies.keeper.Keeper._act | a strategy that nobody else ends
    a step is due -> anything of it is done
    the step is taken by the next life: nothing stays locked

relayer.strategy.done | bridge.relayer.strategies.keeper.Keeper._take | a strategy that nobody else ends
    a step was mined -> the journal is told
    the step is not taken twice; the journal may lack the line

relayer.strategy.ended | bridge.relayer.strategies.keeper.Keeper._round | each strategy over the bridge
    it is stored that a strategy is finished -> the others are looked at
    it is not looked at again, unless L1 is reorganised
"""


def _rows(text: str, *roles: str) -> Iterator[CrashPoint]:
    for row in text.strip().split("\n\n"):
        title, steps, holds = row.splitlines()
        name, place, when = title.split(" | ")
        after, before = steps.strip().split(" -> ")
        yield CrashPoint(name, roles, place, when, after, before, holds.strip())


CRASH_POINTS: Mapping[str, CrashPoint] = MappingProxyType(
    {
        point.name: point
        for point in (
            *_rows(_SEQUENCER, SEQUENCER),
            *_rows(_PUBLISHER, SEQUENCER),
            *_rows(_ROLLUP, ROLLUP),
            *_rows(_OPTIONS, ROLLUP),
            *_rows(_ACCOUNT, ROLLUP, RELAYER),
            *_rows(_RELAYER, RELAYER),
        )
    }
)
"""By name; in the order of a node's work."""
