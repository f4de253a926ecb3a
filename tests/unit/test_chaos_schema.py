"""Scenario files: everything that is wrong is said at once with its line, nothing hostile gets further, and the published forms are of one mind with the loader."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs in the lock
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos import capabilities
from orchestrator.chaos.errors import InvalidScenario, NotStarted
from orchestrator.chaos.fault_spec import KINDS, FaultSpec, LinkSpec, TargetSpec, WhenSpec
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.link_injection import link_faults
from orchestrator.chaos.load import load_scenario, read_scenario
from orchestrator.chaos.plan import ScenarioPlan, plan_to_dict
from orchestrator.chaos.rules import CLOCK_ROLES
from orchestrator.chaos.schema import REFERENCE_FILE, SCHEMA_FILE, json_schema, main, reference_page
from orchestrator.chaos.spec import SECTIONS, ScenarioSpec
from orchestrator.runtimes.base import Capability
from orchestrator.runtimes.choice import VARIABLE
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.topology.errors import InvalidTopology, Problem
from orchestrator.topology.load import load_topology, read_topology
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.schema import json_schema as topology_schema
from orchestrator.topology.sections import Section

ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
QUAD = "../topologies/condor-quad.yaml"
WHEN: Mapping[str, Any] = {"after": "1s"}
LINK: Mapping[str, Any] = {"links": [{"from": "sequencer", "to": "alpha"}], "for": "1s"}
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "kill": {"target": "sequencer", "restart_after": "1s"},
    "stop": {"target": ["alpha", "beta"], "restart_after": "1s"},
    "restart": {"target": {"role": "rollup", "pick": "one"}},
    "pause": {"target": {"role": "rollup", "pick": "majority"}, "for": "1s"},
    "crash_at": {"target": "sequencer", "point": "sequencer.slot.decided", "restart_after": "1s"},
    "partition": {**LINK, "mode": "reset", "direction": "both"},
    "delay": {**LINK, "latency": "20ms", "jitter": "10ms"},
    "throttle": {**LINK, "rate": 1000},
    "drop": {**LINK, "probability": 0.5, "match": "rollup_*", "lost": "answer"},
    "duplicate": {"target": "alpha", "probability": 0.5, "for": "1s"},
    "reorder": {**LINK, "probability": 0.5},
    "packet_loss": {"target": "alpha", "percent": 30, "for": "1s"},
    "disk_full": {"target": "alpha", "spare": 4096, "for": "1s"},
    "out_of_memory": {"target": "alpha", "restart_after": "1s"},
    "clock_skew": {"target": "sequencer", "offset": "30s", "toward": "past", "for": "1s"},
    "l1_stall": {"for": "1s"},
    "l1_reorg": {"depth": 3},
}
"""A whole fault of each kind, without name and trigger."""


def scenario(*schedule: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """A scenario with these faults."""
    return {"name": "x", "topology": QUAD, "schedule": list(schedule), **more}


def fault(kind: str, name: str = "f", **more: Any) -> dict[str, Any]:
    """A whole fault of a kind."""
    return {"name": name, "when": dict(WHEN), "fault": kind, **EXAMPLES[kind], **more}


def read(content: object, **options: Any) -> ScenarioPlan:
    """Read a scenario as a file of ``scenarios/``."""
    return read_scenario(yaml.safe_dump(content).encode(), "x.yaml", ROOT / "scenarios", **options)


def problems(content: object | bytes, **options: Any) -> list[str]:
    """Everything that is wrong, as users read it."""
    data = content if isinstance(content, bytes) else yaml.safe_dump(content).encode()
    with pytest.raises(InvalidScenario) as caught:
        read_scenario(data, "x.yaml", ROOT / "scenarios", **options)
    assert 3 == caught.value.exit_code
    return [str(problem) for problem in caught.value.problems]


def test_everything_that_is_wrong_is_said_at_once_with_its_line() -> None:
    """Fields, unknown keys, kinds, names, links, points, capabilities and expectations, in the order of the file."""
    text = """\
