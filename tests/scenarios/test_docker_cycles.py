"""Twenty times ``up`` and ``down`` of a real devnet of containers: the engine, this machine and the state home are as they were."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.cli.testing import Rollnet, within
from orchestrator.registry import Registry
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.orphans import marked_processes

pytestmark = [
    pytest.mark.docker,
    pytest.mark.long,
    pytest.mark.timeout(600),
]

CYCLES = 20
COUNTED = ("NFd", "NEventsListener")
"""What the engine counts of itself: files that it has open, and who listens to its events."""
NAME = "solo"


@pytest.fixture
def api(module_home: Path) -> Iterator[Any]:
    """The engine, past the code under test; nothing of this module is left on it."""
    client = docker.APIClient()
    yield client
    client.close()
    Registry(module_home).sweep()


def everything(api: Any, home: Path, image: str) -> Mapping[str, frozenset[str]]:
    """All that an engine has, by kind, but for what is labelled as another state home's, or as the image of other sources, and steps of builds."""

    def ours(one: Any) -> bool:
        return bool((one["Labels"] or {}).get(labels.HOME, str(home)) == str(home))

    built = f"{labels.IMAGE}={image.rpartition(':')[2]}"
    return {
        "containers": frozenset(one["Id"] for one in api.containers(all=True) if ours(one)),
        "networks": frozenset(one["Id"] for one in api.networks() if ours(one)),
        "volumes": frozenset(one["Name"] for one in api.volumes()["Volumes"] or [] if ours(one)),
        "images": frozenset(one["Id"] for one in api.images(filters={"label": built, "dangling": False})),
    }


def files_of(run: Path) -> frozenset[str]:
    """What is in a run directory, but for what nodes store; ids of clients are left out."""
    names = [path.relative_to(run).as_posix() for path in run.rglob("*")]
    return frozenset(
        "journal/client" if name.startswith("journal/client-") else name
        for name in names
        if not (name.startswith("data/") and name.count("/") > 1)
    )


async def test_twenty_cycles(module_home: Path, rollnet: Rollnet, api: Any, image: str) -> None:
    """The engine has what it had and holds nothing open; each run directory has the same files, and nobody runs any more."""
    before, counts = await asyncio.to_thread(everything, api, module_home, image), api.info()
    assert 1 == len(before["images"])
    runs = []
    try:
        for _ in range(CYCLES):
            up = await rollnet("up", "topologies/solo.yaml", "--runtime", "docker", "--detach", "--json")
            assert (0, "docker") == (up.code, up.json["runtime"]["kind"]), up
            runs.append(Path(up.json["run_dir"]))
            down = await rollnet("down", NAME, "--json")
            assert (0, []) == (down.code, down.json["left_behind"]), down
    finally:
        await within(module_home, "down", NAME)
    assert before == await asyncio.to_thread(everything, api, module_home, image)
    after = api.info()
    for count in COUNTED:
        assert after[count] - counts[count] < CYCLES, (count, counts[count], after[count])
    assert [] == [process for process in marked_processes() if process.home == str(module_home)]
    assert (CYCLES, 1) == (len(set(runs)), len({files_of(run) for run in runs}))
    assert () == Registry(module_home).entries()
    assert [".lock"] == [path.name for path in (module_home / "devnets").iterdir()]
    assert [f"{NAME}.log"] == [path.name for path in (module_home / "supervisors").iterdir()]
