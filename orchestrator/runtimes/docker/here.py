"""Containers of this machine: folders of it in them, and ports of it before them."""

import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.place import DATA_FOLDER, RUN_FOLDER, public_ports
from orchestrator.runtimes.docker.site import Mounts
from orchestrator.runtimes.ports import LOOPBACK, PortReservations

IMAGE_USER = 10001
"""The image's own user and group, who owns nothing on this host."""
_ENTER = stat.S_IROTH | stat.S_IXOTH


class Here:
    """Fulfils ``Site``.

    Published ports are reserved here (see ``runtimes.ports``) and given to the engine as fixed ones, whose listener sets
    ``SO_REUSEADDR`` and so may take them: endpoints are known before anything runs, and are the same after every restart. Run and
    data directories are folders of this host in the containers, so that journals and stores are read the same way, and
    outlive the containers, on every runtime.
    """

    bind = LOOPBACK
    reached = LOOPBACK

    def __init__(self, engine: Engine, run: RunDirectory) -> None:
        self._engine, self._run = engine, run
        self._reservations = PortReservations()
        self._ports: dict[str, dict[str, int]] = {}
        self.user: str | None = None

    async def open(self, specs: Sequence[NodeSpec], network: str) -> None:
        """See ``Site``."""
        del network
        for spec in specs:
            self._ports[spec.name] = {name: self._reservations.reserve() for name in public_ports(spec)}
        self.user = self._own_folders([spec.name for spec in specs])

    def ports(self, node: str) -> Mapping[str, int]:
        """See ``Site``."""
        return self._ports[node]

    def mounts(self, node: str) -> Mounts:
        """See ``Site``."""
        return (
            (self._run.path, RUN_FOLDER, "ro"),
            (self._run.journals, f"{RUN_FOLDER}/{self._run.journals.name}", "rw"),
            (self._run.data_of(node), DATA_FOLDER, "rw"),
        )

    async def deliver(self, node: str) -> None:
        """It is there; but whoever is nobody on this host may have to be let in, also where a ``umask`` says otherwise."""
        del node
        if self.user is None:
            self._let_in(self._run.path)

    async def bring_home(self) -> None:
        """It is here."""

    async def close(self) -> None:
        """Give the ports back."""
        self._reservations.close()

    def _let_in(self, folder: Path) -> None:
        """Folders above stay as they are: others of this host get no further than before."""
        theirs = {self._run.data, self._run.journals, self._run.logs}
        folder.chmod(folder.stat().st_mode | _ENTER)
        for path in folder.iterdir():
            if path in theirs or path.is_symlink():
                continue
            if path.is_dir():
                self._let_in(path)
            elif path.is_file():
                path.chmod(path.stat().st_mode | stat.S_IROTH)

    def _own_folders(self, nodes: Sequence[str]) -> str | None:
        """Let nodes write their journals and data; returns the user as whom they run, ``None`` for the image's own."""
        writable = [self._run.journals, *(self._run.data_of(node) for node in nodes)]
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
