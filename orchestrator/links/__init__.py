"""Faults on the links between nodes, the same on every runtime: a proxy that understands the messages it passes on.

::

    alpha ──► links:alpha.sequencer.http ──► sequencer          one listening port for each directed link
                 ▲
                 └── apply · heal · touched ── LinksHandle      what is wrong with which link, and how often it mattered

``faults`` (pure) says what can be wrong, ``plan`` (pure) puts the proxy between the nodes of a devnet, ``framing`` (pure) finds
the messages in a stream of bytes, ``decisions`` (pure) draws what happens to each, ``lane``, ``passage`` and ``link`` do it,
``proxy`` has all links, ``rpc`` listens, ``node`` is the program, ``handle`` is the client.
"""
