"""The published forms of the spec: a JSON Schema for editors, and the reference page for people.

As with topologies both come from the models, and a test holds the files in ``docs/`` to them. After a change to a model run
``python -m orchestrator.chaos.schema --write``.
"""

import json
import sys
from pathlib import Path
from typing import Any

from bridge.wire.mutants import MUTANTS
from orchestrator.chaos.fault_spec import KINDS, FaultSpec, LinkSpec, TargetSpec, WhenSpec
from orchestrator.chaos.spec import SECTIONS, ScenarioSpec
from orchestrator.checks.coverage import WORDS
from orchestrator.topology.schema import DIALECT, TABLE_HEAD, FileSchema, field_row
from orchestrator.topology.spec import Section

SCHEMA_FILE = Path("docs/scenario.schema.json")
REFERENCE_FILE = Path("docs/reference/chaos.md")
"""Both from the root of the repository."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario file."""
    schema = ScenarioSpec.model_json_schema(schema_generator=FileSchema)
    return {"$schema": DIALECT, **schema, "title": "rollnet scenario"}


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

Options: `--seed N` instead of the file's, `--runtime process|docker` instead of the topology's, `--minutes N` for a soak (the schedule is
repeated until so much time has passed), `--mutant NAME` (a build that is broken on purpose, to see that the verdict can be trusted),
`--keep` (a devnet that was not valid is left running until Ctrl-C), `--json`, `--junit FILE`, `--dry-run`.

Every run leaves its run directory, with `chaos.md` (fits a CI job summary), `chaos.json`, `report.html` (opens anywhere, draws latency over time
with the fault windows), the journals, the history of the load and what the chains held in the end. `rollnet check RUN` judges it again.
"""

_VERDICTS = """## Verdicts

| verdict | exit code | meaning |
|---|---|---|
| valid | 0 | every fault bit, everything that was to be seen was seen, every checker is content |
| invalid | 1 | a checker found something that must not be; the smallest counter-example is shown |
| unknown | 2 | nothing wrong was found, and too little was seen to say that nothing is: a fault did not bite, the devnet was never steady, something was not covered, a checker failed, the run broke down |
| | 3 | nothing could be started: the file is wrong, or the devnet does not come up |

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
unknown. A fault that the runtime can't do is refused when the file is loaded. Everything is healed at the end of its time and at the end
of the run, also after errors and Ctrl-C.
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
