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
from orchestrator.runtimes.docker import gate
from orchestrator.runtimes.docker.engine import Engine

Mounts = tuple[tuple[Path | str, str, str], ...]
"""Folder here or name of a volume, folder inside, ``ro`` or ``rw``."""


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

    publish = gate.wanted()
    if not publish and await asyncio.to_thread(gate.named_here, engine.host):
        marker = run.path / f".seen-{secrets.token_hex(8)}"
        marker.touch()
        try:
            if await engine.sees(marker, image, f"{prefix}.look", marks):
                return Here(engine, run)
        finally:
            marker.unlink()
    opened = await asyncio.to_thread(gate.gate_of, engine.host, publish)
    return There(engine, run, image, marks, prefix, opened)
