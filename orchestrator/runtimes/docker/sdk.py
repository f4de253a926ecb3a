"""The Docker SDK, called nowhere else. Everything here blocks: ``engine`` calls it on threads. The engine's refusals become our errors."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import docker
import requests

from orchestrator.runtimes.base import Limits
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.address import ANSWER_S, Address
from orchestrator.runtimes.docker.answers import answers as _answers
from orchestrator.runtimes.docker.attached import output_of
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.labels import Labelled
from orchestrator.runtimes.docker.sdk_faults import FaultCalls
from orchestrator.runtimes.docker.sdk_files import Files
from orchestrator.runtimes.docker.sdk_images import Images
from orchestrator.runtimes.docker.sdk_networks import Networks
from orchestrator.runtimes.ports import LOOPBACK

_NOT_MODIFIED, _NOT_FOUND, _CONFLICT = 304, 404, 409
_NOT_SO = ("is not running", "is not paused", "is already paused")
"""What engines of 20.10 answer with status 500 where later ones say 409."""
_NOT_FROZEN, _FREEZES = "unable to freeze", 5
"""What a busy machine's kernel may answer with, and how often it is tried: it gives up when processes are born while it freezes them."""
_HEALTH_NS, _HEALTH_PATIENCE_NS = 30 * 10**9, 5 * 10**9
"""For people who look at `docker ps`; each check starts a process, so not often."""


@dataclass(frozen=True, slots=True)
class ContainerPlan:
    """A container to be made."""

    name: str
    image: str
    command: Sequence[str]
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    network: str
    """Name of the network on which ports are published."""
    published: Mapping[int, int] = field(default_factory=dict)
    """Port inside to port outside."""
    bind: str = LOOPBACK
    """Address of the engine's machine on which they open."""
    mounts: Sequence[tuple[Path | str, str, str]] = ()
    """Folder of the engine's machine or name of a volume, folder inside, ``ro`` or ``rw``."""
    user: str | None = None
    """``uid:gid``; the image's own by default."""
    health: Sequence[str] = ()
    """A command that says whether it is healthy."""
    log_cap_bytes: int = 16 * 1024 * 1024
    limits: Limits = field(default_factory=Limits)
    restarts: bool = False
    """Whether the engine starts it again when it ends."""


class LifeEvents(Protocol):
    """Hears of one life of a container; called on that life's thread."""

    def on_start(self, error: EngineError | None) -> None:
        """It runs, or it could not be started; then nothing follows."""

    def on_output(self, data: bytes) -> None:
        """It wrote something."""

    def on_end(self, exit_code: int | None) -> None:
        """It has ended, all was written; ``None`` when the engine itself went away."""


