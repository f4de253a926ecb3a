"""A node's place on this host: its own folder, reserved ports on loopback, and a process group for each life."""

import os
import sys
from collections.abc import Callable, Mapping

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes import ordering
from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.life import Launch, Life
from orchestrator.runtimes.logfile import CappedLog
from orchestrator.runtimes.ports import LOOPBACK

Address = Callable[[str, str], str]
"""Node and endpoint name to address."""


class HostPlace:
    """Fulfils ``Place``.

    Args:
        spec: the node.
        run: where its data goes.
        ports: the reserved port of each of its endpoints.
        marks: environment variables that tell whose it is.
        others: addresses of all nodes, for placeholders.
        tied: die with this process.
    """

    def __init__(
        self,
        spec: NodeSpec,
        run: RunDirectory,
        *,
        ports: Mapping[str, int],
        marks: Mapping[str, str],
        others: Address,
        tied: bool,
    ) -> None:
        self._spec, self._run, self._ports = spec, run, dict(ports)
        self._marks, self._others, self._tied = dict(marks), others, tied

    @property
    def container_name(self) -> None:
        """See ``Place``."""
        return

    def address(self, port: str) -> str | None:
        """See ``Place``."""
        if port not in self._ports:
            return None
        return f"{self._spec.ports[port]}://{LOOPBACK}:{self._ports[port]}"

    def begin(self, log: CappedLog, on_end: Callable[[], None]) -> Life:
        """Start a process group; see ``Place``."""
        folder = self._run.data_of(self._spec.name)
        folder.mkdir(parents=True, exist_ok=True)
        env = {key: ordering.fill(value, self._placeholder) for key, value in self._spec.env.items()}
        launch = Launch(
            node=self._spec.name,
            argv=[ordering.fill(word, self._placeholder) for word in self._spec.command],
            # Unbuffered, so that a killed Python node's last words are in its log.
            env={**os.environ, "PYTHONUNBUFFERED": "1", **env, **self._marks},
            folder=folder,
            tied=self._tied,
        )
        return Life(launch, log, on_end)

    def _placeholder(self, words: tuple[str, ...]) -> str:
        match words:
            case ("host",):
                return LOOPBACK
            case ("data",):
                return str(self._run.data_of(self._spec.name))
            case ("run",):
                return str(self._run.path)
            case ("python",):
                return sys.executable
            case ("port", port):
                return str(self._ports[port])
            case _:
                return self._others(words[1], words[2])
