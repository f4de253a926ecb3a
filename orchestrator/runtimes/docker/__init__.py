"""The Docker runtime: every node a container of one image, on an engine of this machine or of another.

::

    image/ ──► rollnet:<content> ─┐
                                  ▼
    prepare ─► two networks, one container per node ─► start … kill … start ─► close: everything with the run's label is removed
                 control: published, so that this host reaches nodes: on 127.0.0.1, or on one address of the other machine
                 fabric:  internal, by name, so that nodes reach one another

    inject ─► ``faults``: a side-car in a node's network, a program in its container, the fabric's plug; confirmed by probes, and by ``events``

``sdk`` alone talks to the engine, on the threads of ``engine``; ``life`` is one life of one container; ``sweep`` removes by label, for ``close``, for the
``guard`` that outlives a killed supervisor, and for ``rollnet gc``. Where files are and where ports open is the ``site``'s: ``here`` folders and
ports of this host; ``there`` volumes, a ``courier`` that brings journals in this machine's time (``clocks``), and ports on another machine (``gate``).
"""