name: Kill
topology: ../topologies/condor-quad.yaml
sed: 3
schedule:
  - {name: a, when: {after: 2s}, fault: kil, target: sequencer}
  - {name: b, when: {after: 2}, fault: pause, target: sequencer, for: 2s}
  - {name: c, when: {after: 2s}, fault: stop, target: [sequencr], restart_after: 2s}
  - {name: c, when: {after: 2s}, fault: partition, links: [{from: l1, to: beta}], for: 1s}
  - {name: e, when: {after: 2s}, fault: packet_loss, target: alpha, percent: 20, for: 1s}
  - {name: f, when: {}, fault: crash_at, target: alpha, point: sequencer.slot.decidd, restart_after: 1s}
  - {name: g, when: {after: 2s}, fault: crash_at, target: alpha, point: sequencer.slot.decided, restart_after: 1s}
  - {when: {after: 2s}, fault: l1_reorg, depth: 1}
  - kill
load: {mix: {swaps: 1}}
expect: {coverage: {comitted: 1}, blast_radius: [alfa], invariants: [no gosts]}
"""
    kinds = ", ".join(list(KINDS)[:-1])
    listed = [problem.removeprefix("x.yaml:") for problem in problems(text.encode())]
    expected = [
        "1:7: name: 'Kill' is no name: lower-case letters, digits and dashes, a letter first, at most 32 characters (for example kill)",
        "3:1: sed: unknown key (did you mean seed?)",
        f"5:41: schedule[0].fault: must be {kinds} or l1_reorg, not the text 'kil' (did you mean kill?)",
        "6:29: schedule[1].when.after: a duration needs a unit (write 2s)",
        "7:55: schedule[2].target: the topology has no node 'sequencr' (did you mean sequencer?)",
        "8:12: schedule[3].name: another fault is called 'c' already (number 3 of the schedule) (give each its own name)",
        "8:60: schedule[3].links[0]: l1 never calls beta; it is the other way round (write direction: from)",
        "9:41: schedule[4].fault: the process runtime can't do packet-loss (the docker runtime can: rollnet chaos run --runtime docker)",
        "10:21: schedule[5].when: needs exactly one of event, height and after, and says neither (such as {after: 2s})",
        "10:64: schedule[5].point: there is no crash point 'sequencer.slot.decidd' (did you mean sequencer.slot.decided?)",
        "11:59: schedule[6].target: alpha is a rollup and never passes sequencer.slot.decided (that point is in nodes of role sequencer)",
        "12:5: schedule[7].name: is required (for example name: the sequencer dies)",
        "13:5: schedule[8]: must be a map, not the text 'kill' (write {name: …})",
    ]
    assert expected == listed[: len(expected)]
    rest = "\n".join(listed[len(expected) :])
    assert "14:14: load.mix.swaps: users do no operation 'swaps' (there are strategy," in rest
    assert "15:21: expect.coverage.comitted: nobody counts 'comitted' (did you mean committed?)" in rest
    assert "15:50: expect.blast_radius[0]: the topology has no node 'alfa' (did you mean alpha?)" in rest
    assert "15:70: expect.invariants[0]: there is no checker 'no gosts' (did you mean no ghosts?)" in rest


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_loads_and_fits_the_schema(kind: str) -> None:
    """A whole example of each kind is taken by loader and schema, printed as JSON, and refused by both with a key too many."""
    content = scenario(fault(kind))
    plan = read(content, runtime="docker")
    assert kind == plan.faults[0].kind
    assert plan_to_dict(plan)["schedule"][0]["fault"] == kind
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(content)
    wrong = scenario(fault(kind, extra=1))
    assert not validator.is_valid(wrong)
    assert "schedule[0].extra: unknown key" in problems(wrong, runtime="docker")[0]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("restart", "l1_reorg")])
def test_a_fault_always_has_an_end(kind: str) -> None:
    """Without ``for`` or ``restart_after`` it is refused."""
    endless = {key: value for key, value in fault(kind).items() if key not in ("for", "restart_after")}
    said = problems(scenario(endless), runtime="docker")
    assert 1 == len(said)
    assert "is required" in said[0]
    assert "for:" in said[0] or "restart_after" in said[0]


def test_published_files_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """``python -m orchestrator.chaos.schema --write`` would change nothing."""
    assert 0 == main([])
    assert capsys.readouterr().out == (ROOT / SCHEMA_FILE).read_text(encoding="utf-8")
    assert reference_page() == (ROOT / REFERENCE_FILE).read_text(encoding="utf-8")


def test_the_schema_is_a_schema_and_every_field_is_documented() -> None:
    """It is valid by its own dialect; each key has a meaning, an example and a row in the reference."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    page = reference_page()
    own = [section for place, section in SECTIONS.items() if place[:1] != ("topology",)]
    sections: list[type[Section]] = [*own, *KINDS.values(), FaultSpec, WhenSpec, TargetSpec, LinkSpec]
    for section in sections:
        assert section.__doc__
        for name, field in section.model_fields.items():
            assert field.description, name
            assert field.description[-1] in ".)", name
            assert field.examples or "x-default" in str(field.json_schema_extra), name
            assert f"| `{field.alias or name}` |" in page or name == "fault"


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_shipped_scenarios_open_with_what_they_show_and_fit_the_schema(path: Path) -> None:
    """Comment lines with what is expected, a name that is the file's, a load, and a schema that takes the file."""
    lines = path.read_text().splitlines()
    comments = [line for line in lines if line.startswith("#")]
    assert comments == lines[: len(comments)]
    assert 2 <= len(comments) <= 5
    assert any(line.startswith("# Expected:") for line in comments)
    assert path.stem == load_scenario(path).name
    jsonschema.Draft202012Validator(json_schema()).validate(yaml.safe_load(path.read_text()))


