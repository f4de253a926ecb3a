"""Containers of another machine: nothing of this host is in them, so what they need is put there, and what they leave is brought here.

::

    open      one volume for the run directory, one for its journals, one for each node's data; a shelf, which is a container that is
              never started, for archives to go in and out; the courier, whose first answer proves that ports can be reached
    deliver   before the first start the run directory; before each start what lies in the node's data folder here
    …         the courier brings journals while nodes write them
    bring     the rest of the journals, then each node's data

What a node's data folder holds *here* while the devnet runs is what was meant for it and has not been delivered yet. A run whose supervisor
is killed keeps its journals up to that moment, and loses its data with the volumes.
"""

import asyncio
import random
import secrets
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.docker import courier, gate, labels
from orchestrator.runtimes.docker.courier import Courier
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.gate import Gate
from orchestrator.runtimes.docker.here import IMAGE_USER
from orchestrator.runtimes.docker.place import DATA_FOLDER, RUN_FOLDER, public_ports
from orchestrator.runtimes.docker.sdk import ContainerPlan
from orchestrator.runtimes.docker.site import Mounts

COURIER = "courier"
"""Role of the container that brings journals. Its name has a dot, which no node's can have."""
BRING_S = 20.0
"""Longest time for bringing data here, seconds: whoever takes a devnet down waits 30."""
_ROOT = "/rollnet"
"""Under which the shelf has everything."""
_IN_MEMORY = 4 * 1024 * 1024


class There:
    """Fulfils ``Site``; arguments as ``find_site``, and where ports open."""

    user: str | None = None

    def __init__(
        self,
        engine: Engine,
        run: RunDirectory,
        image: str,
        marks: Mapping[str, str],
        prefix: str,
        opened: Gate,
    ) -> None:
        self._engine, self._run, self._image, self._gate = engine, run, image, opened
        self._marks, self._prefix = dict(marks), prefix
        self._token = secrets.token_hex(16)
        self._courier = Courier(run.journals, self._token)
        self._nodes: list[str] = []
        self._ports: dict[str, dict[str, int]] = {}
        self._shelf = ""
        self._delivery = asyncio.Lock()
        self._delivered = False
        self.bind = opened.bind
        self.reached = opened.reached[0]

    async def open(self, specs: Sequence[NodeSpec], network: str) -> None:
        """See ``Site``."""
        self._nodes = [spec.name for spec in specs]
        wanted = [(spec.name, port) for spec in specs for port in public_ports(spec)]
        drawn = gate.draw(len(wanted) + 1, await self._engine.published_ports(), random.SystemRandom())
        for (node, port), number in zip(wanted, drawn[1:], strict=True):
            self._ports.setdefault(node, {})[port] = number
        for volume in self._folders():
            await self._engine.create_volume(volume, self._marks)
        self._shelf = await self._engine.create_shelf(
            f"{self._prefix}.shelf", self._image, self._marks, self._folders()
        )
        await courier.run(self._engine, self._courier_plan(network, drawn[0]))
        self.reached = await self._courier.reach(self._gate.reached, drawn[0])

    def ports(self, node: str) -> Mapping[str, int]:
        """See ``Site``."""
        return self._ports.get(node, {})

    def mounts(self, node: str) -> Mounts:
        """See ``Site``."""
        return (
            (self._volume("run"), RUN_FOLDER, "ro"),
            (self._volume("journal"), f"{RUN_FOLDER}/{self._run.journals.name}", "rw"),
            (self._volume(f"data-{node}"), DATA_FOLDER, "rw"),
        )

    async def deliver(self, node: str) -> None:
        """See ``Site``."""
        async with self._delivery:
            if not self._delivered:
                await self._put(self._run_directory())
                self._courier.follow()
                self._delivered = True
        waiting = self._run.data_of(node)
        if any(waiting.glob("*")):
            await self._put(_files_of(waiting, f"data/{node}", IMAGE_USER))
            await asyncio.to_thread(shutil.rmtree, waiting)

    async def bring_home(self) -> None:
        """See ``Site``."""
        await self._courier.close()
        if not self._delivered:
            return
        try:
            async with asyncio.timeout(BRING_S):
                for node in self._nodes:
                    await self._engine.fetch(self._shelf, f"{_ROOT}/data/{node}", self._run.data_of(node))
        except TimeoutError:
            raise EngineError(f"data of nodes did not come within {BRING_S:g} s") from None

    async def close(self) -> None:
        """See ``Site``."""
        await self._courier.close()

    def _volume(self, name: str) -> str:
        return f"{self._prefix}-{name}"

    def _folders(self) -> dict[str, str]:
        """Folder on the shelf by volume."""
        return {
            self._volume("run"): f"{_ROOT}/run",
            self._volume("journal"): f"{_ROOT}/run/{self._run.journals.name}",
            **{self._volume(f"data-{node}"): f"{_ROOT}/data/{node}" for node in self._nodes},
        }

    def _courier_plan(self, network: str, port: int) -> ContainerPlan:
        journals = f"{RUN_FOLDER}/{self._run.journals.name}"
        return ContainerPlan(
            name=f"{self._prefix}.{COURIER}",
            image=self._image,
            command=courier.command(journals, courier.INNER_PORT),
            environment=courier.environment(self._token),
            labels={**self._marks, labels.ROLE: COURIER, labels.PORTS: labels.listed([port])},
            network=network,
            published={courier.INNER_PORT: port},
            bind=self.bind,
            mounts=((self._volume("journal"), journals, "ro"),),
            restarts=True,
        )

    def _run_directory(self) -> Iterable["_Entry"]:
        """What nodes read of the run directory, and whose the folders are that they write."""
        theirs = {self._run.journals, self._run.logs, self._run.data}
        yield _Entry("run", None, 0)
        for path in sorted(self._run.path.iterdir()):
            if path in theirs:
                continue
            if path.is_dir():
                yield from _files_of(path, f"run/{path.name}", 0)
            elif path.is_file():
                yield _Entry(f"run/{path.name}", path, 0)
        yield _Entry(f"run/{self._run.journals.name}", None, IMAGE_USER)
        for node in self._nodes:
            yield _Entry(f"data/{node}", None, IMAGE_USER)

    async def _put(self, entries: Iterable["_Entry"]) -> None:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            await asyncio.to_thread(_pack, entries, file)
            file.seek(0)
            await self._engine.put(self._shelf, _ROOT, file)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A file to be put there, or a folder if it has no path here."""

    name: str
    path: Path | None
    owner: int


def _files_of(folder: Path, name: str, owner: int) -> Iterable[_Entry]:
    yield _Entry(name, None, owner)
    for path in sorted(folder.rglob("*")):
        inside = str(PurePosixPath(name, *path.relative_to(folder).parts))
        if path.is_dir():
            yield _Entry(inside, None, owner)
        elif path.is_file():
            yield _Entry(inside, path, owner)


def _pack(entries: Iterable[_Entry], file: IO[bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w") as tar:
        for entry in entries:
            told = tarfile.TarInfo(entry.name)
            told.uid = told.gid = entry.owner
            if entry.path is None:
                told.type, told.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(told)
                continue
            content = entry.path.read_bytes()
            told.size, told.mode = len(content), 0o644
            tar.addfile(told, BytesIO(content))
