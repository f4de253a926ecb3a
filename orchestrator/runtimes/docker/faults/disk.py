"""A full disk inside a container; see ``runtimes.file_limits``, which runs there as the node's own user."""

import orjson

from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.faults.beside import PROGRAMS, RUN_ALONE
from orchestrator.runtimes.docker.faults.targets import Target, Targets
from orchestrator.runtimes.errors import FaultFailedError, NodeStateError
from orchestrator.runtimes.file_limits import Limited

PROGRAM = f"{PROGRAMS}/file_limits.py"


async def limited(targets: Targets, target: Target, *arguments: str) -> Limited | None:
    """Run the program in a node's container; ``None`` if it is down.

    Raises:
        NodeStateError: it is frozen.
        FaultFailedError: the program failed.
    """
    life = target.life
    if life is None:
        return None
    if life.paused:
        raise NodeStateError(f"nothing can be run in {target.name}: it is frozen", "resume it first")
    command = [*RUN_ALONE, PROGRAM, *arguments]
    try:
        ended = await targets.engine.faults(lambda calls: calls.execute(target.place.container, command))
    except EngineError:
        if await targets.ending(target, life):
            return None
        raise
    try:
        return Limited(**orjson.loads(ended.output))
    except (orjson.JSONDecodeError, TypeError) as exc:
        if await targets.ending(target, life):
            return None  # and the program with it
        said = ended.output.decode(errors="replace").strip()[-300:]
        raise FaultFailedError(f"{target.name}: its file limits could not be set: {said}") from exc