def test_all_scenarios_of_the_issue_are_shipped() -> None:
    """One file each."""
    expected = {
        "sequencer-kill",
        "sequencer-pause",
        "sequencer-partition",
        "rollup-kill",
        "relayer-kill",
        "l1-stall",
    }
    expected |= {"l1-reorg", "everything-slow", "duplicate-deliveries", "disk-full", "soak"}
    assert expected <= {path.stem for path in SCENARIOS}


@pytest.mark.parametrize(
    ("runtime", "made"), [("process", ProcessRuntime), ("docker", DockerRuntime)], ids=["process", "docker"]
)
def test_capabilities_are_those_of_the_runtimes(runtime: str, made: Any) -> None:
    """What a file is held against is what the runtimes say of themselves, for everything that faults need."""
    own = made.capabilities.fget(object.__new__(made))
    needed = {*capabilities.NEEDS.values(), Capability.UNPLUG}
    assert own & needed == capabilities.BY_RUNTIME[runtime] & needed


def test_what_a_runtime_cannot_do_is_refused_at_load() -> None:
    """Unplugging needs Docker, resetting links does not."""
    unplug = fault("partition", mode="unplug", target="alpha")
    del unplug["links"], unplug["direction"]
    assert "can't do unplug" in problems(scenario(unplug))[0]
    assert read(scenario(unplug), runtime="docker").faults[0].targets == ("alpha",)
    assert read(scenario(fault("partition"))).faults[0].links == (
        ("sequencer", "alpha"),
        ("alpha", "sequencer"),
    )


def test_clocks_and_stalls_are_held_against_the_topology() -> None:
    """Only nodes that read a wall clock have one to be wrong; anvil takes whole seconds alone."""
    assert "has no clock of its own" in problems(scenario(fault("clock_skew", target="alpha")))[0]
    inline = {"name": "y", "rollups": {"alpha": {}}, "l1": {"block_time": "400ms"}}
    said = problems({**scenario(fault("l1_stall")), "topology": inline})
    assert "needs an l1.block_time of whole seconds, and the topology says 400ms" in said[0]
    assert set(CLOCK_ROLES) <= set(
        Ground.of(make_plan(load_topology(ROOT / "topologies/pair.yaml"))).roles.values()
    )


