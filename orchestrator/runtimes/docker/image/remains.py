"""What builds that were killed have left: half-made folders in the cache, steps on the engine. Looked for by ``rollnet gc``.

A build that is given up politely takes its own things with it. After kill -9 the engine mostly does, once the connection breaks; not where it
was just making a step's container. What it keeps of finished steps has no name and no user: the next build would begin there, or nobody.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from orchestrator.rundir import cache
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.image.dependencies import SCRATCH, kept_in
from orchestrator.runtimes.docker.image.lock import held

SETTLED_S = 60.0
"""What is younger may belong to a build that another cache's user has begun, seconds."""


async def sweep_builds(settled_s: float = SETTLED_S) -> list[str]:
    """Remove all of it, unless a build goes on; one line each.

    Raises:
        EngineError: the engine refuses.
    """
    with held(cache()) as ours:
        if not ours:
            return []
        swept = list(_half_made(kept_in(cache())))
        try:
            engine = await Engine.connect()
        except EngineError:  # none answers, or one that has built nothing
            return swept
        try:
            return swept + await engine.sweep_builds(settled_s)
        finally:
            engine.close()


def _half_made(folder: Path) -> Iterator[str]:
    for path in folder.glob(f"{SCRATCH}*"):
        shutil.rmtree(path, ignore_errors=True)
        yield f"half-made folder {path}"
