"""Faults of containers, seen past the code under test: by programs in the nodes, by the kernel's tables, and by the engine."""

import asyncio
import json
import random
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import docker
import pytest
import pytest_asyncio

from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec, NodeState
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.faults.tools import name_of
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.runtimes.errors import FaultFailedError, FaultInForceError, NodeStateError
from orchestrator.runtimes.faults import (
    Blackhole,
    DiskFull,
    Fault,
    OutOfMemory,
    PacketLoss,
    Reset,
    Throttle,
    Unplug,
)
from orchestrator.runtimes.startup import bring_up
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

Call = Callable[..., Awaitable[object]]
NODES = ("alpha", "beta", "gamma")
HERE = Path(__file__).parent
GONE_S = 30.0

CONNECT = """
import json, socket, sys, threading, time
def one():
    began = time.monotonic()
    try:
        socket.create_connection((sys.argv[1], 8545), float(sys.argv[2]))
        outcome = "connected"
    except OSError as exc:
        outcome = type(exc).__name__
    found.append([outcome, time.monotonic() - began])
found, threads = [], [threading.Thread(target=one) for _ in range(int(sys.argv[3]))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(found))
"""
LISTEN = """
import json, socket
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.bind(("0.0.0.0", 9999))
ear.settimeout(1.5)
heard = set()
try:
    while True:
        heard.add(ear.recv(100).decode())
except TimeoutError:
    print(json.dumps(sorted(heard)))
"""
SPEAK = """
import json, socket, sys, time
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(10):
    mouth.sendto(sys.argv[2].encode(), (sys.argv[1], 9999))
    time.sleep(0.1)
print(json.dumps(None))
"""
SEND = """
import json, sys, time, urllib.request
body = json.dumps({"method": "name", "ballast": "x" * int(sys.argv[2])}).encode()
began = time.monotonic()
urllib.request.urlopen(urllib.request.Request("http://" + sys.argv[1] + ":8545", data=body), timeout=30).read()
print(json.dumps(time.monotonic() - began))
"""


def spec_of(name: str) -> NodeSpec:
    """A fake node."""
    command = (
        "${python}",
        "-I",
        "-S",
        "${run}/fake_node_program.py",
        name,
        "${run}/journal",
        "${host}:${port:http}",
    )
    return NodeSpec(name, "rollup", command, {"http": "http"}, readiness=JsonRpcRequest("http", "ready"))


@dataclass(frozen=True)
class Net:
    """Three containers, and the engine past the code under test."""

    runtime: DockerRuntime
    home: Path
    image: str
    api: Any

    def container(self, node: str) -> str:
        """Id of a node's container."""
        filters = {"label": [f"{labels.HOME}={self.home}", f"{labels.NODE}={node}"]}
        (found,) = self.api.containers(all=True, filters=filters)
        return str(found["Id"])

    async def inside(self, node: str, program: str, *arguments: object) -> Any:
        """What a program that runs in a node's container prints, as JSON."""

        def execute() -> Any:
            command = ["python3", "-I", "-S", "-c", program, *map(str, arguments)]
            made = self.api.exec_create(self.container(node), command)["Id"]
            output = self.api.exec_start(made)
            return json.loads(output or f'"exit code {self.api.exec_inspect(made)["ExitCode"]}"')

        return await asyncio.to_thread(execute)

    async def connect(self, node: str, peer: str, within_s: float = 1.0) -> tuple[str, float]:
        """What becomes of a connection between nodes, and after how many seconds."""
        ((outcome, seconds),) = await self.inside(node, CONNECT, peer, within_s, 1)
        return outcome, seconds

    async def in_network(self, node: str, *command: str) -> str:
        """What a program of an administrator prints in a node's network."""

        def execute() -> str:
            host = self.api.create_host_config(
                network_mode=f"container:{self.container(node)}", cap_add=["NET_ADMIN"]
            )
            made = self.api.create_container(self.image, list(command), user="0:0", host_config=host)["Id"]
            try:
                self.api.start(made)
                self.api.wait(made)
                return str(self.api.logs(made).decode())
            finally:
                self.api.remove_container(made, force=True)

        return await asyncio.to_thread(execute)

    async def rules(self, node: str) -> list[str]:
        """The filter table that stands in a node's network."""
        table = await self.in_network(node, "iptables-save", "-t", "filter")
        return [line for line in table.splitlines() if line.startswith("-A")]

    async def inject(self, fault: Fault) -> str:
        """Inject, and expect a bite; returns the evidence."""
        bite = await self.runtime.inject(fault)
        assert bite.bit, (fault, bite.evidence)
        return bite.evidence

    def state(self, node: str) -> NodeState:
        """Where a node is in its life."""
        return next(status.state for status in self.runtime.status() if status.name == node)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet(tmp_path_factory: pytest.TempPathFactory, image: str) -> AsyncIterator[Net]:
    """Runs for the whole module; afterwards the engine has nothing of it."""
    home = tmp_path_factory.mktemp("faults")
    run = RunDirectory.create(home, "test", seed=0)
    shutil.copy(HERE / "fake_node_program.py", run.path)
    api = docker.APIClient()
    specs = [spec_of(name) for name in NODES]
    try:
        async with DockerRuntime(run, home, image) as runtime:
            await runtime.prepare(specs)
            await bring_up(runtime, specs)
            yield Net(runtime, home, image, api)
        assert footprint(home) == NOTHING
    finally:
        api.close()


