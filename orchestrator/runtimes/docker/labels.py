"""Names and labels: how everything on an engine tells whose it is.

Labels decide, names only help people: whatever carries a run's label is removed with the run, and nothing else is ever touched.
A dead run is told as for processes: by its owner's process id, start time and process-id namespace.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.orphans import ProcessId

RUN = "rollnet.run"
"""Run id; unique for each devnet that ever ran."""
HOME = "rollnet.home"
"""State home of the run; a sweep of one home leaves the others alone."""
OWNER = "rollnet.owner"
"""The supervising process, as :meth:`ProcessId.text`."""
TOPOLOGY = "rollnet.topology"
NODE = "rollnet.node"
ROLE = "rollnet.role"
IMAGE = "rollnet.image"
"""On images: the digest of what went in."""
BASE = "rollnet.base"
"""On images: the name of the base image."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A container or a network of ours, as an engine lists it."""

    kind: str
    """``container`` or ``network``."""
    identity: str
    name: str
    labels: Mapping[str, str]

    @property
    def run_id(self) -> str:
        """Of the run that it belongs to."""
        return self.labels.get(RUN, "")

    def orphaned(self, home: Path) -> bool:
        """Whether its run belongs to this state home and its supervisor is gone."""
        try:
            owner = ProcessId.parse(self.labels.get(OWNER, ""))
        except ValueError:
            return False
        return self.labels.get(HOME) == str(home.absolute()) and not owner.alive()

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of run {self.run_id}"


def of_run(run: RunDirectory, home: Path, owner: ProcessId) -> dict[str, str]:
    """What everything of a run is labelled with."""
    return {
        RUN: run.run_id,
        HOME: str(home.absolute()),
        OWNER: owner.text(),
        TOPOLOGY: run.path.parent.name,
    }


def prefix(run: RunDirectory) -> str:
    """How the names of a run's containers and networks begin: readable, and unique on an engine."""
    return f"rollnet-{run.path.parent.name}-{run.run_id.rpartition('-')[2]}"
