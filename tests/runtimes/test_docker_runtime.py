"""What only containers do: networks, walls, crashes of whoever asked for them, and an engine that is shared with strangers."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.leftovers import SweepReport, left_behind
from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import NodeSpec, NodeState
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import NameConflictError
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.testing import NOTHING, footprint, footprint_beside, guards_of
from orchestrator.runtimes.startup import bring_up

pytestmark = pytest.mark.docker

Fake = Callable[..., NodeSpec]
Call = Callable[..., Awaitable[object]]
Crasher = Callable[..., subprocess.Popen[str]]
PROGRAM = str(Path(__file__).with_name("docker_program.py"))
GONE_S = 30.0


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


@pytest.fixture
def crasher(home: Path, run: RunDirectory, image: str) -> Iterator[Crasher]:
    """Starts a process that runs containers, to be killed."""
    started: list[subprocess.Popen[str]] = []

    def start(nodes: str, tied: str = "tied", until: str = "up") -> subprocess.Popen[str]:
        argv = [sys.executable, PROGRAM, str(home), str(run.path), image, tied, nodes]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        while (line := process.stdout.readline().strip()) != until:
            assert line, "it ended"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
    Registry(home).sweep()


def gone(home: Path) -> bool:
    """Whether nothing of a state home is left on the engine within half a minute."""
    deadline = time.monotonic() + GONE_S
    while footprint(home) != NOTHING:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


async def up(runtime: DockerRuntime, *specs: NodeSpec) -> None:
    """Prepare and bring up."""
    await runtime.prepare(specs)
    await bring_up(runtime, specs)


def of(api: Any, home: Path, node: str) -> Any:
    """All about the container of a node."""
    filters = {"label": [f"{labels.HOME}={home}", f"{labels.NODE}={node}"]}
    (found,) = api.containers(all=True, filters=filters)
    return api.inspect_container(found["Id"])


def run_in(api: Any, container: str, *command: str) -> tuple[int, str]:
    """Exit code and output of a command in a container."""
    made = api.exec_create(container, list(command))["Id"]
    output = api.exec_start(made).decode()
    return api.exec_inspect(made)["ExitCode"], output


async def test_nodes_are_walled_in(containers: DockerRuntime, fake: Fake, home: Path, api: Any) -> None:
    """A node is nobody, gains no rights, writes only its data, its journal and scratch, and has an init that reaps."""
    await up(containers, fake("alpha"))
    found = await asyncio.to_thread(of, api, home, "alpha")
    host = found["HostConfig"]
    assert (True, True, ["ALL"], ["no-new-privileges"]) == (
        host["ReadonlyRootfs"],
        host["Init"],
        host["CapDrop"],
        host["SecurityOpt"],
    )
    code, who = await asyncio.to_thread(run_in, api, found["Id"], "id", "-u")
    assert (0, True) == (code, int(who) != 0)
    for path, expected in (
        ("/rollnet/data/x", 0),
        ("/rollnet/run/journal/x", 0),
        ("/tmp/x", 0),  # noqa: S108 - inside the container, of its own
        ("/rollnet/run/x", 1),
        ("/opt/rollnet/x", 1),
        ("/x", 1),
    ):
        code, said = await asyncio.to_thread(run_in, api, found["Id"], "touch", path)
        assert (path, expected) == (path, code), said


async def test_ports_are_on_loopback_and_private_ones_nowhere(
    containers: DockerRuntime, fake: Fake, home: Path, api: Any
) -> None:
    """Endpoints are published on 127.0.0.1 alone; what a node keeps to itself is not published."""
    ports = {"http": "http", "engine": "http"}
    await up(containers, fake("alpha", ports=ports, private_ports=frozenset({"engine"})))
    found = await asyncio.to_thread(of, api, home, "alpha")
    bound = [place for places in found["NetworkSettings"]["Ports"].values() for place in places or []]
    endpoint = containers.endpoint("alpha", "http")
    assert [("127.0.0.1", endpoint.rpartition(":")[2])] == [(one["HostIp"], one["HostPort"]) for one in bound]
    assert {"http": endpoint} == dict(containers.status()[0].endpoints)


async def test_nodes_reach_one_another_and_nobody_else(
    containers: DockerRuntime, fake: Fake, home: Path, api: Any
) -> None:
    """Names resolve on the fabric; neither the control network nor the outside leads anywhere."""
    await up(containers, fake("alpha"), fake("beta"))
    alpha, beta = [await asyncio.to_thread(of, api, home, name) for name in ("alpha", "beta")]
    networks = {name.rpartition("-")[2]: found for name, found in beta["NetworkSettings"]["Networks"].items()}
    assert {"control", "fabric"} == networks.keys()
    ask = "import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1], timeout=2).status)"
    for place, reached in (
        ("beta:8545", True),
        (networks["fabric"]["IPAddress"] + ":8545", True),
        (networks["control"]["IPAddress"] + ":8545", False),
        ("192.0.2.1:80", False),
    ):
        code, said = await asyncio.to_thread(
            run_in, api, alpha["Id"], "python3", "-c", ask, f"http://{place}"
        )
        assert (place, reached) == (place, code == 0), said


async def test_health_is_a_full_request(containers: DockerRuntime, fake: Fake, home: Path, api: Any) -> None:
    """The image's own health check says yes to a node that answers, and no to one that accepts and is silent."""
    await containers.prepare([fake("alpha"), fake("beta", "mute", readiness=None)])
    await containers.start("alpha")
    await containers.start("beta")
    found = await asyncio.to_thread(of, api, home, "alpha")
    test = found["Config"]["Healthcheck"]["Test"]
    assert "CMD" == test[0]
    assert 0 == (await asyncio.to_thread(run_in, api, found["Id"], *test[1:]))[0]
    silent = await asyncio.to_thread(of, api, home, "beta")
    assert 0 != (await asyncio.to_thread(run_in, api, silent["Id"], *test[1:]))[0]


