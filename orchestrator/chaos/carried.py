"""Topology files that carry a scenario under ``chaos``: the same document, seen as the scenario file that it could be. Pure.

::

    name: pair                          name: pair
    rollups: {…}            ◄────►      topology: {name: pair, rollups: {…}}
    chaos: {schedule: […]}              schedule: […]

So there is one reader for both, and what it finds is told at the places of the file that the user has.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

from orchestrator.topology.document import Document
from orchestrator.topology.errors import Finding, KeyPath
from orchestrator.topology.load import CHAOS

Value = TypeVar("Value")

MISSING = Finding(
    (CHAOS,),
    "this is a topology, and it does not say what is to break",
    "add chaos: {schedule: […]} to it, or give a scenario such as scenarios/sequencer-kill.yaml",
)


OWN = {"name": "the file's own name is the scenario's", "topology": "this file is the topology"}
"""Keys of a scenario file that a topology which carries one says itself, or is."""


def is_topology(document: Document) -> bool:
    """Whether a file is a topology; a scenario has none of its keys at its top."""
    content = document.content
    return "rollups" in content and not {"topology", "schedule"} & content.keys()


def as_scenario(document: Document) -> Document:
    """The scenario that a topology's document carries."""
    content = document.content
    carried = content.get(CHAOS)
    own = carried if isinstance(carried, dict) else {}
    rest = {key: value for key, value in content.items() if key != CHAOS}
    name = {"name": rest["name"]} if "name" in rest else {}
    return replace(
        document,
        content={**{key: value for key, value in own.items() if key not in OWN}, **name, "topology": rest},
        origins=dict(_moved(document.origins)),
        spoiled=frozenset(map(_inner, document.spoiled)),
        incomplete=frozenset(map(_inner, document.incomplete)),
    )


def needless(document: Document) -> tuple[Finding, ...]:
    """What a carried scenario says although its file says it already; at its places there."""
    carried = document.content.get(CHAOS)
    return tuple(
        Finding((CHAOS, key), f"unknown key here: {why}", "remove it", at_key=True)
        for key, why in OWN.items()
        if isinstance(carried, dict) and key in carried
    )


def outer(finding: Finding) -> Finding:
    """What was found in the scenario, at its place in the topology's file."""
    return replace(finding, path=_outer(finding.path), needs=tuple(map(_outer, finding.needs)))


def _moved(origins: Mapping[KeyPath, Value]) -> Mapping[KeyPath, Value]:
    return {_inner(path): origin for path, origin in origins.items()}


def _inner(path: KeyPath) -> KeyPath:
    return path[1:] if path[:1] == (CHAOS,) else ("topology", *path)


def _outer(path: KeyPath) -> KeyPath:
    return path[1:] if path[:1] == ("topology",) else (CHAOS, *path)
