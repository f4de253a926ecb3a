"""Other hands on the same engine: who freezes, kills or removes what is ours is noticed, and what holds nodes is there to be seen."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import Limits, NodeSpec, NodeState, NodeStatus
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.errors import AddressPoolError, EngineError, HeldByStrangersError
from orchestrator.runtimes.docker.faults.tools import name_of
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.sweep import sweep_run
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.runtimes.errors import NodeStartError
from orchestrator.runtimes.faults import Blackhole, OutOfMemory
from orchestrator.runtimes.startup import bring_up
from orchestrator.waiting import eventually

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


async def test_somebody_elses_restart_is_a_life_like_any_other(
    containers: DockerRuntime, fake: Fake, api: Any, run: RunDirectory
) -> None:
    """After `docker restart`, or `docker kill` and `docker start`, the node is ready again here, in its next life, with its faults; we can end it."""
    await up(containers, fake("alpha"), fake("beta"))
    fault = Blackhole("alpha", "beta")
    assert (await containers.inject(fault)).bit
    name = str(containers.status()[0].container)

    async def back(boot: int) -> bool:
        status = containers.status()[0]
        return (status.state, status.boot) == (NodeState.READY, boot)

    await asyncio.to_thread(api.restart, name, 0)
    await eventually(lambda: back(2), NOTICED_S, "the second life")
    assert (await containers.inject(fault)).bit
    assert (await containers.heal(fault)).healed
    await asyncio.to_thread(api.kill, name)
    await until(containers, NodeState.EXITED)
    await asyncio.to_thread(api.start, name)
    await eventually(lambda: back(3), NOTICED_S, "the third life")
    assert "somebody else has started it" in run.log_of("alpha").read_text()
    assert "alpha is up" == containers.logs("alpha", 1)[0]
    await asyncio.to_thread(api.pause, name)
    await until(containers, NodeState.PAUSED)
    await containers.kill("alpha")
    assert (NodeState.KILLED, 3) == (containers.status()[0].state, containers.status()[0].boot)
    await containers.start("alpha")
    assert (NodeState.READY, 4) == (containers.status()[0].state, containers.status()[0].boot)


async def test_strangers_on_our_network_are_named(
    run: RunDirectory, home: Path, image: str, fake: Fake, api: Any
) -> None:
    """What somebody else's container holds stays and is named, with what to do; everything else goes, and that too once it is let go of."""
    runtime = DockerRuntime(run, home, image)
    try:
        await up(runtime, fake("alpha"))
        fabric = f"{labels.prefix(run)}-fabric"
        name, host = f"stranger-{run.run_id[-12:]}", api.create_host_config(network_mode=fabric)
        stranger = api.create_container(image, ["sleep", "600"], name=name, host_config=host)["Id"]
        try:
            api.start(stranger)
            began = time.monotonic()
            with pytest.raises(HeldByStrangersError) as caught:
                await runtime.close()
            assert time.monotonic() - began < GONE_S
            assert all(word in str(caught.value) for word in (name, fabric, "rollnet gc"))
            assert footprint(home) == {**NOTHING, "networks": frozenset({fabric})}
            assert api.inspect_container(stranger)["State"]["Running"]
            command = caught.value.hint.partition(": ")[2].partition("; ")[0].split()
            await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True)
        finally:
            api.remove_container(stranger, force=True)
        assert await asyncio.to_thread(sweep_run, run.run_id) in (
            [f"network {fabric} of run {run.run_id}"],
            [],  # the guard, which goes on looking, was faster
        )
        assert footprint(home) == NOTHING
    finally:
        with contextlib.suppress(EngineError):
            await runtime.close()
        await asyncio.to_thread(sweep_run, run.run_id)
        if runtime._guard is not None:
            runtime._guard.kill()
            runtime._guard.wait()


async def test_a_removed_image_with_tools_is_made_again(
    containers: DockerRuntime, fake: Fake, api: Any, image: str
) -> None:
    """Somebody prunes the image of side-cars while a devnet runs: the next fault has another one."""
    await up(containers, fake("alpha"), fake("beta"))
    name = name_of(image)
    there = api.images(name)
    api.tag(image, name)  # this base has the tools, so it may stand in for one that was made for them
    try:
        containers._means()._side_cars._image = f"{name}-gone"
        assert (await containers.inject(Blackhole("alpha", "beta"))).bit
        assert name == containers._means()._side_cars._image
    finally:
        if not there:
            api.remove_image(name)


async def test_limits_are_the_engines(containers: DockerRuntime, fake: Fake, api: Any) -> None:
    """Memory without swap, processors and processes are what `docker inspect` shows, also after a fault; too many processors are no limit."""
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
    assert (await containers.inject(OutOfMemory("alpha"))).bit
    await containers.restart("alpha")
    again = (await asyncio.to_thread(api.inspect_container, containers.status()[0].container))["HostConfig"]
    assert [hosts["alpha"][key] for key in keys] == [again[key] for key in keys]


async def test_an_exhausted_address_pool_is_told(
    run: RunDirectory, home: Path, fake: Fake, own_engine: Callable[..., None]
) -> None:
    """Where there is room for one network of two, the error says how to make room, and the one is gone again."""
    await asyncio.to_thread(own_engine, "--default-address-pool", SOME_POOL)
    with pytest.raises(AddressPoolError, match="make network") as caught:
        async with DockerRuntime(run, home, "rollnet:none") as runtime:
            await runtime.prepare([fake("alpha")])
    assert "docker network prune" in caught.value.hint
    assert footprint(home) == NOTHING
