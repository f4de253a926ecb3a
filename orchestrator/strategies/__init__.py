"""Option strategies: from a preset or a YAML file to one atomic bundle, and back to money.

::

    presets (from the market) ─┐
    document (from YAML) ──────┴─► model.Strategy ─► resolve ─► ResolvedStrategy ── bundle ──► sequencer
                                        │               ▲                                        │
                                        ▼               └── ChainAccess: board, nonces            ▼
                                     payoff ──────────────────────────► result ◄── outcome, receipts

Everything is pure but ``resolve``, which reads boards and nonces through the two methods of ``ChainAccess``.
``black_scholes`` prices in floats and only ever quotes; what settles is integer arithmetic in ``payoff``.
"""
