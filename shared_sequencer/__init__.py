"""The shared sequencer: orders transactions and bundles of a set of rollups, in slots, and decides them once.

::

    rpc ─► admission ─► wal (fsync) ─► acknowledged
                           │
    mempool ─► ordering ─► staging ◄──► rollup nodes      stage, judge, stage again
                           │
                          wal (fsync) ─► decided ─► commit to rollup nodes
                           │
                        publisher ─► L1                   one superbatch for the whole set

Pure: ``ordering``, ``bridge.wire.atomic``. Durable: ``wal``. Everything else can be rebuilt from the log, and is, on every boot.
"""
