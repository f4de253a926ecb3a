"""From a plan to the nodes that a runtime starts. Pure: everything the machine decides is left to placeholders.

::

    shared-sequencer   l1 ◄── sequencer ◄──► alpha, beta, … ◄── maker
                       ▲ └──────────────────────┘
    l1-bridge          l1 ◄── alpha-sequencer ◄──► alpha ◄── maker
                          ◄── beta-sequencer  ◄──► beta  ◄──┘
    both               l1 ◄── relayer ──► alpha, beta, …

A rollup node has its engine inside, and derives from L1 what its sequencer published there. All nodes start at once and look
for each other; a devnet is up when all have answered, the maker when its quotes stand.
"""

import hashlib
from dataclasses import asdict, replace
from typing import Any

import orjson

from bridge.wire.configuration import CHAOS_VARIABLE, VARIABLE
from bridge.wire.mutants import MUTANT_VARIABLE
from orchestrator.links.plan import links_token, through_links
from orchestrator.runtimes.base import HttpRequest, JsonRpcRequest, Limits, NodeSpec
from orchestrator.settlement.deployments import (
    Deployments,
    batcher_of,
    challenger_of,
    deployments,
    proposer_of,
    role_of,
)
from orchestrator.topology.names import L1, MAKER, RELAYER
from orchestrator.topology.plan import Plan, RollupPlan
from orchestrator.topology.sequencing import SequencingSet, sequencing_sets

SHORTEST_POLL_S, LONGEST_POLL_S = 0.02, 0.5
"""Bounds of the time between two looks at L1, seconds."""
POLLS_A_BLOCK = 5
"""Looks at L1 in one of its block times: what a node adds to the time that L1 takes."""


def node_specs(plan: Plan, anvil: str, *, chaos: bool = False, mutant: str = "") -> tuple[NodeSpec, ...]:
    """Every node of a devnet.

    Args:
        plan: the devnet.
        anvil: path of the engine's binary, as nodes see it.
        chaos: nodes may be told to crash at a point, and call each other through the link proxy.
        mutant: how nodes are broken on purpose (``bridge.wire.mutants``); needs ``chaos``.
    """
    limits = {one.node: Limits(one.memory_bytes, one.cpus, one.pids) for one in plan.limits}
    specs = tuple(replace(spec, limits=limits.get(spec.name, Limits())) for spec in _all_nodes(plan, anvil))
    if chaos:
        orders = {CHAOS_VARIABLE: "1", **({MUTANT_VARIABLE: mutant} if mutant else {})}
        specs = tuple(replace(spec, env={**spec.env, **orders}) for spec in specs)
        specs = through_links(specs, links_token(plan))
    return specs


def genesis_path(node: str) -> str:
    """Where a chain's genesis file lies in the run directory."""
    return f"genesis/{node}.json"


def _all_nodes(plan: Plan, anvil: str) -> tuple[NodeSpec, ...]:
    where = deployments(plan)
    sets = sequencing_sets(plan)
    return (
        _l1(plan, anvil),
        *(_sequencer(plan, one, where) for one in sets),
        *(_rollup(plan, one, rollup, where, anvil) for one in sets for rollup in one.rollups),
        _relayer(plan, where),
        *_maker(plan),
    )


def _l1(plan: Plan, anvil: str) -> NodeSpec:
    return _node(
        L1,
        "l1",
        "bridge.l1.node",
        {
            "anvil": anvil,
            "port": "${port:http}",
            "chain_id": plan.l1.chain_id,
            "block_time_s": plan.l1.block_time_s,
            "genesis": "${run}/" + genesis_path(L1),
            "data_dir": "${data}",
        },
        {"http": "http"},
        JsonRpcRequest("http", "eth_getBlockByNumber", ("latest", False)),
    )


def _sequencer(plan: Plan, sequenced: SequencingSet, where: Deployments) -> NodeSpec:
    first = sequenced.rollups[0]  # who posts, where and how is the same for the whole set
    return _node(
        sequenced.node,
        "sequencer",
        "shared_sequencer",
        {
            "name": sequenced.node,
            "rpc_port": "${port:http}",
            **_l1_access(plan),
            "l1_confirmations": plan.l1.confirmations,
            "private_key": batcher_of(plan, first).private_key,
            "batch_inbox": where.rollups[first.name].batch_inbox,
            "window": plan.messaging.sequencing_window,
            "data_availability": first.data_availability,
            "rollups": [
                {
                    "name": rollup.name,
                    "chain_id": rollup.chain_id,
                    "gas_limit": rollup.block_gas_limit,
                    "block_time_s": rollup.block_time_s,
                    "control_url": "${url:" + rollup.name + ":control}",
                    "token": control_token(plan, rollup),
                    "portal": where.rollups[rollup.name].portal,
                }
                for rollup in sequenced.rollups
            ],
            "slot_s": plan.messaging.slot_s,
            "mempool_limit": plan.messaging.mempool_limit,
            "publish_every_s": plan.messaging.publish_every_s,
            "data_dir": "${data}",
            "journal": "${run}/journal/" + sequenced.node + ".jsonl",
        },
        {"http": "http"},
        JsonRpcRequest("http", "rollnet_status"),
    )


