"""A devnet as files of other tools: what ``rollnet up`` would start, for people who want to read it or to run it themselves.

::

    plan ─► node specs ─► compose ─► yaml_text ─► compose.yaml
        └─► genesis states ──────────► write ────► beside it: genesis/, deployments.json, plan.json

``compose`` and ``yaml_text`` are pure; only ``write`` touches the disk, and looks for free ports.
"""
