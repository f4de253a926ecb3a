"""Whole devnets of containers: what works on processes works there, and nothing of them stays."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.chains import ChainHandle
from orchestrator.cli.testing import Rollnet, begun, started
from orchestrator.devnet import Devnet
from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory, cache
from orchestrator.runner import main_job
from orchestrator.runtimes.choice import VARIABLE, choose
from orchestrator.runtimes.docker.image.build import BASE_VARIABLE
from orchestrator.runtimes.docker.testing import NOTHING, footprint, guards_of
from orchestrator.strategies import presets
from orchestrator.verification import stored_sources, verify

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

GONE_S = 30.0
QUICK = "{engine: evm, block_time: 1s, settlement: {challenge_period: 1s, proposal_interval: 1s}}"
BRIDGED = """\
l1: {block_time: 500ms}
messaging: {mode: l1-bridge, sequencing_window: 10s}
market: {underlying: ETH, spot: 2000, volatility: 0.6}"""
NO_BASE = "127.0.0.1:1/nobody/nothing:1"
"""An image of a registry that is not there."""


@pytest.fixture(autouse=True)
def nothing_left(module_home: Path) -> Iterator[None]:
    """The engine has nothing of this module's devnets after any test, whatever came of it."""
    yield
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


async def test_the_main_job(repository: Path, module_home: Path) -> None:
    """A strategy commits, one aborts, the sequencer is killed under load: no partial bundle, and L1 alone gives the same rollups."""
    quad = repository / "topologies" / "condor-quad.yaml"
    said: list[str] = []
    verdict = await main_job(quad, said.append, state=module_home, runtime="docker")
    assert ((), "valid") == (verdict.violations, verdict.rebuilt.verdict), said
    assert verdict.counts["committed"] > 0
    run = RunDirectory(verdict.report.parent)
    assert {"alpha", "beta", "gamma", "delta", "sequencer"} <= {path.stem for path in run.journals.iterdir()}
    async with stored_sources(run.path) as sources:
        assert "valid" == (await verify(sources)).verdict


async def test_the_same_devnet_on_both_runtimes(
    topology_file: Callable[..., Path], module_home: Path
) -> None:
    """Two devnets at once, one on each runtime, with the same seed: the same genesis, accounts and contract addresses."""
    topology = topology_file("twins", extra="seed: 11")
    async with (
        Devnet.launch(topology, name="on-docker", state=module_home, runtime="docker") as one,
        Devnet.launch(topology, name="on-processes", state=module_home, runtime="process") as other,
    ):
        files = sorted(path.name for path in (one.directory.path / "genesis").iterdir())
        assert files == sorted(path.name for path in (other.directory.path / "genesis").iterdir())
        for name in [f"genesis/{file}" for file in files] + ["deployments.json"]:
            assert (one.directory.path / name).read_bytes() == (other.directory.path / name).read_bytes(), (
                name
            )
        assert one.accounts == other.accounts
        for name in one.rollups:
            assert await first_block(one.rollup(name)) == await first_block(other.rollup(name))


