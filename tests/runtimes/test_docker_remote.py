"""Engines on other machines: a second engine with a network, files, processes and a clock of its own, a wire away from this machine."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from docker.context import ContextAPI
from docker.tls import TLSConfig

from orchestrator.cli.testing import Rollnet, started
from orchestrator.devnet import Devnet
from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import Capability, NodeSpec
from orchestrator.runtimes.choice import VARIABLE, choose
from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.errors import EngineUnfitError
from orchestrator.runtimes.docker.gate import FIRST_PORT, LAST_PORT, PUBLISH_VARIABLE
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.docker.testing_remote import NoRemoteEngineError, RemoteEngine, remote_engine
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.ports import LOOPBACK
from orchestrator.strategies import presets
from orchestrator.tracing import analyse, load_traces
from orchestrator.verification import live_sources, stored_sources, verify
from orchestrator.waiting import eventually

pytestmark = pytest.mark.docker

PROGRAM = Path(__file__).with_name("docker_program.py")
ECHO = """
import json, os, pathlib, time
data, life = pathlib.Path(os.environ["DATA"]), pathlib.Path(os.environ["DATA"], "lives")
life.write_text(life.read_text() + "x" if life.exists() else "x")
said = {path.name: path.read_text() for path in data.iterdir()}
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(json.dumps(said, sort_keys=True, separators=(",", ":")) + "\\n")
print("life", life.read_text(), flush=True)
time.sleep(3600)
"""
"""Counts its lives, and writes down what is in its data folder."""
GONE_S = 40.0


@pytest.fixture(scope="module")
def remote(image: str, module_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteEngine]:
    """The engine, with the image; it has none of this module's state home."""
    try:
        with remote_engine(module_home, tmp_path_factory.mktemp("remote")) as engine:
            engine.load(image)
            yield engine
    except NoRemoteEngineError as exc:
        pytest.skip(str(exc))


