"""Which devnets exist on this machine, and what crashed ones left.

One file per devnet, ``<home>/devnets/<name>.json``, readable by its owner only, since it holds the control token. A name is
claimed by linking a finished file into place, which fails if it exists; so of two claims at once exactly one wins, and
no reader ever sees half a file. Whoever changes the folder holds a lock on it.

A devnet is alive as long as its supervising process is, told by process id *and* start time, since ids are given out again.
What a dead one left is found by the marks that its processes carry (see ``runtimes.orphans``), not by a list of process
ids: such a list is stale after every restart.
"""

import contextlib
import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import orjson

from orchestrator.leftovers import SweepReport
from orchestrator.rundir import LATEST, home
from orchestrator.runtimes.errors import DevnetGoneError, NameTakenError, PlanError
from orchestrator.runtimes.orphans import MarkedProcess, ProcessId, end_marked

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_SETTLED_S = 60.0
"""Where no lock tells, what is younger may still be written, seconds."""
_UNFINISHED = re.compile(r"\.[A-Za-z0-9][A-Za-z0-9_-]*-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Control:
    """How to reach a devnet's control server."""

    port: int
    """On 127.0.0.1."""
    token: str = field(repr=False)
    """Bearer token."""


@dataclass(frozen=True, slots=True)
class DevnetEntry:
    """One registered devnet."""

    name: str
    run_id: str
    """The mark of its processes."""
    run_dir: str
    supervisor: ProcessId
    control: Control
    ports: tuple[int, ...] = ()
    """Ports of its nodes' endpoints on 127.0.0.1."""
    dedicated: bool = False
    """The supervisor exists for this devnet alone (``rollnet up``), so ``down`` may end it by force; not so a test process."""
    runtime: str = "process"
    """What runs its nodes: ``process`` or ``docker``."""
    engine: Mapping[str, str] = field(default_factory=dict)
    """Environment that leads to the Docker engine that it is on, whatever is chosen by the time that it is swept."""
    created: float = field(default_factory=time.time)
    """Unix time, seconds."""

    def alive(self) -> bool:
        """Whether its supervising process runs."""
        return self.supervisor.alive()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read an entry.

        Raises:
            ValueError: it is none.
        """
        try:
            fields = orjson.loads(text)
            entry = cls(
                **{
                    **fields,
                    "supervisor": ProcessId(**fields["supervisor"]),
                    "control": Control(**fields["control"]),
                    "ports": tuple(fields["ports"]),
                }
            )
        except (TypeError, KeyError) as exc:
            raise ValueError(f"no devnet entry: {exc}") from exc
        return entry


class Registry:
    """The devnets of one state home. Methods block for milliseconds, a sweep for seconds at worst.

    Args:
        home: the state home; need not exist yet.
    """

    def __init__(self, home: Path) -> None:
        self._home = home.absolute()
        self._folder = self._home / "devnets"

    def require_free(self, name: str) -> None:
        """Refuse early, before anything is made for a devnet that could not have the name; :meth:`claim` decides.

        Raises:
            NameTakenError: a living devnet has the name.
            PlanError: the name is malformed.
        """
        holder = self.find(name)
        if holder is not None and holder.alive():
            raise _taken(holder)

    def claim(self, entry: DevnetEntry) -> None:
        """Register a devnet; what a dead one of the same name left is swept first.

        Raises:
            NameTakenError: a living devnet has the name.
            PlanError: the name is malformed.
        """
        path = self._path(entry.name)
        with self._locked():
            with contextlib.suppress(FileNotFoundError, ValueError):
                holder = DevnetEntry.from_json(path.read_bytes())
                if holder.alive():
                    raise _taken(holder)
                end_marked(lambda process: process.run_id == holder.run_id)
                if holder.runtime == "docker":
                    self._swept_or_kept(holder)
            path.unlink(missing_ok=True)
            fresh = self._written(entry)
            try:
                path.hardlink_to(fresh)
            except FileExistsError as exc:  # someone on a file system without locks was faster
                raise NameTakenError(
                    f"a devnet called {entry.name!r} has just started", _hint(entry.name)
                ) from exc
            finally:
                fresh.unlink()

    def update(self, entry: DevnetEntry) -> None:
        """Replace the entry of the same run.

        Raises:
            DevnetGoneError: the name is not this run's any more.
        """
        with self._locked():
            holder = self.find(entry.name)
            if holder is None or holder.run_id != entry.run_id:
                raise DevnetGoneError(f"{entry.name!r} is no longer registered for run {entry.run_id}")
            self._written(entry).replace(self._path(entry.name))

    def release(self, entry: DevnetEntry) -> None:
        """Forget a devnet; no-op if the name is not this run's (any more)."""
        with self._locked():
            holder = self.find(entry.name)
            if holder is not None and holder.run_id == entry.run_id:
                self._path(entry.name).unlink(missing_ok=True)

    def find(self, name: str) -> DevnetEntry | None:
        """The entry of this name, alive or not; ``None`` if there is none or it can't be read.

        Raises:
            PlanError: the name is malformed.
        """
        try:
            return DevnetEntry.from_json(self._path(name).read_bytes())
        except (FileNotFoundError, ValueError):
            return None

    def entries(self) -> tuple[DevnetEntry, ...]:
        """All readable entries, alive or not, by name."""
        found = (self.find(path.stem) for path in self._files())
        return tuple(entry for entry in found if entry is not None)

    def sweep(self, only: str | None = None) -> SweepReport:
        """Remove entries whose supervisor is gone, and end the processes and containers that it left.

        Never touches a process or container without our mark, nor one whose supervisor lives.

        Args:
            only: look at this name alone; otherwise orphans without an entry are swept too.
        """
        report = SweepReport()
        if not self._folder.exists() and only is not None:
            return report
        with self._locked():
            for path in self._files():
                if only in (None, path.stem):
                    report = self._sweep_entry(path, report)
            if only is None:
                report = report.with_processes(self._is_orphan).with_orphaned_containers(self._home)
                report = replace(report, unfinished=tuple(self._swept_unfinished()))
        return report

    def _swept_or_kept(self, dead: DevnetEntry) -> None:
        """Remove a dead devnet's containers; where its engine does not answer, keep the entry under a name that nobody else has."""
        if SweepReport().with_containers_of(dead.name, dead.run_id, dead.engine).unswept:
            kept = replace(dead, name=f"{dead.name}-{dead.run_id.rpartition('-')[2]}")
            self._written(kept).replace(self._path(kept.name))

    def _sweep_entry(self, path: Path, report: SweepReport) -> SweepReport:
        try:
            entry = DevnetEntry.from_json(path.read_bytes())
        except ValueError:
            path.unlink()
            return replace(report, unreadable=(*report.unreadable, path.name))
        if entry.alive():
            return report
        report = report.with_processes(lambda process: process.run_id == entry.run_id)
        if entry.runtime == "docker":
            unswept = report.unswept
            report = report.with_containers_of(entry.name, entry.run_id, entry.engine)
            if report.unswept != unswept:
                return report  # the entry stays: it alone tells a later sweep
        path.unlink()
        return replace(report, devnets=(*report.devnets, entry.name))

    def _swept_unfinished(self) -> Iterator[str]:
        """Files that were being written when their process was killed: entries, of which nobody writes any while we hold the lock, and others."""
        entries = [path for path in self._folder.iterdir() if _UNFINISHED.fullmatch(path.name)]
        before = time.time() - _SETTLED_S
        others = [
            path
            for pattern in (".seen-*", f"runs/*/.{LATEST}-*", "runs/*/*/.seen-*")
            for path in self._home.glob(pattern)
            if path.lstat().st_mtime < before
        ]
        for path in (*entries, *others):
            path.unlink(missing_ok=True)
            yield str(path.relative_to(self._home))

    def _is_orphan(self, process: MarkedProcess) -> bool:
        return process.home == str(self._home) and process.owner is not None and not process.owner.alive()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise PlanError(f"{name!r} can't name a devnet", "use letters, digits, '-' and '_'")
        return self._folder / f"{name}.json"

    def _files(self) -> list[Path]:
        return sorted(path for path in self._folder.glob("*.json") if _NAME.fullmatch(path.stem))

    def _written(self, entry: DevnetEntry) -> Path:
        path = self._folder / f".{entry.name}-{secrets.token_hex(4)}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(entry, option=orjson.OPT_INDENT_2))
        return path

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def find_devnet(name: str | None, state: Path | None = None) -> DevnetEntry:
    """The living devnet of this name, or the only one if no name is given.

    Raises:
        DevnetGoneError: there is none, or several to choose from.
    """
    registry = Registry(state or home())
    living = [entry for entry in registry.entries() if entry.alive()]
    if name is None:
        if len(living) == 1:
            return living[0]
        names = ", ".join(entry.name for entry in living)
        raise DevnetGoneError(
            "no devnet is running" if not living else f"several devnets are running: {names}",
            "start one: rollnet up topologies/pair.yaml --detach"
            if not living
            else "say which one: --net NAME",
        )
    for entry in living:
        if entry.name == name:
            return entry
    others = ", ".join(entry.name for entry in living) or "none"
    crashed = registry.find(name) is not None
    raise DevnetGoneError(
        f"devnet {name!r} is not running" + (" any more: its process is gone" if crashed else ""),
        f"running: {others}" + ("; sweep what it left: rollnet gc" if crashed else ""),
    )


def _taken(holder: DevnetEntry) -> NameTakenError:
    where = f"process {holder.supervisor.pid}, {holder.run_dir}"
    return NameTakenError(f"a devnet called {holder.name!r} runs already ({where})", _hint(holder.name))


def _hint(name: str) -> str:
    return f"give this one another name with --name, or take that one down: rollnet down {name}"
