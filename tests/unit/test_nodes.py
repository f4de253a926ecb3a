"""From a plan to nodes: every node is told what it reads, and who belongs together is told the same."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.l1.node import Config as L1Config
from bridge.relayer.node import Config as RelayerConfig
from bridge.wire.configuration import VARIABLE
from bridge.wire.keccak import to_hex
from bridge.wire.signing import address_of
from orchestrator.nodes import LONGEST_POLL_S, SHORTEST_POLL_S, node_specs
from orchestrator.runtimes.base import NodeSpec
from orchestrator.settlement.deployments import deployments
from orchestrator.topology.names import L1, MAKER, RELAYER, SEQUENCER
from orchestrator.topology.plan import Plan
from orchestrator.topology.resolve import make_plan
from orchestrator.topology.sequencing import sequencing_sets, sets_of
from orchestrator.topology.spec import TopologySpec
from rollup_node.node import Config as RollupConfig
from shared_sequencer.node import Config as SequencerConfig

MODES = ("shared-sequencer", "l1-bridge")
NAMES = st.lists(st.from_regex(r"[a-z]([a-z0-9]{0,5})?", fullmatch=True), min_size=1, max_size=6, unique=True)
NAMES = NAMES.filter(lambda names: not {"l1", "sequencer", "maker", "relayer", "links"} & set(names))
MARKET = {"underlying": "ETH", "spot": 2000, "volatility": 0.6}


def plan_of(mode: str, *rollups: str, **fields: Any) -> Plan:
    """A plan with two accounts."""
    content = {"name": "x", "rollups": {name: {} for name in rollups}, "accounts": 2}
    return make_plan(TopologySpec.model_validate(content | {"messaging": {"mode": mode}} | fields))


def told(spec: NodeSpec) -> dict[str, Any]:
    """What a node reads at its start; every port is 1, and an address is its placeholder."""
    text = re.sub(r"\$\{port:\w+\}", "1", spec.env[VARIABLE])
    configuration: dict[str, Any] = orjson.loads(text)
    return configuration


def by_module(plan: Plan, module: str) -> dict[str, dict[str, Any]]:
    """What the nodes of one program are told, by name."""
    return {spec.name: told(spec) for spec in node_specs(plan, "anvil") if spec.command[-1] == module}


def address(private_key: str) -> str:
    """Lower-case address of a key."""
    return to_hex(address_of(private_key))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("shared-sequencer", [L1, SEQUENCER, "beta", "alpha", RELAYER, MAKER]),
        ("l1-bridge", [L1, "beta-sequencer", "alpha-sequencer", "beta", "alpha", RELAYER, MAKER]),
    ],
)
def test_each_mode_has_its_nodes(mode: str, expected: list[str]) -> None:
    """One sequencer for all, or one for each rollup; rollups in the order of the file."""
    specs = node_specs(plan_of(mode, "beta", "alpha", market=MARKET), "anvil")
    assert expected == [spec.name for spec in specs]
    roles = {spec.name: spec.role for spec in specs}
    assert {"sequencer"} == {role for name, role in roles.items() if name.endswith("sequencer")}


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(MODES), NAMES, st.sampled_from(["calldata", "blob"]))
def test_every_node_is_told_exactly_what_it_reads(mode: str, names: list[str], availability: str) -> None:
    """The programs themselves read their configurations: no key too many, none too few."""
    rollups = {name: {"data_availability": availability} for name in names}
    plan = plan_of(mode, rollups=rollups)
    (l1,) = by_module(plan, "bridge.l1.node").values()
    assert L1Config.parse(l1).genesis == "${run}/genesis/l1.json"
    sequencers = by_module(plan, "shared_sequencer")
    assert {one.node for one in sequencing_sets(plan)} == {
        name
        for name, fields in sequencers.items()
        if SequencerConfig.parse(fields).data_availability == availability
    }
    (relayer,) = by_module(plan, "bridge.relayer").values()
    assert names == [rollup.name for rollup in RelayerConfig.parse(relayer).rollups]
    nodes = by_module(plan, "rollup_node")
    assert names == [RollupConfig.parse(fields).name for fields in nodes.values()]


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(MODES), NAMES)
def test_a_sequencer_and_its_rollups_are_told_the_same(mode: str, names: list[str]) -> None:
    """Members, inbox, batcher and window decide what is derived from L1: a difference would be two chains."""
    plan = plan_of(mode, rollups={name: {} for name in names})
    sequencers, nodes = by_module(plan, "shared_sequencer"), by_module(plan, "rollup_node")
    (relayer,) = by_module(plan, "bridge.relayer").values()
    where = deployments(plan)
    ours = RelayerConfig.parse(relayer)
    assert (ours.router, ours.registry) == tuple(
        where.l1[name].lower() for name in ("MessageRouter", "StrategyRegistry")
    )
    for one in sequencing_sets(plan):
        sequencer = sequencers[one.node]
        members = [
            {
                **{key: rollup[key] for key in ("chain_id", "portal", "control_url")},
                "vote_token": nodes[rollup["name"]]["vote_token"],
            }
            for rollup in sequencer["rollups"]
        ]
        tokens = [listed["token"] for listed in sequencer["rollups"]]
        votes = [member["vote_token"] for member in members]
        assert len({*tokens, *votes}) == 2 * len(members), "who may ask for votes may ask for nothing else"
        assert [rollup.name for rollup in one.rollups] == [rollup["name"] for rollup in sequencer["rollups"]]
        for rollup, listed in zip(one.rollups, sequencer["rollups"], strict=True):
            node = nodes[rollup.name]
            assert members == node["members"]
            assert address(sequencer["private_key"]) == node["batcher"].lower()
            assert (sequencer["batch_inbox"], sequencer["window"]) == (node["batch_inbox"], node["window"])
            assert "${url:" + one.node + ":http}" == node["sequencer_url"]
            assert (listed["token"], listed["control_url"]) == (
                node["token"],
                "${url:" + rollup.name + ":control}",
            )
            contracts = where.rollups[rollup.name]
            relayed = next(part for part in relayer["rollups"] if part["name"] == rollup.name)
            assert (contracts.portal, contracts.output_oracle, contracts.messenger) == (
                relayed["portal"],
                relayed["output_oracle"],
                relayed["messenger"],
            )
            assert (contracts.output_oracle, contracts.proposer.lower()) == (
                node["output_oracle"],
                address(node["proposer_key"]),
            )


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(MODES), NAMES)
def test_nobody_shares_a_nonce_or_a_file(mode: str, names: list[str]) -> None:
    """Each key that sends to L1 belongs to one process and so does each journal, token and inbox."""
    plan = plan_of(mode, rollups={name: {} for name in names}, market=MARKET)
    sequencers, nodes = by_module(plan, "shared_sequencer"), by_module(plan, "rollup_node")
    everybody = [told(spec) for spec in node_specs(plan, "anvil")]
    keys = [fields["private_key"] for fields in everybody if "private_key" in fields]
    keys += [fields[key] for fields in nodes.values() for key in ("proposer_key", "challenger_key")]
    journals = [fields["journal"] for fields in everybody if "journal" in fields]
    for own in (
        keys,
        journals,
        [node["token"] for node in nodes.values()],
        [sequencer["batch_inbox"] for sequencer in sequencers.values()],
    ):
        assert sorted(set(own)) == sorted(own)


@settings(deadline=None, max_examples=30)
@given(NAMES, st.data())
def test_a_rollup_with_its_own_sequencer_does_not_know_the_others(
    names: list[str], data: st.DataObject
) -> None:
    """Adding and removing rollups changes nothing that its two nodes are told."""
    name = data.draw(st.sampled_from(names))
    alone, together = (
        {spec.name: spec.env for spec in node_specs(plan_of("l1-bridge", *rollups), "anvil")}
        for rollups in ([name], names)
    )
    for node in (name, f"{name}-sequencer"):
        assert alone[node] == together[node]


@given(st.integers(100, 60_000))
@settings(deadline=None)
def test_l1_is_looked_at_a_few_times_a_block(l1_ms: int) -> None:
    """Within bounds: neither is a slow L1 seen late by seconds, nor a fast one asked without pause."""
    plan = plan_of("shared-sequencer", "a", l1={"block_time": f"{l1_ms}ms"})
    (node,) = by_module(plan, "rollup_node").values()
    assert SHORTEST_POLL_S <= node["l1_poll_s"] <= min(plan.l1.block_time_s / 2, LONGEST_POLL_S)


@given(st.sampled_from(MODES), NAMES, st.data())
@settings(deadline=None, max_examples=50)
def test_every_rollup_is_in_one_set(mode: str, names: list[str], data: st.DataObject) -> None:
    """Sets cover the rollups in their order without overlap, and are found by any of their members."""
    plan = plan_of(mode, *names)
    sets = sequencing_sets(plan)
    assert list(plan.rollups) == [rollup for one in sets for rollup in one.rollups]
    assert len({one.node for one in sets}) == len(sets)
    asked = data.draw(st.lists(st.sampled_from([*names, "nobody"])))
    found = sets_of(plan, asked)
    assert set(asked) - {"nobody"} <= {rollup.name for one in found for rollup in one.rollups}
    assert all({rollup.name for rollup in one.rollups} & set(asked) for one in found)


def test_an_options_rollup_is_told_of_no_engine_beside_it() -> None:
    """Its engine is inside the node: no port is reserved for one, whatever other rollups have."""
    plan = plan_of("shared-sequencer", rollups={"alpha": {}, "gamma": {"engine": "options"}}, market=MARKET)
    specs = {spec.name: spec for spec in node_specs(plan, "anvil")}
    assert {"http", "control", "engine"} == set(specs["alpha"].ports)
    assert ({"http", "control"}, frozenset()) == (set(specs["gamma"].ports), specs["gamma"].private_ports)
    nodes = {name: RollupConfig.parse(fields) for name, fields in by_module(plan, "rollup_node").items()}
    assert {"alpha": ("evm", 1), "gamma": ("options", 0)} == {
        name: (config.engine, config.engine_port) for name, config in nodes.items()
    }
