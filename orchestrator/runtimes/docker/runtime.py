"""The Docker runtime; see the package for its picture.

Published ports are reserved here (see ``runtimes.ports``) and given to the engine as fixed ones, whose listener sets ``SO_REUSEADDR``
and so may take them: endpoints are known before anything runs, and are the same after every restart. Left to itself the
engine hands out another port after each. Run and data directories are folders of this host in the containers, so that
journals and stores are read the same way, and outlive the containers, on every runtime.
"""

import asyncio
import os
import subprocess
from collections.abc import Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes import ordering, orphans
from orchestrator.runtimes.base import Capability, ExitListener, NodeSpec, NodeStatus
from orchestrator.runtimes.docker import guard, labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.place import (
    DATA_FOLDER,
    RUN_FOLDER,
    ContainerPlace,
    filled,
    health_command,
    inner_ports,
    public_ports,
)
from orchestrator.runtimes.docker.sdk import ContainerPlan
from orchestrator.runtimes.managed_node import ManagedNode
from orchestrator.runtimes.managed_runtime import ManagedRuntime
from orchestrator.runtimes.ports import PortReservations

IMAGE_USER = 10001
"""The image's own user and group, who owns nothing on this host."""

Made = TypeVar("Made")


def _unheard(status: NodeStatus) -> None:
    del status


class DockerRuntime(ManagedRuntime):
    """Runs nodes as containers; an async context manager, closed at the end of its block. Fulfils :class:`Runtime`.

    Args:
        run: where logs, journals and data go; its run id labels everything.
        home: the state home under which a sweep of orphans finds them.
        image: name of the image.
        on_exit: told of each end of a node.
        tied: everything goes when this process dies. Switch it off only to test the sweep.
        close_grace_s: longest time for all polite stops together when closing, seconds; what is left is killed.
    """

    def __init__(
        self,
        run: RunDirectory,
        home: Path,
        image: str,
        *,
        on_exit: ExitListener = _unheard,
        tied: bool = True,
        close_grace_s: float = 10.0,
    ) -> None:
        super().__init__(close_grace_s)
        owner = orphans.ProcessId.of(os.getpid())
        assert owner is not None, "this process runs"
        self._marks = labels.of_run(run, home, owner)
        self._run, self._image, self._on_exit, self._tied = run, image, on_exit, tied
        self._prefix = labels.prefix(run)
        self._engine: Engine | None = None
        self._ports = PortReservations()
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but ``EXEC`` and ``NETWORK_FAULTS``."""
        return frozenset(Capability) - {Capability.EXEC, Capability.NETWORK_FAULTS}

    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """Make the networks and containers, start none; see :class:`Runtime`.

        Raises:
            EngineError: the engine is not there, or refuses; :meth:`close` removes what was made.
        """
        self._require_fresh()
        ordering.check(specs)
        self._engine = engine = await Engine.connect()
        if self._tied:
            self._guard = await asyncio.to_thread(guard.post, self._run.run_id)
        user = self._own_folders(specs)
        control, fabric = await _all(
            engine.create_network(f"{self._prefix}-control", self._marks, internal=False),
            engine.create_network(f"{self._prefix}-fabric", self._marks, internal=True),
        )
        by_name = {spec.name: spec for spec in specs}
        places = await _all(*(self._place(engine, spec, by_name, fabric, user) for spec in specs))
        del control
        for spec, place in zip(specs, places, strict=True):
            self._nodes[spec.name] = ManagedNode(spec, self._run, place, self._on_exit)

    async def _place(
        self, engine: Engine, spec: NodeSpec, specs: dict[str, NodeSpec], fabric: str, user: str | None
    ) -> ContainerPlace:
        published = {name: self._ports.reserve() for name in public_ports(spec)}
        inside = inner_ports(spec)
        folder = Path(RUN_FOLDER)

        def plan(command: list[str], environment: dict[str, str]) -> ContainerPlan:
            return ContainerPlan(
                name=f"{self._prefix}-{spec.name}",
                image=self._image,
                command=command,
                environment=environment,
                labels={**self._marks, labels.NODE: spec.name, labels.ROLE: spec.role},
                network=f"{self._prefix}-control",
                published={inside[name]: port for name, port in published.items()},
                mounts=(
                    (self._run.path, RUN_FOLDER, "ro"),
                    (self._run.journals, str(folder / self._run.journals.name), "rw"),
                    (self._run.data_of(spec.name), DATA_FOLDER, "rw"),
                ),
                user=user,
                health=health_command(spec),
                log_cap_bytes=spec.log_cap_bytes,
            )

        container = await engine.create_container(filled(spec, specs, plan))
        await engine.connect_network(fabric, container, [spec.name])
        return ContainerPlace(engine, spec, container, published)

    def _own_folders(self, specs: Sequence[NodeSpec]) -> str | None:
        """Let nodes write their journals and data; returns the user as whom they run, ``None`` for the image's own."""
        assert self._engine is not None, "called by prepare"
        writable = [self._run.journals, *(self._run.data_of(spec.name) for spec in specs)]
        for folder in writable:
            folder.mkdir(parents=True, exist_ok=True)
        if self._engine.remaps_users == "rootless":
            return "0:0"  # which is this user, and nobody else's root
        if self._engine.remaps_users:
            for folder in writable:
                folder.chmod(0o777)  # the engine decides as whom it writes
            return None
        if os.geteuid() != 0:
            return f"{os.geteuid()}:{os.getegid()}"
        for folder in writable:
            os.chown(folder, IMAGE_USER, IMAGE_USER)
        return None

    async def _give_back(self) -> None:
        try:
            if self._engine is not None:
                await self._engine.remove_run(self._run.run_id)
                self._engine.close()
        finally:
            self._ports.close()
            if self._guard is not None:
                await asyncio.to_thread(guard.dismiss, self._guard)


async def _all(*works: Coroutine[Any, Any, Made]) -> list[Made]:
    """Do all at once; the first failure comes out as it is, once all others have ended."""
    tasks: Iterable[asyncio.Task[Made]] = ()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
