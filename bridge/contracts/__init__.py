"""Our own Solidity, its reproducible artifacts, the OP Stack's contracts, and how Python speaks to all of them.

::

    src/*.sol ── compile.mjs (npm solc) ─► artifacts/*.json ── artifacts ─► Artifact
                                                                              │
    npm contracts-bedrock (the OP Stack's, unmodified) ── op ─► OpArtifact     │
                                                                    │         │
    addresses   where genesis puts them                             ▼         ▼
                                                    codec: calls, results, errors, events (pure)

Our own is only what has no standard; OpenZeppelin is under it. The codec stands on eth_abi (0.2 s to import), not on web3 (1 s).
"""
