"""Every scenario that is shipped does what its first lines say: run from its file, on processes, it is valid.

The files themselves are run; a soak makes one turn of its schedule. Two runs at once, because most of a run is waiting; those that must be
themselves again within seconds have the machine for themselves.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.chaos.load import load_scenario
from orchestrator.cli.testing import said

pytestmark = [pytest.mark.chaos, pytest.mark.long, pytest.mark.timeout(900)]

FILES = sorted(
    path.relative_to(Path(__file__).parents[2])
    for folder, pattern in (("scenarios", "*.yaml"), ("topologies", "*-chaos.yaml"))
    for path in (Path(__file__).parents[2] / folder).glob(pattern)
)
SHORTER: Mapping[str, tuple[str, ...]] = {"soak": ("--minutes", "0.1")}
"""Options by scenario: a soak goes on for ten minutes by default."""
AT_ONCE = 2
TIGHT_S = 5.0
"""Who has less than this for its first commit after a fault runs alone, seconds."""
LONGEST_S = 400.0
"""For one run on a slow machine, seconds; a turn of the soak takes about a hundred."""


async def verdict_of(home: Path, repository: Path, file: Path) -> str:
    """What a scenario's run came to, in one line."""
    options = ("--runtime", "process", "--json", *SHORTER.get(file.stem, ()))
    told = await said(home, repository, "chaos", "run", str(file), *options, within_s=LONGEST_S)
    document: Any = told.json
    print(f"{file.stem}: {document['headline']} seed {document['seed']}, {document['run_dir']}")  # noqa: T201 - pytest shows it
    assert (told.code == 0) is (document["verdict"] == "valid")
    return f"{document['verdict']}: {document['headline']}" if told.code else "valid"


def is_tight(repository: Path, file: Path) -> bool:
    """Whether another run beside it could take the time that its recovery has."""
    return load_scenario(repository / file, runtime="process").expect.recovery.first_commit_within < TIGHT_S


async def test_every_shipped_scenario_is_valid(module_home: Path, repository: Path) -> None:
    """Each file under `scenarios`, and each topology that carries one."""
    turn = asyncio.Semaphore(AT_ONCE)
    found: dict[str, str] = {}

    async def one(file: Path) -> None:
        async with turn:
            found[file.stem] = await verdict_of(module_home, repository, file)

    alone = [file for file in FILES if is_tight(repository, file)]
    for file in alone:
        await one(file)
    async with asyncio.TaskGroup() as runs:
        # the longest first, so that nobody waits for it in the end
        for file in sorted(set(FILES) - set(alone), key=lambda file: (file.stem not in SHORTER, file)):
            runs.create_task(one(file))
    assert 13 <= len(found)
    assert dict.fromkeys(found, "valid") == found
