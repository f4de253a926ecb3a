"""Which runtime a devnet gets: the one that was asked for, or with ``auto`` Docker where an engine and an image are to be had.

::

    --runtime, else the topology ──► process | docker
                   └─ auto ──► $ROLLNET_RUNTIME, if set ──► process | docker
                                    └─ else: a sign of an engine? ─► it answers, has or builds the image, sees our files or
                                                │                    opens ports that we reach ─► docker
                                                └─ no                     └─ no ─► process, and why

Docker's parts are imported only when there is a sign of an engine: the SDK costs a third of the start of a devnet of processes.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson

from orchestrator.market.scratch import anvil_binary
from orchestrator.rundir import RunDirectory, home
from orchestrator.runtimes.base import ExitListener
from orchestrator.runtimes.errors import ChoiceError
from orchestrator.runtimes.managed_runtime import ManagedRuntime
from orchestrator.runtimes.process import ProcessRuntime

VARIABLE = "ROLLNET_RUNTIME"
"""What ``auto`` means: ``process`` or ``docker``; without it whatever is to be had."""
AUTO = "auto"
SOCKET = Path("/var/run/docker.sock")

Kind = Literal["process", "docker"]
Maker = Callable[[RunDirectory, Path, ExitListener], ManagedRuntime]
"""Makes a runtime from a run directory, a state home and who is told of ends."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A runtime that is about to be made."""

    kind: Kind
    why: str
    """For people: why this one."""
    anvil: str
    """Path of the engine's binary, as nodes see it."""
    make: Maker
    engine: Mapping[str, str] = field(default_factory=dict)
    """Environment that leads to the Docker engine."""


async def choose(asked: str, progress: Callable[[str], None], state: Path | None = None) -> Choice:
    """Choose, and have an image for Docker.

    Args:
        asked: ``process``, ``docker`` or ``auto``.
        progress: told how the image is built, line by line.
        state: the state home; the user's by default. With ``auto`` it is tried out whether an engine can be used from here.

    Raises:
        EngineError: Docker was asked for, and no engine or image is to be had.
        ChoiceError: the environment asks for what there is not.
    """
    why = "asked for"
    if asked == AUTO and (said := _said_by_environment()):
        asked, why = said, f"${VARIABLE} asks for it"
    if asked == "process":
        return _processes(why)
    if asked == "docker":
        return await _containers(why, progress)
    if not _sign_of_an_engine():
        return _processes(f"no sign of a Docker engine: no $DOCKER_HOST, no context, no {SOCKET}")
    from orchestrator.runtimes.docker.errors import EngineError  # noqa: PLC0415 - see the module

    try:
        return await _containers("an engine answers", progress, tried_in=state or home())
    except EngineError as exc:
        return _processes(exc.message.partition("\n")[0])


def processes_unless_said(asked: str) -> str:
    """The runtime for work whose figures and waits are those of processes: these, unless somebody has asked for another.

    Raises:
        ChoiceError: as :func:`choose`.
    """
    return asked if asked != AUTO else _said_by_environment() or "process"


def _said_by_environment() -> str:
    said = os.environ.get(VARIABLE, "")
    if said not in {"", AUTO, "process", "docker"}:
        raise ChoiceError(
            f"${VARIABLE} is {said[:40]!r}", "set it to process or docker, or unset it to take what is there"
        )
    return said.removeprefix(AUTO)


def _sign_of_an_engine() -> bool:
    """Whether asking for one is worth importing the SDK: what the ``docker`` command would look at."""
    if os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT") or SOCKET.exists():
        return True
    folder = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    try:
        context = orjson.loads((folder / "config.json").read_bytes()).get("currentContext")
    except (OSError, ValueError, AttributeError, RuntimeError):  # not there, no JSON, no map, no home
        return False
    return context not in {None, "", "default"}


def _processes(why: str) -> Choice:
    def make(run: RunDirectory, state: Path, on_exit: ExitListener) -> ManagedRuntime:
        return ProcessRuntime(run, state, on_exit=on_exit)

    return Choice("process", why, str(anvil_binary()), make)


async def _containers(why: str, progress: Callable[[str], None], tried_in: Path | None = None) -> Choice:
    from orchestrator.runtimes.docker.engine import Engine  # noqa: PLC0415 - see the module
    from orchestrator.runtimes.docker.image.build import ensure_image  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.contents import ANVIL  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.site import require_fit  # noqa: PLC0415 - as above

    engine = await Engine.connect()
    try:
        image = await ensure_image(engine, progress)
        if tried_in is not None:
            await require_fit(engine, image.name, tried_in)
    finally:
        engine.close()

    def make(run: RunDirectory, state: Path, on_exit: ExitListener) -> ManagedRuntime:
        return DockerRuntime(run, state, image.name, on_exit=on_exit)

    return Choice(
        "docker", f"{why}: {engine.described}, image {image.name}", ANVIL, make, dict(engine.variables)
    )
