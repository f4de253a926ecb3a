"""Where a devnet keeps its files.

::

    <home>/devnets/<name>.json            who runs (see registry)
    <home>/runs/<topology>/latest         symlink to the newest run
    <home>/runs/<topology>/<stamp>-seed<seed>/
        topology.yaml  plan.json  devnet.json  report.md  report.json
        journal/<node>.jsonl  logs/<node>.log  data/<node>/
"""

import hashlib
import itertools
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

LATEST = "latest"


def home() -> Path:
    """Where state lives: ``$ROLLNET_HOME``, else ``$XDG_STATE_HOME/rollnet``, else ``~/.local/state/rollnet``."""
    if chosen := os.environ.get("ROLLNET_HOME"):
        return Path(chosen).expanduser().absolute()
    return own_state()


def own_state() -> Path:
    """This user's state on this machine, whatever home is chosen for devnets."""
    return _base("XDG_STATE_HOME", ".local/state") / "rollnet"


def cache() -> Path:
    """Where rebuildable things live: ``$XDG_CACHE_HOME/rollnet``, else ``~/.cache/rollnet``."""
    return _base("XDG_CACHE_HOME", ".cache") / "rollnet"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The files of one run. Made with :meth:`create`; a finished run is opened by its path."""

    path: Path
    """Absolute."""

    @classmethod
    def create(cls, home: Path, topology: str, seed: int) -> Self:
        """Make a directory that no other run has, even one started in the same second, and point ``latest`` at it.

        Raises:
            OSError: the home can't be written.
        """
        parent = (home / "runs" / topology).absolute()
        parent.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        for attempt in itertools.count(1):
            path = parent / (f"{stamp}-seed{seed}" + (f"-{attempt}" if attempt > 1 else ""))
            try:
                path.mkdir()
            except FileExistsError:
                continue
            break
        run = cls(path)
        for folder in (run.journals, run.logs, run.data):
            folder.mkdir()
        run._become_latest()
        return run

    @property
    def run_id(self) -> str:
        """Names this run in process marks: the directory's name and a digest of its whole path, so unique on this host."""
        digest = hashlib.blake2b(os.fsencode(self.path), digest_size=6).hexdigest()
        return f"{self.path.name}-{digest}"

    @property
    def topology(self) -> Path:
        """The topology file as it was given."""
        return self.path / "topology.yaml"

    @property
    def plan(self) -> Path:
        """The resolved plan, JSON."""
        return self.path / "plan.json"

    @property
    def devnet(self) -> Path:
        """Endpoints, accounts and contracts of the running devnet, JSON; what users' tools read."""
        return self.path / "devnet.json"

    @property
    def report(self) -> Path:
        """The report for humans; ``report.json`` beside it is for programs."""
        return self.path / "report.md"

    @property
    def traces(self) -> Path:
        """The report for humans of where time went, in a run whose ``report.md`` is that of a scenario (``chaos.json`` says so)."""
        return self.path / "traces.md"

    @property
    def scenario_report(self) -> Path:
        """What a scenario found, for programs; only such runs have it."""
        return self.path / "chaos.json"

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.path / "report.json"

    @property
    def journals(self) -> Path:
        """Folder of the nodes' event journals."""
        return self.path / "journal"

    @property
    def logs(self) -> Path:
        """Folder of what the nodes printed."""
        return self.path / "logs"

    @property
    def data(self) -> Path:
        """Folder of the nodes' own state."""
        return self.path / "data"

    def journal_of(self, node: str) -> Path:
        """Event journal of a node."""
        return self.journals / f"{node}.jsonl"

    def log_of(self, node: str) -> Path:
        """Newest log of a node; the one before it is ``.log.1``."""
        return self.logs / f"{node}.log"

    def data_of(self, node: str) -> Path:
        """Folder of a node's own state; kept over restarts."""
        return self.data / node

    def _become_latest(self) -> None:
        link = self.path.parent / LATEST
        fresh = link.with_name(f".{LATEST}-{secrets.token_hex(4)}")
        fresh.symlink_to(self.path.name)
        fresh.replace(link)


def _base(variable: str, otherwise: str) -> Path:
    # The XDG specification says that a relative path is invalid and to be ignored.
    chosen = os.environ.get(variable, "")
    return Path(chosen) if Path(chosen).is_absolute() else Path.home() / otherwise
