"""Our own Solidity, its reproducible artifacts, and how Python speaks to it.

::

    src/*.sol ── compile.mjs (npm solc) ─► artifacts/*.json ── artifacts ─► Artifact
                                                                              │
    addresses   where genesis puts them                                       ▼
                                                    codec: calls, results, errors, events (pure)

Only what has no standard is here; OpenZeppelin is under it. The codec stands on eth_abi (0.2 s to import), not on web3 (1 s).
"""