@pytest_asyncio.fixture(loop_scope="module")
async def net(devnet: Net) -> AsyncIterator[Net]:
    """The same for each test: healed afterwards, all nodes ready, and no side-car left."""
    yield devnet
    for fault in reversed(devnet.runtime.faults()):
        await devnet.runtime.heal(fault)
    for node in NODES:
        if devnet.state(node) is NodeState.PAUSED:
            await devnet.runtime.resume(node)
        elif devnet.state(node) is not NodeState.READY:
            await devnet.runtime.restart(node)
    assert 3 == len(footprint(devnet.home)["containers"])


async def test_three_ways_to_be_cut_off(net: Net, call: Call) -> None:
    """A black hole hangs, a reset refuses at once, and who is unplugged has no name; others and this host see nothing of it."""
    endpoint = net.runtime.endpoint("alpha", "http")
    await net.inject(Blackhole("alpha", "beta"))
    for one, other in (("alpha", "beta"), ("beta", "alpha")):
        outcome, seconds = await net.connect(one, other)
        assert ("TimeoutError", True) == (outcome, seconds >= 1.0)
    assert "connected" == (await net.connect("gamma", "alpha"))[0]
    await net.runtime.heal(Blackhole("alpha", "beta"))

    await net.inject(Reset("alpha", "beta"))
    for one, other in (("alpha", "beta"), ("beta", "alpha")):
        outcome, seconds = await net.connect(one, other)
        assert ("ConnectionRefusedError", True) == (outcome, seconds < 0.5)
    assert "connected" == (await net.connect("alpha", "gamma"))[0]
    await net.runtime.heal(Reset("alpha", "beta"))

    await net.inject(Unplug("alpha"))
    assert ["gaierror"] * 2 == [
        outcome
        for outcome, _ in await asyncio.gather(net.connect("alpha", "beta"), net.connect("gamma", "alpha"))
    ]
    assert "alpha" == await call(endpoint)
    await net.runtime.heal(Unplug("alpha"))
    assert ("connected", endpoint) == (
        (await net.connect("gamma", "alpha"))[0],
        net.runtime.endpoint("alpha", "http"),
    )


