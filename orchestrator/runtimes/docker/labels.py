"""Names and labels: how everything on an engine tells whose it is.

Labels decide, names only help people: whatever carries a run's label is removed with the run, and nothing else is ever touched.
A dead run is told as for processes: by its owner's process id, start time and process-id namespace.
"""

import contextlib
import hashlib
import os
import platform
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from orchestrator.rundir import RunDirectory, own_state
from orchestrator.runtimes.orphans import ProcessId, namespace

RUN = "rollnet.run"
"""Run id; unique for each devnet that ever ran."""
HOST = "rollnet.host"
"""The machine that the run's supervisor is on: an engine may serve several, whose state homes and runs may be called alike."""
HOME = "rollnet.home"
"""State home of the run; a sweep of one home leaves the others alone."""
OWNER = "rollnet.owner"
"""The supervising process, as :meth:`ProcessId.text`."""
TOPOLOGY = "rollnet.topology"
NODE = "rollnet.node"
ROLE = "rollnet.role"
PORTS = "rollnet.ports"
"""What a container will publish once it is started, separated by commas."""
IMAGE = "rollnet.image"
"""On images: the digest of what went in."""
BASE = "rollnet.base"
"""On images: the name of the base image."""
BUILD = "rollnet.build"
"""On what building makes: :data:`BEING_BUILT` on its steps, whose containers have no other label of ours, :data:`BUILT` on what comes of it."""
BEING_BUILT, BUILT = "unfinished", "finished"

MACHINE_ID = Path("/etc/machine-id")
_MACHINE_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A container, a network or a volume of ours, as an engine lists it."""

    kind: str
    """``container``, ``network`` or ``volume``."""
    identity: str
    name: str
    labels: Mapping[str, str]

    @property
    def run_id(self) -> str:
        """Of the run that it belongs to."""
        return self.labels.get(RUN, "")

    @property
    def of_this_host(self) -> bool:
        """Whether its run was supervised from this machine."""
        return self.labels.get(HOST, this_host()) == this_host()

    def orphaned(self, home: Path) -> bool:
        """Whether its run belongs to this state home and its supervisor is gone."""
        try:
            owner = ProcessId.parse(self.labels.get(OWNER, ""))
        except ValueError:
            return False
        return self.labels.get(HOME) == str(home.absolute()) and not owner.alive()

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of run {self.run_id}"


@cache
def this_host() -> str:
    """This machine, or container, as it is called over its restarts: a digest, since labels are there for all to read.

    Machines may share a name. Where the system has given them no number, as in many containers, one of ours is kept with this user's state;
    where that can't be kept either, what was made before the last start counts as another machine's, and is left alone.
    """
    known = _machine_id() or _kept_id() or namespace().partition("/")[0]
    return hashlib.blake2b(f"{platform.node()}/{known}".encode(), digest_size=8).hexdigest()


def _machine_id() -> str:
    with contextlib.suppress(OSError):
        found = MACHINE_ID.read_text().strip()
        return found if _MACHINE_ID.fullmatch(found) else ""
    return ""


def _kept_id() -> str:
    with contextlib.suppress(OSError, RuntimeError):  # nowhere to be written, or no home
        folder = own_state()
        path, fresh = folder / "machine-id", folder / f".machine-id-{secrets.token_hex(4)}"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            fresh.write_text(secrets.token_hex(16))
            with contextlib.suppress(FileExistsError):  # somebody else was faster
                path.hardlink_to(fresh)
            fresh.unlink()
        return path.read_text().strip()
    return ""


def of_run(run: RunDirectory, home: Path, owner: ProcessId) -> dict[str, str]:
    """What everything of a run is labelled with."""
    return {
        RUN: run.run_id,
        HOST: this_host(),
        HOME: str(home.absolute()),
        OWNER: owner.text(),
        TOPOLOGY: run.path.parent.name,
    }


def of_work(home: Path, what: str) -> dict[str, str]:
    """What is labelled with that belongs to no run, such as a look at something: it goes with whoever made it."""
    owner = ProcessId.of(os.getpid())
    assert owner is not None, "this process runs"
    run = f"{what}-{secrets.token_hex(6)}"
    return {RUN: run, HOST: this_host(), HOME: str(home.absolute()), OWNER: owner.text()}


def listed(ports: Iterable[int]) -> str:
    """Ports as :data:`PORTS` has them."""
    return ",".join(map(str, ports))


def prefix(run: RunDirectory) -> str:
    """How the names of a run's containers, networks and volumes begin: readable, and unique on an engine."""
    return f"rollnet-{run.path.parent.name}-{run.run_id.rpartition('-')[2]}"
