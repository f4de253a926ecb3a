"""The options engine: an application-specific state transition with a central order book, risk and settlement.

Everything that settles is an integer (``values``); floats stand only in ``pricing.vectors`` for quoting and monitoring.
"""
