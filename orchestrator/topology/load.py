"""From a file to a spec, or to everything that is wrong with the file.

::

    read_source ─► parse_document ─► TopologySpec ─► broken_rules ─► (chaos: section_findings)
                                     └─ findings_of ─┴──────────────┴─► InvalidTopology

Rules that tie fields together need a whole spec. When a field is wrong there is none; so the wrong places are taken out,
what is left is read again with the defaults in their stead, and the rules judge that. A user then hears of the misspelt
key and of the two equal chain ids in the same run.
"""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from orchestrator.topology.document import parse_document
from orchestrator.topology.errors import Finding, InvalidTopology, KeyPath
from orchestrator.topology.rules import broken_rules
from orchestrator.topology.source import file_name, read_source
from orchestrator.topology.spec import TopologySpec
from orchestrator.topology.wording import findings_of, path_of

_PLACEHOLDERS: dict[str, Any] = {"name": "unnamed", "rollups": {"unnamed": {}}}
"""Stand in for the required keys of the top level while the rules judge the rest."""

CHAOS = "chaos"
"""The map that a scenario reads; ``orchestrator.chaos.section`` judges it."""

_ROUNDS = 4
"""Taking out a required key takes out its map in the next round; maps nest no deeper."""


def load_topology(path: Path) -> TopologySpec:
    """Read and check a topology file.

    Raises:
        InvalidTopology: with every problem of the file, in its order.
    """
    return read_topology(read_source(path), file_name(path))


def read_topology(data: bytes, file: str) -> TopologySpec:
    """Check the bytes of a topology; ``file`` is its name in problems.

    Raises:
        InvalidTopology: with every problem, in the order of the file.
    """
    document = parse_document(data, file)
    findings: list[Finding] = []
    spec: TopologySpec | None
    try:
        spec = TopologySpec.model_validate(document.content)
    except ValidationError as exc:
        errors = exc.errors(include_url=False)
        reported = document.spoiled | document.incomplete
        findings = [finding for finding in findings_of(errors) if finding.path not in reported]
        spec = _salvage(document.content, errors)
    if spec is not None:
        wrong = {*document.spoiled, *(finding.path for finding in findings)}
        findings += [finding for finding in broken_rules(spec) if not _rests_on(finding, wrong)]
    if isinstance(document.content.get(CHAOS), dict):
        # the format of faults stands on that of topologies; few files have any
        from orchestrator.chaos.section import section_findings  # noqa: PLC0415 - see the line above

        findings += section_findings(document, fits=not findings and not document.problems)
    if document.problems or findings or spec is None:
        raise InvalidTopology([*document.problems, *map(document.locate, findings)])
    return spec


def _rests_on(finding: Finding, wrong: AbstractSet[KeyPath]) -> bool:
    """Whether a rule judged a default that stood in for something wrong."""
    places = (finding.path, *finding.needs)
    return any(place[:length] in wrong for place in places for length in range(len(place) + 1))


def _salvage(content: dict[str, Any], errors: list[ErrorDetails]) -> TopologySpec | None:
    """A spec from what is right, or None if too little is."""
    for _ in range(_ROUNDS):
        # A map that lacks a required key goes as a whole; at the top level a placeholder stands in.
        gone = {error["loc"][:-1] if error["type"] == "missing" else path_of(error)[0] for error in errors}
        rest = {key: value for key, value in _without(content, gone).items() if value != {}}
        content = _PLACEHOLDERS | rest
        try:
            return TopologySpec.model_validate(content)
        except ValidationError as exc:
            errors = exc.errors(include_url=False)
    return None


def _without(value: Any, gone: AbstractSet[KeyPath], path: KeyPath = ()) -> Any:
    """The maps of a document without some places; a list that loses a member goes as a whole."""
    if not isinstance(value, dict):
        return value
    kept = {key: inner for key, inner in value.items() if not _touched(inner, gone, (*path, key))}
    return {key: _without(inner, gone, (*path, key)) for key, inner in kept.items()}


def _touched(value: Any, gone: AbstractSet[KeyPath], path: KeyPath) -> bool:
    if isinstance(value, tuple):
        return any(place[: len(path)] == path for place in gone)
    return path in gone
