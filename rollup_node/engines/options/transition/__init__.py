"""The state transition: what a block does to the world. Pure but for the world that it changes, which it can also take back.

::

    raw transactions ─► arrange (sections; a rule by construction) ─► spine: for each section, its own steps and the block's messages
                                                                        │  ─► section's apply(world, context, message) ─► logs
                                                                        │  refused: the world goes back to before it
                                                                        └► receipts, root after each ─► seal ─► header, hash
"""
