"""What the Docker SDK does for faults: side-cars, programs in containers, memory, networks and events. Blocks, as ``sdk`` does."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker
import requests

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.answers import answers

_CONNECTED, _NOT_CONNECTED = "already exists in network", "is not connected to"
_EVERY_EVENT = "1"
"""Since the first second of all time: a run's own events are few, and an engine keeps the last 256."""
FOLLOWED = ("start", "die", "kill", "stop", "oom", "pause", "unpause")


@dataclass(frozen=True, slots=True)
class SideCarPlan:
    """A container of one program in the network of another container."""

    name: str
    image: str
    command: Sequence[str]
    beside: str
    """The other container."""
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a program."""

    exit_code: int | None
    """``None`` where the engine can't tell any more."""
    output: bytes


class FaultCalls:
    """Calls to one engine, on the thread of the ``Client`` that has it. All methods raise :class:`EngineError`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def beside(self, plan: SideCarPlan) -> Ended:
        """Run a side-car to its end and remove it, whatever happens."""
        with answers(f"run a side-car of container {plan.beside[:12]}"):
            host = self._api.create_host_config(
                network_mode=f"container:{plan.beside}",
                read_only=True,
                tmpfs={"/run": "size=1m"},  # where iptables keeps its lock
                cap_drop=["ALL"],
                cap_add=["NET_ADMIN"],
                security_opt=["no-new-privileges"],
                log_config={"Type": "none"},
            )
            made = self._api.create_container(
                plan.image,
                list(plan.command),
                name=plan.name,
                labels=dict(plan.labels),
                user="0:0",
                host_config=host,
            )["Id"]
            try:
                output = self._api.attach(made, stdout=True, stderr=True, stream=True)
                self._api.start(made)
                said = b"".join(output)
                return Ended(int(self._api.wait(made)["StatusCode"]), said)
            finally:
                with contextlib.suppress(docker.errors.NotFound):
                    self._api.remove_container(made, force=True, v=True)

    def execute(self, container: str, command: Sequence[str]) -> Ended:
        """Run a program in a container, as its user, to its end."""
        with answers(f"run {command[-1]} in container {container[:12]}"):
            made = self._api.exec_create(container, list(command))["Id"]
            output = self._api.exec_start(made)
            try:
                return Ended(self._api.exec_inspect(made)["ExitCode"], output)
            except docker.errors.NotFound:  # it went with its container
                return Ended(None, output)

    def disconnect(self, network: str, container: str) -> None:
        """Take a container off a network; no-op if it is not on it."""
        with answers(f"disconnect container {container[:12]}"):
            try:
                self._api.disconnect_container_from_network(container, network)
            except docker.errors.APIError as exc:
                if _NOT_CONNECTED not in str(exc.explanation):
                    raise

    def connect(self, network: str, container: str, aliases: Sequence[str]) -> None:
        """Put a container on a network again, under these names; no-op if it is on it."""
        with answers(f"connect container {container[:12]}"):
            try:
                self._api.connect_container_to_network(container, network, aliases=list(aliases))
            except docker.errors.APIError as exc:
                if _CONNECTED not in str(exc.explanation):
                    raise

    def memory_in_use(self, container: str) -> int:
        """Bytes, as the kernel counts them for the limit."""
        with answers(f"measure container {container[:12]}"):
            found = self._api.stats(container, stream=False, one_shot=True)["memory_stats"]
            return int(found.get("usage") or 0)

    def limit_memory(self, container: str, memory: int, with_swap: int) -> None:
        """Change a container's memory limit, bytes; ``with_swap`` -1 is no limit."""
        with answers(f"limit the memory of container {container[:12]}"):
            self._api.update_container(container, mem_limit=memory, memswap_limit=with_swap)

    def events(self, run: str, began: Callable[[Any], None], hear: Callable[[Any], None]) -> None:
        """Read the events of a run's containers until the stream ends, or is closed.

        Args:
            run: its id.
            began: given the stream, whose ``close`` ends it from another thread.
            hear: given each event, also those that came before, as far as the engine remembers.
        """
        filters = {"label": f"{labels.RUN}={run}", "type": "container", "event": list(FOLLOWED)}
        with answers("follow events"):
            stream = self._api.events(since=_EVERY_EVENT, filters=filters, decode=True)
        began(stream)
        with contextlib.suppress(
            docker.errors.DockerException, requests.RequestException, OSError, ValueError
        ):
            for event in stream:
                hear(event)
