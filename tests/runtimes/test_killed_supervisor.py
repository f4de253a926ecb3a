"""kill -9 of whoever runs a devnet, in the middle of its way up or down, on both runtimes: nothing of it stays."""

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from orchestrator.cli.testing import begun, started
from orchestrator.leftovers import left_behind
from orchestrator.registry import Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.orphans import marked_processes

FOLDER = Path(__file__).parent
NODES = ("alpha:child", "beta:stubborn", "gamma:stray")
GONE_S = 30.0

pytestmark = pytest.mark.process


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes bring about."""
    async with asyncio.timeout(GONE_S):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.02)


@asynccontextmanager
async def supervised(program: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that brings a devnet up and waits; killed at the end."""
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(FOLDER / program), *arguments, stdout=quiet, stderr=quiet
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def all_up(run: RunDirectory) -> bool:
    """Whether all nodes run."""
    return all((run.journals / f"{node.partition(':')[0]}.up").exists() for node in NODES)


@pytest.mark.parametrize("seed", range(3))
async def test_on_the_way_up(home: Path, run: RunDirectory, seed: int) -> None:
    """Killed at a random moment of its first second, it leaves no process, and no name that is taken."""
    arguments = (str(home), str(run.path), "net", ",".join(NODES), "obey")
    async with supervised("devnet_program.py", *arguments):
        await asyncio.sleep(random.Random(seed).uniform(0, 1))  # the moment is the test
    await until(lambda: not left_behind(run.run_id))
    Registry(home).sweep()
    assert () == Registry(home).entries()


async def test_on_the_way_down(home: Path, run: RunDirectory) -> None:
    """Killed while a stubborn node is in its grace, it takes that one with it, and children that left their group."""
    arguments = (str(home), str(run.path), "net", ",".join(NODES), "obey")
    async with supervised("devnet_program.py", *arguments) as process:
        await until(lambda: all_up(run))
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.4)  # as above
    await until(lambda: not left_behind(run.run_id))


async def test_ctrl_c_on_the_way_up(tmp_path: Path, repository: Path) -> None:
    """Ctrl-C of a real `up`, from its first imports to its last node: each of several is heard, says so, and leaves nothing."""

    async def one(number: int) -> None:
        home, arguments = (
            tmp_path / str(number),
            ("up", "topologies/solo.yaml", "--runtime", "process", "--json"),
        )
        async with started(home, repository, *arguments) as process:
            await begun(process)
            await asyncio.sleep(number * 0.3)  # as above
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(GONE_S):
                _, err = await process.communicate()
        assert (130, False, True) == (process.returncode, b"Traceback" in err, b"interrupted" in err), err
        assert [] == [found for found in marked_processes() if found.home == str(home)]

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(one(number))


@pytest.mark.docker
async def test_containers_on_the_way_down(home: Path, run: RunDirectory, image: str) -> None:
    """The same with containers, which die with nobody: the guard removes them, and their networks."""
    arguments = (str(home), str(run.path), image, "tied", ",".join(NODES))
    async with supervised("docker_program.py", *arguments) as process:
        await until(lambda: all_up(run))
        process.send_signal(signal.SIGINT)
        await asyncio.sleep(0.4)  # as above
        assert process.returncode is None, "it was done already"
    await until(lambda: not left_behind(run.run_id, on_docker=True))
