"""What crosses from chain to chain: messages, bundles, contracts, relayers.

::

    wire/       the common language of all nodes: stages, journal, transactions, bundles, JSON-RPC
    contracts/  our own Solidity and its reproducible artifacts
    l1/         the L1 as a node (anvil with interval mining)

Everything in ``wire`` except ``journal`` and ``jsonrpc`` is pure.
"""
