"""The Docker runtime: every node a container of one image, on an engine of this machine.

::

    image/ ──► rollnet:<content> ─┐
                                  ▼
    prepare ─► two networks, one container per node ─► start … kill … start ─► close: everything with the run's label is removed
                 control: published on 127.0.0.1, so that this host reaches nodes
                 fabric:  internal, by name, so that nodes reach one another

``sdk`` alone talks to the engine, on the threads of ``engine``; ``life`` is one life of one container; ``sweep`` removes by label, for ``close``, for the
``guard`` that outlives a killed supervisor, and for ``rollnet gc``.
"""
