"""The relayer: takes what rollups send to L1 out of them again, on L1: proves and finalizes every withdrawal.

::

    rollup: MessagePassed ─► scanner ─► store ◄── lifecycle (pure: what L1 and the rollup say ─► what to do) ◄── L1: portal, oracle
                                          │                        │
                                          │                        ▼
                                          │        withdrawals ─► proof ─► prove ─► challenge period ─► finalize
                                          ▼                                  └──── bridge.l1.account ────┘
                                  status, dead letters

Anyone may prove and finalize anything, so nothing is believed but L1: each round asks what is true there and does what is missing. The store
remembers what L1 can't tell: which withdrawals there are, which failed and how often, and what the journal was told.
"""
