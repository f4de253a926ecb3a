"""Which runtime a devnet gets: the one that was asked for, or with ``auto`` Docker where an engine and an image are to be had.

Docker's parts are imported only when Docker is wanted: the SDK costs a third of the start of a devnet of processes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from orchestrator.market.scratch import anvil_binary
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import ExitListener
from orchestrator.runtimes.managed_runtime import ManagedRuntime
from orchestrator.runtimes.process import ProcessRuntime

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


async def choose(asked: str, progress: Callable[[str], None]) -> Choice:
    """Choose, and have an image for Docker.

    Args:
        asked: ``process``, ``docker`` or ``auto``.
        progress: told how the image is built, line by line.

    Raises:
        EngineError: Docker was asked for, and no engine or image is to be had.
    """
    if asked == "process":
        return _processes("asked for")
    from orchestrator.runtimes.docker.errors import EngineError  # noqa: PLC0415 - see the module

    try:
        return await _containers("asked for" if asked == "docker" else "an engine answers", progress)
    except EngineError as exc:
        if asked == "docker":
            raise
        return _processes(exc.message)


def _processes(why: str) -> Choice:
    def make(run: RunDirectory, home: Path, on_exit: ExitListener) -> ManagedRuntime:
        return ProcessRuntime(run, home, on_exit=on_exit)

    return Choice("process", why, str(anvil_binary()), make)


async def _containers(why: str, progress: Callable[[str], None]) -> Choice:
    from orchestrator.runtimes.docker.engine import Engine  # noqa: PLC0415 - see the module
    from orchestrator.runtimes.docker.image.build import ensure_image  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.image.contents import ANVIL  # noqa: PLC0415 - as above
    from orchestrator.runtimes.docker.runtime import DockerRuntime  # noqa: PLC0415 - as above

    engine = await Engine.connect()
    try:
        image = await ensure_image(engine, progress)
    finally:
        engine.close()

    def make(run: RunDirectory, home: Path, on_exit: ExitListener) -> ManagedRuntime:
        return DockerRuntime(run, home, image.name, on_exit=on_exit)

    return Choice("docker", f"{why}: {engine.described}, image {image.name}", ANVIL, make)
