"""Limits of a topology file, and caps on logs, as the engine has them of containers that ``rollnet up`` launched."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.cli.testing import Rollnet
from orchestrator.registry import Registry
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.testing import NOTHING, footprint

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("image")]

MIB = 1024 * 1024
LIMITED = """\
resources:
  memory: 256MiB
  pids: 200
  roles: {rollup: {memory: 512MiB, cpus: 0.75}}
  nodes: {l1: {pids: 300, cpus: 1.5}}
"""
EXPECTED = {
    "l1": (256 * MIB, 1_500_000_000, 300),
    "sequencer": (256 * MIB, 0, 200),
    "relayer": (256 * MIB, 0, 200),
    "alpha": (512 * MIB, 750_000_000, 200),
}
"""Memory, processor time in billionths, and processes."""


@pytest.fixture
def api(module_home: Path) -> Iterator[Any]:
    """The engine, past the code under test; nothing of this module is left on it."""
    client = docker.APIClient()
    yield client
    client.close()
    Registry(module_home).sweep()
    assert footprint(module_home) == NOTHING


def inspected(api: Any, home: Path) -> dict[str, Any]:
    """All about each node's container, by the node's name."""
    found = api.containers(all=True, filters={"label": [f"{labels.HOME}={home}", labels.NODE]})
    return {one["Labels"][labels.NODE]: api.inspect_container(one["Id"]) for one in found}


async def test_limits_of_a_topology(
    module_home: Path, topology_file: Any, rollnet: Rollnet, api: Any
) -> None:
    """Each container has the memory, processors and processes of the file, also after the kernel ended it; no swap, and a log that ends."""
    file = topology_file("limited", rollups=("alpha",), extra=LIMITED)
    try:
        up = await rollnet("up", str(file), "--runtime", "docker", "--detach", "--json")
        assert (0, []) == (up.code, up.json["runtime"]["limits_not_held"]), up
        nodes = await asyncio.to_thread(inspected, api, module_home)
        struck = await rollnet("fault", "inject", "out-of-memory", "sequencer", "--json")
        assert (0, True) == (struck.code, struck.json["bit"]), struck
        afterwards = await asyncio.to_thread(inspected, api, module_home)
        assert 0 == (await rollnet("node", "restart", "sequencer")).code
    finally:
        down = await rollnet("down", "limited", "--json")
    assert (0, []) == (down.code, down.json["left_behind"])
    for looked in (nodes, afterwards):
        hosts = {name: one["HostConfig"] for name, one in looked.items()}
        found = {name: (host["Memory"], host["NanoCpus"], host["PidsLimit"]) for name, host in hosts.items()}
        assert EXPECTED == found
    for name, host in hosts.items():
        assert host["MemorySwap"] == host["Memory"], name
        kind, caps = host["LogConfig"]["Type"], host["LogConfig"]["Config"]
        assert ("json-file", "2") == (kind, caps["max-file"])
        assert 4096 <= int(caps["max-size"]) <= 16 * MIB
