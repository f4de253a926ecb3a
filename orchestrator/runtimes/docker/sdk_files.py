"""What the Docker SDK does with files: volumes, and what goes into containers and comes out of them. Blocks, as ``sdk`` does.

Archives go through a container that is never started: engines take them for any container, and for one that runs they would have to be
kept from being misled by what runs in it.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

import docker

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.answers import answers
from orchestrator.runtimes.docker.errors import EngineError, NameConflictError

_NO_SUCH_SOURCE = "does not exist"
_IN_MEMORY = 4 * 1024 * 1024
_REGULAR = 0o644


class Files:
    """Calls about files to one engine, on the thread of the ``Client`` that has it. All methods raise :class:`EngineError`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def sees(self, path: Path, image: str, name: str, marks: Mapping[str, str]) -> bool:
        """Whether a path of this host is one of the engine's: only then does it make a container with it.

        Args:
            path: of a file that nobody else has.
            image: of the container, which is never started, and removed.
            name: of the container.
            marks: its labels.
        """
        mount = docker.types.Mount("/seen", str(path), type="bind", read_only=True)
        with answers("look for files of this machine"):
            host = self._api.create_host_config(mounts=[mount], network_mode="none")
            try:
                made = self._api.create_container(image, name=name, labels=dict(marks), host_config=host)
            except docker.errors.APIError as exc:
                if _NO_SUCH_SOURCE in str(exc.explanation):
                    return False
                raise
            self._api.remove_container(made["Id"], force=True, v=True)
        return True

    def create_volume(self, name: str, marks: Mapping[str, str]) -> None:
        """Make a volume.

        Raises:
            NameConflictError: there is one of this name that is not this run's.
        """
        with answers(f"make volume {name}"):
            made = self._api.create_volume(name, labels=dict(marks))
        if (made.get("Labels") or {}).get(labels.RUN) != marks[labels.RUN]:
            raise NameConflictError(
                f"can't make volume {name}: there is one of this name", "it is not this devnet's; remove it"
            )

    def create_shelf(
        self, name: str, image: str, marks: Mapping[str, str], folders: Mapping[str, str]
    ) -> str:
        """Make a container that is never started, for archives to go in and out; returns its id.

        Args:
            name: its name.
            image: of any kind.
            marks: its labels.
            folders: volume to folder inside.
        """
        with answers(f"make container {name}"):
            host = self._api.create_host_config(
                binds=[f"{volume}:{folder}:rw" for volume, folder in folders.items()], network_mode="none"
            )
            return str(
                self._api.create_container(image, name=name, labels=dict(marks), host_config=host)["Id"]
            )

    def put(self, container: str, folder: str, archive: IO[bytes]) -> None:
        """Unpack a tar file in a folder of a container."""
        with answers(f"put files into container {container[:12]}"):
            self._api.put_archive(container, folder, archive)

    def fetch(self, container: str, folder: str, into: Path) -> None:
        """Copy the regular files in a folder of a container into one here; links and the like are left out."""
        with tempfile.SpooledTemporaryFile(_IN_MEMORY) as file:
            with answers(f"fetch {folder} from container {container[:12]}"):
                stream, _ = self._api.get_archive(container, folder)
                for data in stream:
                    file.write(data)
            file.seek(0)
            try:
                unpack(file, into)
            except tarfile.TarError as exc:
                raise EngineError(f"what came for {folder} is no tar file: {exc}") from exc

    def published(self) -> set[int]:
        """Ports that containers of this engine publish, or will once they are started, as far as that can be seen."""
        with answers("list containers"):
            found = self._api.containers(all=True)
        ports = {int(port["PublicPort"]) for one in found for port in one["Ports"] if "PublicPort" in port}
        planned = (one["Labels"].get(labels.PORTS, "") for one in found)
        return ports | {int(port) for text in planned for port in text.split(",") if port.isdecimal()}


def unpack(archive: Any, into: Path) -> None:
    """Write the regular files of an archive that has one folder at its top; nothing leaves ``into``, whatever the archive says.

    Raises:
        TarError: it is none.
    """
    with tarfile.open(fileobj=archive, mode="r") as tar:
        for member in tar:
            names = PurePosixPath(member.name).parts[1:]
            if not member.isreg() or not names or ".." in names:
                continue
            path = into.joinpath(*names)
            path.parent.mkdir(parents=True, exist_ok=True)
            source = tar.extractfile(member)
            assert source is not None, "it is a regular file"
            with path.open("wb") as target:
                shutil.copyfileobj(source, target)
            path.chmod(_REGULAR)
