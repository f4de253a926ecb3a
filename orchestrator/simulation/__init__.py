"""A whole devnet in one process on a virtual clock: thousands of schedules of work and faults a minute, each told by its seed.

::

    seed ─► schedule ─► world ─► facts ─► checks ─► violation ─► shrink ─► story
                          │                 ▲
       real: shared_sequencer (all of it),  └── ledger (the durable log, read by a stranger), reference (everything once more, naively)
             rollup_node (chain, gate, store, recovery, following, joint derivation)
       simulated: disk (fsync counts), network, L1, engines, journals, clocks, deaths

Pure: ``schedule``, ``shrink``, ``reference``, ``checks`` (over facts). ``mutants`` take one rule out of the real code, to show that a checker sees it.
Not simulated: HTTP, the real engines, L1's own encoding of blocks (``bridge.l1.follower``), proposers and challengers; they have tests of their own.

``python -m orchestrator.simulation --seeds 0:100000`` searches on; ``--mutant NAME --shrink`` shows a rule's mutant and its smallest counter-example.
"""
