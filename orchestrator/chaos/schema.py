"""The published forms of the spec: a JSON Schema for editors, and the reference page for people.

As with topologies both come from the models, and a test holds the files in ``docs/`` to them. After a change to a model run
``python -m orchestrator.chaos.schema --write``.
"""

import json
import re
import sys
from functools import cache
from pathlib import Path
from typing import Any

from bridge.wire.mutants import MUTANTS
from orchestrator.chaos.carried import OWN
from orchestrator.chaos.fault_spec import KINDS, FaultSpec, LinkSpec, TargetSpec, WhenSpec
from orchestrator.chaos.spec import SECTIONS, ScenarioSpec
from orchestrator.checks.coverage import WORDS
from orchestrator.topology.load import CHAOS
from orchestrator.topology.schema import DIALECT, TABLE_HEAD, FileSchema, field_row
from orchestrator.topology.sections import Section
from orchestrator.topology.spec import TopologySpec

SCHEMA_FILE = Path("docs/scenario.schema.json")
REFERENCE_FILE = Path("docs/reference/chaos.md")
"""Both from the root of the repository."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario file."""
    schema = ScenarioSpec.model_json_schema(schema_generator=FileSchema)
    del schema["$defs"][TopologySpec.__name__]["properties"][CHAOS]  # the scenario is around it
    return {"$schema": DIALECT, **schema, "title": "rollnet scenario"}


@cache
def section_schema() -> tuple[dict[str, Any], dict[str, Any]]:
    """The schema of the map ``chaos`` of a topology, a scenario without what the topology says itself; and what it refers to.

    Not to be changed: everybody gets the same.
    """
    schema = json_schema()
    definitions: dict[str, Any] = schema["$defs"]
    section = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: value for key, value in schema["properties"].items() if key not in OWN},
        "required": [key for key in schema["required"] if key not in OWN],
    }
    used: dict[str, Any] = {}
    waiting = [section]
    while waiting:
        for name in _REFERENCE.findall(json.dumps(waiting.pop())):
            if name not in used:
                used[name] = definitions[name]
                waiting.append(definitions[name])
    return section, used


def reference_page() -> str:
    """The reference of the format in Markdown: one table for each map of the file, and one for each kind of fault."""
    parts = [_INTRODUCTION, _VERDICTS, _coverage(), _mutants()]
    for place, section in SECTIONS.items():
        if place[:1] != ("topology",):
            title = f"`{'.'.join(place)}`" if place else "Top level"
            parts.append(_table(f"## {title}", section))
    parts.append(_table("## Every fault", FaultSpec))
    parts.append(_table("### `when`", WhenSpec))
    parts.append(_table("### `target`", TargetSpec))
    parts.append(_table("### `links`", LinkSpec))
    parts.append("## Kinds of faults\n\n" + _INJECTION)
    parts += [_table(f"### `{kind}`", model, _COMMON) for kind, model in KINDS.items()]
    return "\n".join(parts)


def _table(title: str, section: type[Section], besides: frozenset[str] = frozenset()) -> str:
    definition = section.model_json_schema(
        schema_generator=FileSchema, by_alias=True, ref_template="#/$defs/{model}"
    )
    required = definition.get("required", ())
    rows = [
        field_row(key, field, key in required)
        for key, field in definition["properties"].items()
        if key not in besides
    ]
    table = f"{TABLE_HEAD}\n" + "\n".join(rows) + "\n" if rows else "Nothing else is to be said.\n"
    return f"{title}\n\n{section.__doc__}\n\n{table}"


def _coverage() -> str:
    return f"{_COVERAGE}\nWords of coverage: {', '.join(f'`{word}`' for word in WORDS)}.\n"


def _mutants() -> str:
    rows = "\n".join(f"| `{name}` | {meaning} |" for name, meaning in MUTANTS.items())
    return f"{_MUTANTS}\n| mutant | what it does |\n|---|---|\n{rows}\n"


_REFERENCE = re.compile(r'"#/\$defs/([A-Za-z0-9]+)"')
_COMMON = frozenset({*FaultSpec.model_fields, "fault"})
"""Keys that stand in the table of every fault."""

_INTRODUCTION = """# Chaos reference

<!-- Generated from orchestrator/chaos by `python -m orchestrator.chaos.schema --write`; don't edit. -->

`rollnet chaos run scenarios/sequencer-kill.yaml` launches a devnet, puts load on it, breaks it as the scenario says, heals it, lets it drain
and says whether it kept its promises. `--dry-run` shows the schedule with its targets drawn and starts nothing. The format is that of
topologies: durations with units, unknown keys are errors, all errors at once with their lines. For completion in an editor with the YAML
language server, begin a file with `# yaml-language-server: $schema=` and the path of the [JSON Schema](../scenario.schema.json).

```
launch ─► warm-up ─► baseline ─► schedule ─► recovery ─► after ─► drain ─► observe ─► check ─► report ─► down
```

The smallest scenario:

```yaml
name: kill
topology: ../topologies/pair.yaml
schedule:
  - name: the sequencer dies
    when: {event: bundle.sequenced, count: 10}
    fault: kill
    target: sequencer
    restart_after: 1s
```

A [topology](topology.md) may carry its scenario: under `chaos` stands what a scenario file says, without `name` and `topology`, and
`rollnet chaos run topologies/pair-chaos.yaml` runs it. To every other command the file is a topology like any other.

Options: `--seed N` instead of the file's, `--runtime process|docker` instead of the topology's, `--minutes N` for a soak (the schedule is
repeated until so much time has passed), `--mutant NAME` (a build that is broken on purpose, to see that the verdict can be trusted),
`--keep` (a devnet that was not valid is left running, healed, until Ctrl-C or SIGTERM), `--json`, `--junit FILE`, `--dry-run`.

Ctrl-C and SIGTERM end a run at any moment: what was broken is healed, everything is taken down, the run directory stays, and the exit code is 130.

Every run leaves its run directory, with `report.md` (fits a CI job summary), `latency.svg` beside it (latency over time with the fault windows),
`report.html` (the same on one page that opens anywhere), `chaos.json` for programs, the journals, the history of the load and what the chains held
in the end. `rollnet check RUN` judges it again; `rollnet report RUN` writes where time went, as `traces.md` because `report.md` is taken.
"""

