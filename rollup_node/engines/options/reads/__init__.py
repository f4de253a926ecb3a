"""What can be asked of an options rollup: ``eth_*`` as every tool expects it, ``options_*`` for its market. Pure but for going to a block.

::

    method, params ─► methods (what there is, what it takes) ─► kinds (checked values) ─► Scene (the chain at a block) ─► one function
"""
