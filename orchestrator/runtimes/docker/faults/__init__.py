"""Faults of containers.

::

    means ──► network (pure: faults in force ─► rules, rate)  ──► beside ──► side_car.py in the node's network: apply, then look
       ├────► unplug: the engine takes it off the fabric          │              counters, and connections that cross the link
       ├────► memory: limit, and a hog inside                     └─► tools: an image with iptables, where the nodes' has none
       └────► disk: ``runtimes.file_limits`` inside

Rules are never added to and never taken away one by one: what is in force on a node is the whole of its filter table and its one queue,
written anew each time. So healing twice is healing, and a new network after a restart gets the same as the old one had.
"""
