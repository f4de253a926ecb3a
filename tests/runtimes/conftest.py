"""Fixtures of the runtime tests: fake nodes, and a check after each test that nothing is left."""

import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from orchestrator.leftovers import left_behind
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec, Runtime
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.runtimes.orphans import marked_processes
from orchestrator.runtimes.process import ProcessRuntime

FAKE_NODE = Path(__file__).with_name("fake_node_program.py")
ENGINE_S = 30.0
"""Longest time for an engine's start, and for its end, seconds."""
PROGRAM = f"${{run}}/{FAKE_NODE.name}"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A state home of this test alone; no process of it may outlive the test."""
    folder = tmp_path / "home"
    yield folder
    assert [] == [str(process) for process in marked_processes() if process.home == str(folder)]


@pytest.fixture
def run(home: Path) -> RunDirectory:
    """A fresh run directory."""
    return RunDirectory.create(home, "test", seed=0)


@pytest.fixture
def fake(run: RunDirectory) -> Callable[..., NodeSpec]:
    """Builds the spec of a fake node from its name, its behaviours and fields of the spec; what it leaves is in ``run.journals``."""
    shutil.copy(FAKE_NODE, run.path)

    def build(name: str, *behaviours: str, **fields: object) -> NodeSpec:
        command = (
            "${python}",
            "-I",
            "-S",
            PROGRAM,
            name,
            "${run}/journal",
            "${host}:${port:http}",
            *behaviours,
        )
        given = {
            "role": "rollup",
            "command": command,
            "ports": {"http": "http"},
            "readiness": JsonRpcRequest("http", "ready", accept=lambda result: result == name),
            **fields,
        }
        return NodeSpec(name=name, **given)  # type: ignore[arg-type]

    return build


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
async def runtime(request: pytest.FixtureRequest, run: RunDirectory, home: Path) -> AsyncIterator[Runtime]:
    """Each runtime in turn, empty; closed afterwards, leaving nothing."""
    on_docker = request.param == "docker"
    made = (
        DockerRuntime(run, home, request.getfixturevalue("image")) if on_docker else ProcessRuntime(run, home)
    )
    try:
        yield made
    finally:
        ports = [int(url.rpartition(":")[2]) for status in made.status() for url in status.endpoints.values()]
        await made.close()
        assert [] == left_behind(run.run_id, ports)
        assert not on_docker or footprint(home) == NOTHING


@pytest.fixture
def own_engine(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Starts an engine of this test alone, which the environment then leads to, given options of ``dockerd`` and the size of its disk, if it
    is to have one.
    """  # noqa: D205 - what it is given belongs to the sentence
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("starting an engine needs root and dockerd: sudo apt-get install docker.io")
    folder = tmp_path_factory.mktemp("dockerd")
    socket, data = folder / "docker.sock", folder / "data"
    data.mkdir()
    started: list[subprocess.Popen[bytes]] = []

    def start(*options: str, disk: str = "") -> None:
        command = ["dockerd", "--host", f"unix://{socket}", "--data-root", str(data)]
        command += ["--exec-root", str(folder / "exec"), "--pidfile", str(folder / "pid")]
        command += ["--bridge", "none", "--iptables=false", *options]
        room = f'mount -t tmpfs -o size={disk} none "{data}" && ' if disk else ""
        with (folder / "log").open("wb") as log:
            # A network of its own: where no bridge is wanted, an engine removes the one that this machine's engine may have made.
            wrapped = ["unshare", "--net", "--mount", "sh", "-c", f'{room}exec "$@"', "sh", *command]
            engine = subprocess.Popen(wrapped, stdout=log, stderr=log)
        started.append(engine)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
        deadline = time.monotonic() + ENGINE_S
        while subprocess.run(["docker", "version"], check=False, capture_output=True).returncode != 0:
            assert engine.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)

    try:
        yield start
    finally:
        for engine in started:
            engine.terminate()
            engine.wait(ENGINE_S)


@pytest.fixture
def call() -> Callable[..., object]:
    """Asks a fake node for its name (or ``method="peer"``) over JSON-RPC, given its URL and a timeout in seconds."""

    async def ask(url: str, timeout_s: float = 5.0, method: str = "name") -> object:
        timeout = aiohttp.ClientTimeout(total=timeout_s)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": []}
            async with session.post(url, json=request) as response:
                return (await response.json(content_type=None))["result"]

    return ask


@pytest.fixture
def anvil() -> str:
    """Path of the native anvil binary."""
    root = Path(__file__).parents[2] / "node_modules" / "@foundry-rs"
    found = [path for path in root.glob("anvil-*/bin/anvil") if os.access(path, os.X_OK)]
    if not found:
        pytest.skip("anvil is not installed: npm ci")
    return str(found[0])
