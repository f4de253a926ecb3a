"""Where a run's containers are, seen from this host: what their files are, and where their ports open.

::

                 files                                            ports
    Here         folders of this host in the containers           reserved here, on 127.0.0.1
    There        volumes of the engine; the run directory put     on one address of that machine, drawn by lot (``gate``)
                 in before nodes start, journals brought here
                 while they run (``courier``), data at the end

Which it is, is tried out: an engine at a local address may be a tunnel to another machine, or outside of the container that we are in.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.docker import gate, labels
from orchestrator.runtimes.docker.engine import Engine

Mounts = tuple[tuple[Path | str, str, str], ...]
"""Folder here or name of a volume, folder inside, ``ro`` or ``rw``."""

MARKER = ".seen-"
"""How the names of files begin that an engine is asked for."""


class Site(Protocol):
    """Where a run's containers are. Errors are :class:`EngineError`."""

    @property
    def user(self) -> str | None:
        """``uid:gid`` as which nodes run; ``None`` for the image's own."""
        ...

    @property
    def bind(self) -> str:
        """Address on the engine's machine on which ports open."""
        ...

    @property
    def reached(self) -> str:
        """Host under which this one reaches those ports; known once it is open."""
        ...

    async def open(self, specs: Sequence[NodeSpec], network: str) -> None:
        """Make what containers will need.

        Args:
            specs: all nodes.
            network: name of the one on which ports are published.
        """
        ...

    def ports(self, node: str) -> Mapping[str, int]:
        """Published port by endpoint name."""
        ...

    def mounts(self, node: str) -> Mounts:
        """What a node's container has of files that outlive it."""
        ...

    async def deliver(self, node: str) -> None:
        """Called before each start of a node: what this host has for it has to be there."""
        ...

    async def bring_home(self) -> None:
        """Called when all nodes are down, before their containers and volumes are removed."""
        ...

    async def close(self) -> None:
        """Give back what is held on this host."""
        ...


async def find_site(
    engine: Engine, run: RunDirectory, image: str, marks: Mapping[str, str], prefix: str
) -> Site:
    """The site that an engine is for this host.

    Args:
        engine: where containers will be.
        run: where files are to be, in the end.
        image: the nodes'.
        marks: labels of everything of the run.
        prefix: how names begin.

    Raises:
        EngineUnfitError: it is on another machine, and there is no address there for ports.
    """
    from orchestrator.runtimes.docker.here import Here  # noqa: PLC0415 - they fulfil this module's protocol
    from orchestrator.runtimes.docker.there import There  # noqa: PLC0415 - as above

    if await _is_here(engine, run.path, image, f"{prefix}.look", marks):
        return Here(engine, run)
    opened = await asyncio.to_thread(gate.gate_of, engine.host, gate.wanted())
    return There(engine, run, image, marks, prefix, opened)


async def require_fit(engine: Engine, image: str, home: Path) -> None:
    """Try what :func:`find_site` and an opened site will need, before anything is made.

    Args:
        engine: where containers would be.
        image: the nodes'.
        home: the state home, in which run directories are.

    Raises:
        EngineUnfitError: it is on another machine, or outside of this container, and its ports can't be reached from here.
    """
    from orchestrator.runtimes.docker.courier import require_reachable  # noqa: PLC0415 - as above

    marks = labels.of_work(home, "look")
    name = f"rollnet-{marks[labels.RUN]}"
    home.mkdir(parents=True, exist_ok=True)
    if not await _is_here(engine, home, image, name, marks):
        opened = await asyncio.to_thread(gate.gate_of, engine.host, gate.wanted())
        try:
            await require_reachable(engine, image, opened, name, marks)
        finally:
            await engine.remove_run(marks[labels.RUN])


async def _is_here(engine: Engine, folder: Path, image: str, name: str, marks: Mapping[str, str]) -> bool:
    """Whether an engine sees a folder of this host, and nothing is said about where ports are to open."""
    if gate.wanted() or not await asyncio.to_thread(gate.named_here, engine.host):
        return False
    marker = folder / f"{MARKER}{secrets.token_hex(8)}"
    marker.touch()
    try:
        return await engine.sees(marker, image, name, marks)
    finally:
        marker.unlink()
