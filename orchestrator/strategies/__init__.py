"""Option strategies: from a preset or a YAML file to one atomic bundle, and back to money.

::

    presets (from the market) ─┐
    document (from YAML) ──────┴─► model.Strategy ─► resolve ─► ResolvedStrategy ── bundle ──► sequencer
                                        │               ▲                                        │
                                        ▼               └── reading: boards, nonces, accounts     ▼
                                     payoff ──────────────────────────► result ◄── outcome, receipts

Everything is pure but ``reading``, which asks rollups of both kinds through the methods of ``ChainAccess``, and ``resolve`` by it.
``black_scholes`` prices in floats and only ever quotes; what settles is integer arithmetic in ``payoff``.
"""
