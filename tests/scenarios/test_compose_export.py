"""The exported compose file, started by compose itself and used as anybody would: no rollnet runs its nodes."""

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.cli.testing import Rollnet
from orchestrator.devnet import Devnet, connect
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.docker.testing import REQUIRE_VARIABLE
from orchestrator.strategies import presets
from orchestrator.topology.load import load_topology
from orchestrator.topology.resolve import make_plan
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

READY_S = 60.0
COMMANDS = (("docker", "compose"), ("docker-compose",))


@pytest.fixture(scope="module")
def compose() -> tuple[str, ...]:
    """The compose of this machine, version 2 or 1; skips, visibly, without one."""
    for command in COMMANDS:
        if (
            shutil.which(command[0])
            and not subprocess.run([*command, "version"], check=False, capture_output=True).returncode
        ):
            return command
    missing = "no compose is installed: apt-get install docker-compose"
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(missing)
    pytest.skip(missing)


@asynccontextmanager
async def running(compose: tuple[str, ...], file: Path) -> AsyncIterator[Callable[..., str]]:
    """An exported devnet; yields what runs a compose command on it. Gone afterwards, with its volumes."""
    project = f"exported-{secrets.token_hex(4)}"
    before = docker.APIClient()

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*compose, "--file", str(file), "--project-name", project, *arguments],
            check=False,
            capture_output=True,
            text=True,
        )
        assert 0 == done.returncode, done.stderr
        return done.stdout

    try:
        await asyncio.to_thread(run, "up", "--detach")
        yield run
    except BaseException:
        print(await asyncio.to_thread(run, "ps", "--all"), run("logs", "--tail", "20"))  # noqa: T201 - beside the failure
        raise
    finally:
        try:
            await asyncio.to_thread(run, "down", "--volumes", "--timeout", "2")
            mine = {"label": f"com.docker.compose.project={project}"}
            assert ([], [], []) == (
                before.containers(all=True, filters=mine),
                before.networks(filters=mine),
                before.volumes(filters=mine)["Volumes"] or [],
            )
        finally:
            before.close()


def handle(described: dict[str, Any], topology: Path, state: Path) -> Devnet:
    """The devnet behind the endpoints that the export told, for a client that knows nothing else."""
    plan = make_plan(load_topology(topology))
    endpoints = described["endpoints"]
    urls = {"l1": endpoints["l1"], "relayer": endpoints["relayer"], **endpoints["sequencers"]}
    urls |= endpoints["rollups"]
    nobody: Any = None
    run = RunDirectory.create(state, plan.name, plan.seed)
    return connect(plan.name, plan, run, nobody, lambda node: str(urls[node]["http"]), 0.0)


async def test_an_exported_devnet_is_a_devnet(
    rollnet: Rollnet, compose: tuple[str, ...], topology_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Compose takes the file, every container is healthy within its limits, and strategies commit over both kinds of rollups.

    A restart of these and of the sequencer forgets nothing.
    """
    market = "market: {underlying: ETH, spot: 2000, volatility: 0.6}"
    limits = "resources: {memory: 512MiB, cpus: 1, nodes: {alpha: {memory: 1GiB, pids: 300}}}"
    topology = topology_file("exported", ("alpha", "gamma"), f"{market}\n{limits}", gamma="{engine: options}")
    file = tmp_path / "net.yaml"
    exported = await rollnet("export", "compose", str(topology), "--output", str(file), "--json")
    assert 0 == exported.code, exported
    net = handle(exported.json, topology, tmp_path / "home")
    api = docker.APIClient()
    try:
        async with running(compose, file) as run:

            def containers() -> dict[str, Any]:
                ids = run("ps", "--quiet").split()
                found = [api.inspect_container(one) for one in ids]
                return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

            async def healthy() -> bool:
                found = await asyncio.to_thread(containers)
                return {"healthy"} == {one["State"]["Health"]["Status"] for one in found.values()}

            async def in_slots() -> bool:
                rollups = (await net.sequencer.status())["rollups"]
                return all(rollup["state"] == "up" for rollup in rollups.values())

            await eventually(healthy, READY_S, "every container is healthy", every_s=0.5)
            found = await asyncio.to_thread(containers)
            assert {"l1", "sequencer", "alpha", "gamma", "relayer", "maker"} == found.keys()
            host = found["alpha"]["HostConfig"]
            assert (2**30, 2**30, 10**9, 300) == tuple(
                host[key] for key in ("Memory", "MemorySwap", "NanoCpus", "PidsLimit")
            )
            assert 512 * 2**20 == found["l1"]["HostConfig"]["Memory"]
            assert all(
                one["HostConfig"]["ReadonlyRootfs"] and one["Config"]["User"] == "10001:10001"
                for one in found.values()
            )
            assert net.plan.market is not None
            result = await net.run(presets.build("vertical", net.plan.market))
            assert "committed" == result.outcome
            heights = {name: await chain.height() for name, chain in net.rollups.items()}
            await asyncio.to_thread(run, "restart", "--timeout", "5", "alpha", "gamma", "sequencer")
            await eventually(in_slots, READY_S, "they are back", every_s=0.2)
            after = {name: await chain.height() for name, chain in net.rollups.items()}
            assert all(after[name] >= height for name, height in heights.items()), (heights, after)
            again = await net.run(presets.build("strangle", net.plan.market), account=1)
            assert "committed" == again.outcome
    finally:
        api.close()
        await net.close()
