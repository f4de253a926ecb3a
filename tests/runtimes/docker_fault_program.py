"""A process that injects faults into containers without end, to be killed in the middle of one; not a test, run as a program.

Usage: docker_fault_program.py HOME RUN_DIRECTORY IMAGE. It prints ``up`` once its nodes are ready.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec
from orchestrator.runtimes.docker.runtime import DockerRuntime
from orchestrator.runtimes.faults import Blackhole, Throttle, Unplug
from orchestrator.runtimes.startup import bring_up

HOME, RUN, IMAGE = Path(sys.argv[1]), RunDirectory(Path(sys.argv[2])), sys.argv[3]
FAKE_NODE = Path(__file__).with_name("fake_node_program.py")


async def main() -> None:
    """Bring up, and inject until killed."""
    shutil.copy(FAKE_NODE, RUN.path)
    program = ("${python}", "-I", "-S", "${run}/" + FAKE_NODE.name)
    ready = JsonRpcRequest("http", "ready")
    specs = [
        NodeSpec(
            name,
            "rollup",
            (*program, name, "${run}/journal", "${host}:${port:http}"),
            {"http": "http"},
            readiness=ready,
        )
        for name in ("alpha", "beta")
    ]
    async with DockerRuntime(RUN, HOME, IMAGE) as runtime:
        await runtime.prepare(specs)
        await bring_up(runtime, specs)
        sys.stdout.write("up\n")
        sys.stdout.flush()
        while True:
            for fault in (Blackhole("alpha", "beta"), Throttle("alpha", 5000), Unplug("beta")):
                await runtime.inject(fault)
                await runtime.heal(fault)


if __name__ == "__main__":
    asyncio.run(main())
