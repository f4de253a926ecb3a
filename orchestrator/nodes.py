"""From a plan to the nodes that a runtime starts. Pure: everything the machine decides is left to placeholders.

::

    l1 (anvil) ◄── sequencer ◄──► alpha, beta, … (rollup node with its engine inside) ◄── maker

All of them start at once and look for each other; a devnet is up when all have answered, the maker when its quotes stand.
"""

import hashlib
import sys
from dataclasses import asdict
from typing import Any

import orjson

from bridge.wire.configuration import VARIABLE
from orchestrator.runtimes.base import HttpRequest, JsonRpcRequest, NodeSpec
from orchestrator.topology.plan import Plan, RollupPlan

L1, SEQUENCER, MAKER = "l1", "sequencer", "maker"
"""Names of the nodes that every devnet has (the maker only with a market)."""


L1_BALANCE = 10_000 * 10**18
"""Wei of every account on L1."""


def node_specs(plan: Plan, anvil: str) -> tuple[NodeSpec, ...]:
    """Every node of a devnet.

    Args:
        plan: the devnet.
        anvil: path of the engine's binary, as nodes see it.
    """
    rollups = [_rollup(plan, rollup, anvil) for rollup in plan.rollups]
    return (_l1(plan, anvil), _sequencer(plan), *rollups, *_maker(plan))


def genesis_path(node: str) -> str:
    """Where a chain's genesis file lies in the run directory."""
    return f"genesis/{node}.json"


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
            "funded": {account.address.lower(): hex(L1_BALANCE) for account in (*plan.users, *plan.roles)},
            "data_dir": "${data}",
        },
        {"http": "http"},
        JsonRpcRequest("http", "eth_getBlockByNumber", ("latest", False)),
    )


def _sequencer(plan: Plan) -> NodeSpec:
    publisher = next(role for role in plan.roles if role.name == "sequencer")
    return _node(
        SEQUENCER,
        "sequencer",
        "shared_sequencer",
        {
            "rpc_port": "${port:http}",
            "l1_url": "${url:l1:http}",
            "l1_chain_id": plan.l1.chain_id,
            "private_key": publisher.private_key,
            "rollups": [
                {
                    "name": rollup.name,
                    "chain_id": rollup.chain_id,
                    "gas_limit": rollup.block_gas_limit,
                    "block_time_s": rollup.block_time_s,
                    "control_url": "${url:" + rollup.name + ":control}",
                    "token": _token(plan, rollup),
                }
                for rollup in plan.rollups
            ],
            "slot_s": plan.messaging.slot_s,
            "mempool_limit": plan.messaging.mempool_limit,
            "publish_every_s": plan.messaging.publish_every_s,
            "data_dir": "${data}",
            "journal": "${run}/journal/sequencer.jsonl",
        },
        {"http": "http"},
        JsonRpcRequest("http", "rollnet_status"),
    )


def _rollup(plan: Plan, rollup: RollupPlan, anvil: str) -> NodeSpec:
    return _node(
        rollup.name,
        "rollup",
        "rollup_node",
        {
            "name": rollup.name,
            "chain_id": rollup.chain_id,
            "rpc_port": "${port:http}",
            "control_port": "${port:control}",
            "engine_port": "${port:engine}",
            "token": _token(plan, rollup),
            "sequencer_url": "${url:sequencer:http}",
            "genesis": "${run}/" + genesis_path(rollup.name),
            "data_dir": "${data}",
            "journal": "${run}/journal/" + rollup.name + ".jsonl",
            "anvil": anvil,
            "block_gas_limit": rollup.block_gas_limit,
            "dev_methods": rollup.dev_methods,
        },
        {"http": "http", "control": "http", "engine": "http"},
        JsonRpcRequest("http", "eth_getBlockByNumber", ("latest", False)),
    )


def _maker(plan: Plan) -> tuple[NodeSpec, ...]:
    if plan.market is None:
        return ()
    key = next(role.private_key for role in plan.roles if role.name == "maker")
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
            "private_key": key,
            "market": asdict(plan.market),
            "data_dir": "${data}",
            "journal": "${run}/journal/maker.jsonl",
        },
        {"http": "http"},
        HttpRequest("http", "/status", _is_ready),
    )
    return (node,)


def _node(
    name: str,
    role: str,
    module: str,
    configuration: dict[str, Any],
    ports: dict[str, str],
    readiness: JsonRpcRequest | HttpRequest,
) -> NodeSpec:
    return NodeSpec(
        name=name,
        role=role,
        command=(sys.executable, "-m", module),
        ports=ports,
        env={VARIABLE: orjson.dumps(configuration).decode(), "PYTHONUNBUFFERED": "1"},
        readiness=readiness,
    )


def _is_ready(body: bytes) -> bool:
    return bool(orjson.loads(body)["ready"])


def _token(plan: Plan, rollup: RollupPlan) -> str:
    """Bearer token of a rollup's control listener: keeps strangers and web pages out, and is the same after a restart."""
    secret = f"{plan.roles[0].private_key}/{plan.name}/{rollup.name}/control"
    return hashlib.sha256(secret.encode()).hexdigest()[:32]
