"""An options rollup as a container: the image has what its engine stands on, and a killed one returns to the same state."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet
from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

QUICK = """l1: {block_time: 500ms, confirmations: 1}
messaging: {slot: 100ms, publish_every: 500ms}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
SETTLED = "block_time: 1s, settlement: {challenge_period: 2s, proposal_interval: 1s}"


@pytest.fixture(autouse=True)
def nothing_left(module_home: Path) -> Iterator[None]:
    """The engine has nothing of this module's devnets after any test, whatever came of it."""
    yield
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


async def test_an_options_rollup_of_containers(
    topology_file: Callable[..., Path], module_home: Path, rollnet: Rollnet
) -> None:
    """Deposit, withdrawal to the end, SIGKILL and return to the same roots, and L1 alone gives both rollups again."""
    topology = topology_file(
        "boxed", ("alpha", "gamma"), QUICK, alpha=f"{{{SETTLED}}}", gamma=f"{{engine: options, {SETTLED}}}"
    )
    async with Devnet.launch(topology, state=module_home, runtime="docker") as net:
        gamma = net.rollup("gamma")
        assert "ETH" == (await gamma.rpc("options_getParameters"))["markets"]["1"]["symbol"]
        moved = await rollnet("deposit", "gamma", "2.5", "--json")
        assert (0, "executed") == (moved.code, moved.json["outcome"]), moved
        paid = await rollnet("withdraw", "gamma", "1.25", "--wait", "--json")
        assert (0, "finalized") == (paid.code, paid.json["outcome"]), paid
        head = await gamma.height()
        block = await gamma.rpc("eth_getBlockByNumber", hex(head), False)
        await net.node("gamma").kill()
        await net.node("gamma").restart()
        assert block == await gamma.rpc("eth_getBlockByNumber", hex(head), False)

        async def goes_on() -> bool:
            return await gamma.height() > head + 1

        await eventually(goes_on, 30, "gamma to go on")
        checked = await rollnet("verify", "--json")
        assert (0, "valid", []) == (checked.code, checked.json["verdict"], checked.json["findings"]), checked
