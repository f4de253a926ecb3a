"""The options market of a devnet: its genesis, its client's view, and the maker that quotes it.

::

    plan ─► genesis ── scratch (an anvil, once per content) ─► alloc, cached ─► genesis.json per rollup
                                                                                       │
    maker (node) ─► quoting (pure: series, quotes) ─► venue ─► sender ─────────────────┼─► EVM rollup's RPC
                └─► feeding ─► feed (pure: oracle updates) ─► options_venue ─► sender ─┴─► options rollup's RPC
                                                                                       │
    strategies ◄── board, options_board (what is listed, what is offered) ◄────────────┘

``units``, ``board``, ``quoting``, ``feed``, ``options_calls`` and ``wallet`` are pure. The maker is a process of its own and imports neither
web3 nor pydantic.
"""
