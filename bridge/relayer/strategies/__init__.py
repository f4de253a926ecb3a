"""Strategies over the bridge (escrow two-phase commit): how far one is, and what a keeper does for those that need it.

::

    L1: registry.open ─ deposits ─► rollups: escrow locks, votes ─ withdrawals ─► L1: decided ─ deposits ─► traded, or given back
                                                                      │ decide_by is past: abort
                                                                      └ a decision didn't arrive: send it again, deliver it, refund

``lifecycle`` (pure) judges what the chains say, ``reasons`` (pure) puts refusals into words, ``chains`` reads them: these are for everybody. The keeper
besides remembers (``store``, ``queue``), notices (``arrivals``), asks (``facts``, ``details``), tells the journal (``telling``), acts (``steps``), round by round
(``keeper``).
"""
