"""Which node needs which: pure functions on specs."""

import graphlib
import re
from collections.abc import Callable, Sequence

from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.errors import PlanError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}?")
_SMALLEST_LOG_CAP = 4096


def check(specs: Sequence[NodeSpec]) -> None:
    """Refuse specs that no runtime could run, all reasons at once.

    Raises:
        PlanError: a name is malformed or used twice, a dependency or placeholder names nothing, dependencies form
            a circle, or a number is out of range.
    """
    faults: list[str] = []
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) < len(specs):
        names = [spec.name for spec in specs]
        faults += [
            f"two nodes are called {name!r}" for name in sorted({n for n in names if names.count(n) > 1})
        ]
    for spec in specs:
        faults += [f"{spec.name}: {fault}" for fault in _faults(spec, by_name)]
    if not faults:
        try:
            start_waves(specs)
        except PlanError as exc:
            faults.append(exc.message)
    if faults:
        raise PlanError("the nodes can't be run:\n" + "\n".join(f"  - {fault}" for fault in faults))


def start_waves(specs: Sequence[NodeSpec]) -> list[tuple[str, ...]]:
    """Names in groups: each node depends only on nodes of earlier groups. Reversed, the order in which to stop.

    Raises:
        PlanError: dependencies form a circle.
    """
    sorter = graphlib.TopologicalSorter({spec.name: spec.depends_on for spec in specs})
    try:
        sorter.prepare()
    except graphlib.CycleError as exc:
        raise PlanError(f"dependencies form a circle: {' → '.join(exc.args[1])}") from exc
    waves: list[tuple[str, ...]] = []
    while sorter.is_active():
        wave = sorter.get_ready()
        waves.append(wave)
        sorter.done(*wave)
    return waves


def fill(text: str, look_up: Callable[[tuple[str, ...]], str]) -> str:
    """Replace each ``${a:b:c}`` by ``look_up(("a", "b", "c"))``; what was looked up is not scanned again."""
    return _PLACEHOLDER.sub(lambda match: look_up(tuple(match[1].split(":"))), text)


def _faults(spec: NodeSpec, by_name: dict[str, NodeSpec]) -> list[str]:
    faults = [f"depends on {name!r}, which is not there" for name in spec.depends_on if name not in by_name]
    if not _NAME.fullmatch(spec.name):
        faults.append("a name is letters, digits, '-' and '_'")
    if not spec.command:
        faults.append("has no command")
    if spec.readiness is not None and spec.readiness.endpoint not in spec.ports:
        faults.append(f"readiness asks for the endpoint {spec.readiness.endpoint!r}, which is not there")
    if spec.log_cap_bytes < _SMALLEST_LOG_CAP:
        faults.append(f"log_cap_bytes is {spec.log_cap_bytes}, at least {_SMALLEST_LOG_CAP} are needed")
    if spec.ready_timeout_s <= 0 or spec.stop_grace_s < 0:
        faults.append("ready_timeout_s must be positive and stop_grace_s not negative")
    for text in (*spec.command, *spec.env.values()):
        faults += [
            f"the placeholder {match[0]!r} names nothing"
            for match in _PLACEHOLDER.finditer(text)
            if not match[0].endswith("}") or not _names_something(match[1].split(":"), spec, by_name)
        ]
    return faults


def _names_something(words: list[str], spec: NodeSpec, by_name: dict[str, NodeSpec]) -> bool:
    match words:
        case ["host" | "data" | "run" | "python"]:
            return True
        case ["port", name]:
            return name in spec.ports
        case ["url", node, name]:
            return node in by_name and name in by_name[node].ports
        case _:
            return False
