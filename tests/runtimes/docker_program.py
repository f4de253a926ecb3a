"""A process that runs containers, to be killed; not a test, run as a program.

Usage: docker_program.py HOME RUN_DIRECTORY IMAGE TIED NODES, where NODES is "alpha,beta:stubborn". It prints ``up`` once they are ready,
before that ``preparing``.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.startup import bring_up

HOME, RUN, IMAGE, TIED, NODES = Path(sys.argv[1]), RunDirectory(Path(sys.argv[2])), *sys.argv[3:6]
FAKE_NODE = Path(__file__).with_name("fake_node_program.py")


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def main() -> None:
    """Bring up, and wait to be killed."""
    shutil.copy(FAKE_NODE, RUN.path)
    specs = []
    for word in NODES.split(","):
        name, _, behaviour = word.partition(":")
        command = (
            "${python}",
            "-I",
            "-S",
            "${run}/" + FAKE_NODE.name,
            name,
            "${run}/journal",
            "${host}:${port:http}",
        )
        ready = JsonRpcRequest("http", "ready")
        specs.append(
            NodeSpec(name, "rollup", (*command, behaviour or "plain"), {"http": "http"}, readiness=ready)
        )
    async with DockerRuntime(RUN, HOME, IMAGE, tied=TIED == "tied") as runtime:
        say("preparing")
        await runtime.prepare(specs)
        await bring_up(runtime, specs)
        say("up")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