def test_a_point_that_an_engine_never_passes_is_refused_for_its_rollups() -> None:
    """Of the nodes that a target names, each that would wait in vain; a point of any rollup is met by all of them."""
    mixed = {"topology": "../topologies/condor-mixed.yaml"}

    def told(target: Any, point: str) -> list[str]:
        return problems(scenario(fault("crash_at", target=target, point=point), **mixed))

    assert [
        f"x.yaml:8:5: schedule[0].target: {name} is an options rollup and never passes rollup.engine.mining"
        " (that point is in nodes of role rollup with engine evm)"
        for name in ("gamma", "delta")
    ] == told({"role": "rollup", "pick": "one"}, "rollup.engine.mining")
    (only,) = told(["alpha", "gamma"], "options.archive.torn")
    assert "alpha is an evm rollup and never passes options.archive.torn" in only
    for target, point in (
        ("alpha", "rollup.engine.mining"),
        ("gamma", "options.archive.torn"),
        ("gamma", "rollup.block.torn"),
    ):
        read(scenario(fault("crash_at", target=target, point=point), **mixed))


def test_an_inline_topology_is_checked_like_a_file() -> None:
    """Its fields and rules are reported at their places in the scenario; a path's problems name the topology's own file."""
    said = problems({**scenario(fault("l1_reorg")), "topology": {"name": "y", "rolups": {}}})
    assert any("topology.rolups: unknown key (did you mean rollups?)" in line for line in said)
    twins = {"name": "y", "rollups": {"alpha": {"chain_id": 5}, "beta": {"chain_id": 5}}}
    said = problems({**scenario(fault("l1_reorg")), "topology": twins})
    assert any(
        "topology.rollups.beta.chain_id: chain id 5 is already taken by alpha" in line for line in said
    )
    said = problems({**scenario(fault("l1_reorg", extra=1)), "topology": "../topologies/no-such.yaml"})
    assert any("no-such.yaml: no such file" in line for line in said)
    assert any("schedule[0].extra: unknown key" in line for line in said)


@given(seed=st.integers(0, 2**31 - 1), pick=st.sampled_from(["one", "minority", "majority", "all"]))
@settings(max_examples=30)
def test_targets_are_drawn_with_the_seed_alone(seed: int, pick: str) -> None:
    """The same seed draws the same nodes, as many as the word says, and other faults change nothing about it."""
    struck = fault("kill", target={"role": "rollup", "pick": pick})
    alone = read(scenario(struck), seed=seed).faults[0]
    beside = read(scenario(fault("l1_reorg", "other"), struck), seed=seed).faults[1]
    assert alone == beside
    assert {"one": 1, "minority": 1, "majority": 3, "all": 4}[pick] == len(set(alone.targets))


def test_every_seed_draws_somebody_else_sooner_or_later() -> None:
    """All rollups are drawn by some seed."""
    struck = scenario(fault("kill", target={"role": "rollup", "pick": "one"}))
    assert {"alpha", "beta", "gamma", "delta"} == {
        read(struck, seed=seed).faults[0].targets[0] for seed in range(30)
    }


def test_links_are_written_out_and_each_becomes_a_fault_of_the_proxy() -> None:
    """Roles and ``all`` stand for the links that there are; directions choose among calls; a target means all links around it."""
    links = [{"from": "sequencer", "to": "rollup"}]
    there = read(scenario(fault("delay", links=links))).faults[0]
    assert [("sequencer", name) for name in ("alpha", "beta", "gamma", "delta")] == list(there.links)
    back = read(scenario(fault("delay", links=links, direction="from"))).faults[0]
    assert {(name, "sequencer") for name in ("alpha", "beta", "gamma", "delta")} == set(back.links)
    both = read(scenario(fault("delay", links=links, direction="both"))).faults[0]
    assert {*there.links, *back.links} == set(both.links)
    everything = read(scenario(fault("delay", links=[{"from": "all", "to": "all"}]))).faults[0]
    ground = Ground.of(make_plan(load_topology(ROOT / "topologies/condor-quad.yaml")))
    assert set(ground.links) == set(everything.links)
    assert len(everything.links) == len({one.name for one in link_faults(everything)})
    around = read(scenario(fault("duplicate"))).faults[0]
    assert around.links
    assert all("alpha" in link for link in around.links)