async def test_somebody_elses_doings_are_noticed(
    containers: DockerRuntime, fake: Fake, home: Path, api: Any
) -> None:
    """A container that is killed behind our back is an end that nobody asked for; the node comes back all the same."""
    await up(containers, fake("alpha"))
    found = await asyncio.to_thread(of, api, home, "alpha")
    await asyncio.to_thread(api.kill, found["Id"])
    async with asyncio.timeout(20):
        while containers.status()[0].state is not NodeState.EXITED:  # noqa: ASYNC110 - an end of another process
            await asyncio.sleep(0.01)
    assert ("SIGKILL", False) == (containers.status()[0].signal, containers.status()[0].expected)
    await containers.restart("alpha")
    assert NodeState.READY == containers.status()[0].state


async def test_two_devnets_side_by_side(
    home: Path, image: str, fake: Fake, run: RunDirectory, call: Call
) -> None:
    """Two devnets with the same node names share nothing; closing one leaves the other alone."""
    other_run = RunDirectory.create(home, "test", seed=0)
    specs = [fake("alpha"), fake("beta", env={"PEER": "${url:alpha:http}"})]
    shutil.copy(run.path / "fake_node_program.py", other_run.path)
    async with DockerRuntime(run, home, image) as one:
        async with DockerRuntime(other_run, home, image) as other, asyncio.TaskGroup() as group:
            group.create_task(up(one, *specs))
            group.create_task(up(other, *specs))
        assert "alpha" == await call(one.endpoint("beta", "http"), method="peer")
        assert [] == left_behind(other_run.run_id, on_docker=True)
    assert footprint(home) == NOTHING


async def test_cycles_leave_the_engine_as_it_was(home: Path, image: str, fake: Fake) -> None:
    """Up and down, again and again: the engine has the containers, networks and volumes that it had before. A devnet does so twenty times."""
    before = footprint_beside(home)
    for _ in range(5):
        run = RunDirectory.create(home, "test", seed=0)
        shutil.copy(Path(__file__).with_name("fake_node_program.py"), run.path)
        async with DockerRuntime(run, home, image) as runtime:
            await up(runtime, fake("alpha"))
    assert before == footprint_beside(home)


async def test_a_strangers_name_is_refused_and_left_alone(
    run: RunDirectory, home: Path, image: str, fake: Fake, api: Any
) -> None:
    """A container of somebody else with a name that we need: an error names it, what we made is gone, it is untouched."""
    name = f"{labels.prefix(run)}-alpha"
    stranger = api.create_container(image, ["sleep", "600"], name=name)["Id"]
    try:
        with pytest.raises(NameConflictError, match=name):
            async with DockerRuntime(run, home, image) as runtime:
                await runtime.prepare([fake("alpha"), fake("beta")])
        assert footprint(home) == NOTHING
        assert "created" == api.inspect_container(stranger)["State"]["Status"]
    finally:
        api.remove_container(stranger, force=True)


@pytest.mark.parametrize("network", ["control", "fabric"])
async def test_a_strangers_network_is_refused_and_left_alone(
    run: RunDirectory, home: Path, image: str, fake: Fake, api: Any, network: str
) -> None:
    """A network of somebody else with a name that we need: an error names it and says what to do, what we made is gone, it is untouched."""
    name = f"{labels.prefix(run)}-{network}"
    stranger = api.create_network(name, "bridge", labels={"whose": "somebody's"})["Id"]
    before = api.inspect_network(stranger)
    try:
        with pytest.raises(NameConflictError, match=name) as caught:
            async with DockerRuntime(run, home, image) as runtime:
                await runtime.prepare([fake("alpha")])
        assert "remove or rename it" in caught.value.hint
        assert footprint(home) == NOTHING
        assert before == api.inspect_network(stranger)
    finally:
        api.remove_network(stranger)