def _rollup(
    plan: Plan, sequenced: SequencingSet, rollup: RollupPlan, where: Deployments, anvil: str
) -> NodeSpec:
    contracts = where.rollups[rollup.name]
    spawns = rollup.engine == "evm"  # the options engine is inside the node, and listens nowhere
    return _node(
        rollup.name,
        "rollup",
        "rollup_node",
        {
            "name": rollup.name,
            "chain_id": rollup.chain_id,
            "engine": rollup.engine,
            "rpc_port": "${port:http}",
            "control_port": "${port:control}",
            "engine_port": "${port:engine}" if spawns else 0,
            "token": control_token(plan, rollup),
            "vote_token": vote_token(plan, rollup),
            "sequencer_url": "${url:" + sequenced.node + ":http}",
            **_l1_access(plan),
            "members": [
                {
                    "chain_id": member.chain_id,
                    "portal": where.rollups[member.name].portal,
                    "control_url": "${url:" + member.name + ":control}",
                    "vote_token": vote_token(plan, member),
                }
                for member in sequenced.rollups
            ],
            "batch_inbox": contracts.batch_inbox,
            "batcher": contracts.batcher,
            "window": plan.messaging.sequencing_window,
            "output_oracle": contracts.output_oracle,
            "proposer_key": proposer_of(plan, rollup).private_key,
            "challenger_key": challenger_of(plan, rollup).private_key,
            "proposal_interval": rollup.settlement.proposal_interval,
            "genesis": "${run}/" + genesis_path(rollup.name),
            "data_dir": "${data}",
            "journal": "${run}/journal/" + rollup.name + ".jsonl",
            "anvil": anvil,
            "block_gas_limit": rollup.block_gas_limit,
            "dev_methods": rollup.dev_methods,
        },
        {"http": "http", "control": "http", **({"engine": "http"} if spawns else {})},
        JsonRpcRequest("http", "eth_getBlockByNumber", ("latest", False)),
        private=("engine",) if spawns else (),
    )


def _relayer(plan: Plan, where: Deployments) -> NodeSpec:
    access = _l1_access(plan)
    return _node(
        RELAYER,
        "relayer",
        "bridge.relayer",
        {
            "name": RELAYER,
            "rpc_port": "${port:http}",
            "l1_url": access["l1_url"],
            "l1_chain_id": access["l1_chain_id"],
            "poll_s": access["l1_poll_s"],
            "private_key": role_of(plan, RELAYER).private_key,
            "router": where.l1["MessageRouter"],
            "registry": where.l1["StrategyRegistry"],
            "rollups": [
                {
                    "name": rollup.name,
                    "chain_id": rollup.chain_id,
                    "rpc_url": "${url:" + rollup.name + ":http}",
                    "portal": where.rollups[rollup.name].portal,
                    "output_oracle": where.rollups[rollup.name].output_oracle,
                    "messenger": where.rollups[rollup.name].messenger,
                }
                for rollup in plan.rollups
            ],
            "data_dir": "${data}",
            "journal": "${run}/journal/relayer.jsonl",
            "strategies": plan.market is not None,
        },
        {"http": "http"},
        JsonRpcRequest("http", "rollnet_status"),
    )


def _maker(plan: Plan) -> tuple[NodeSpec, ...]:
    if plan.market is None:
        return ()
    venues = [rollup for rollup in plan.rollups if rollup.engine == "evm"]
    node = _node(
        MAKER,
        "maker",
        "orchestrator.market.maker",
        {
            "name": MAKER,
            "port": "${port:http}",
            "rollups": [
                [rollup.name, "${url:" + rollup.name + ":http}", rollup.chain_id] for rollup in venues
            ],
            "options": [
                {
                    "name": rollup.name,
                    "url": "${url:" + rollup.name + ":http}",
                    "chain_id": rollup.chain_id,
                    "signers": [signer.private_key for signer in rollup.options.oracle_signers],
                    "needed": rollup.options.signatures_needed,
                    "trusted_s": rollup.options.max_oracle_age_s,
                }
                for rollup in plan.rollups
                if rollup.options is not None
            ],
            "private_key": role_of(plan, "maker").private_key,
            "market": asdict(plan.market),
            "data_dir": "${data}",
            "journal": "${run}/journal/maker.jsonl",
        },
        {"http": "http"},
        HttpRequest("http", "/status", _is_ready),
    )
    return (node,)


def _l1_access(plan: Plan) -> dict[str, Any]:
    """How a node finds L1, and how often it looks."""
    poll_s = plan.l1.block_time_s / POLLS_A_BLOCK
    return {
        "l1_url": "${url:l1:http}",
        "l1_chain_id": plan.l1.chain_id,
        "l1_poll_s": min(max(poll_s, SHORTEST_POLL_S), LONGEST_POLL_S),
    }


def _node(
    name: str,
    role: str,
    module: str,
    configuration: dict[str, Any],
    ports: dict[str, str],
    readiness: JsonRpcRequest | HttpRequest,
    private: tuple[str, ...] = (),
) -> NodeSpec:
    return NodeSpec(
        name=name,
        role=role,
        command=("${python}", "-m", module),
        ports=ports,
        private_ports=frozenset(private),
        env={VARIABLE: orjson.dumps(configuration).decode(), "PYTHONUNBUFFERED": "1"},
        readiness=readiness,
    )


def _is_ready(body: bytes) -> bool:
    return bool(orjson.loads(body)["ready"])


def control_token(plan: Plan, rollup: RollupPlan) -> str:
    """Bearer token of a rollup's control listener: keeps strangers and web pages out, and is the same after a restart."""
    return _token(plan, rollup, "control")


def vote_token(plan: Plan, rollup: RollupPlan) -> str:
    """Bearer token with which the other rollups of the set ask a rollup how a slot went there; it opens nothing else."""
    return _token(plan, rollup, "vote")


def _token(plan: Plan, rollup: RollupPlan, purpose: str) -> str:
    secret = f"{plan.roles[0].private_key}/{plan.name}/{rollup.name}/{purpose}"
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
