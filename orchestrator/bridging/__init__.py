"""Value between L1 and a rollup as a user moves it: ETH through portal and message passer, tokens through the standard bridges.

``terms`` (pure) says what is asked for and how long it takes, ``sending`` sends, ``reading`` asks the chains, ``following`` waits; ``transfers``
and ``tokens`` put them together.
"""
