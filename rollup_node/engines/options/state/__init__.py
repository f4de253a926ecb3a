"""The state of an options rollup: maps with an undo log, leaves in fixed binary forms, and trees with proofs.

::

    transition ─► World (maps, books) ─► changed leaves ─► leaves.encode ─► Tree (keccak, depth 32) ─► root
                       undo log                                              Trie (message passer) ─► storage root

All of it is pure; ``archive`` and ``checkpoint`` beside this package touch the disk.
"""
