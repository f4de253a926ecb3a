"""The state of an options rollup: maps with an undo log, leaves in fixed binary forms, trees with proofs, and files.

::

    transition ─► World (maps, books) ─► changed leaves ─► leaves.encode ─► Tree (keccak, depth 32) ─► root
                    │  undo log                                              Trie (message passer) ─► storage root
                    └► Store: blocks appended and synced, checkpoints renamed into place ─► recovery

``leaves``, ``tree``, ``trie`` and ``proofs`` are pure; ``store`` alone touches the disk.
"""
