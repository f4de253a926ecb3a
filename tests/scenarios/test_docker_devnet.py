"""Whole devnets of containers: what works on processes works there, and nothing of them stays."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.chains import ChainHandle
from orchestrator.cli.testing import Rollnet, started
from orchestrator.devnet import Devnet
from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runner import main_job
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.verification import stored_sources, verify

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

GONE_S = 30.0


@pytest.fixture(autouse=True)
def nothing_left(module_home: Path) -> Iterator[None]:
    """The engine has nothing of this module's devnets after any test, whatever came of it."""
    yield
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


@pytest.fixture
def quad(repository: Path, tmp_path: Path) -> Path:
    """Four rollups on Docker."""
    text = (repository / "topologies" / "condor-quad.yaml").read_text()
    path = tmp_path / "condor-quad.yaml"
    path.write_text(
        "\n".join(
            [*(line for line in text.splitlines() if not line.startswith("runtime:")), "runtime: docker\n"]
        )
    )
    return path


async def test_the_main_job(quad: Path, module_home: Path) -> None:
    """A strategy commits, one aborts, the sequencer is killed under load: no partial bundle, and L1 alone gives the same rollups."""
    said: list[str] = []
    verdict = await main_job(quad, said.append, state=module_home)
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


async def test_the_command_line(rollnet: Rollnet, module_home: Path) -> None:
    """``up --runtime docker``, a strategy, a killed and returned node, logs, and ``down``, as on processes."""
    up = await rollnet("up", "topologies/pair.yaml", "--runtime", "docker", "--detach", "--json")
    assert 0 == up.code, up
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


async def test_gc_after_supervisor_and_guard_were_killed(rollnet: Rollnet, module_home: Path) -> None:
    """kill -9 of the supervisor and of what watches it leaves containers, which ``gc`` finds by their labels."""
    assert 0 == (await rollnet("up", "topologies/solo.yaml", "--runtime", "docker", "--detach")).code
    entry = Registry(module_home).find("solo")
    assert entry is not None
    for guard in guards_of(entry.run_id):
        os.kill(guard, signal.SIGKILL)
    os.kill(entry.supervisor.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        while entry.alive():  # noqa: ASYNC110 - no child of ours
            await asyncio.sleep(0.02)
    assert footprint(module_home) != NOTHING
    swept = await rollnet("gc", "--json")
    assert (["solo"], True) == (swept.json["devnets"], len(swept.json["containers"]) > 3)
    assert footprint(module_home) == NOTHING


@pytest.mark.parametrize("after", [0.5, 1.5, 3.0])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
async def test_ending_up_at_any_moment_leaves_nothing(
    after: float, number: signal.Signals, module_home: Path, repository: Path
) -> None:
    """Ctrl-C or kill -9 while it comes up: nothing stays, by its own hand or by its guard's."""
    arguments = ("up", "topologies/solo.yaml", "--runtime", "docker", "--json")
    async with started(module_home, repository, *arguments) as process:
        await asyncio.sleep(after)  # the moment is the test
        process.send_signal(number)
        async with asyncio.timeout(GONE_S):
            _, err = await process.communicate()
    assert "Traceback" not in err.decode()
    if number == signal.SIGKILL:
        await asyncio.sleep(2.0)  # what the engine was making when it died, the guard's second look finds
    await asyncio.to_thread(gone, module_home)


def gone(home: Path) -> None:
    """Wait until nothing of a state home is left on the engine; the end of strangers' work can only be looked for."""
    deadline = time.monotonic() + GONE_S
    while footprint(home) != NOTHING:
        assert time.monotonic() < deadline, footprint(home)
        time.sleep(0.05)


async def first_block(chain: ChainHandle) -> str:
    """Hash of the genesis block."""
    return str((await chain.rpc("eth_getBlockByNumber", "0x0", False))["hash"])


def guards_of(run_id: str) -> list[int]:
    """Processes that watch over a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"orchestrator.runtimes.docker.guard" in words and run_id.encode() in words:
            found.append(int(path.parent.name))
    return found
