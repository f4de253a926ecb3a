"""Whose things on an engine are, and who may speak to one: no engine is needed."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.rundir import cache
from orchestrator.runtimes.docker import guard, labels, testing
from orchestrator.runtimes.docker.image.lock import held
from orchestrator.runtimes.docker.image.remains import sweep_builds

NOWHERE = "unix:///nowhere/docker.sock"
ASK = """
import os, sys
from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.errors import EngineUnreachableError
if os.geteuid() == 0:
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)  # nobody
try:
    Address.find({"DOCKER_HOST": sys.argv[1]})
except EngineUnreachableError as exc:
    print(exc.message, exc.hint, sep="\\n")
"""


@pytest.fixture
def host_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[object]:
    """What a machine of this name is called, given its own folder, and the number that its system has been given, if any."""

    def call(machine: str, number: str | None = None) -> str:
        folder = tmp_path / machine
        folder.mkdir(exist_ok=True)
        monkeypatch.setattr(labels, "MACHINE_ID", folder / "id")
        if number is not None:
            (folder / "id").write_text(number)
        monkeypatch.setenv("XDG_STATE_HOME", str(folder))
        labels.this_host.cache_clear()
        return labels.this_host()

    yield call
    labels.this_host.cache_clear()


@pytest.mark.parametrize("number", [None, "", "uninitialized\n"])
def test_machines_of_the_same_name_are_two(host_of: object, number: str | None) -> None:
    """Without a number of the system each keeps one of its own, the same every time; nothing half-made stays beside it."""
    assert callable(host_of)
    one, other = host_of("one", number), host_of("other", number)
    assert (one, True) == (host_of("one", number), one != other)
    folders = [path.parent / "rollnet" for path in (labels.MACHINE_ID,)]
    assert ["machine-id"] == [path.name for path in folders[0].iterdir()]


def test_a_machine_with_a_number_needs_no_file(host_of: object, tmp_path: Path) -> None:
    """What the system says counts, whatever user asks; where nothing can be kept, only what this start of the machine made is ours."""
    assert callable(host_of)
    number = "3d1219c7c4c5404aaa1f6d2a48adfda4\n"
    assert host_of("one", number) == host_of("other", number) != host_of("third", number[::-1].strip())
    assert not (tmp_path / "one" / "rollnet").exists()
    (tmp_path / "full").write_text("a file where a folder would be")
    with pytest.raises(FileExistsError):
        host_of("full")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "rollnet").write_text("in the way")
    assert host_of("closed") == host_of("closed")


def test_the_guard_finds_contexts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It gets the folder in which contexts are, and of what leads to an engine only what is meant for it."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "tcp://192.0.2.1:1")
    monkeypatch.setenv("ROLLNET_RUNTIME", "docker")
    posted = guard.post("run-1", {"DOCKER_CONTEXT": "far"})
    try:
        while not (
            read := Path(f"/proc/{posted.pid}/environ").read_bytes()
        ):  # the kernel is about to put it there
            assert posted.poll() is None
        given = read.decode().split("\0")
    finally:
        guard.dismiss(posted)
    found = {line.partition("=")[0]: line.partition("=")[2] for line in given}
    assert (str(tmp_path), "far") == (found["DOCKER_CONFIG"], found["DOCKER_CONTEXT"])
    assert found.keys().isdisjoint({"DOCKER_HOST", "ROLLNET_RUNTIME"})


def test_an_engine_without_permission(tmp_path: Path) -> None:
    """Who is not let in by the socket is told so, and how to be, not that no engine runs."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        path.chmod(0)
        for folder in (tmp_path, *tmp_path.parents[:2]):
            folder.chmod(folder.stat().st_mode | 0o055)
        said = subprocess.run(
            [sys.executable, "-c", ASK, f"unix://{path}"],
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
    assert ("does not let this user in" in said.stdout, "usermod" in said.stdout) == (True, True), said


@pytest.mark.parametrize("required", ["", "1"])
def test_a_skip_says_what_would_help(monkeypatch: pytest.MonkeyPatch, required: str) -> None:
    """Tests of containers are skipped visibly without an engine, with the command that starts one; in CI that is a failure."""
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    monkeypatch.setenv(testing.REQUIRE_VARIABLE, required)
    kind = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(kind, match=r"sudo systemctl start docker \(or: sudo dockerd &\)"):
        testing.image_or_skip()


async def test_half_made_folders_are_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a killed build was unpacking goes, also without an engine; not while another build goes on, and nothing that is finished."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    kept, half = (cache() / "image-dependencies" / name for name in ("0123abcd", "making-x1"))
    for folder in (kept, half):
        (folder / "lib").mkdir(parents=True)
    with held(cache()) as ours:
        assert ours
        assert [] == await sweep_builds()
    assert half.is_dir()
    assert [f"half-made folder {half}"] == await sweep_builds()
    assert (True, False, []) == (kept.is_dir(), half.exists(), await sweep_builds())


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """kill -9 of a build leaves no lock that a later one would wait for."""
    program = (
        "import sys, time; from pathlib import Path; from orchestrator.runtimes.docker.image.lock import held\n"
        "with held(Path(sys.argv[1])) as ours:\n    print(ours, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert b"True\n" == holder.stdout.readline()
        with held(tmp_path) as ours:
            assert not ours
        holder.kill()
    with held(tmp_path) as ours:
        assert ours
