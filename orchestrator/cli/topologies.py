"""``topology validate|plan|schema``: files, without starting anything."""

from pathlib import Path
from typing import Annotated

import orjson
import typer

from orchestrator.cli.output import JsonOption, command, command_group, err, out, say_json
from orchestrator.topology.errors import InvalidTopology
from orchestrator.topology.load import load_topology
from orchestrator.topology.plan_json import plan_to_dict
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.schema import json_schema

app = command_group("Check and explain topology files.")

FileArgument = Annotated[Path, typer.Argument(help="A topology file.")]


@app.command()
def validate(
    files: Annotated[list[Path], typer.Argument(help="One or more topology files.")],
    as_json: JsonOption = False,
) -> None:
    """Report everything that is wrong with topology files.

    Example: rollnet topology validate topologies/*.yaml
    """
    invalid = 0
    results = []
    for file in files:
        try:
            with_plan = make_plan(load_topology(file))
        except InvalidTopology as exc:
            invalid += 1
            problems = [
                {
                    "file": p.file,
                    "line": p.line,
                    "column": p.column,
                    "path": p.path,
                    "message": p.message,
                    "hint": p.hint,
                }
                for p in exc.problems
            ]
            results.append({"file": str(file), "valid": False, "problems": problems})
            if not as_json:
                for problem in exc.problems:
                    err.print(str(problem), markup=False)
        else:
            results.append({"file": str(file), "valid": True, "problems": []})
            if not as_json:
                out.print(f"{file}: valid, {len(with_plan.rollups)} rollups")
    if as_json:
        say_json({"valid": invalid == 0, "files": results})
    if invalid:
        raise typer.Exit(2)


@app.command()
def plan(file: FileArgument, as_json: JsonOption = False) -> None:
    """Show a topology with nothing left to decide: ids, accounts, market, defaults.

    Example: rollnet topology plan topologies/pair.yaml --json
    """
    with command(as_json=as_json):
        resolved = plan_to_dict(make_plan(load_topology(file)))
        if as_json:
            say_json(resolved)
        else:
            out.print_json(orjson.dumps(resolved).decode())


@app.command()
def schema(as_json: JsonOption = True) -> None:  # noqa: ARG001 - a schema is JSON either way
    """Print the JSON Schema of topology files, for editors.

    Example: rollnet topology schema > topology.schema.json
    """
    say_json(json_schema())
