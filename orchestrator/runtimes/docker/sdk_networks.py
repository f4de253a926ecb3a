"""What the Docker SDK does with networks, and who else is on what is ours. Blocks, as ``sdk`` does."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import docker
import requests

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.answers import answers
from orchestrator.runtimes.docker.labels import Labelled

_BRIDGE = "com.docker.network.bridge"


class Networks:
    """Calls about networks to one engine, on the thread of the ``Client`` that has it. All methods raise :class:`EngineError`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def create(self, name: str, marks: Mapping[str, str], internal: bool) -> str:
        """Make a bridge network and return its id; ``internal`` as in :meth:`Engine.create_network`."""
        options = {f"{_BRIDGE}.enable_ip_masquerade": "false"}
        if not internal:
            options[f"{_BRIDGE}.enable_icc"] = "false"
        asked = {
            "Name": name,
            "Driver": "bridge",
            "CheckDuplicate": True,
            "Internal": internal,
            # Said aloud, which the SDK's own call can't: an engine may be told to give every network IPv6, which no rule of ours looks at.
            "EnableIPv6": False,
            "Options": options,
            "Labels": dict(marks),
        }
        with answers(f"make network {name}"):
            url = f"{self._api.base_url}/v{self._api.api_version}/networks/create"
            response = self._api.post(url, json=asked, timeout=self._api.timeout)
            try:
                response.raise_for_status()
            except requests.HTTPError as exc:
                docker.errors.create_api_error_from_http_exception(exc)
            return str(response.json()["Id"])

    def connect(self, network: str, container: str, aliases: Sequence[str]) -> None:
        """Attach a container to a network, under these names."""
        with answers(f"connect container {container[:12]}"):
            self._api.connect_container_to_network(container, network, aliases=list(aliases))

    def strangers_on(self, found: Labelled) -> list[str]:
        """Names of containers that are not of the run, and hold a network or volume of it."""
        with answers(f"look at {found.kind} {found.name}"), contextlib.suppress(docker.errors.NotFound):
            filters = {"network" if found.kind == "network" else "volume": found.identity}
            holders = self._api.containers(all=found.kind == "volume", filters=filters)
            return sorted(
                str(one["Names"][0]).lstrip("/")
                for one in holders
                if (one["Labels"] or {}).get(labels.RUN) != found.run_id
            )
        return []