_VERDICTS = """## Verdicts

| verdict | exit code | meaning |
|---|---|---|
| valid | 0 | every fault bit, everything that was to be seen was seen, every checker is content |
| invalid | 1 | a checker found something that must not be; the smallest counter-example is shown |
| unknown | 2 | nothing wrong was found, and too little was seen to say that nothing is: a fault did not bite, the devnet was never steady, something was not covered, a checker failed, the run broke down |
| | 3 | nothing could be started: the file is wrong, or the devnet does not come up |

A run that breaks down in its middle has a report and JUnit XML like any other, and `trouble.txt` with what happened. What goes wrong once there is a
verdict (a node that does not go down, a report that can't be written) is a warning beside it, and changes neither verdict nor exit code. A run
that is certainly wrong already is not waited for: a bundle was committed although a leg of it had failed, a sequencer does not know what
it acknowledged, nothing commits within the time that the scenario gives. Its schedule goes on, its drain is short, and the checkers judge it.

What counts, where it is not plain:

- *Recovery*: the clock starts when the heal of a fault begins, or that of the last one that overlaps it on the same sequencing set, or that strikes
  before the recovery. Only bundles count that were sent and decided since, for each set and each rollup that the fault touched; where the load
  sends no bundles to a set, its transactions or deposits. The relayer has recovered when it has read new blocks of every rollup.
- *Blast radius*: who is not touched answers, makes blocks and ends operations as before. A gap is measured to the next sign of life, also behind the
  window; it is a breach when it is longer than `silence`, or swallows the whole window and is four times the longest one of before. Neighbours of
  a rollup that hangs may stand for six seconds more, because a slot waits five for it.
- *Settlement*: after the drain the safe heads pass what was served when it began, rollups stand on recent L1 blocks, deposits are
  executed, and withdrawals are proven and finalized once the topology's own times and some slack are over. A run waits for that (`settle`), as long
  as `drain_within` at most.
- What L1 takes back excuses what stood on it, and no more: slots from the cut on, blocks above the rewound head, safe heads whose superbatch was in an
  L1 block that is gone. A stall takes nothing back.
- A node that was not observed, or not far enough, makes the checkers that need it *unknown*; so does a checker under `invariants` that can't be
  asked.

What only the run knew (was it steady, did faults bite, was the backlog gone) is kept in `conduct.json`, and what it expected in `expectations.json`, so
that `rollnet check RUN` comes to the same verdict.

In JUnit XML each checker is a test case. Invalid is a `failure`; unknown is an `error`, not a skip, because a CI that shows it green would
claim what nobody knows.
"""

_COVERAGE = """## Coverage

Under `expect.coverage` a scenario says what must have happened at least so often; otherwise its verdict is unknown. Beside the words below
every event of a journal counts, such as `message.finalized` or `log.cut`. Bundles are counted by their end (`committed`, `aborted`, `expired`)
and by how many were `in_flight` when a fault began; operations that were sent more than once (`retried`), whose end nobody knows (`info`) and that
took effect all the same (`recovered`); `deposits` and `withdrawals` that took effect; looks at nodes (`sightings`); `faults` that bit.
"""

_MUTANTS = """## Mutants

A verdict that is never "invalid" proves nothing. `--mutant NAME` runs nodes that leave out one rule of safety; they do so only on a devnet that
was launched for chaos.
"""

_INJECTION = """Each fault is confirmed by somebody else than the one who injects it: ends of nodes by the kernel or the engine, faults of links
by the number of messages that they met, clocks and L1 by what they say afterwards. What was not confirmed did not bite, and the verdict is
unknown. A fault that the runtime can't do is refused when the file is loaded. Everything is healed at the end of its time and once more at the end
of the schedule (links, machines, lives, orders to crash, clocks, the beat of L1), also after errors and Ctrl-C; a heal that fails spares no other, and each
that failed is told. A node that does not come back makes the run invalid; anything else that could not be undone makes it unknown.
"""


def main(arguments: list[str]) -> int:
    """Print the schema, or write both files with ``--write``."""
    schema_text = json.dumps(json_schema(), indent=2) + "\n"
    if arguments != ["--write"]:
        sys.stdout.write(schema_text)
        return 0
    root = Path(__file__).parents[2]
    for file, text in ((SCHEMA_FILE, schema_text), (REFERENCE_FILE, reference_page())):
        (root / file).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
