"""A devnet in the background, made of the building blocks; not a test, run as a program.

Usage: devnet_program.py HOME RUN_DIRECTORY NAME NODES BEHAVIOUR, where NODES is "alpha,beta:stubborn" and BEHAVIOUR one of

===========  ===================================================
``obey``     goes down when asked
``ignore``   never goes down by itself
``untied``   as ``obey``, but its nodes outlive a crash
===========  ===================================================
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from orchestrator.registry import Control, DevnetEntry, Registry
from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import JsonRpcRequest, NodeSpec
from orchestrator.runtimes.control import ControlServer
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.process import ProcessRuntime
from orchestrator.runtimes.startup import bring_up
from orchestrator.runtimes.supervisor import Reporter

FAKE_NODE = str(Path(__file__).with_name("fake_node_program.py"))
HOME, RUN, NAME, NODES, BEHAVIOUR = Path(sys.argv[1]), RunDirectory(Path(sys.argv[2])), *sys.argv[3:6]


def specs() -> list[NodeSpec]:
    """The nodes that were asked for."""
    made = []
    for word in NODES.split(","):
        name, _, behaviour = word.partition(":")
        command = (
            sys.executable,
            "-I",
            "-S",
            FAKE_NODE,
            name,
            "${run}/journal",
            "${host}:${port:http}",
            behaviour or "plain",
        )
        made.append(
            NodeSpec(name, "rollup", command, {"http": "http"}, readiness=JsonRpcRequest("http", "ready"))
        )
    return made


async def main() -> None:
    """Claim, bring up, report, wait, take down."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    reporter, registry = Reporter.from_environment(), Registry(HOME)
    me = ProcessId.of(os.getpid())
    assert me is not None
    try:
        async with (
            ProcessRuntime(RUN, HOME, tied=BEHAVIOUR != "untied") as runtime,
            ControlServer(runtime) as control,
        ):
            nodes = specs()
            await runtime.prepare(nodes)
            ports = tuple(
                int(url.rpartition(":")[2]) for node in runtime.status() for url in node.endpoints.values()
            )
            where = Control(control.port, control.token)
            entry = DevnetEntry(NAME, RUN.run_id, str(RUN.path), me, where, ports, dedicated=True)
            registry.claim(entry)
            try:
                await bring_up(runtime, nodes, lambda node, state, _: reporter.progress([node, state]))
                reporter.ready({"name": NAME})
                await control.down_requested.wait()
                if BEHAVIOUR == "ignore":
                    await asyncio.Event().wait()
                await runtime.close()
            finally:
                registry.release(entry)
    except BaseException as exc:
        reporter.failure(exc)
        raise


if __name__ == "__main__":
    asyncio.run(main())
