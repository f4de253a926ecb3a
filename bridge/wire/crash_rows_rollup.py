"""Crash points of rollup nodes, in the order of their work; :mod:`bridge.wire.crash_table` says how a row is read."""

ROLLUP = """
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
"""Whatever the engine."""
EVM = """
rollup.engine.mining | rollup_node.engines.evm.engine.EvmEngine.execute | each block
    the engine stands at the gate -> it is given transactions and mines
    nothing was executed: the sequencer goes on without this rollup until it is back

rollup.engine.mined | rollup_node.engines.evm.engine.EvmEngine.execute | each block
    the engine has mined a block -> it is read back
    the block is gone with the engine; nobody has seen it

rollup.control.done | rollup_node.chain.Chain.mutate | each control method
    a control method has changed the engine -> its state is stored
    the change is lost, and nobody was told that it was done
"""
OPTIONS = """
options.archive.opened | rollup_node.engines.options.archive.Archive.__init__ | each boot
    the archive of blocks, empty on the first boot -> a checkpoint is read, or genesis is taken
    nothing has changed: what the archive has beyond the checkpoint is executed again

options.archive.cut | rollup_node.engines.options.archive.Archive.append | a boot with blocks after the checkpoint, and blocks that are taken back
    blocks that are executed anew are cut off the archive -> the first of them is written
    they are executed again: the node's block log has them all, the archive decides nothing

options.archive.torn | rollup_node.engines.options.archive.Archive.append | each block
    half of an executed block in the archive -> the rest of it
    the torn end is cut off; the block is executed again, to the same roots, or comes from the sequencer's log

options.archive.appended | rollup_node.engines.options.archive.Archive.append | each block
    an executed block in the archive -> the node knows that it was executed
    the block log alone says whether the block counts; in the archive it is overwritten

options.archive.synced | rollup_node.engines.options.archive.Archive.sync | every 250 blocks
    the archive on disk up to its head -> the state is written beside it
    the older checkpoint is taken, and all after it executed again

options.checkpoint.torn | rollup_node.engines.options.engine._checkpoint | every 250 blocks
    half of the state under a temporary name -> the rest of it
    nobody reads it: the older checkpoint is taken, or genesis, to the same roots
"""
