"""Having the kernel end a node for want of memory: its limit comes down to a little above what it uses, and a hog inside takes the rest.

The limit alone is not enough: where control groups are of version 1, the kernel refuses one below what is in use. The hog alone would take
the memory of this machine. Afterwards the limit is what it was, so that a restart finds room.
"""

import asyncio
import contextlib

from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.faults.beside import PROGRAMS, RUN_ALONE
from orchestrator.runtimes.docker.faults.targets import Target, Targets
from orchestrator.runtimes.errors import FaultFailedError, NodeStateError
from orchestrator.runtimes.faults import Bite
from orchestrator.runtimes.node_life import Change

HOG = f"{PROGRAMS}/docker/faults/hog.py"
_ROOM = 8 * 1024 * 1024
"""Above what is in use, bytes: room for the hog's interpreter."""
_GREED = 64 * 1024 * 1024
"""How much more than its limit the hog takes at most, bytes, should the limit not hold."""
_END_S = 5.0
_TRIES, _AGAIN_S = 5, 0.3
"""Of giving back the limit that was."""


async def run_out(targets: Targets, target: Target) -> Bite:
    """End a node for want of memory.

    Raises:
        NodeStateError: it does not run, or is frozen.
    """
    life, container, engine = target.life, target.place.container, targets.engine
    if life is None or life.paused:
        how = "down" if life is None else "frozen"
        raise NodeStateError(
            f"{target.name} can't run out of memory: it is {how}", "start or resume it first"
        )
    host = (await engine.inspect_container(container))["HostConfig"]
    used = await engine.faults(lambda calls: calls.memory_in_use(container))
    had = int(host["Memory"])
    limit = min(used + _ROOM, had or used + _ROOM)
    life.foresee(NodeState.KILLED)
    try:
        await engine.faults(lambda calls: calls.limit_memory(container, limit, limit))
        command = [*RUN_ALONE, HOG, str(limit + _GREED)]
        with contextlib.suppress(EngineError):  # it goes down with its container
            await engine.faults(lambda calls: calls.execute(container, command))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_S):
                await life.ended()
    finally:
        if not life.over:
            life.foresee(None)
        # An engine can't take a limit back: all that the machine has is none.
        back, with_swap = (had, int(host["MemorySwap"])) if had else (engine.memory, -1)
        await _give_back(targets, target, back, with_swap)
    used_up = f"{used} bytes in use, limit {limit}"
    if not life.over:
        return Bite(False, f"{used_up}: it still runs")
    state = (await engine.inspect_container(container))["State"]
    events = await life.witnessed(Change.END)
    evidence = f"{used_up}; {events}; the engine shows OOMKilled {str(state['OOMKilled']).lower()}"
    return Bite(bool(state["OOMKilled"]) and events is not None and "oom" in events, evidence)


async def _give_back(targets: Targets, target: Target, memory: int, with_swap: int) -> None:
    """Set a limit again. An engine refuses while the container is on its way out, and afterwards takes it.

    Raises:
        FaultFailedError: it does not take it: the node would be ended again as soon as it comes back.
    """
    container = target.place.container
    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            await targets.engine.faults(lambda calls: calls.limit_memory(container, memory, with_swap))
        except EngineError as exc:
            if last:
                raise FaultFailedError(
                    f"{target.name} keeps a memory limit that is too low for it: {exc.message}",
                    f"docker update --memory {memory} --memory-swap {with_swap} {container[:12]}",
                ) from exc
            await asyncio.sleep(_AGAIN_S)
        else:
            return
