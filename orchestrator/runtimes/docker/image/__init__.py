"""The image that all nodes run from.

::

    contents (pure: what goes in, its digest) ─► rollnet:<digest> there? ─► nothing to do
                                                      │ no
    base image: there, else pulled ─► dependencies: wheels for its Python, unpacked here ─► tar ─► engine builds, without a network
"""