async def test_a_black_hole_is_one_way(net: Net) -> None:
    """The node hears nothing from its peer, which still hears the node."""
    await net.inject(Blackhole("alpha", "beta"))
    heard = await asyncio.gather(
        net.inside("alpha", LISTEN),
        net.inside("beta", LISTEN),
        net.inside("alpha", SPEAK, "beta", "from alpha"),
        net.inside("beta", SPEAK, "alpha", "from beta"),
        net.inside("gamma", SPEAK, "alpha", "from gamma"),
    )
    assert [["from gamma"], ["from alpha"]] == heard[:2]


async def test_faults_outlive_what_they_are_made_of(net: Net) -> None:
    """Rules die with a container's network. Those in force are there again when the node is told ready; healed ones never are."""
    await net.in_network("gamma", "iptables", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP")
    assert 1 == len(await net.rules("gamma"))
    await net.runtime.restart("gamma")
    assert [] == await net.rules("gamma")

    await net.inject(Blackhole("alpha", "beta"))
    await net.runtime.kill("alpha")
    await net.runtime.start("alpha")
    assert "TimeoutError" == (await net.connect("alpha", "beta", 0.5))[0]

    # The peers come back in another order, so that they may swap addresses.
    for node in ("beta", "gamma"):
        await net.runtime.kill(node)
    for node in ("gamma", "beta"):
        await net.runtime.start(node)
    assert "TimeoutError" == (await net.connect("alpha", "beta", 0.5))[0]
    assert "connected" == (await net.connect("alpha", "gamma"))[0]

    await net.runtime.kill("alpha")
    healing = await net.runtime.heal(Blackhole("alpha", "beta"))
    assert (True, "alpha is down") == (healing.healed, healing.evidence)
    await net.runtime.start("alpha")
    assert ([], "connected") == (await net.rules("alpha"), (await net.connect("alpha", "beta"))[0])


async def test_unplugged_over_a_restart(net: Net) -> None:
    """A node that was unplugged comes back unplugged, ready for this host; plugged in again it has what else was in force."""
    await net.inject(Unplug("alpha"))
    await net.runtime.restart("alpha")
    assert "gaierror" == (await net.connect("gamma", "alpha"))[0]
    bite = await net.runtime.inject(Blackhole("alpha", "beta"))
    assert (False, True) == (bite.bit, "off the fabric" in bite.evidence)
    await net.runtime.heal(Unplug("alpha"))
    assert ("TimeoutError", "connected") == (
        (await net.connect("alpha", "beta", 0.5))[0],
        (await net.connect("gamma", "alpha"))[0],
    )


async def test_who_is_off_the_network_is_no_witness(net: Net) -> None:
    """The last one on the fabric has nobody who could miss it: that did not bite. Who is put back first has the engine's word alone."""
    for node in ("alpha", "beta"):
        await net.inject(Unplug(node))
    bite = await net.runtime.inject(Unplug("gamma"))
    assert (False, True) == (bite.bit, "no other node is on it" in bite.evidence), bite
    healing = await net.runtime.heal(Unplug("alpha"))
    assert (True, True) == (healing.healed, "the engine shows it on the fabric" in healing.evidence), healing
    healing = await net.runtime.heal(Unplug("gamma"))
    assert (True, "alpha looks for gamma: connected") == (healing.healed, healing.evidence)


async def test_several_at_once(net: Net) -> None:
    """Faults of one node add up, healing one leaves the others, and two of one place are refused; the same one twice is one."""
    quick = await net.inside("alpha", SEND, "gamma", 60_000)
    await net.inject(Throttle("alpha", 30_000))
    await net.inject(Blackhole("alpha", "beta"))
    await net.inject(Blackhole("alpha", "beta"))
    for other in (Throttle("alpha", 40_000), Reset("alpha", "beta")):
        with pytest.raises(FaultInForceError, match="in force there"):
            await net.runtime.inject(other)
    slow = await net.inside("alpha", SEND, "gamma", 60_000)
    assert quick < 1.0 < slow
    assert 1 == len(await net.rules("alpha"))
    assert (await net.runtime.heal(Throttle("alpha", 30_000))).healed
    assert await net.inside("alpha", SEND, "gamma", 60_000) < 1.0
    assert "TimeoutError" == (await net.connect("alpha", "beta", 0.5))[0]
    assert (Blackhole("alpha", "beta"),) == net.runtime.faults()


async def test_lost_packets_are_time_to_tcp(net: Net) -> None:
    """With half of the packets lost every connection still comes about, some a second and more late: no message is ever lost."""
    await net.inject(PacketLoss("alpha", 0.5))
    found = await net.inside("alpha", CONNECT, "beta", 60, 12)
    assert {"connected"} == {outcome for outcome, _ in found}
    late = [seconds for _, seconds in found if seconds > 0.9]
    assert late, found
    assert (await net.runtime.heal(PacketLoss("alpha", 0.5))).healed


async def test_want_of_memory_is_not_our_kill(net: Net, call: Call) -> None:
    """Both end with SIGKILL; the engine tells them apart, and so does the evidence. Afterwards the node finds room again."""
    await net.runtime.kill("alpha")
    killed = await asyncio.to_thread(net.api.inspect_container, net.container("alpha"))
    confirmed = next(status.confirmed for status in net.runtime.status() if status.name == "alpha")
    assert (False, True) == (killed["State"]["OOMKilled"], "kill" in str(confirmed))
    with pytest.raises(NodeStateError, match="it is down"):
        await net.runtime.inject(OutOfMemory("alpha"))
    await net.runtime.start("alpha")
    evidence = await net.inject(OutOfMemory("alpha"))
    ended = await asyncio.to_thread(net.api.inspect_container, net.container("alpha"))
    assert (True, 137) == (ended["State"]["OOMKilled"], ended["State"]["ExitCode"])
    assert ("oom" in evidence, "kill" in evidence) == (True, False)
    assert ended["HostConfig"]["Memory"] >= net.api.info()["MemTotal"]
    status = next(status for status in net.runtime.status() if status.name == "alpha")
    assert (NodeState.KILLED, "SIGKILL", True) == (status.state, status.signal, status.expected)
    assert "killed by the kernel: out of memory" in net.runtime.logs("alpha", 3)[-1]
    await net.runtime.start("alpha")
    assert "alpha" == await call(net.runtime.endpoint("alpha", "http"))


async def test_frozen_nodes(net: Net, call: Call) -> None:
    """SIGSTOP stops the init alone; a pause freezes the node, which still accepts connections. Links of frozen nodes can be cut."""
    endpoint = net.runtime.endpoint("alpha", "http")
    container = net.container("alpha")
    await asyncio.to_thread(net.api.kill, container, "SIGSTOP")
    assert "alpha" == await call(endpoint)
    await asyncio.to_thread(net.api.kill, container, "SIGCONT")
    await net.runtime.pause("alpha")
    assert "connected" == (await net.connect("beta", "alpha"))[0]
    with pytest.raises(TimeoutError):
        await call(endpoint, 0.5)
    await net.inject(Blackhole("alpha", "beta"))
    assert "TimeoutError" == (await net.connect("beta", "alpha", 0.5))[0]
    for fault in (DiskFull("alpha"), OutOfMemory("alpha")):
        with pytest.raises(NodeStateError, match="frozen"):
            await net.runtime.inject(fault)
    assert (Blackhole("alpha", "beta"),) == net.runtime.faults()


async def test_a_storm_of_faults(net: Net) -> None:
    """Whatever is injected, healed, killed and given up at once, in the end what is in force holds and nothing else does."""
    chance = random.Random(5)
    faults = [
        Blackhole("alpha", "beta"),
        Reset("beta", "gamma"),
        Unplug("gamma"),
        Throttle("alpha", 50_000),
        DiskFull("beta"),
    ]
    acts = [net.runtime.inject(fault) for fault in faults] + [net.runtime.heal(fault) for fault in faults]
    acts += [net.runtime.restart("beta"), net.runtime.kill("alpha")]
    chance.shuffle(acts)
    tasks = [asyncio.ensure_future(act) for act in acts]
    await asyncio.sleep(0.3)
    for task in chance.sample(tasks, 4):
        task.cancel()
    await asyncio.wait(tasks)
    failures = [task.exception() for task in tasks if not task.cancelled()]
    assert [] == [failure for failure in failures if failure is not None]
    for fault in net.runtime.faults():
        await net.runtime.heal(fault)
    await net.runtime.restart("beta")
    await net.runtime.restart("alpha")
    assert [[], [], []] == await asyncio.gather(*(net.rules(node) for node in NODES))
    ways = [(node, peer) for node in NODES for peer in NODES if node != peer]
    found = await asyncio.gather(*(net.connect(node, peer) for node, peer in ways))
    assert {"connected"} == {outcome for outcome, _ in found}, (ways, found)


@pytest.mark.parametrize("seed", range(2))
async def test_nothing_outlives_a_parent_that_is_killed_in_the_middle_of_a_fault(
    tmp_path: Path, image: str, seed: int
) -> None:
    """Killed at a random moment of injecting and healing, it leaves no node, no side-car and no network."""
    run = RunDirectory.create(tmp_path, "test", seed=0)
    program = str(HERE / "docker_fault_program.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable, program, str(tmp_path), str(run.path), image, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert b"up\n" == await process.stdout.readline()
        await asyncio.sleep(random.Random(seed).uniform(0, 1.5))  # the moment is by chance
    finally:
        process.kill()
        await process.wait()

    async def gone() -> bool:
        return footprint(tmp_path) == NOTHING

    try:
        await eventually(gone, GONE_S, "everything of the run to be removed", every_s=0.1)
    finally:
        Registry(tmp_path).sweep()


@pytest.fixture
def bare_image(image: str) -> Iterator[str]:
    """The nodes' image without iptables, and without a way to install it."""
    name = f"{image.replace(':', '-bare:')}"
    recipe = f"FROM {image}\nUSER 0:0\nRUN rm -f /usr/sbin/iptables* /usr/sbin/xtables* /usr/bin/apt-get\nUSER 10001:10001\n"
    client = docker.APIClient()
    try:
        list(client.build(fileobj=BytesIO(recipe.encode()), tag=name, network_mode="none", rm=True))
        yield name
    finally:
        named = [one for one in (name, name_of(name)) if client.images(one)]
        for one in (*_steps_upon(client, name), *named):
            client.remove_image(one, force=True)
        client.close()


def _steps_upon(client: Any, name: str) -> list[str]:
    """Ids of what builds upon an image have left that failed."""
    bare = client.inspect_image(name)["Id"]

    def stands_upon(one: str) -> bool:
        while one and one != bare:
            one = client.inspect_image(one)["Parent"]
        return one == bare

    return [one["Id"] for one in client.images(filters={"dangling": True}) if stands_upon(one["Id"])]


async def test_an_image_without_tools(bare_image: str, image: str, tmp_path: Path) -> None:
    """Network faults take a second image with tools on top of the nodes'; without a way to one the error says what to do."""
    run = RunDirectory.create(tmp_path, "test", seed=0)
    shutil.copy(HERE / "fake_node_program.py", run.path)
    specs = [spec_of(name) for name in ("alpha", "beta")]
    fault = Blackhole("alpha", "beta")
    async with DockerRuntime(run, tmp_path, bare_image) as runtime:
        await runtime.prepare(specs)
        await bring_up(runtime, specs)
        with pytest.raises(FaultFailedError, match="neither, and adding them failed") as caught:
            await runtime.inject(fault)
        assert "ROLLNET_BASE_IMAGE" in caught.value.hint
        assert () == runtime.faults()
        assert "building" in run.log_of("engine").read_text()
        client = docker.APIClient()
        try:
            client.tag(image, *name_of(bare_image).rsplit(":", 1))
        finally:
            client.close()
        assert (await runtime.inject(fault)).bit
    assert footprint(tmp_path) == NOTHING
