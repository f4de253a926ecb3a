"""What dead devnets leave, on every runtime: told, and swept.

Docker is asked only about devnets that ran on it, or when everything is swept; without an engine there are no containers to see.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.runtimes.orphans import MarkedProcess, end_marked, marked_processes
from orchestrator.runtimes.ports import listening


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found and removed."""

    devnets: tuple[str, ...] = ()
    """Names whose supervisor was gone."""
    unreadable: tuple[str, ...] = ()
    """Files in the registry that were no entries."""
    processes: tuple[str, ...] = ()
    """Processes that were ended, one line each."""
    containers: tuple[str, ...] = ()
    """Containers, networks and volumes that were removed, one line each."""
    unfinished: tuple[str, ...] = ()
    """Files that were being written when their process was killed."""
    unswept: tuple[str, ...] = ()
    """What could not be swept, and why; a later sweep tries again."""

    def __bool__(self) -> bool:
        """Whether there was anything to sweep."""
        found = (
            self.devnets,
            self.unreadable,
            self.processes,
            self.containers,
            self.unfinished,
            self.unswept,
        )
        return any(found)

    def with_processes(self, ours: Callable[[MarkedProcess], bool]) -> "SweepReport":
        """End these processes, and say so."""
        return replace(self, processes=(*self.processes, *map(str, end_marked(ours))))

    def with_containers_of(self, name: str, run_id: str, engine: Mapping[str, str]) -> "SweepReport":
        """Remove a run's containers, networks and volumes on the engine that it was on, and say so, or say why not."""
        from orchestrator.runtimes.docker.errors import EngineError  # noqa: PLC0415 - the SDK is slow to import
        from orchestrator.runtimes.docker.sweep import sweep_run  # noqa: PLC0415 - as above

        try:
            return replace(self, containers=(*self.containers, *sweep_run(run_id, engine)))
        except EngineError as exc:
            return replace(self, unswept=(*self.unswept, f"containers of {name}: {exc}"))

    def with_orphaned_containers(self, home: Path) -> "SweepReport":
        """Remove containers, networks and volumes of dead runs of a state home that nothing else tells of."""
        from orchestrator.runtimes.docker.errors import EngineError, EngineUnreachableError  # noqa: PLC0415 - as above
        from orchestrator.runtimes.docker.sweep import sweep_orphans  # noqa: PLC0415 - as above

        try:
            return replace(self, containers=(*self.containers, *sweep_orphans(home)))
        except EngineUnreachableError:
            return self
        except EngineError as exc:
            return replace(self, unswept=(*self.unswept, f"containers: {exc}"))


def left_behind(
    run_id: str,
    ports: Iterable[int] = (),
    *,
    on_docker: bool = False,
    engine: Mapping[str, str] | None = None,
) -> list[str]:
    """What is still there of a run that should be gone: marked processes, listening ports, containers and the like, one line each.

    Ask right after closing; later another program may have been given one of the ports.

    Args:
        run_id: of the run.
        ports: of its nodes on this host.
        on_docker: whether an engine is to be asked.
        engine: environment that leads to it, see ``docker.address``.
    """
    found = [str(process) for process in marked_processes() if process.run_id == run_id]
    found += [f"port {port} is listened on" for port in sorted(listening(ports))]
    if on_docker:
        from orchestrator.runtimes.docker.errors import EngineError  # noqa: PLC0415 - as above
        from orchestrator.runtimes.docker.sweep import left_of  # noqa: PLC0415 - as above

        try:
            found += left_of(run_id, engine)
        except EngineError as exc:
            found.append(f"perhaps containers: {exc.message}")
    return found
