"""An engine that answers and can't be used, as from within a container that was given its socket: ``auto`` does without, who asks for it is told."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("image"),
    pytest.mark.skipif(os.geteuid() != 0, reason="files that an engine does not see take root"),
]

HIDDEN = 'mount -t tmpfs none "$ROLLNET_HOME" && exec "$@"'
CHOOSE = """
import asyncio, sys
from pathlib import Path
from orchestrator.runtimes.choice import choose
taken = asyncio.run(choose("auto", lambda line: None, Path(sys.argv[1])))
print(taken.kind, taken.why)
"""


async def hidden(home: Path, root: Path, *command: str) -> tuple[int | None, str, str]:
    """Exit code, output and errors of a command whose state home this machine's engine does not see."""
    home.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "ROLLNET_RUNTIME"}
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "sh", "-c", HIDDEN, "sh", *command),
        cwd=root,
        env={**environment, "ROLLNET_HOME": str(home), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_auto_takes_processes(home: Path, repository: Path) -> None:
    """It says in one line why, and leaves nothing on that engine."""
    code, out, err = await hidden(home, repository, sys.executable, "-c", CHOOSE, str(home))
    assert (0, 1, True) == (code, len(out.splitlines()), out.startswith("process ")), err
    assert "does not see this machine's files" in out
    assert footprint(home) == NOTHING


async def test_docker_by_name_is_an_error(home: Path, repository: Path) -> None:
    """One error says what is in the way and what to do; nothing is left on that engine."""
    rollnet = str(Path(sys.executable).with_name("rollnet"))
    code, _, err = await hidden(
        home, repository, rollnet, "up", "topologies/solo.yaml", "--runtime", "docker"
    )
    assert (1, 1, 0) == (code, err.count("error:"), err.count("Traceback")), err
    assert all(
        words in err for words in ("does not see this machine's files", "ROLLNET_DOCKER_PUBLISH=ADDRESS")
    )
    assert (footprint(home), ()) == (NOTHING, Registry(home).entries())
