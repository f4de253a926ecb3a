"""Building and fetching images, cut short at any moment, without a network, and from registries that don't answer."""

import asyncio
import dataclasses
import io
import os
import secrets
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import docker
import pytest

from orchestrator.cli.testing import begun, started
from orchestrator.rundir import cache
from orchestrator.runtimes.choice import VARIABLE, choose
from orchestrator.runtimes.docker import engine as engines
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import DiskFullError
from orchestrator.runtimes.docker.image import build
from orchestrator.runtimes.docker.image.build import BASE_VARIABLE, TOOLS_SUFFIX, prune_images
from orchestrator.runtimes.docker.image.contents import gather
from orchestrator.runtimes.docker.image.lock import held
from orchestrator.waiting import eventually

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

PROGRAM = str(Path(__file__).with_name("docker_build_program.py"))
ONLY_LOOPBACK = 'test "$(ls /sys/class/net)" = lo && ! python3 -c "import socket; socket.create_connection((\'192.0.2.1\', 80), 1)"'
AT_ONCE_S = 5.0
"""Longest time from Ctrl-C to the end, seconds, on a busy machine."""


@pytest.fixture
def api() -> Iterator[Any]:
    """The engine, past the code under test."""
    client = docker.APIClient()
    yield client
    client.close()


@pytest.fixture
def label(monkeypatch: pytest.MonkeyPatch, api: Any) -> Iterator[str]:
    """The label of builds of this test alone: other builds of this engine go on. Nothing with it stays."""
    name = f"rollnet.build-{secrets.token_hex(4)}"
    monkeypatch.setattr(labels, "BUILD", name)
    yield name
    for container in api.containers(all=True, filters={"label": name}):
        api.remove_container(container["Id"], force=True)
    while images := api.images(filters={"label": name}):
        for image in images:
            for one in image["RepoTags"] or [image["Id"]]:
                api.remove_image(one if "<none>" not in one else image["Id"], force=True)


@asynccontextmanager
async def building(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, asyncio.StreamReader]]:
    """The program, and what it says; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, PROGRAM, *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def told(said: asyncio.StreamReader, word: str) -> None:
    """Wait until the program says a line with a word."""
    while line := (await said.readline()).decode():
        if word in line:
            return
    raise AssertionError(f"it ended before it said {word!r}")


@pytest.fixture
def base(image: str, api: Any) -> str:
    """An image that is here, and that nothing is known of but its name."""
    return str(api.inspect_image(image)["Config"]["Labels"][labels.BASE])


async def test_no_network_inside(label: str, base: str) -> None:
    """A step of a build sees the loopback interface alone, and reaches nobody."""
    async with building(label, f"rollnet-test:{secrets.token_hex(4)}", base, ONLY_LOOPBACK) as (
        process,
        said,
    ):
        await told(said, "built")
        assert 0 == await process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
async def test_a_build_that_is_cut_short(number: signal.Signals, label: str, base: str, api: Any) -> None:
    """Nothing of it runs on; what it leaves of finished steps the next build takes up, and a sweep removes, and nothing of anybody else's."""
    tag, nonce = f"rollnet-test:{secrets.token_hex(4)}", secrets.token_hex(8)
    first = f"echo {nonce}; cat /proc/sys/kernel/random/uuid > /made"
    async with building(label, tag, base, first, "sleep 300") as (process, said):
        await told(said, "sleep 300")
        began = time.monotonic()
        process.send_signal(number)
        await process.wait()
        assert time.monotonic() - began < AT_ONCE_S

    async def still() -> bool:
        found = await asyncio.to_thread(api.containers, filters={"label": label})
        return not found

    await eventually(still, 20.0, "the end of the step that was running")
    left = api.images(filters={"dangling": True, "label": label})
    async with building(label, tag, base, first, "true") as (process, said):
        await told(said, "built")
    parents = {entry["Id"] for entry in api.history(tag)}
    assert left
    assert {one["Id"] for one in left} <= parents, "the next build begins where this one was cut short"

    api.remove_image(tag, noprune=True)
    stranger = api.create_container(base, ["true"])["Id"]
    halted = api.create_container(base, ["true"], labels={label: labels.BEING_BUILT})["Id"]
    engine = await Engine.connect()
    try:
        assert [] == await engine.sweep_builds(3600.0)
        swept = await engine.sweep_builds(-5.0)
        assert {"container", "image"} == {line.partition(" ")[0] for line in swept}
        assert [] == await engine.sweep_builds(-5.0)
    finally:
        engine.close()
        api.remove_container(stranger)
    assert not api.containers(all=True, filters={"id": halted})
    assert not api.images(filters={"label": label})


