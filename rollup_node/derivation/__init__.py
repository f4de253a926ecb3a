"""Derivation: a rollup's chain from L1 alone.

::

    L1 ─► bridge.l1.follower ─► bridge.wire.derivation (pure: which blocks follow) ─┬─► live: confirms or replaces this node's blocks
                                                                                   └─► verifier: a whole set again, in fresh engines
"""
