"""Bringing a devnet up: everything that may start does start, side by side, and a failure takes all of it down.

Each node waits for exactly the nodes that it depends on, not for a whole wave of others.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from orchestrator.runtimes.base import NodeSpec, NodeState, Runtime
from orchestrator.runtimes.errors import DevnetError

Progress = Callable[[str, NodeState | str, float], None]
"""Node, its new state (or, before there are nodes, a line on what is made for them), seconds since the devnet began to start."""


def _silent(node: str, state: NodeState | str, seconds: float) -> None:
    del node, state, seconds


async def bring_up(runtime: Runtime, specs: Sequence[NodeSpec], progress: Progress = _silent) -> None:
    """Start all prepared nodes in dependency order and return when all are ready.

    On any failure or cancellation the runtime is closed before the error comes out, so nothing is left behind.

    Args:
        runtime: has been given ``specs`` by :meth:`Runtime.prepare`; nothing is started yet.
        specs: what to start.
        progress: told when a node begins to start and when it is ready.

    Raises:
        DevnetError: the first failure, with every other one as a note.
    """
    began = time.monotonic()
    ready = {spec.name: asyncio.Event() for spec in specs}

    async def one(spec: NodeSpec) -> None:
        for name in spec.depends_on:
            await ready[name].wait()
        progress(spec.name, NodeState.STARTING, time.monotonic() - began)
        await runtime.start(spec.name)
        state = NodeState.READY if spec.readiness is not None else NodeState.RUNNING
        progress(spec.name, state, time.monotonic() - began)
        ready[spec.name].set()

    try:
        async with asyncio.TaskGroup() as group:
            for spec in specs:
                group.create_task(one(spec), name=f"start-{spec.name}")
    except BaseExceptionGroup as failures:
        await runtime.close()
        raise _first(failures) from None
    except BaseException:
        await runtime.close()
        raise


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure to report: one that says which node, if there is one."""
    flat = list(_flat(failures))
    flat.sort(key=lambda failure: not isinstance(failure, DevnetError))
    for other in flat[1:]:
        flat[0].add_note(f"and: {other}")
    return flat[0]


def _flat(failures: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf
        for failure in failures.exceptions
        for leaf in (_flat(failure) if isinstance(failure, BaseExceptionGroup) else [failure])
    ]