@pytest.fixture
def there(remote: RemoteEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[RemoteEngine]:
    """The engine, chosen by the environment; whatever a test does, it has nothing more afterwards."""
    before = remote.footprint()
    for name, value in remote.environment.items():
        monkeypatch.setenv(name, value)
    yield remote
    assert before == remote.footprint()


@pytest.fixture
def run(module_home: Path) -> RunDirectory:
    """A fresh run directory."""
    return RunDirectory.create(module_home, "far", seed=0)


async def test_a_devnet_on_another_machine(
    there: RemoteEngine, module_home: Path, topology_file: Callable[..., Path]
) -> None:
    """What a devnet does here it does there: bundles commit, the sequencer comes back where it was, and all is read here as always."""
    topology = topology_file("far", extra="market: {underlying: ETH, spot: 2000, volatility: 0.6}")
    async with Devnet.launch(topology, state=module_home, runtime="docker") as net:
        assert {there.address} == {urlsplit(chain.http).hostname for chain in net.rollups.values()}
        assert net.plan.market is not None
        first = await net.run(presets.build("vertical", net.plan.market))
        assert "committed" == first.outcome
        killed = await net.node("sequencer").kill()
        back = await net.node("sequencer").restart()
        assert ("killed", "ready", 2) == (killed.state, back.state, back.boot)
        assert killed.endpoints == back.endpoints == {"http": net.sequencer.http}
        second = await net.run(presets.build("straddle", net.plan.market))
        assert "committed" == second.outcome
        async with Devnet.attach("far", state=module_home) as attached:
            assert first.bundle_hash != second.bundle_hash
            assert await attached.rollup("alpha").height() > 0
        await eventually(lambda: agrees(net), 20.0, "a verification that found something on L1")
        assert len(there.footprint()["volumes"]) > len(net.plan.rollups)

    async with stored_sources(net.directory.path) as sources:
        assert "valid" == (await verify(sources)).verdict
    assert (net.directory.data_of("sequencer") / "wal.log").stat().st_size > 0
    read = load_traces(net.directory.path)
    assert {} == read.torn
    for result in (first, second):
        analysed = analyse(read.traces["0x" + result.bundle_hash.hex()])
        assert () == analysed.skews, (
            "another machine's clock is an hour ahead, and its journals are told in our time"
        )
        assert analysed.end_to_end_ns is not None
        assert 0 < analysed.end_to_end_ns < 60 * 10**9
        assert result.latency_ms.keys() >= {"bundle.admitted", "bundle.decided", "leg.executed"}


async def test_data_and_ports_stay_over_restarts(
    there: RemoteEngine, module_home: Path, run: RunDirectory, image: str
) -> None:
    """A node finds its data after a kill, and what is meant for it; its endpoint is the same; its journal and data end here."""
    echo = NodeSpec(
        "echo",
        "rollup",
        ("${python}", "-c", ECHO),
        {"http": "http"},
        env={"DATA": "${data}", "JOURNAL": "${run}/journal/echo.jsonl"},
    )
    async with DockerRuntime(run, module_home, image) as runtime:
        assert Capability.STABLE_ENDPOINTS in runtime.capabilities
        await runtime.prepare([echo])
        endpoint = runtime.endpoint("echo", "http")
        await runtime.start("echo")
        await said(run, '{"lives":"x"}\n')
        await runtime.kill("echo")
        order = run.data_of("echo") / "order"
        order.parent.mkdir(exist_ok=True)
        order.write_text("crash")
        await runtime.start("echo")
        await said(run, '{"lives":"x"}\n', '{"lives":"xx","order":"crash"}\n')
        assert not order.exists()
        await eventually(lambda: printed(runtime, "life xx"), 5.0, "what it prints in its log, while it runs")
        assert endpoint == runtime.endpoint("echo", "http")
        port = urlsplit(endpoint).port
        assert port is not None
        assert FIRST_PORT <= port <= LAST_PORT
    assert {"lives": "xx", "order": "crash"} == {
        path.name: path.read_text() for path in run.data_of("echo").iterdir()
    }


async def test_a_tunnel_needs_an_address(
    there: RemoteEngine, module_home: Path, run: RunDirectory, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine at an address of this machine that is on another one is found out; with an address for its ports it is used."""
    node = NodeSpec("idle", "rollup", ("${python}", "-c", "import time; time.sleep(3600)"), {"http": "http"})
    async with tunnel(there) as host:
        monkeypatch.setenv("DOCKER_HOST", host)
        async with DockerRuntime(run, module_home, image) as runtime:
            with pytest.raises(EngineUnfitError, match="behind a tunnel") as caught:
                await runtime.prepare([node])
        assert PUBLISH_VARIABLE in caught.value.hint
        monkeypatch.setenv(PUBLISH_VARIABLE, "192.0.2.9")
        async with DockerRuntime(run, module_home, image) as runtime:
            with pytest.raises(EngineUnfitError, match=r"does not have the address 192\.0\.2\.9"):
                await runtime.prepare([node])
        monkeypatch.setenv(PUBLISH_VARIABLE, there.address)
        async with DockerRuntime(run, module_home, image) as runtime:
            await runtime.prepare([node])
            await runtime.start("idle")
            assert there.address == urlsplit(runtime.endpoint("idle", "http")).hostname


def test_a_context_leads_there(remote: RemoteEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A context with TLS is followed, and what is noted of it leads to the same engine once the context is gone."""
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    for name in remote.environment:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    pair = (str(remote.keys / "cert.pem"), str(remote.keys / "key.pem"))
    keys = TLSConfig(pair, str(remote.keys / "ca.pem"), verify=True)
    ContextAPI.create_context("far", host=remote.host, tls_cfg=keys)
    found = Address.find()
    monkeypatch.delenv("DOCKER_CONFIG")
    again = Address.find(found.variables)
    assert remote.address == urlsplit(found.host).hostname
    assert found.information["ID"] == again.information["ID"]
    assert {"DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"} == found.variables.keys()


async def test_ports_out_of_reach(
    there: RemoteEngine, rollnet: Rollnet, module_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a firewall is between us, ``up`` says what it tried and what to do, and leaves nothing; ``auto`` does without that engine."""
    monkeypatch.delenv(VARIABLE)
    ports = f"{FIRST_PORT}:{LAST_PORT}"
    rule = ["PREROUTING", "--table", "mangle", "--protocol", "tcp", "--dport", ports, "--jump", "DROP"]
    there.inside("iptables", "--append", *rule)
    try:
        up = await rollnet("up", "topologies/solo.yaml", "--runtime", "docker")
        without = await choose("auto", print, module_home)
    finally:
        there.inside("iptables", "--delete", *rule)
    assert ("process", True) == (without.kind, "can't be reached from here" in without.why)
    assert "docker" == (await choose("auto", print, module_home)).kind
    assert 1 == up.code
    told = " ".join(up.err.split())
    assert f"http://{there.address}:" in told
    assert "can't be reached from here" in told
    assert PUBLISH_VARIABLE in told
    assert Registry(module_home).find("solo") is None


async def test_killing_the_command_line(there: RemoteEngine, module_home: Path, repository: Path) -> None:
    """kill -9 while nodes start leaves nothing there: the guard knows the engine."""
    before = there.footprint()
    arguments = ("up", "topologies/solo.yaml", "--runtime", "docker", "--json")
    async with started(module_home, repository, *arguments) as process:
        await until(there, lambda now: len(now["containers"]) > 3)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    await until(there, lambda now: now == before)
    Registry(module_home).sweep()


async def test_gc_asks_the_engine_of_the_run(
    there: RemoteEngine, module_home: Path, run: RunDirectory, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed supervisor left there is swept by its registration, whatever engine is chosen by then."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(PROGRAM), str(module_home), str(run.path), image, "untied", "alpha"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    while (await process.stdout.readline()).strip() != b"up":
        assert process.returncode is None
    owner = ProcessId.of(process.pid)
    assert owner is not None
    process.kill()
    await process.wait()
    entry = DevnetEntry(
        "lost", run.run_id, str(run.path), owner, Control(1, ""), runtime="docker", engine=there.environment
    )
    Registry(module_home).claim(entry)
    for name in there.environment:
        monkeypatch.delenv(name)
    swept = await asyncio.to_thread(Registry(module_home).sweep, "lost")
    assert (("lost",), ()) == (swept.devnets, swept.unswept)
    kinds = {line.split()[0] for line in swept.containers}
    assert {"container", "network", "volume"} == kinds


async def agrees(net: Devnet) -> bool:
    """Whether a rebuild from L1 gives what the nodes serve; at first there is nothing on L1 to compare."""
    async with live_sources(net.directory.path) as sources:
        verdict = (await verify(sources)).verdict
    assert "invalid" != verdict
    return verdict == "valid"


async def printed(runtime: DockerRuntime, line: str) -> bool:
    """Whether it is the last line of the node's log."""
    return line == runtime.logs("echo")[-1]


async def said(run: RunDirectory, *lines: str) -> None:
    """Wait until a node's journal is here."""

    async def here() -> bool:
        path = run.journal_of("echo")
        return path.exists() and "".join(lines) == path.read_text()

    await eventually(here, 10.0, f"{lines} in the journal here", every_s=0.02)


async def until(engine: RemoteEngine, holds: Callable[[Mapping[str, frozenset[str]]], bool]) -> None:
    """Wait until what is on an engine is as it should be; the end of strangers' work can only be looked for."""

    async def looked() -> bool:
        return holds(await asyncio.to_thread(engine.footprint))

    await eventually(looked, GONE_S, "as it should be on the other machine")


@asynccontextmanager
async def tunnel(engine: RemoteEngine) -> AsyncIterator[str]:
    """A port of this machine that leads to the engine, as ssh makes one; its URL."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place = urlsplit(engine.host)
        there, back = await asyncio.open_connection(place.hostname, place.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(pass_on(reader, back))
                group.create_task(pass_on(there, writer))
        except* OSError:
            pass
        finally:
            back.close()
            writer.close()

    server = await asyncio.start_server(connected, LOOPBACK, 0)
    try:
        yield f"tcp://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
