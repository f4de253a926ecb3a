"""The genesis files that the nodes of a devnet start from, and the names and addresses of what is in them."""

import asyncio
from pathlib import Path

import orjson

from orchestrator.market.genesis import build_geneses
from orchestrator.nodes import genesis_path
from orchestrator.rundir import cache
from orchestrator.settlement.deployments import FILE_NAME, deployments
from orchestrator.settlement.l1 import build_l1_genesis
from orchestrator.topology.names import L1
from orchestrator.topology.plan import Plan


async def write_genesis(plan: Plan, folder: Path) -> None:
    """Write the genesis states of L1 and of every rollup, and ``deployments.json``.

    Args:
        plan: the devnet.
        folder: a run directory, or one that is laid out like it.
    """
    async with asyncio.TaskGroup() as group:
        settlement = group.create_task(build_l1_genesis(plan, cache()))
        rollups = group.create_task(build_geneses(plan, cache()))
    for name, genesis in {L1: settlement.result(), **rollups.result()}.items():
        path = folder / genesis_path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(orjson.dumps(genesis))
    found = orjson.dumps(deployments(plan).to_json(), option=orjson.OPT_INDENT_2)
    (folder / FILE_NAME).write_bytes(found)
