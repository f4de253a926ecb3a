"""For tests of checkers: good runs made in code, small enough to read, and ways to break them.

::

    Recorder: bundles, transfers, deposits, a dead sequencer ─► RunFacts that every checker calls valid ─► altered ─► must be red
                                                                       └─► write_run ─► a run directory as a devnet leaves it
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from bridge.wire.journal import Event
from orchestrator.checks.conduct import write_conduct
from orchestrator.checks.expectations import write_expectations
from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import FILE_NAME, Observed, write_observed
from orchestrator.checks.testing_recorder import Recorder
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import Kind, Operation, Result, Sighting
from orchestrator.topology.names import RELAYER
from orchestrator.topology.plan_json import plan_to_dict


def good_run(rounds: int = 1) -> RunFacts:
    """A run with a bit of everything, in which the sequencer dies once, with a bundle in its hands, and the relayer once: valid for every checker.

    Args:
        rounds: how often the work is repeated; a round has eleven operations and four that were never sent, the first two more.
    """
    made = Recorder()
    for turn in range(rounds):
        made.bundle(0)
        made.bundle(1, trades=(5, -3))
        made.slot()
        made.bundle(2, trades=(1, 1), outcome="aborted")
        made.transaction(3)
        made.slot()
        made.deposit(3)
        withdrawn = made.transaction(2, kind=Kind.WITHDRAWAL)
        made.slot()
        made.finalize(withdrawn)
        made.bundle(0, outcome="", result=Result.FAIL, acknowledged=False)
        made.bundle(1, result=Result.INFO, acknowledged=False)
        made.slot()
        made.bundle(2, outcome="expired")
        made.slot()
        for kind in Kind:
            made.unsent(kind)
        made.bundle(0, trades=(-4, 2))
        if turn == 0:
            made.fault("kill")
            made.fault("restart")
            made.slot()
            made.bundle(3)
            made.fault("kill", RELAYER)
            made.slot()
            made.bundle(2)
            made.fault("restart", RELAYER)
        made.slot()
        made.bundle(1)
        made.slot()
    made.idle(2)
    return made.facts()


Document = dict[str, Any]
"""A run in plain values: ``operations``, ``sightings``, ``events``, ``observed``; everything may be changed in place."""


def altered(facts: RunFacts, change: Callable[[Document], object]) -> RunFacts:
    """A run in which something is otherwise.

    Args:
        facts: a run; stays as it is.
        change: changes the run's document in place.
    """
    parts: dict[str, TypeAdapter[Any]] = _PARTS
    document = {
        name: adapter.dump_python(getattr(facts, name), mode="python") for name, adapter in parts.items()
    }
    plain: Document = _mutable(document)
    change(plain)
    return replace(facts, **{name: adapter.validate_python(plain[name]) for name, adapter in parts.items()})


def write_run(facts: RunFacts, folder: Path) -> None:
    """Leave a run directory as a devnet would, without its engines' state."""
    (folder / "journal").mkdir(parents=True)
    (folder / "plan.json").write_bytes(orjson.dumps(plan_to_dict(facts.plan)))
    journals: dict[str, list[Event]] = {}
    for event in facts.events:
        journals.setdefault(event.node, []).append(event)
    for node, events in journals.items():
        lines = b"".join(orjson.dumps(event) + b"\n" for event in events)
        (folder / "journal" / f"{node}.jsonl").write_bytes(lines)
    (folder / HISTORY).write_bytes(b"".join(_history(facts)))
    if facts.observed is not None:
        write_observed(folder / FILE_NAME, facts.observed)
    write_expectations(folder, facts.expected)
    if facts.conduct is not None:
        write_conduct(folder, facts.conduct)


def _history(facts: RunFacts) -> list[bytes]:
    lines: list[Mapping[str, Any]] = []
    for one in facts.operations:
        known = asdict(one)
        begun = {key: known[key] for key in ("op", "kind", "id", "legs", "intended_ns", "attrs")}
        lines.append({"line": "invoke", **begun, "at_ns": one.invoked_ns})
        if one.acknowledged_ns is not None:
            took = {"op": one.op, "at_ns": one.acknowledged_ns, "l1_block": one.l1_block}
            lines.append({"line": "acknowledged", **took})
        if one.ended_ns is not None:
            end = {key: known[key] for key in ("op", "result", "outcome", "reason", "attempts", "slot")}
            lines.append({"line": "end", **end, "at_ns": one.ended_ns})
    lines += [asdict(sighting) for sighting in facts.sightings]
    return [orjson.dumps(line) + b"\n" for line in lines]


def _mutable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _mutable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mutable(each) for each in value]
    return value


_PARTS: dict[str, TypeAdapter[Any]] = {
    "operations": TypeAdapter(tuple[Operation, ...]),
    "sightings": TypeAdapter(tuple[Sighting, ...]),
    "events": TypeAdapter(tuple[Event, ...]),
    "observed": TypeAdapter(Observed | None),
}