@pytest.mark.parametrize("kind", ["partition", "delay", "throttle", "drop", "duplicate", "reorder"])
def test_what_loads_is_what_the_proxy_takes(kind: str) -> None:
    """Every link fault of a plan can be made: the proxy's own rules have nothing against it."""
    planned = read(scenario(fault(kind))).faults[0]
    assert len(planned.links) == len(link_faults(planned))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"topology": {"name": "y", "rollups": {"alpha": {}}, "accounts": 2}},
            "topology.accounts: a load needs 3 accounts",
        ),
        ({"load": {"mix": {"local": 1, "deposit": 1}}}, "load.mix: there are no bundles in it"),
        ({"load": {"mix": {"local": 1, "transfers": 0}}}, "load.mix: there are no bundles in it"),
        (
            {"topology": {"name": "y", "rollups": {"alpha": {}}}, "load": {"mix": {"strategy": 1}}},
            "load.mix.strategy: strategies trade on a market, and the topology has none",
        ),
        ({"schedule": [fault("kill", "recovery")]}, "schedule[0].name: 'recovery' is the name of a phase"),
        (
            {"schedule": [fault("kill", "it dies #2")]},
            "schedule[0].name: 'it dies #2' ends as the name of a repetition",
        ),
        (
            {"schedule": [fault("stop", target=["alpha", "alpha"])]},
            "schedule[0].target: 'alpha' is named more than once",
        ),
        (
            {"schedule": [fault("duplicate", direction="from")]},
            "schedule[0].direction: a target means all links from and to it",
        ),
        (
            {"topology": {"name": "y", "rollups": {"alpha": {}}, "chaos": {}}},
            "topology.chaos: this file is the scenario itself",
        ),
    ],
)
def test_what_could_not_be_run_or_judged_is_refused_at_load(change: dict[str, Any], words: str) -> None:
    """Not after a launch, and not ignored: each is said at its place, with what to write instead."""
    (said,) = problems(scenario(fault("l1_reorg")) | change)
    assert words in said
    assert said.endswith(")")


