"""Other hands on the same engine: who freezes, kills or removes what is ours is noticed, and what holds nodes is there to be seen."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import Limits, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.docker.errors import AddressPoolError
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.runtimes.errors import NodeStartError
from orchestrator.runtimes.startup import bring_up

pytestmark = pytest.mark.docker

Fake = Callable[..., NodeSpec]
NOTICED_S = 20.0
GONE_S = 30.0
SOME_POOL = "base=10.213.7.0/24,size=24"
"""Room for one network."""


@pytest.fixture
def api() -> Iterator[Any]:
    """The engine, past the code under test."""
    client = docker.APIClient()
    yield client
    client.close()


@pytest.fixture
async def containers(run: RunDirectory, home: Path, image: str) -> AsyncIterator[DockerRuntime]:
    """An empty runtime; closed afterwards, leaving nothing."""
    async with DockerRuntime(run, home, image) as runtime:
        yield runtime
    assert footprint(home) == NOTHING


async def up(runtime: DockerRuntime, *specs: NodeSpec) -> None:
    """Prepare and bring up."""
    await runtime.prepare(specs)
    await bring_up(runtime, specs)


async def until(runtime: DockerRuntime, state: NodeState) -> NodeStatus:
    """Wait until the only node is in a state that somebody else has brought about."""
    async with asyncio.timeout(NOTICED_S):
        while (status := runtime.status()[0]).state is not state:  # noqa: ASYNC110 - no event reaches an outsider
            await asyncio.sleep(0.01)
    return status


async def test_somebody_elses_pause_is_noticed(containers: DockerRuntime, fake: Fake, api: Any) -> None:
    """Frozen and thawed by the name that `status` gives, it is `paused` and `ready` here; frozen by them, we can resume and kill it."""
    await up(containers, fake("alpha"))
    name = containers.status()[0].container
    await asyncio.to_thread(api.pause, name)
    await until(containers, NodeState.PAUSED)
    await asyncio.to_thread(api.unpause, name)
    await until(containers, NodeState.READY)
    await asyncio.to_thread(api.pause, name)
    await until(containers, NodeState.PAUSED)
    await containers.resume("alpha")
    assert not (await asyncio.to_thread(api.inspect_container, name))["State"]["Paused"]
    assert NodeState.READY == containers.status()[0].state
    await containers.pause("alpha")
    await asyncio.to_thread(api.unpause, name)
    await until(containers, NodeState.READY)
    await asyncio.to_thread(api.pause, name)
    await until(containers, NodeState.PAUSED)
    await containers.kill("alpha")
    assert NodeState.KILLED == containers.status()[0].state


async def test_somebody_elses_removal_is_told(containers: DockerRuntime, fake: Fake, api: Any) -> None:
    """After `docker rm -f` the node has ended unexpectedly, its last line says why, and a restart says what to do."""
    await up(containers, fake("alpha"))
    name = containers.status()[0].container
    await asyncio.to_thread(lambda: api.remove_container(name, force=True))
    status = await until(containers, NodeState.EXITED)
    assert not status.expected
    assert "removed" in status.last_lines[-1] or "SIGKILL" == status.signal, status
    with pytest.raises(NodeStartError) as caught:
        await containers.restart("alpha")
    assert "somebody else has removed it" in caught.value.hint


async def test_limits_are_the_engines(containers: DockerRuntime, fake: Fake, api: Any) -> None:
    """Memory without swap, processors and processes are what `docker inspect` shows; more processors than there are is no limit."""
    limits = Limits(memory_bytes=64 * 2**20, cpus=0.5, pids=40)
    await up(containers, fake("alpha", limits=limits), fake("beta"), fake("gamma", limits=Limits(cpus=1e3)))
    hosts = {
        status.name: (await asyncio.to_thread(api.inspect_container, status.container))["HostConfig"]
        for status in containers.status()
    }
    keys = ("Memory", "MemorySwap", "NanoCpus", "PidsLimit")
    assert [64 * 2**20, 64 * 2**20, 5 * 10**8, 40] == [hosts["alpha"][key] for key in keys]
    assert [0, 0, 0] == [hosts["beta"][key] for key in keys[:3]]
    assert api.info()["NCPU"] * 10**9 == hosts["gamma"]["NanoCpus"]


@pytest.fixture
def cramped_engine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """An engine of this test alone, with addresses for one network."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("starting an engine needs root and dockerd")
    folder = tmp_path_factory.mktemp("dockerd")
    socket = folder / "docker.sock"
    command = ["dockerd", "--host", f"unix://{socket}", "--data-root", str(folder / "data")]
    command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
    command += ["--bridge", "none", "--iptables=false", "--default-address-pool", SOME_POOL]
    with (folder / "log").open("wb") as log:
        engine = subprocess.Popen(command, stdout=log, stderr=log)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    try:
        deadline = time.monotonic() + GONE_S
        while subprocess.run(["docker", "version"], check=False, capture_output=True).returncode != 0:
            assert engine.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield
    finally:
        engine.terminate()
        engine.wait(GONE_S)


@pytest.mark.usefixtures("cramped_engine")
async def test_an_exhausted_address_pool_is_told(run: RunDirectory, home: Path, fake: Fake) -> None:
    """Where there is room for one network of two, the error says how to make room, and the one is gone again."""
    with pytest.raises(AddressPoolError, match="make network") as caught:
        async with DockerRuntime(run, home, "rollnet:none") as runtime:
            await runtime.prepare([fake("alpha")])
    assert "docker network prune" in caught.value.hint
    assert footprint(home) == NOTHING
