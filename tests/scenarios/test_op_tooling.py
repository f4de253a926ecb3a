"""The OP Stack's own tools work on a rollnet devnet, unmodified: viem's op-stack actions deposit, withdraw, prove and finalize."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from orchestrator.devnet import Devnet
from orchestrator.settlement.deployments import deployments
from orchestrator.verification import live_sources, verify
from orchestrator.verification.rebuild import proposed_outputs
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(150)]

SETTLED = "{settlement: {challenge_period: 4s, proposal_interval: 2s}}"
QUICK = "l1: {block_time: 500ms, confirmations: 1}"
ETHER = 10**18


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """Two rollups that settle quickly."""
    async with launched(topology_file("op-tooling", extra=QUICK, alpha=SETTLED, beta=SETTLED)) as running:
        yield running


async def test_viem_deposits_withdraws_proves_and_finalizes(net: Devnet, node: str, repository: Path) -> None:
    """The whole way there and back, with statuses as viem knows them, and a finalization that comes too early refused."""
    rollup, contracts = net.rollup("alpha"), deployments(net.plan).rollups["alpha"]

    async def proposed() -> bool:
        return bool(await proposed_outputs(net.l1.client, contracts.output_oracle, await net.l1.height()))

    await net.node("relayer").stop()  # it would prove and finalize before the user does
    await eventually(
        proposed, 20, "a first output on L1: before it, viem's actions find no output to start from"
    )
    given = {
        "l1": net.l1.http,
        "l1ChainId": net.l1.chain_id,
        "l2": rollup.http,
        "l2ChainId": rollup.chain_id,
        "key": net.accounts[0].private_key,
        "other": "0x" + "0e" * 20,
        "multicall": deployments(net.plan).l1["MultiCall3"],
        "contracts": {
            "portal": contracts.portal,
            "l2OutputOracle": contracts.output_oracle,
            "l1StandardBridge": contracts.standard_bridge,
        },
    }
    script = repository / "tests" / "scenarios" / "op_stack_with_viem.mjs"
    process = await asyncio.create_subprocess_exec(
        node, str(script), orjson.dumps(given).decode(), stdout=-1, stderr=-1
    )
    try:
        printed, errors = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert 0 == process.returncode, errors.decode()
    said = orjson.loads(printed)
    assert ("success", ["success", "0x7e", True]) == (said["deposited"], said["arrived"])
    assert str(15 * ETHER // 10) == said["credited"]
    assert ("success", "waiting-to-prove") == (said["initiated"], said["early"])
    assert ("success", "waiting-to-finalize") == (said["proven"], said["waiting"])
    assert "finalization period has not elapsed" in said["refused"]
    assert ("success", str(7 * ETHER // 10), "finalized") == (said["finalized"], said["paid"], said["last"])


async def test_everything_that_was_proposed_is_right(net: Devnet) -> None:
    """The verifier compares output roots, and there are some."""
    async with live_sources(net.directory.path) as sources:
        found = await verify(sources)
    assert () == found.findings
    assert 0 < found.outputs
