"""Messages from one rollup to another, over L1: what they are, what the chains say of them, and what is left to do.

::

    source                          L1                                destination
    mailbox.send ── withdrawal ──► router.forward ── deposit ──► mailbox.deliver ─► executed, or failed ─► replay
                                     │  no such rollup                  │ validUntil is past
    mailbox.onUndelivered ◄─ deposit ┴── router.returnUndelivered ◄─ withdrawal ─ exportUndelivered
           │
           ▼ refunded

For everybody: ``envelope`` (pure) says what a message is, ``lifecycle`` (pure) judges what the chains say of it, ``sightings`` (pure) reads their logs,
``facts`` asks them. The relayer besides remembers (``store``, ``queue``), tells (``telling``), acts (``steps``), and does all that in
rounds (``crossings``).
"""
