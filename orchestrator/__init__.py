"""Launches devnets, works on them, breaks them on purpose, and says what held.

::

    topology.yaml ─► topology/ (spec ─► plan) ─► launching ─► runtimes/ ─► devnet
                                                                             │
          strategies/ · messaging/ · load/  ◄── work ────────────────────────┤
          links/ · runtimes/ · chaos/       ◄── faults ──────────────────────┤
                                                                             ▼
    run directory: journals, chains, histories ─► tracing/ · checks/ · verification/ ─► report/, verdict

Topologies, strategies, graphs, statistics and checkers are pure; runtimes, clients and commands are the edges.
"""
