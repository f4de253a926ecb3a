"""The published forms of the spec: up to date, complete, and of one mind with the loader."""

from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs in the lock; used here alone
import pytest
import yaml

from orchestrator.topology.errors import InvalidTopology
from orchestrator.topology.fields import complaint
from orchestrator.topology.load import read_topology
from orchestrator.topology.schema import REFERENCE_FILE, SCHEMA_FILE, json_schema, main, reference_page
from orchestrator.topology.sections import Section
from orchestrator.topology.spec import SECTIONS, TopologySpec

ROOT = Path(__file__).parents[2]
TOPOLOGIES = sorted((ROOT / "topologies").glob("*.yaml"))


def fits(content: object) -> bool:
    """Whether a document satisfies the published JSON Schema."""
    return bool(jsonschema.Draft202012Validator(json_schema()).is_valid(content))


def loads(content: object) -> bool:
    """Whether the loader takes a document."""
    try:
        read_topology(yaml.safe_dump(content).encode(), "x.yaml")
    except InvalidTopology:
        return False
    return True


def test_published_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m orchestrator.topology.schema --write`` would change nothing."""
    assert main([]) == 0
    assert capsys.readouterr().out == (ROOT / SCHEMA_FILE).read_text(encoding="utf-8")
    assert reference_page() == (ROOT / REFERENCE_FILE).read_text(encoding="utf-8")


def test_the_schema_is_a_schema() -> None:
    """It is valid by its own dialect, and no null hides in it (the loader takes none)."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert "null" not in str(json_schema())


def test_every_field_is_documented() -> None:
    """Meaning, an example where one helps, and a default or ``required``; every model has its place and its text."""
    package = TopologySpec.__module__.rpartition(".")[0]
    own = {section for section in Section.__subclasses__() if section.__module__.startswith(f"{package}.")}
    assert own == set(SECTIONS.values())
    for section in SECTIONS.values():
        assert section.__doc__ != Section.__doc__
        for key, field in section.model_fields.items():
            assert field.description, key
            assert field.description[-1] in ".)", key
            assert field.examples or "x-default" in str(field.json_schema_extra), key
            assert f"| `{key}` |" in reference_page()


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_shipped_topologies_fit_the_schema(path: Path) -> None:
    """An editor with the schema shows no error in any of our files."""
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def examples(section: type[Section]) -> dict[str, Any]:
    """A map with the first example of every field."""
    return {key: field.examples[0] for key, field in section.model_fields.items() if field.examples}


def test_the_examples_of_the_reference_are_valid() -> None:
    """What hints tell users to write loads, all of it together."""
    place = ("rollups", "<name>")
    alpha = examples(SECTIONS[place]) | {"settlement": examples(SECTIONS[*place, "settlement"])}
    options = {key: examples(SECTIONS[*place, "options", key]) for key in ("oracle", "amm")}
    beta = {"engine": alpha.pop("engine"), "options": examples(SECTIONS[*place, "options"]) | options}
    del alpha["options"]  # an EVM rollup has none
    content = examples(TopologySpec) | {
        "l1": examples(SECTIONS["l1",]),
        "rollups": {"alpha": alpha, "beta": beta | {"data_availability": alpha["data_availability"]}},
        "messaging": examples(SECTIONS["messaging",]),
        "market": examples(SECTIONS["market",]),
        "resources": examples(SECTIONS["resources",]),
    }
    assert (fits(content), loads(content)) == (True, True)


BASE: dict[str, Any] = {
    "name": "x",
    "rollups": {
        "alpha": {
            "chain_id": 10,
            "data_availability": "blob",
            "settlement": {"kind": "optimistic", "challenge_period": "5s", "proposal_interval": "4s"},
        }
    },
    "l1": {"block_time": "1s", "confirmations": 3},
    "messaging": {"mode": "l1-bridge", "slot": "200ms", "sequencing_window": "30s"},
    "market": {"underlying": "ETH", "spot": 2000, "volatility": 0.6, "strikes": [1, 2], "expiries": ["1d"]},
    "resources": {
        "memory": "512MiB",
        "cpus": 1.5,
        "pids": 200,
        "roles": {"rollup": {"memory": "1.5GiB"}},
        "nodes": {"alpha": {"cpus": 2, "pids": 64}},
    },
}


def places(value: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all keys in nested maps."""
    found = []
    for key, inner in value.items():
        found.append((*path, key))
        if isinstance(inner, dict):
            found += places(inner, (*path, key))
    return found


def changed(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """``BASE`` with another value at a place."""
    copy: dict[str, Any] = yaml.safe_load(yaml.safe_dump(BASE))
    target = copy
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    return copy


@pytest.mark.parametrize("path", places(BASE), ids=".".join)
@pytest.mark.parametrize(
    "wrong", [None, True, -5, "No Such!", [], [[]], {"nothing": 1}, 10**300, "1 s"], ids=repr
)
def test_schema_and_loader_refuse_the_same(path: tuple[str, ...], wrong: object) -> None:
    """A value of a wrong type or far out of range is refused by both, at every place of a topology."""
    content = changed(path, wrong)
    assert (fits(content), loads(content)) == (False, False)


@pytest.mark.parametrize(
    "section",
    [(), *[path for path in places(BASE) if path[-1] in ("alpha", "l1", "market", "resources", "rollup")]],
)
def test_unknown_keys_are_refused_by_both(section: tuple[str, ...]) -> None:
    """A typo shows in the editor as well as at the command line."""
    content = changed((*section, "sloot"), 1)
    assert (fits(content), loads(content)) == (False, False)


@pytest.mark.parametrize(
    "name", ["Alpha", "l1", "sequencer", "maker", "relayer", "links", "-a", "a-", "a_b", "a" * 33, "", "1a"]
)
def test_wrong_names_are_refused_by_both(name: str) -> None:
    """Rollup names follow one rule."""
    content = {"name": "x", "rollups": {name: {}}}
    assert (fits(content), loads(content)) == (False, False)


def test_base_is_accepted_by_both() -> None:
    """The refusals above are for the change, not for the base."""
    assert (fits(BASE), loads(BASE)) == (True, True)


def test_complaints_keep_braces_of_the_user() -> None:
    """A user's text with template characters passes through pydantic as it is."""
    assert complaint("{x} {message}").message() == "{x} {message}"
