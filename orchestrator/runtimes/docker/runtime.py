"""The Docker runtime; see the package for its picture.

Published ports are fixed ones: endpoints are known before anything runs, and are the same after every restart. Left to itself the engine hands
out another port after each. Where files are, and where ports open, is the ``site``'s: of this host, or of another.
"""

import asyncio
import contextlib
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
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.faults.beside import SideCars
from orchestrator.runtimes.docker.faults.means import DockerMeans
from orchestrator.runtimes.docker.faults.targets import NO_PORT, Target, Targets
from orchestrator.runtimes.docker.place import ContainerPlace, filled, health_command, inner_ports
from orchestrator.runtimes.docker.sdk import ContainerPlan
from orchestrator.runtimes.docker.site import Site, find_site
from orchestrator.runtimes.managed_node import ManagedNode
from orchestrator.runtimes.managed_runtime import ManagedRuntime

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
        self._site: Site | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._docker_means: DockerMeans | None = None

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Everything but ``EXEC``."""
        return frozenset(Capability) - {Capability.EXEC}

    async def prepare(self, specs: Sequence[NodeSpec]) -> None:
        """Make the networks and containers, start none; see :class:`Runtime`.

        Raises:
            EngineError: the engine is not there, or refuses; :meth:`close` removes what was made.
        """
        self._require_fresh()
        ordering.check(specs)
        self._engine = engine = await Engine.connect()
        if self._tied:
            self._guard = await asyncio.to_thread(guard.post, self._run.run_id, engine.variables)
        engine.watch(self._run.run_id)
        control = f"{self._prefix}-control"
        _, fabric = await _all(
            engine.create_network(control, self._marks, internal=False),
            engine.create_network(f"{self._prefix}-fabric", self._marks, internal=True),
        )
        self._site = site = await find_site(engine, self._run, self._image, self._marks, self._prefix)
        await site.open(specs, control)
        by_name = {spec.name: spec for spec in specs}
        places = await _all(*(self._place(engine, site, spec, by_name, fabric) for spec in specs))
        self._docker_means = self._fault_means(engine, specs, places)
        for spec, place in zip(specs, places, strict=True):
            node = ManagedNode(spec, self._run, place, self._on_exit, self._faults.renew)
            self._nodes[spec.name], place.on_return = node, node.came_back_by_itself

    async def _place(
        self, engine: Engine, site: Site, spec: NodeSpec, specs: dict[str, NodeSpec], fabric: str
    ) -> ContainerPlace:
        published, inside = site.ports(spec.name), inner_ports(spec)
        marks = {
            labels.NODE: spec.name,
            labels.ROLE: spec.role,
            labels.PORTS: labels.listed(published.values()),
        }

        def plan(command: list[str], environment: dict[str, str]) -> ContainerPlan:
            return ContainerPlan(
                name=f"{self._prefix}-{spec.name}",
                image=self._image,
                command=command,
                environment=environment,
                labels={**self._marks, **marks},
                network=f"{self._prefix}-control",
                published={inside[name]: port for name, port in published.items()},
                bind=site.bind,
                mounts=site.mounts(spec.name),
                user=site.user,
                health=health_command(spec),
                log_cap_bytes=spec.log_cap_bytes,
                limits=engine.within(spec.limits),
            )

        container = await engine.create_container(filled(spec, specs, plan))
        await engine.connect_network(fabric, container, [spec.name])
        return ContainerPlace(engine, spec, container, published, f"{self._prefix}-{spec.name}", site.reached)

    async def start(self, name: str) -> None:
        """Bring there what it needs, and start it; see :class:`Runtime`."""
        await self._deliver(name)
        await super().start(name)

    async def restart(self, name: str) -> None:
        """As :meth:`start`; see :class:`Runtime`."""
        await self._deliver(name)
        await super().restart(name)

    async def _deliver(self, name: str) -> None:
        if self._site is not None:
            await self._site.deliver(self._node(name).spec.name)

    def _means(self) -> DockerMeans:
        assert self._docker_means is not None, "there are nodes, so it was prepared"
        return self._docker_means

    def _fault_means(
        self, engine: Engine, specs: Sequence[NodeSpec], places: Sequence[ContainerPlace]
    ) -> DockerMeans:
        targets = {
            spec.name: Target(spec.name, place, next(iter(inner_ports(spec).values()), NO_PORT))
            for spec, place in zip(specs, places, strict=True)
        }
        side_cars = SideCars(engine, self._image, self._marks, self._prefix, self._note)
        return DockerMeans(Targets(engine, f"{self._prefix}-fabric", targets), side_cars, self.logs)

    def _note(self, line: str) -> None:
        with self._run.log_of("engine").open("a") as log:
            log.write(f"{line}\n")

    async def _give_back(self) -> None:
        try:
            if self._engine is not None:
                await self._bring_home()
                await self._engine.remove_run(self._run.run_id)
                self._engine.close()
        finally:
            if self._site is not None:
                await self._site.close()
        # Not where that failed: the guard outlives us, and tries again.
        if self._guard is not None:
            await asyncio.to_thread(guard.dismiss, self._guard)

    async def _bring_home(self) -> None:
        """Have everything that nodes left on this host; what can't be had is no reason to leave the rest there."""
        if self._site is None:
            return
        try:
            await self._site.bring_home()
        except (EngineError, OSError) as exc:
            with contextlib.suppress(OSError):  # a full disk takes no notes
                self._note(f"not everything that nodes left was brought here: {exc}")


async def _all(*works: Coroutine[Any, Any, Made]) -> list[Made]:
    """Do all at once; the first failure comes out as it is, once all others have ended."""
    tasks: Iterable[asyncio.Task[Made]] = ()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]