def test_a_runtime_that_the_environment_asks_for_in_vain_is_exit_code_three(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As with everything for which nothing is started; a runtime that is named is taken whatever the environment says."""
    monkeypatch.setenv(VARIABLE, "podman")
    with pytest.raises(NotStarted, match="podman") as caught:
        read(scenario(fault("l1_reorg")))
    assert 3 == caught.value.exit_code
    assert "process" == read(scenario(fault("l1_reorg")), runtime="process").runtime


CARRYING: Mapping[str, Any] = {"name": "y", "rollups": {"alpha": {}, "beta": {}}, "accounts": 20}
"""A topology that may carry a scenario."""


def test_a_topology_that_carries_a_scenario_is_that_scenario() -> None:
    """The plan is that of the scenario file that could be written around it; as a topology it is what it is without."""
    carried = {"schedule": [fault("kill"), fault("l1_reorg", "g")], "seed": 5, "load": {"rate": 7}}
    plan = read({**CARRYING, "chaos": carried}, runtime="process")
    assert plan == read({"name": "y", "topology": dict(CARRYING), **carried}, runtime="process")
    assert (5, 7, "y") == (plan.seed, plan.rate, plan.devnet.name)
    bare, carrying = (
        read_topology(yaml.safe_dump(content).encode(), "y.yaml")
        for content in (CARRYING, {**CARRYING, "chaos": carried})
    )
    assert make_plan(bare) == make_plan(carrying)
    jsonschema.Draft202012Validator(topology_schema()).validate({**CARRYING, "chaos": carried})


@pytest.mark.parametrize(
    ("chaos", "place", "words"),
    [
        (
            {"schedule": [fault("kill", target="sequencr")]},
            "chaos.schedule[0].target",
            "did you mean sequencer?",
        ),
        (
            {"schedule": [fault("kill", restart_after=1)]},
            "chaos.schedule[0].restart_after",
            "a duration needs a unit",
        ),
        ({"schedule": [fault("kill")], "sed": 1}, "chaos.sed", "did you mean seed?"),
        ({"schedule": [fault("kill")], "name": "z"}, "chaos.name", "the file's own name"),
        ({"schedule": [fault("kill")], "topology": "x.yaml"}, "chaos.topology", "this file is the topology"),
        ({}, "chaos.schedule", "is required"),
        ([], "chaos", "must be a map"),
        (
            {"schedule": [fault("kill")], "load": {"mix": {"strategy": 1}}},
            "chaos.load.mix.strategy",
            "has none",
        ),
    ],
)
def test_what_is_wrong_with_a_carried_scenario_is_said_at_its_place(
    chaos: Any, place: str, words: str
) -> None:
    """Whoever reads the file hears of it: as a scenario and as a topology, in the same words and with a line, once."""
    content = {**CARRYING, "chaos": chaos}
    said = problems(content)
    with pytest.raises(InvalidTopology) as caught:
        read_topology(yaml.safe_dump(content).encode(), "x.yaml")
    assert said == [str(problem) for problem in caught.value.problems]
    (line,) = said
    assert f": {place}: " in line
    assert words in line


def test_both_halves_of_a_carrying_file_are_judged_together() -> None:
    """A wrong key of the topology and a wrong fault are told in one go, and nothing twice."""
    said = problems({**CARRYING, "rolups": {}, "chaos": {"schedule": [fault("kill", extra=1)]}})
    assert ["x.yaml" in line for line in said] == [True, True]
    assert any("rolups: unknown key" in line for line in said)
    assert any("chaos.schedule[0].extra: unknown key" in line for line in said)
    few = problems({**CARRYING, "accounts": 2, "chaos": {"schedule": [fault("kill")]}})
    assert 1 == len(few)
    assert ": accounts: a load needs 3 accounts" in few[0]


def test_a_topology_without_a_scenario_is_told_what_it_lacks() -> None:
    """Given to `chaos run` it is refused in words; a fault that needs another runtime is refused there, and not by `up`."""
    (said,) = problems(dict(CARRYING))
    assert "this is a topology, and it does not say what is to break" in said
    lossy = {**CARRYING, "chaos": {"schedule": [fault("packet_loss")]}}
    read_topology(yaml.safe_dump(lossy).encode(), "x.yaml")
    (refused,) = problems(lossy, runtime="process")
    assert "chaos.schedule[0].fault: the process runtime can't do packet-loss" in refused
    assert "docker" == read(lossy, runtime="docker").runtime


_junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_places = st.sampled_from(
    [
        ("load",),
        ("expect",),
        ("topology",),
        ("schedule",),
        ("schedule", 0),
        ("schedule", 0, "when"),
        ("steady_state",),
    ]
    + [("schedule", 0, key) for key in ("target", "fault", "name", "restart_after")]
)


@given(place=_places, junk=_junk)
@settings(max_examples=150)
def test_junk_at_any_place_is_refused_in_words(place: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands there: a plan, or problems of which each has words and a line; never another exception."""
    content = scenario(fault("kill"))
    inner: Any = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = junk
    found: tuple[Problem, ...] = ()
    try:
        read(content)
    except InvalidScenario as exc:
        found = exc.problems or (Problem("x.yaml", 0, 0, "", "is not valid: without a problem", ""),)
    assert [] == [problem for problem in found if not problem.message or "is not valid:" in problem.message]


@given(st.binary(max_size=200))
@settings(max_examples=150)
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    """No bytes make anything but an ``InvalidScenario``."""
    with pytest.raises(InvalidScenario):
        read_scenario(data, "x.yaml", ROOT)


def test_no_file_is_a_problem_too(tmp_path: Path) -> None:
    """A missing file, a folder: one problem each, exit code 3."""
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(InvalidScenario) as caught:
            load_scenario(path)
        assert 1 == len(caught.value.problems)


def test_points_that_scenarios_name_exist() -> None:
    """The crash points of the shipped scenarios are in the table; the loader holds that, this holds the example."""
    assert EXAMPLES["crash_at"]["point"] in CRASH_POINTS
    assert ScenarioSpec.model_fields["schedule"].is_required()
