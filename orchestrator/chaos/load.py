"""From a file to a plan, or to everything that is wrong with the file.

::

    read_source ─► parse_document ─► ScenarioSpec ─► broken_rules ─► capabilities ─► resolve ─► ScenarioPlan
                     │               └─ findings_of ─┴──────────────┴─► InvalidScenario
                     └─► (a topology that carries a scenario: as_scenario)

Lines, YAML's traps and the words for pydantic's errors are the topology loader's. A scenario whose fields are partly wrong is judged as far
as it goes: each fault that is right by itself is held against the topology, if that can be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.chaos.capabilities import unsupported
from orchestrator.chaos.carried import MISSING, as_scenario, is_topology, outer
from orchestrator.chaos.errors import InvalidScenario, NotStarted
from orchestrator.chaos.fault_spec import KINDS, AnyFault, Fault
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.chaos.resolve import resolve
from orchestrator.chaos.rules import broken_rules
from orchestrator.chaos.run_rules import broken_expectations
from orchestrator.chaos.spec import INLINE, PATH, ExpectSpec, LoadSpec, ScenarioFormat, ScenarioSpec
from orchestrator.runtimes.choice import processes_unless_said
from orchestrator.runtimes.errors import ChoiceError
from orchestrator.topology.document import Document, parse_document
from orchestrator.topology.errors import Finding, InvalidTopology, Problem
from orchestrator.topology.load import CHAOS, load_topology, read_topology
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.rules import broken_rules as broken_topology
from orchestrator.topology.sections import Section
from orchestrator.topology.source import file_name, read_source
from orchestrator.topology.spec import TopologySpec
from orchestrator.topology.wording import findings_of

Part = TypeVar("Part", bound=Section)

_FAULT: TypeAdapter[AnyFault] = TypeAdapter(Fault)


def load_scenario(
    path: Path, *, runtime: str | None = None, seed: int | None = None, repeat_s: float | None = None
) -> ScenarioPlan:
    """Read, check and resolve a scenario file, or a topology file that carries a scenario.

    Args:
        path: of the file; the topology's path counts from its folder.
        runtime: instead of the topology's.
        seed: instead of the scenario's.
        repeat_s: instead of the scenario's ``repeat_for``, seconds.

    Raises:
        InvalidScenario: with every problem of the file and of its topology.
        NotStarted: the environment asks for a runtime that there is not.
    """
    try:
        data = read_source(path)
    except InvalidTopology as exc:
        raise InvalidScenario(exc.problems) from exc
    return read_scenario(data, file_name(path), path.parent, runtime=runtime, seed=seed, repeat_s=repeat_s)


def read_scenario(
    data: bytes,
    file: str,
    folder: Path,
    *,
    runtime: str | None = None,
    seed: int | None = None,
    repeat_s: float | None = None,
) -> ScenarioPlan:
    """As :func:`load_scenario`, from bytes; ``file`` is their name in problems.

    Raises:
        InvalidScenario: with every problem.
        NotStarted: the environment asks for a runtime that there is not.
    """
    try:
        document = parse_document(data, file)
        carried = is_topology(document)
        if carried:
            read_topology(data, file)
    except InvalidTopology as exc:
        raise InvalidScenario(exc.problems) from exc
    if carried and CHAOS not in document.content:
        raise InvalidScenario([document.locate(MISSING)])
    reading = examine(as_scenario(document) if carried else document, folder)
    findings = list(reading.findings)
    kind = _runtime(runtime, reading.ground)
    findings += unsupported(reading.faults, kind)
    spec, ground = reading.spec, reading.ground
    if document.problems or findings or reading.foreign or spec is None or ground is None:
        places = map(outer, findings) if carried else findings
        raise InvalidScenario([*document.problems, *reading.foreign, *map(document.locate, places)])
    seed = spec.seed if seed is None else seed
    return resolve(spec, ground, runtime=kind, seed=seed, repeat_s=repeat_s)


@dataclass(frozen=True, slots=True)
class Reading:
    """A scenario's document, as far as it can be understood, and what is wrong with it on any runtime."""

    spec: ScenarioSpec | None
    ground: Ground | None
    faults: Mapping[int, AnyFault]
    """Those that are right by themselves, by their index in the file."""
    findings: tuple[Finding, ...]
    foreign: tuple[Problem, ...]
    """Problems of the topology's own file."""


def examine(document: Document, folder: Path) -> Reading:
    """Read a scenario's document; the topology's path counts from the folder."""
    content = document.content
    spec, findings = _read_spec(document)
    devnet, foreign, ours = _topology(content.get("topology"), spec, folder)
    findings += ours
    ground = Ground.of(devnet) if devnet is not None else None
    faults = _right_ones(content, findings)
    findings += broken_rules(faults, ground)
    load, expect = (
        _section(LoadSpec, "load", content, findings),
        _section(ExpectSpec, "expect", content, findings),
    )
    findings += broken_expectations(load, expect, ground)
    return Reading(spec, ground, faults, tuple(findings), foreign)


