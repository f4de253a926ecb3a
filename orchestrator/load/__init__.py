"""Load on a running devnet at a given rate, with a history that checkers can judge (``orchestrator.checks``).

::

    schedule (pure, seeded: what, when) ─► lanes (accounts with local nonces) ─► signed operations ─► nodes
                                                                                     │
    onlooker (asks every node what it serves) ──────────────► history.jsonl ◄────────┘  invoke, acknowledged, ok | fail | info
"""
