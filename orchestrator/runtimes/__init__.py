"""Runtimes: how nodes live, die and come back.

::

    NodeSpecs ───► startup.bring_up ──► Runtime.prepare ─► Runtime.start … in dependency order
                    (ordering: pure)        │ addresses          │ readiness: a full request
                                            ▼                    ▼
                 ports (held for the devnet's life)      process: one session per node
                                                           ├─ logfile: capped, per node
                                                           └─ orphans: marks, the guard, the sweep
    Fault ─► injection (the book of what is in force) ─► a runtime's means ─► Bite: seen by the kernel, the engine, a probe
    rollnet down|kill|pause … ─► control (HTTP, token) ─► Runtime
    rollnet up --detach ───────► supervisor (pipe: progress, then ready or failure)
"""