async def test_a_strangers_volume_is_refused_and_left_alone(run: RunDirectory, home: Path, api: Any) -> None:
    """A volume of somebody else with a name that we need, also one of another run: refused with what to do, untouched."""
    name, marks = f"{labels.prefix(run)}-journal", labels.of_work(home, "test")
    before = api.create_volume(name, labels={**marks, labels.RUN: "another"})
    engine = await Engine.connect()
    try:
        with pytest.raises(NameConflictError, match=name) as caught:
            await engine.create_volume(name, marks)
        assert "remove it" in caught.value.hint
        assert [] == await engine.remove_run(marks[labels.RUN])
        assert before == api.inspect_volume(name)
    finally:
        engine.close()
        api.remove_volume(name)


async def test_networks_have_no_other_way_out(
    containers: DockerRuntime, fake: Fake, api: Any, run: RunDirectory
) -> None:
    """Neither network has IPv6, which no rule of ours looks at, and only the control network leads to this host."""
    await up(containers, fake("alpha"))
    found = {name: api.inspect_network(f"{labels.prefix(run)}-{name}") for name in ("control", "fabric")}
    assert {"control": (False, False), "fabric": (False, True)} == {
        name: (network["EnableIPv6"], network["Internal"]) for name, network in found.items()
    }


async def test_a_private_umask_keeps_no_node_out(
    home: Path, image: str, fake: Fake, run: RunDirectory
) -> None:
    """Where this user lets nobody read new files, nodes, which are others, read what is theirs all the same."""
    before = os.umask(0o077)
    try:
        own = RunDirectory.create(home, "private", seed=0)
        (own.path / "genesis").mkdir()
        for name in (
            own.path / run.path.joinpath("fake_node_program.py").name,
            own.path / "genesis" / "l1.json",
        ):
            name.write_bytes((run.path / "fake_node_program.py").read_bytes())
        async with DockerRuntime(own, home, image) as runtime:
            await up(runtime, fake("alpha"))
            found = docker.APIClient()
            code, said = run_in(
                found, str(runtime.status()[0].container), "cat", "/rollnet/run/genesis/l1.json"
            )
            found.close()
            assert (0, True) == (code, len(said) > 0), said
        assert (own.journals / "alpha.up").exists()
    finally:
        os.umask(before)


def test_nothing_outlives_a_killed_parent(crasher: Crasher, home: Path) -> None:
    """After SIGKILL of the supervising process its guard removes the containers and networks, stubborn ones too."""
    process = crasher("alpha,beta:stubborn")
    assert 2 == len(footprint(home)["containers"])
    process.kill()
    process.wait()
    assert gone(home)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_outlives_a_parent_that_is_killed_while_it_prepares(
    crasher: Crasher, home: Path, run: RunDirectory, seed: int
) -> None:
    """Killed at a random moment of its start, it leaves nothing, even what the engine was still making."""
    process = crasher("alpha,beta,gamma", until="preparing")
    time.sleep(random.Random(seed).uniform(0, 1.5))
    process.kill()
    process.wait()
    while guards_of([run.run_id]):  # before its last look there may be nothing yet
        time.sleep(0.02)
    assert gone(home)


@pytest.mark.parametrize("left", [2, 1, 0])
def test_nothing_outlives_a_parent_that_is_killed_while_it_removes(
    crasher: Crasher, home: Path, left: int
) -> None:
    """Killed on its way down, when some containers are removed already, or all of them and only networks are left, it leaves nothing."""
    process = crasher("alpha,beta,gamma")
    process.send_signal(signal.SIGINT)
    while len(footprint(home)["containers"]) > left:
        assert process.poll() is None
    process.kill()
    process.wait()
    assert gone(home)


def test_a_sweep_needs_no_guard(crasher: Crasher, home: Path, run: RunDirectory) -> None:
    """Where the guard died too, a sweep finds a dead run by its labels; not while its supervisor lives, nor from another home."""
    process = crasher("alpha", "untied")
    assert SweepReport() == Registry(home).sweep()
    assert 1 == len(footprint(home)["containers"])
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert SweepReport() == Registry(home.with_name("another")).sweep()
    assert 3 == len(left_behind(run.run_id, on_docker=True))
    assert 3 == len(Registry(home).sweep().containers)
    assert ([], NOTHING) == (left_behind(run.run_id, on_docker=True), footprint(home))


async def test_close_does_without_its_guard(run: RunDirectory, home: Path, image: str, fake: Fake) -> None:
    """Somebody killing the guard spoils nothing."""
    async with DockerRuntime(run, home, image) as runtime:
        await up(runtime, fake("alpha"))
        assert runtime._guard is not None
        os.kill(runtime._guard.pid, signal.SIGKILL)
    assert footprint(home) == NOTHING


async def test_journals_are_read_on_this_host(
    containers: DockerRuntime, run: RunDirectory, fake: Fake
) -> None:
    """What nodes write to the journal folder and what they print is here, also when they are gone."""
    await up(containers, fake("alpha", "chatter=1000"))
    await containers.close()
    assert (run.journals / "alpha.up").exists()
    assert "alpha is up" in run.log_of("alpha").read_text()
    assert run.data_of("alpha").is_dir()
