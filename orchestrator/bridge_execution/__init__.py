"""Strategies over the L1 bridge, by escrow two-phase commit: opened on L1, and followed until every rollup has the decision.

``running`` opens and follows, ``following`` asks L1 and the rollups how far a strategy is, ``ends`` reads what it came to, ``status`` tells of one by its id.
"""
