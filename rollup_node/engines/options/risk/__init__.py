"""Risk: rows of sixteen scenario values per series, margin as an integer dot product, settlement, Greeks.

::

    oracle ─► rows ─► margin (portfolio | standard) ─► accepts? liquidatable?      one account, at each trade
                  └─► scan ─► every account at once                                the block's liquidation section
    combos: maximum loss of locked legs        payoff: averages, settlement        greeks: what a book is exposed to

Everything is pure. ``scan`` and ``greeks`` use numpy; ``scan`` is exact all the same.
"""
