"""What each node may use: sizes as people write them, the nearest word counts, and limits of nobody are refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.nodes import node_specs
from orchestrator.topology.errors import InvalidTopology
from orchestrator.topology.limits import roles_of_nodes
from orchestrator.topology.load import read_topology
from orchestrator.topology.plan import NodeLimits, Plan
from orchestrator.topology.plan_json import plan_from_dict, plan_to_dict
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.sizes import format_size, parse_size, suggest_size
from orchestrator.topology.spec import TopologySpec

MARKET = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}
NODES = {
    "l1": "l1",
    "alpha-sequencer": "sequencer",
    "beta-sequencer": "sequencer",
    "alpha": "rollup",
    "beta": "rollup",
    "relayer": "relayer",
    "maker": "maker",
}
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.integers(32, 10**5).map(lambda size: f"{size}MiB"),
        "cpus": st.floats(0.05, 64),
        "pids": st.integers(32, 10**4),
    },
)


def spec_of(resources: dict[str, Any], mode: str = "l1-bridge") -> TopologySpec:
    """Two rollups and a market."""
    content = {"name": "x", "rollups": {"alpha": {}, "beta": {}}, "messaging": {"mode": mode}, "accounts": 1}
    return TopologySpec.model_validate({**content, "market": MARKET, "resources": resources})


def plan_of(resources: dict[str, Any]) -> Plan:
    """The same as a plan."""
    return make_plan(spec_of(resources))


@settings(deadline=None)
@given(
    LIMITS,
    st.dictionaries(st.sampled_from(sorted(set(NODES.values()))), LIMITS),
    st.dictionaries(st.sampled_from(sorted(NODES)), LIMITS),
)
def test_the_nearest_word_counts(every: dict[str, Any], roles: dict[str, Any], nodes: dict[str, Any]) -> None:
    """Each resource of a node is what is said of the node, else of its role, else of all; who has none is not listed."""
    plan = plan_of({**every, "roles": roles, "nodes": nodes})
    expected = []
    for node, role in NODES.items():
        said = {**every, **roles.get(role, {}), **nodes.get(node, {})}
        memory = int(said["memory"].removesuffix("MiB")) * 1024 * 1024 if "memory" in said else None
        if said:
            expected.append(NodeLimits(node, memory, said.get("cpus"), said.get("pids")))
    assert tuple(expected) == plan.limits
    assert plan == plan_from_dict(plan_to_dict(plan))
    told = {spec.name: spec.limits for spec in node_specs(plan, "anvil")}
    assert {limits.node for limits in expected} == {name for name, limits in told.items() if limits}
    for limits in expected:
        had = told[limits.node]
        assert (limits.memory_bytes, limits.cpus, limits.pids) == (had.memory_bytes, had.cpus, had.pids)


@pytest.mark.parametrize("mode", ["shared-sequencer", "l1-bridge"])
@pytest.mark.parametrize("market", [True, False])
def test_names_and_roles_are_those_of_the_nodes(mode: str, market: bool) -> None:
    """What a topology may name is exactly what is started."""
    spec = spec_of({}, mode).model_copy(update={} if market else {"market": None})
    started = {node.name: node.role for node in node_specs(make_plan(spec), "anvil")}
    assert started == roles_of_nodes(spec)


@given(st.integers(1, 10**6))
def test_sizes_survive_writing_and_reading(mebibytes: int) -> None:
    """Whole mebibytes are written exactly, and what people write for them is understood."""
    size = mebibytes * 2**20
    assert size == parse_size(format_size(size))
    assert format_size(size) == suggest_size(size)
    for written in (f"{mebibytes}m", f"{mebibytes}MB", f"{mebibytes} MiB", f"{mebibytes}Mi"):
        assert f"{mebibytes}MiB" == suggest_size(written)


def test_mistakes_are_told_at_once_where_they_stand() -> None:
    """Units, bounds, roles and nodes that are not there: each with its line and what to write."""
    text = """\
name: x
rollups: {alpha: {}}
resources:
  memory: 512m
  cpus: "1.5"
  pids: 3
  swap: 1GiB
  roles:
    rollups: {memory: 1GiB}
    maker: {pids: 100}
    l1: {memory: 536870912}
  nodes:
    alhpa: {cpus: 1}
    alpha: {memory: 1MiB}
    sequencer: {memory: lots, cpus: -1}
"""
    # fmt: off
    expected = [
        "4:11: resources.memory: '512m' is no amount of memory (write 512MiB)",
        "5:9: resources.cpus: must be a number, not the text '1.5' (write 1.5)",
        "6:9: resources.pids: must be at least 32, not 3",
        "7:3: resources.swap: unknown key (known keys: memory, cpus, pids, roles, nodes)",
        "9:5: resources.roles.rollups: 'rollups' is no role (did you mean rollup?)",
        "10:5: resources.roles.maker: this devnet has no maker (remove it)",
        "11:18: resources.roles.l1.memory: an amount of memory needs a unit (write 512MiB)",
        "13:5: resources.nodes.alhpa: no node is called 'alhpa' (did you mean alpha?)",
        "14:21: resources.nodes.alpha.memory: must be between 32MiB and 1024GiB, not 1MiB",
        "15:25: resources.nodes.sequencer.memory: 'lots' is no amount of memory (write a number with MiB or GiB, such as 512MiB)",
        "15:37: resources.nodes.sequencer.cpus: must be at least 0.05, not -1",
    ]
    # fmt: on
    with pytest.raises(InvalidTopology) as caught:
        read_topology(text.encode(), "x.yaml")
    assert expected == [str(problem).removeprefix("x.yaml:") for problem in caught.value.problems]


def test_a_limit_is_not_blamed_for_another_mistake() -> None:
    """A rollup that could not be read is no reason to say that its limits are nobody's."""
    text = "name: x\nrollups: {alpha: {}, beta: }\nresources: {nodes: {beta: {cpus: 1}, beta-sequencer: {cpus: 1}}}\n"
    with pytest.raises(InvalidTopology) as caught:
        read_topology(text.encode(), "x.yaml")
    assert ["rollups.beta"] == [problem.path for problem in caught.value.problems]
