"""The link proxy in a container: nodes talk through it on the fabric, and only its control endpoint is published."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bridge.wire.keccak import from_hex
from orchestrator.devnet import Devnet
from orchestrator.links.faults import LinkFault, LinkFaultKind
from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]


@pytest.fixture(autouse=True)
def nothing_left(module_home: Path) -> Iterator[None]:
    """The engine has nothing of this module's devnet after the test, whatever came of it."""
    yield
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


async def test_faults_on_links_between_containers(
    topology_file: Callable[..., Path], module_home: Path, signed: Callable[..., str]
) -> None:
    """A delay and duplicates bite on the way from the sequencer to its rollups, and bundles commit all the same."""
    topology = topology_file("linked", extra="messaging: {mode: shared-sequencer, slot: 100ms}")
    async with Devnet.launch(topology, state=module_home, runtime="docker", chaos=True) as net:
        assert net.links is not None
        (proxy,) = [status for status in (await net.nodes.status()).nodes if status.name == "links"]
        assert {"http": net.links.http} == dict(proxy.endpoints), "links are on the fabric alone"
        user, chains = net.accounts[0], (net.rollup("alpha"), net.rollup("beta"))

        async def commit(nonce: int) -> float:
            began = time.monotonic()
            legs = [from_hex(signed(user, chain, nonce)) for chain in chains]
            digest = await net.sequencer.send_bundle(legs, int(time.time()) + 15, bytes(32))
            assert "committed" == (await net.sequencer.rpc("rollnet_waitForEnd", digest, 15.0))["status"]
            return time.monotonic() - began

        await commit(0)
        kind = LinkFaultKind.DELAY
        late = LinkFault("late", "sequencer", "*", kind, match="rollup_stage", latency_s=0.5)
        again = LinkFault("again", "sequencer", "*", LinkFaultKind.DUPLICATE, match="rollup_*")
        ways = ("sequencer→alpha:control", "sequencer→beta:control", "sequencer→l1:http")
        assert ways == await net.links.apply(late) == await net.links.apply(again)
        assert await commit(1) >= late.latency_s
        touched = await net.links.heal_all()
        assert min(touched.values()) >= 2
        await commit(2)
        for chain in chains:
            assert 3 == int(await chain.rpc("eth_getTransactionCount", user.address, "latest"), 16)
