"""Topology: from a YAML file to a plan with nothing left to decide.

::

    file ─ source ─► bytes ─ document ─► values + marks ─ load ─► TopologySpec ─ resolve ─► Plan
             │                  │                           │                      │
             │               scalars (YAML 1.2)    spec · fields · rules     names · accounts
             └────────────┬─────┴───────────────────────────┘                      │
                   InvalidTopology: every Problem with line, path, hint         plan_json

    schema: spec ─► docs/topology.schema.json, docs/reference/topology.md

Only ``source`` touches the disk (and ``schema --write``); everything after it is pure.
"""
