"""Which runtime `auto` takes, and what is said about it; no engine is needed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.cli.testing import within
from orchestrator.runtimes import choice
from orchestrator.runtimes.choice import VARIABLE, choose, processes_unless_said
from orchestrator.runtimes.docker.errors import EngineUnreachableError
from orchestrator.runtimes.errors import ChoiceError

NOWHERE = "unix:///nowhere/docker.sock"
DOCKER_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


@pytest.fixture
def nothing_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any sign of an engine, and an environment that asks for nothing."""
    for name in (VARIABLE, *DOCKER_VARIABLES):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(choice, "SOCKET", tmp_path / "docker.sock")


@pytest.mark.usefixtures("nothing_said")
async def test_without_a_sign_of_an_engine_none_is_looked_for() -> None:
    """`auto` is the process runtime then, and says what it looked at."""
    taken = await choose("auto", print)
    assert "process" == taken.kind
    assert all(word in taken.why for word in ("$DOCKER_HOST", "context", "docker.sock"))


def test_without_a_sign_of_an_engine_the_sdk_is_not_imported(tmp_path: Path) -> None:
    """A devnet of processes does not pay for Docker."""
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom orchestrator.runtimes import choice\n"
        "choice.SOCKET = Path(sys.argv[1]) / 'docker.sock'\n"
        "print(asyncio.run(choice.choose('auto', print)).kind, 'docker' in sys.modules)"
    )
    environment = {
        key: value for key, value in os.environ.items() if key not in {VARIABLE, *DOCKER_VARIABLES}
    }
    said = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**environment, "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "process False\n" == said


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize("sign", ["DOCKER_HOST", "DOCKER_CONTEXT", "config", "socket"])
async def test_every_sign_of_an_engine_is_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, sign: str
) -> None:
    """An address, a context, a configured context or a socket: it is asked, and that it does not answer is the reason given."""
    match sign:
        case "DOCKER_HOST":
            monkeypatch.setenv(sign, NOWHERE)
        case "DOCKER_CONTEXT":
            monkeypatch.setenv(sign, "nowhere-else")
        case "config":
            monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
            (tmp_path / "config.json").write_text(json.dumps({"currentContext": "nowhere-else"}))
        case "socket":
            (tmp_path / "docker.sock").touch()
            monkeypatch.setenv("DOCKER_HOST", NOWHERE)  # what the SDK is to find instead of a real engine's
    taken = await choose("auto", print)
    assert ("process", True) == (taken.kind, "no sign" not in taken.why), taken.why
    assert "nowhere" in taken.why or "context" in taken.why


@pytest.mark.usefixtures("nothing_said")
@pytest.mark.parametrize(
    "text", ["", "[]", '{"currentContext": "default"}', '{"currentContext": ""}', "\xff"]
)
async def test_a_broken_configuration_is_no_sign(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    """What no `docker` command could read, or what says nothing, leads nowhere."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    assert "no sign" in (await choose("auto", print)).why


async def test_without_an_answer_auto_takes_processes_and_docker_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`auto` goes on and says why in one line; who asked for Docker is told."""
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    taken = await choose("auto", print)
    assert ("process", True, 1) == (
        taken.kind,
        "/nowhere/docker.sock" in taken.why,
        len(taken.why.splitlines()),
    )
    with pytest.raises(EngineUnreachableError):
        await choose("docker", print)


async def test_the_environment_decides_for_auto_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """`$ROLLNET_RUNTIME` is what `auto` means, without a way out; what was asked for by name stays."""
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    monkeypatch.setenv(VARIABLE, "process")
    assert f"${VARIABLE} asks for it" == (await choose("auto", print)).why
    monkeypatch.setenv(VARIABLE, "docker")
    with pytest.raises(EngineUnreachableError):
        await choose("auto", print)
    assert ("process", "asked for") == (
        (await choose("process", print)).kind,
        (await choose("process", print)).why,
    )
    assert ["docker", "docker", "process"] == [
        processes_unless_said(asked) for asked in ("auto", "docker", "process")
    ]
    monkeypatch.setenv(VARIABLE, "auto")
    assert "process" == processes_unless_said("auto")
    monkeypatch.delenv(VARIABLE)
    assert ["process", "docker"] == [processes_unless_said(asked) for asked in ("auto", "docker")]


async def test_a_wrong_environment_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, repository: Path
) -> None:
    """A misspelt runtime is never another one: exit code 2, and what to write."""
    monkeypatch.setenv(VARIABLE, "podman")
    with pytest.raises(ChoiceError, match="podman"):
        processes_unless_said("auto")
    said = await within(tmp_path, "demo", str(repository / "topologies" / "condor-quad.yaml"))
    assert (2, True, True) == (said.code, "podman" in said.err, "process or docker" in said.err), said
