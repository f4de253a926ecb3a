"""A devnet as a compose file: the same containers that ``rollnet up --runtime docker`` starts, without rollnet around them. Pure.

What differs, and why:

- Compose gives a service its name on *every* network that it is on, and nodes can't speak over ``control``. So they call one another
  by names that only ``fabric`` knows, such as ``alpha.fabric``.
- Data and journals lie in named volumes: they are born with the image's permissions, so nobody has to own a folder here.
- Only what users call is published, and on ports that are written down.
- Health is asked often, so that ``docker compose up --wait`` returns soon.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from bridge.wire.configuration import VARIABLE
from orchestrator.export.yaml_text import block, key_text
from orchestrator.nodes import genesis_path, node_specs
from orchestrator.runtimes.base import NodeSpec
from orchestrator.runtimes.docker.image.contents import ANVIL
from orchestrator.runtimes.docker.place import DATA_FOLDER, RUN_FOLDER, filled, health_command, inner_ports
from orchestrator.runtimes.ports import LOOPBACK
from orchestrator.topology.plan import Plan

MARK = "# Written by `rollnet export compose`"
"""How a file begins that an export may replace."""
PUBLISHED = "http"
"""The endpoint that users call."""
GENESIS_FOLDER = genesis_path("x").rpartition("/")[0]

_ANCHOR = "node"
_JOURNAL = "journal"
_COMMON: dict[str, Any] = {
    "pull_policy": "never",  # no registry has it: better one clear word than a long wait
    "init": True,
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
    "tmpfs": ["/tmp:size=256m,mode=1777"],  # noqa: S108 - inside the container, of its own
    "stop_grace_period": "5s",
}
_HEALTH = {"interval": "3s", "timeout": "5s", "retries": 20}
_NO_WAY_OUT = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
_NETWORKS: dict[str, Any] = {
    "control": {
        "driver": "bridge",
        "driver_opts": {**_NO_WAY_OUT, "com.docker.network.bridge.enable_icc": "false"},
    },
    "fabric": {"driver": "bridge", "internal": True, "driver_opts": _NO_WAY_OUT},
}


@dataclass(frozen=True, slots=True)
class ComposeExport:
    """A compose file that is about to be written."""

    plan: Plan
    image: str
    """Name of the image that all services run."""
    ports: Mapping[str, int]
    """Port on 127.0.0.1 by node, of all in :func:`published_nodes`."""
    folder: str
    """Of what lies beside the file, as seen from it."""
    file: str
    """Its own name, for the words at its top."""

    def text(self) -> str:
        """The file."""
        specs = node_specs(self.plan, ANVIL)
        by_name = {spec.name: spec for spec in specs}
        lines = [*self._head(), "", f"x-{_ANCHOR}: &{_ANCHOR}"]
        lines += block({"image": self.image, **_COMMON}, 2)
        lines += ["", "services:"]
        for spec in specs:
            lines += [f"  {key_text(spec.name)}:", f"    <<: *{_ANCHOR}"]
            lines += [*block(self._service(spec, by_name), 4), ""]
        lines += [
            "# This host reaches nodes over control, where they don't reach one another;",
            "# they do over fabric, which leads nowhere else.",
            *block({"networks": _NETWORKS}),
            "",
            "volumes:",
            *(f"  {_volume(name)}: {{}}" for name in by_name),
            f"  {_JOURNAL}: {{}}",
        ]
        return "\n".join(lines) + "\n"

    def url(self, node: str) -> str:
        """Address of a node from this host."""
        return f"http://{LOOPBACK}:{self.ports[node]}"

    def _head(self) -> list[str]:
        return [
            f"{MARK}: the devnet {self.plan.name} as containers, to be read or run without rollnet.",
            "#",
            f"#   rollnet image build                                the image {self.image}, once",
            f"#   docker compose -f {self.file} up --wait        with Compose 1: docker-compose … up --detach",
            f"#   docker compose -f {self.file} down --volumes   what it knew is gone as well",
            "#",
            *(f"#   {node:20} {self.url(node)}" for node in self.ports),
            "#",
            "# Genesis states lie beside this file. Keys and tokens follow from a mnemonic that everybody knows: no secrets, and of no",
            "# worth on any other chain.",
        ]

    def _service(self, spec: NodeSpec, specs: Mapping[str, NodeSpec]) -> dict[str, Any]:
        command, environment = filled(spec, specs, lambda command, env: (command, env), host=_fabric_name)
        service: dict[str, Any] = {"command": command}
        if spec.depends_on:
            service["depends_on"] = {
                name: {
                    "condition": "service_healthy" if specs[name].readiness is not None else "service_started"
                }
                for name in spec.depends_on
            }
        if PUBLISHED in spec.ports:
            inside = inner_ports(spec)[PUBLISHED]
            service["ports"] = [f"{LOOPBACK}:{self.ports[spec.name]}:{inside}"]
        service["networks"] = {"control": {}, "fabric": {"aliases": [_fabric_name(spec.name)]}}
        service["volumes"] = [
            f"./{self.folder}{GENESIS_FOLDER}:{RUN_FOLDER}/{GENESIS_FOLDER}:ro",
            f"{_JOURNAL}:{RUN_FOLDER}/{_JOURNAL}",
            f"{_volume(spec.name)}:{DATA_FOLDER}",
        ]
        service |= _limits(spec)
        if health := health_command(spec):
            service["healthcheck"] = {"test": [_literal(word) for word in ("CMD", *health)], **_HEALTH}
        half = str(max(spec.log_cap_bytes // 2, 4096))
        service["logging"] = {"driver": "json-file", "options": {"max-size": half, "max-file": "2"}}
        service["environment"] = {key: _literal(_readable(key, value)) for key, value in environment.items()}
        return service


def published_nodes(plan: Plan) -> tuple[str, ...]:
    """Nodes with an endpoint for users, in the order of their services."""
    return tuple(spec.name for spec in node_specs(plan, ANVIL) if PUBLISHED in spec.ports)


def _limits(spec: NodeSpec) -> dict[str, Any]:
    limits = spec.limits
    named = {
        "mem_limit": limits.memory_bytes,
        "memswap_limit": limits.memory_bytes,  # the same as the memory: no swap
        "cpus": limits.cpus,
        "pids_limit": limits.pids,
    }
    return {key: value for key, value in named.items() if value is not None}


def _fabric_name(node: str) -> str:
    return f"{node}.fabric"


def _volume(node: str) -> str:
    return f"data-{node}"


def _readable(key: str, value: str) -> str:
    """A node's configuration over several lines, for those who want to read it."""
    if key != VARIABLE:
        return value
    return json.dumps(orjson.loads(value), indent=2)


def _literal(text: str) -> str:
    """Text in which compose replaces nothing."""
    return text.replace("$", "$$")
