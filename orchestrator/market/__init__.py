"""The options market of a devnet: its genesis, its client's view, and the maker that quotes it.

::

    plan ─► genesis ── scratch (an anvil, once per content) ─► alloc, cached ─► genesis.json per rollup
                                                                                      │
    maker (node) ─► quoting (pure: series, Black-Scholes quotes) ─► venue ─► wallet ──┴─► rollup RPC
                                                                      │
    strategies ◄── board (pure: what is listed, what is offered) ◄────┘

``units``, ``board``, ``quoting`` and ``wallet`` are pure. The maker is a process of its own and imports neither web3 nor pydantic.
"""