async def test_an_engine_without_room(own_engine: Callable[..., None]) -> None:
    """Where the engine's disk is full while it builds, one error says how to make room; no half of an image stays."""
    await asyncio.to_thread(own_engine, disk="32m")
    engine = await Engine.connect()
    try:
        with pytest.raises(DiskFullError) as caught:
            await engine.build(big(48 * 2**20), "rollnet-test:big", {}, {}, print)
        assert await engine.inspect_image("rollnet-test:big") is None
    finally:
        engine.close()
    assert all(word in caught.value.hint for word in ("docker system df", "rollnet image prune"))
    theirs = docker.APIClient(base_url=os.environ["DOCKER_HOST"])
    assert ([], []) == (theirs.images(all=True), theirs.containers(all=True))
    theirs.close()


def big(size: int) -> IO[bytes]:
    """The context of an image with a file of so many bytes."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the last reference
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in (("Dockerfile", b"FROM scratch\nCOPY big /big"), ("big", bytes(size))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    file.seek(0)
    return file


@pytest.mark.parametrize("after", [0.3, 1.2, 2.2])
async def test_the_command_is_cut_short(after: float, module_home: Path, repository: Path, api: Any) -> None:
    """Ctrl-C of `image build` at any moment: 130 at once, no traceback, no step that runs on, no lock that is held, no half-made folder."""
    async with started(module_home, repository, "image", "build", "--again") as process:
        await begun(process)
        await asyncio.sleep(after)  # the moment is the test
        began = time.monotonic()
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert time.monotonic() - began < AT_ONCE_S
    assert (process.returncode in {0, 130}, False) == (True, "Traceback" in err.decode()), err

    async def still() -> bool:
        with held(cache()) as ours:
            return ours

    await eventually(still, 60.0, "the end of builds")
    assert [] == list((cache() / "image-dependencies").glob("making-*"))


@pytest.fixture
async def silent(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """A base image of a registry that accepts connections, and says nothing; ``auto`` may take what is there."""
    server = await asyncio.start_server(lambda *_: asyncio.sleep(3600), "127.0.0.1", 0)
    name = f"127.0.0.1:{server.sockets[0].getsockname()[1]}/nobody/nothing:1"
    monkeypatch.setenv(BASE_VARIABLE, name)
    monkeypatch.delenv(VARIABLE)
    yield name
    server.close()


async def test_a_registry_that_says_nothing(silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up within seconds, and named; `auto` goes on with processes, and says why."""
    monkeypatch.setattr(engines, "SILENCE_S", 1.5)
    async with asyncio.timeout(15):
        taken = await choose("auto", print)
    assert ("process", True, True) == (taken.kind, silent in taken.why, "nothing was heard" in taken.why)


async def test_ctrl_c_while_an_image_is_fetched(silent: str, module_home: Path, repository: Path) -> None:
    """Ctrl-C is heard at once, however long the engine waits for the registry."""
    async with started(module_home, repository, "image", "build") as process:
        assert process.stderr is not None
        said = await process.stderr.readline()
        assert b"pulling" in said, said + await process.stderr.read()
        assert silent.encode() in said
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
        assert time.monotonic() - began < AT_ONCE_S
    assert (130, True, False) == (process.returncode, b"interrupted" in err, b"Traceback" in err), err


async def test_pruning_takes_what_nobody_uses(base: str, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old images and their tools go; the checkout's own, one with a container, its tools, and what isn't ours stay. A dry run says the same."""
    mark, names = f"rollnet.image-{secrets.token_hex(4)}", f"rollnet-test-{secrets.token_hex(4)}"
    monkeypatch.setattr(labels, "IMAGE", mark)
    checkout = dataclasses.replace(gather(), digest=names)
    monkeypatch.setattr(build, "gather", lambda: checkout)
    scratch = api.create_container(base, ["true"])["Id"]
    containers = [scratch]
    try:
        tags = [f"{names}:{tag}" for tag in ("old", f"old{TOOLS_SUFFIX}", "used", f"used{TOOLS_SUFFIX}")]
        for number, tag in enumerate([*tags, checkout.name]):
            api.commit(scratch, *tag.split(":"), changes=f'LABEL {mark}="{number}"')
        api.commit(scratch, names, "foreign")
        containers.append(api.create_container(tags[2], ["true"])["Id"])
        engine = await Engine.connect()
        try:
            told = await prune_images(engine, dry_run=True)
            assert all(api.images(tag) for tag in tags)
            removed = await prune_images(engine)
            assert [] == await prune_images(engine)
        finally:
            engine.close()
        assert tags[:2] == sorted(told) == sorted(removed)
        assert not any(api.images(tag) for tag in tags[:2])
        assert all(api.images(tag) for tag in (*tags[2:], checkout.name, f"{names}:foreign"))
    finally:
        for container in containers:
            api.remove_container(container, force=True)
        left = [*api.images(names), *api.images(filters={"label": mark})]
        for one in {tag for image in left for tag in image["RepoTags"]}:
            api.remove_image(one, force=True)
