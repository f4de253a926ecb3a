"""The central limit order book of one series: price-time priority, deterministic, never crossed, undone by a journal.

::

    submit ─┬─ crosses? ─► match, maker by maker ─► check_maker ─► fill, or the maker is cancelled
            └─ rests ────► Level (orders in time order) in a Side (levels in price order)
    at the end of a block: orders that changed ─► BookRoot ─► roots of bids and asks, proofs of the best order

All of it is pure but for the mutable book itself: no clock, no randomness, no input but the arguments.
"""