def _runtime(said: str | None, ground: Ground | None) -> str:
    try:
        return processes_unless_said(said or (ground.plan.runtime if ground is not None else "process"))
    except ChoiceError as exc:
        raise NotStarted(exc.message, exc.hint) from exc


def _read_spec(document: Document) -> tuple[ScenarioSpec | None, list[Finding]]:
    """The spec, or what pydantic has against it."""
    try:
        return ScenarioSpec.model_validate(document.content), []
    except ValidationError as exc:
        schedule = document.content.get("schedule")
        entries = schedule if isinstance(schedule, tuple) else ()
        kinds = {
            index: str(entry["fault"])
            for index, entry in enumerate(entries)
            if isinstance(entry, dict) and "fault" in entry
        }
        errors = [
            _as_written(error)
            for error in exc.errors(include_url=False)
            if not (
                error["type"] == "too_short" and error["loc"] == ("schedule",) and entries
            )  # pydantic counts right ones alone
        ]
        reported = document.spoiled | document.incomplete
        found = findings_of(errors, ScenarioFormat(kinds=kinds))
        return None, [finding for finding in found if finding.path not in reported]


def _as_written(error: ErrorDetails) -> ErrorDetails:
    """An error of a union as the error of what was written: without pydantic's tags, at the key that is wrong."""
    place = error["loc"]
    match place:
        case ("schedule", int(), str() as tag, *rest) if tag in KINDS:
            place = (*place[:2], *rest)
        case ("topology", str() as tag, *rest) if tag in (PATH, INLINE):
            place = ("topology", *rest)
    changed: dict[str, Any] = {**error, "loc": place}
    match error["type"]:
        case "union_tag_not_found" if isinstance(error["input"], dict):
            changed |= {"type": "missing", "loc": (*place, "fault")}
        case "union_tag_invalid":
            expected = ", ".join(f"'{kind}'" for kind in KINDS)
            written = error["input"].get("fault") if isinstance(error["input"], dict) else error["input"]
            changed |= {
                "type": "literal_error",
                "loc": (*place, "fault"),
                "ctx": {"expected": expected},
                "input": written,
            }
        case "union_tag_not_found" | "model_attributes_type":
            changed |= {"type": "model_type"}
    return changed  # type: ignore[return-value] # the same keys


def _topology(
    given: Any, spec: ScenarioSpec | None, folder: Path
) -> tuple[Plan | None, tuple[Problem, ...], list[Finding]]:
    """The devnet's plan; or the problems of the topology's own file, or findings in this one."""
    if isinstance(given, str):
        try:
            return make_plan(load_topology(folder / given)), (), []
        except InvalidTopology as exc:
            return None, exc.problems, []
    if not isinstance(given, dict):
        return None, (), []  # missing or of a wrong type: said already
    if CHAOS in given:
        return (
            None,
            (),
            [Finding(("topology", CHAOS), "this file is the scenario itself", "remove it", at_key=True)],
        )
    try:
        inline = spec.topology if spec is not None else TopologySpec.model_validate(given)
    except ValidationError:
        return None, (), []  # its fields are wrong: said already
    assert isinstance(inline, TopologySpec), "a map is read as a topology"
    broken = [
        Finding(
            ("topology", *found.path),
            found.message,
            found.hint,
            found.at_key,
            tuple(("topology", *need) for need in found.needs),
        )
        for found in broken_topology(inline)
    ]
    return (None if broken else make_plan(inline)), (), broken


def _section(model: type[Part], key: str, content: Mapping[str, Any], findings: list[Finding]) -> Part:
    """One map of the file, or its defaults where it is wrong: that was said already."""
    if any(finding.path[:1] == (key,) for finding in findings):
        return model()
    try:
        return model.model_validate(content.get(key, {}))
    except ValidationError:
        return model()


def _right_ones(content: Mapping[str, Any], findings: list[Finding]) -> dict[int, AnyFault]:
    """The faults that are right by themselves, by their index in the file."""
    schedule = content.get("schedule")
    wrong = {
        finding.path[1] for finding in findings if finding.path[:1] == ("schedule",) and len(finding.path) > 1
    }
    right: dict[int, AnyFault] = {}
    for index, entry in enumerate(schedule if isinstance(schedule, tuple) else ()):
        if index in wrong:
            continue
        try:
            right[index] = _FAULT.validate_python(entry)
        except ValidationError:
            continue  # it lost an entry that was reported as YAML
    return right