class Client:
    """Calls to one engine. Made for one thread: it is an HTTP session. All methods raise :class:`EngineError`."""

    def __init__(self, address: Address) -> None:
        self._api: Any = docker.APIClient(**address.arguments, version=address.version, timeout=ANSWER_S)
        self.images = Images(self._api)
        self.networks = Networks(self._api)
        self.files = Files(self._api)
        self.faults = FaultCalls(self._api)

    def close(self) -> None:
        """Close its connections."""
        self._api.close()

    def create_container(self, plan: ContainerPlan) -> str:
        """Make a container, without starting it, and return its id."""
        with _answers(f"make container {plan.name}"):
            return self._create_container(plan)

    def start(self, container: str) -> None:
        """Start a container that nobody attends."""
        with _answers(f"start container {container[:12]}"):
            self._api.start(container)

    def signal(self, container: str, name: str) -> bool:
        """Send a signal to a container's first process; ``False`` if it does not run."""
        return self._tried(f"signal container {container[:12]}", lambda: self._api.kill(container, name))

    def pause(self, container: str) -> bool:
        """Freeze all processes of a container; ``False`` if it does not run, or is frozen."""
        for left in reversed(range(_FREEZES)):
            try:
                return self._tried(f"pause container {container[:12]}", lambda: self._api.pause(container))
            except EngineError as exc:
                if _NOT_FROZEN not in exc.message or not left:
                    raise
        return False

    def unpause(self, container: str) -> bool:
        """Thaw them; ``False`` if they are not frozen."""
        return self._tried(f"unpause container {container[:12]}", lambda: self._api.unpause(container))

    def inspect_container(self, container: str) -> Any:
        """All about a container."""
        with _answers(f"look at container {container[:12]}"):
            return self._api.inspect_container(container)

    def live(self, container: str, events: LifeEvents, *, found: bool = False) -> None:
        """Start a container, unless somebody else has, and return when it has ended."""
        try:
            with _answers(f"start container {container[:12]}"):
                # Attached first, so that not a word is lost.
                output = output_of(self._api, container)
                if not found:
                    self._api.start(container)
                elif not self._api.inspect_container(container)["State"]["Running"]:
                    output = iter(
                        ()
                    )  # over before we were there; what it said would be waited for until its next start
        except EngineError as exc:
            events.on_start(exc)
            return
        events.on_start(None)
        exit_code: int | None = None
        with contextlib.suppress(docker.errors.DockerException, requests.RequestException, OSError):
            for data in output:
                events.on_output(data)
            exit_code = int(self._api.wait(container, timeout=None)["StatusCode"])
        events.on_end(exit_code)

    def labelled(self, run: str | None) -> list[Labelled]:
        """All containers, then all networks, then all volumes that this host has there, of one run or of all."""
        filters = {"label": labels.RUN if run is None else f"{labels.RUN}={run}"}
        with _answers("list what is ours"):
            containers = self._api.containers(all=True, filters=filters)
            networks = self._api.networks(filters=filters)
            volumes = self._api.volumes(filters=filters)["Volumes"] or []
        found = [
            *(Labelled("container", c["Id"], c["Names"][0].lstrip("/"), c["Labels"]) for c in containers),
            *(Labelled("network", network["Id"], network["Name"], network["Labels"]) for network in networks),
            *(Labelled("volume", volume["Name"], volume["Name"], volume["Labels"]) for volume in volumes),
        ]
        return [labelled for labelled in found if labelled.of_this_host]

    def remove(self, found: Labelled) -> bool:
        """Remove a container, running or not, a network or a volume; ``False`` if something else has to go first."""
        with _answers(f"remove {found.kind} {found.name}"):
            try:
                if found.kind == "container":
                    self._api.remove_container(found.identity, force=True, v=True)
                elif found.kind == "volume":
                    self._api.remove_volume(found.identity)
                else:
                    self._api.remove_network(found.identity)
            except docker.errors.NotFound:
                return True
            except docker.errors.APIError as exc:
                # Somebody else is removing it, or a network's last endpoint is on its way out.
                if exc.status_code != _CONFLICT and "active endpoints" not in str(exc.explanation):
                    raise
                return False
        return True

    def _tried(self, what: str, act: Callable[[], Any]) -> bool:
        with _answers(what):
            try:
                act()
            except docker.errors.APIError as exc:
                expected = exc.status_code in {_CONFLICT, _NOT_FOUND, _NOT_MODIFIED}
                if not expected and not any(words in str(exc.explanation) for words in _NOT_SO):
                    raise
                return False
        return True

    def _create_container(self, plan: ContainerPlan) -> str:
        half = max(plan.log_cap_bytes // 2, 4096)
        host = self._api.create_host_config(
            init=True,
            # Names of nodes are answered at once; engines that reach no resolver leave those of dead ones without an answer.
            dns_opt=["timeout:1", "attempts:2"],
            read_only=True,
            tmpfs={"/tmp": "size=256m,mode=1777"},  # noqa: S108 - inside the container, of its own
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            port_bindings={inside: (plan.bind, outside) for inside, outside in plan.published.items()},
            binds=[f"{here}:{inside}:{mode}" for here, inside, mode in plan.mounts],
            restart_policy={"Name": "always"} if plan.restarts else None,
            log_config={"Type": "json-file", "Config": {"max-size": str(half), "max-file": "2"}},
            mem_limit=plan.limits.memory_bytes,
            memswap_limit=plan.limits.memory_bytes,  # the same as the memory: no swap
            nano_cpus=None if plan.limits.cpus is None else round(plan.limits.cpus * 10**9),
            pids_limit=plan.limits.pids,
        )
        health = {"test": ["CMD", *plan.health], "interval": _HEALTH_NS, "timeout": _HEALTH_PATIENCE_NS}
        endpoint = self._api.create_endpoint_config()
        made = self._api.create_container(
            plan.image,
            list(plan.command),
            name=plan.name,
            environment=dict(plan.environment),
            labels=dict(plan.labels),
            user=plan.user,
            ports=list(plan.published),
            host_config=host,
            networking_config=self._api.create_networking_config({plan.network: endpoint}),
            healthcheck=health if plan.health else None,
        )
        return str(made["Id"])
