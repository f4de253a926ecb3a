"""How rollups settle to L1: the OP Stack's contracts in both genesis states, and the names and addresses of them all.

::

    plan ──► deployments (pure: every address, before anything runs) ──────────────► deployments.json, nodes
      │            │
      │            ├─► l1  (recipe: one set of contracts per rollup) ─┐
      │            ├─► messages (our own between rollups, on both) ───┤
      │            └─► l2  (recipe: predeploys) ── market.genesis ────┤
      │                                                               ▼
      └─► funding (who starts with what) ───────► recipes: run once on a scratch anvil, cached by content
                                                                      │
                                                                      ▼
                                                    geth_genesis ─► genesis/l1.json, genesis/<rollup>.json
"""
