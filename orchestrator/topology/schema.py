"""The published forms of the spec: a JSON Schema for editors, and the reference page for people.

Both are generated from the models in ``spec``, so they can't drift; a test holds that the files in ``docs/`` are up to
date. After a change to the spec run ``python -m orchestrator.topology.schema --write``.

Beside standard keywords the schema carries ``x-unit``, ``x-default`` (a default that depends on other fields),
``x-shortest`` and ``x-longest`` (bounds of a duration), ``x-least`` and ``x-most`` (of a size), which validators ignore.
"""

import json
import sys
from pathlib import Path
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from orchestrator.topology.durations import format_duration
from orchestrator.topology.load import CHAOS
from orchestrator.topology.spec import SECTIONS, TopologySpec

SCHEMA_FILE = Path("docs/topology.schema.json")
REFERENCE_FILE = Path("docs/reference/topology.md")
"""Both from the root of the repository."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a topology file."""
    from orchestrator.chaos.schema import section_schema  # noqa: PLC0415 - the format of faults stands on this one

    schema = TopologySpec.model_json_schema(schema_generator=FileSchema)
    section, definitions = section_schema()
    described = {
        key: value
        for key, value in schema["properties"][CHAOS].items()
        if key in ("description", "examples") or key[:2] == "x-"
    }
    schema["properties"][CHAOS] = section | described
    schema["$defs"] |= definitions
    return {"$schema": DIALECT, **schema, "title": "rollnet topology"}


def reference_page() -> str:
    """The reference of the format in Markdown, one table for each map of the file."""
    parts = [_INTRODUCTION]
    schema = json_schema()
    definitions = schema["$defs"] | {TopologySpec.__name__: schema}
    for place, section in SECTIONS.items():
        definition = definitions[section.__name__]
        required = definition.get("required", ())
        rows = [field_row(key, field, key in required) for key, field in definition["properties"].items()]
        title = f"`{'.'.join(place)}`" if place else "Top level"
        parts.append(f"## {title}\n\n{section.__doc__}\n\n{TABLE_HEAD}\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


class FileSchema(GenerateJsonSchema):
    """pydantic's schema, told how the file differs from Python: there is no null, and durations are text."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        """A key that may be left out is never null."""
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Defaults as the file writes them."""
        described = super().default_schema(schema)
        default = described.pop("default", None)
        if default is None or isinstance(default, dict):
            return described  # x-default says it in words
        if "x-shortest" in described:
            default = format_duration(default)
        elif "x-shortest" in described.get("items", {}):
            default = [format_duration(seconds) for seconds in default]
        return {**described, "default": default}

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No titles: ``Block Time`` says nothing that ``block_time`` does not."""
        del schema
        return False


TABLE_HEAD = "| key | meaning | written as | default | constraint |\n|---|---|---|---|---|"
"""Of the tables of a reference page."""

_INTRODUCTION = """# Topology reference

<!-- Generated from orchestrator/topology/spec.py by `python -m orchestrator.topology.schema --write`; don't edit. -->

A topology is one YAML file that describes a devnet. `rollnet topology validate FILE` checks it and names every problem at
once, with its line; `rollnet topology plan FILE` shows what it resolves to; `rollnet topology schema` prints the
[JSON Schema](../topology.schema.json). To get completion in an editor with the YAML language server, begin the file with
`# yaml-language-server: $schema=` and the path of the schema.

Rules of the format:

- YAML 1.2 scalars: only `true` and `false` are booleans; `yes`, `no`, `on` and `off` are text. Numbers with a leading zero are
  refused, because YAML versions disagree about them. `.inf` and `.nan` are refused.
- Durations carry a unit: `200ms`, `1.5s`, `2m`, `1h`, `7d`. So do amounts of memory: `512MiB`, `1.5GiB`. A bare number is an error.
- Unknown and duplicate keys are errors. Anchors, aliases, merge keys and tags are not supported. A key without a value is an
  error: leave it out, or write `{}` for a map with every default.
- One document, UTF-8, at most 256 KiB, 20,000 values, 16 levels.
- Accounts and chain ids follow from names and the seed: adding a rollup changes nothing for the others.

The smallest topology:

```yaml
name: my-devnet
rollups:
  alpha: {}
```
"""


def field_row(key: str, field: dict[str, Any], required: bool) -> str:
    """One row of a reference page's table (:data:`TABLE_HEAD`)."""
    cells = (
        f"`{key}`",
        field["description"],
        _written_as(field),
        "**required**" if required else field.get("x-default") or _code(field["default"]),
        _constraint(field),
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _written_as(field: dict[str, Any]) -> str:
    kind = field.get("type", "map")
    name = {"object": "map", "array": "list", "string": "text", "boolean": "`true` or `false`"}.get(
        kind, kind
    )
    if "x-shortest" in field:
        name = "duration"
    elif "x-least" in field:
        name = "size"
    elif "x-shortest" in field.get("items", {}):
        name = "list of durations"
    elif "items" in field:
        name = "list of numbers"
    name, unit = field.get("x-written", name), field.get("x-unit")
    return f"{name}, {unit}" if unit else name


def _constraint(field: dict[str, Any]) -> str:
    parts = []
    item = field.get("items", field)
    if choices := field.get("enum") or ([field["const"]] if "const" in field else []):
        parts.append(", ".join(map(_code, choices)))
    if "x-shortest" in item:
        parts.append(f"{item['x-shortest']} to {item['x-longest']}")
    elif "x-least" in item:
        parts.append(f"{item['x-least']} to {item['x-most']}")
    elif "pattern" in item:
        parts.append(_code(item["pattern"]))
    if "minimum" in item:
        parts.append(f"{_number(item['minimum'])} to {_number(item['maximum'])}")
    if "maxItems" in field:
        parts.append(f"{field.get('minItems', 0)} to {field['maxItems']} members")
    if "maxProperties" in field:
        parts.append(f"{field.get('minProperties', 0)} to {field['maxProperties']} entries")
    return "; ".join(parts)


def _code(value: Any) -> str:
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value if isinstance(value, str) else _number(value)}`"


def _number(value: float) -> str:
    return f"{value:.16g}"


def main(arguments: list[str]) -> int:
    """Print the schema, or write both files with ``--write``."""
    schema_text = json.dumps(json_schema(), indent=2, sort_keys=False) + "\n"
    if arguments != ["--write"]:
        sys.stdout.write(schema_text)
        return 0
    root = Path(__file__).parents[2]
    for file, text in ((SCHEMA_FILE, schema_text), (REFERENCE_FILE, reference_page())):
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
