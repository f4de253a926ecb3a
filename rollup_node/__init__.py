"""One rollup: the consensus side that drives an execution engine, block by block, as the sequencer decides.

::

    sequencer ── stage ──► chain ── execute ──► engine     the block exists, behind the gate
    sequencer ── commit ─► chain ── open gate ► store      the block is served
                             ▲
    user ──────► rpc ────────┘ reads, pinned to the gate; transactions go to the sequencer
                 subscriptions  what the gate lets through

A node that missed a slot follows the sequencer's log (``following``); a node that was killed restores a checkpoint, replays its
own store and follows the rest. ``gateway`` (which request means which block) and everything in ``bridge.wire`` it uses are pure.
"""
