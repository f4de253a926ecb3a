"""The relayer: takes what rollups send to L1 out of them again, and on to the rollups that it is for.

::

    chains' logs ─► scanner ─► arrivals ─┬─► queue ─► withdrawals: facts ─► lifecycle (pure) ─► prove, finalize ───────► L1
                                         │      │ carried (pure): a message, its return, a vote
                                         ├─► messages/: facts ─► lifecycle (pure) ─► replay, export, replay in messengers ─► L1, rollups
                                         └─► strategies/: the same for strategies that L1 decides
                      stores: two files        │
                      journal ◄── what was seen┘          every transaction: one intention of a bridge.l1.account, one account per chain

Anyone may do any of this, so nothing is believed but the chains: each round asks what is true there and does what is missing. The stores
remember what they can't tell: which withdrawals, messages and strategies there are, which failed and how often, and what the journal was told.
"""