async def test_the_command_line(rollnet: Rollnet, module_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``up`` takes the engine and says so, ``status`` too; a strategy, a killed and returned node, logs and ``down``, as on processes."""
    monkeypatch.delenv(VARIABLE)
    up = await rollnet("up", "topologies/pair.yaml", "--detach", "--json")
    assert (0, "docker", 1) == (up.code, up.json["runtime"]["kind"], up.err.count("runtime: docker, ")), up
    status = (await rollnet("status", "pair", "--json")).json["devnets"][0]
    assert up.json["runtime"] == status["runtime"]
    assert all(node["container"].endswith(f"-{node['name']}") for node in status["nodes"])
    assert 0 == (await rollnet("strategy", "run", "vertical")).code
    killed = await rollnet("node", "kill", "alpha", "--json")
    assert "killed" == killed.json["state"]
    back = await rollnet("node", "restart", "alpha", "--json")
    assert ("ready", 2) == (back.json["state"], back.json["boot"])
    assert 0 == (await rollnet("strategy", "run", "strangle")).code
    assert "boot 2" in (await rollnet("logs", "alpha")).out
    down = await rollnet("down", "pair", "--json")
    assert (0, []) == (down.code, down.json["left_behind"])
    assert footprint(module_home) == NOTHING


async def test_over_the_bridge(
    topology_file: Callable[..., Path], rollnet: Rollnet, module_home: Path
) -> None:
    """Without a shared sequencer a message is executed, a strategy over two rollups commits, and L1 alone gives both rollups again."""
    topology = topology_file("bridged", extra=BRIDGED, **dict.fromkeys(("alpha", "beta"), QUICK))
    async with Devnet.launch(topology, state=module_home, runtime="docker") as net:
        assert ["alpha-sequencer", "beta-sequencer"] == list(net.sequencers)
        assert net.plan.market is not None
        receiver, beta = net.accounts[1].address, net.rollup("beta")
        before = int(await beta.rpc("eth_getBalance", receiver, "latest"), 16)
        message = ("message", "send", "alpha", "beta", "--to", receiver, "--value", "1", "--net", net.name)
        async with asyncio.TaskGroup() as both:
            sent = both.create_task(rollnet(*message, "--json"))
            run = both.create_task(net.run(presets.build("vertical", net.plan.market), account=2, tell=print))
        assert (0, "executed") == (sent.result().code, sent.result().json["outcome"]), sent.result()
        assert "committed" == run.result().outcome
        assert before + 10**18 == int(await beta.rpc("eth_getBalance", receiver, "latest"), 16)
        found = await rollnet("verify", net.name, "--json")
        assert (0, "valid") == (found.code, found.json["verdict"]), found


async def test_auto_needs_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """`auto` takes the engine that answers; with a base image that is nowhere to be had it takes processes, and says why."""
    monkeypatch.delenv(VARIABLE)
    taken = await choose("auto", print)
    assert ("docker", True) == (taken.kind, taken.why.startswith("an engine answers: Docker "))
    monkeypatch.setenv(BASE_VARIABLE, NO_BASE)
    taken = await choose("auto", print)
    assert ("process", True) == (taken.kind, NO_BASE in taken.why)


async def test_an_image_that_can_not_be_built(
    rollnet: Rollnet, module_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks for Docker without an image and without a base for one is told what to do, with exit code 2, and nothing is made."""
    monkeypatch.setenv(BASE_VARIABLE, NO_BASE)
    said = await rollnet("up", "topologies/solo.yaml", "--runtime", "docker", "--detach")
    assert (2, True, True) == (said.code, NO_BASE in said.err, "make-base" in said.err), said
    assert ((), NOTHING) == (Registry(module_home).entries(), footprint(module_home))


@pytest.mark.skipif(os.geteuid() != 0, reason="a disk of its own takes root")
async def test_a_disk_without_room_for_the_image(repository: Path, module_home: Path, tmp_path: Path) -> None:
    """Where this host's disk is full while the image is gathered, one error says where to make room; no file stays."""
    room = (
        "mount -t tmpfs -o size=8m none $XDG_CACHE_HOME && mkdir -p $XDG_CACHE_HOME/rollnet/image-dependencies && "
        'mount --bind $DEPENDENCIES $XDG_CACHE_HOME/rollnet/image-dependencies && exec "$0" image build --again'
    )
    dependencies = cache() / "image-dependencies"
    dependencies.mkdir(parents=True, exist_ok=True)  # an image that was there already has gathered none
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", room, str(Path(sys.executable).with_name("rollnet"))),
        cwd=repository,
        env={
            **os.environ,
            "DEPENDENCIES": str(dependencies),
            "XDG_CACHE_HOME": str(tmp_path),
            "ROLLNET_HOME": str(module_home),
        },
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert (1, 0, 1) == (process.returncode, err.count(b"Traceback"), err.count(b"error:")), err
    assert b"No space left on device" in err
    assert b"XDG_CACHE_HOME" in err
    assert [] == list(tmp_path.iterdir())


async def test_gc_after_supervisor_and_guard_were_killed(rollnet: Rollnet, module_home: Path) -> None:
    """kill -9 of the supervisor and of what watches it leaves containers, which ``gc`` finds by their labels."""
    assert 0 == (await rollnet("up", "topologies/solo.yaml", "--runtime", "docker", "--detach")).code
    entry = Registry(module_home).find("solo")
    assert entry is not None
    for guard in guards_of([entry.run_id]):
        os.kill(guard, signal.SIGKILL)
    os.kill(entry.supervisor.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while entry.alive():  # noqa: ASYNC110 - no child of ours
            await asyncio.sleep(0.02)
    assert footprint(module_home) != NOTHING
    swept = await rollnet("gc", "--json")
    assert (["solo"], True) == (swept.json["devnets"], len(swept.json["containers"]) > 3)
    assert footprint(module_home) == NOTHING


@pytest.mark.parametrize("after", [0.0, 0.3, 1.5, 3.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
async def test_ending_up_at_any_moment_leaves_nothing(
    after: float, number: signal.Signals, module_home: Path, repository: Path
) -> None:
    """Ctrl-C or kill -9 while it comes up: nothing stays, by its own hand or by its guard's."""
    arguments = ("up", "topologies/solo.yaml", "--runtime", "docker", "--json")
    async with started(module_home, repository, *arguments) as process:
        await begun(process)
        await asyncio.sleep(after)  # the moment is the test
        process.send_signal(number)
        async with asyncio.timeout(GONE_S):
            _, err = await process.communicate()
    assert "Traceback" not in err.decode()
    if number == signal.SIGKILL:
        await asyncio.to_thread(
            unguarded, module_home
        )  # what the engine was making when it died, its guard finds
    await asyncio.to_thread(gone, module_home)


def gone(home: Path) -> None:
    """Wait until nothing of a state home is left on the engine; the end of strangers' work can only be looked for."""
    deadline = time.monotonic() + GONE_S
    while footprint(home) != NOTHING:
        assert time.monotonic() < deadline, footprint(home)
        time.sleep(0.05)


def unguarded(home: Path) -> None:
    """Wait until nobody watches over a run of a state home any more: only then nothing more is made or removed."""
    runs = [RunDirectory(path).run_id for path in home.glob("runs/*/*-seed*")]
    deadline = time.monotonic() + GONE_S
    while guards_of(runs):
        assert time.monotonic() < deadline, guards_of(runs)
        time.sleep(0.05)


async def first_block(chain: ChainHandle) -> str:
    """Hash of the genesis block."""
    return str((await chain.rpc("eth_getBlockByNumber", "0x0", False))["hash"])
