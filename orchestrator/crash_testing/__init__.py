"""For tests that crash real nodes at named points: a load of users, the crash and the way back, and a judge of what the chains hold.

::

    world: users' load ─► order ─► crash, confirmed ─► restart ─► first new commit ─► drained
                                                                                       │ blocks and receipts of every rollup
    judge (pure): facts ─► what was broken, in words                     ◄─────────────┘

A judge of its own, beside ``orchestrator.checks``: two that were written apart don't share their mistakes.
"""
