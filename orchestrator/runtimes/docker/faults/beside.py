"""Runs side-cars, each for one piece of work, and in an image that has what it takes."""

import asyncio
import secrets
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError, ImageError
from orchestrator.runtimes.docker.faults.tools import ensure_tools
from orchestrator.runtimes.docker.place import PYTHON
from orchestrator.runtimes.docker.sdk_faults import SideCarPlan
from orchestrator.runtimes.errors import FaultFailedError

PROGRAMS = "/opt/rollnet/orchestrator/runtimes"
"""Where the image has this package's parent."""
SIDE_CAR = f"{PROGRAMS}/docker/faults/side_car.py"
RUN_ALONE = (PYTHON, "-I", "-S")
"""How programs of the standard library alone are run: nothing else is looked for."""
_SHOWN = 300


class SideCars:
    """Side-cars of one run; they carry its labels, so whatever a crash leaves of them goes with it.

    Args:
        engine: runs them.
        image: the nodes'.
        marks: labels of everything of the run.
        prefix: how names begin.
        tell: told of long work, line by line.
    """

    def __init__(
        self, engine: Engine, image: str, marks: Mapping[str, str], prefix: str, tell: Callable[[str], None]
    ) -> None:
        self._engine, self._nodes_image, self._tell = engine, image, tell
        self._image, self._prefix = image, prefix
        self._marks = {**marks, labels.ROLE: "side-car"}
        self._building = asyncio.Lock()

    async def run(self, container: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Have a side-car do in the network of a container what is asked; returns what it tells, see ``side_car``.

        Raises:
            EngineError: the engine refuses, as it does when the container does not run.
            FaultFailedError: the side-car could not do it.
        """
        try:
            told = await self._once(container, asked)
        except ImageError:
            if self._image == self._nodes_image:
                raise
            told = {
                "missing": ["an image"]
            }  # somebody has removed the one with tools, which nothing uses between two faults
        if "missing" in told:
            async with self._building:
                self._image = await ensure_tools(self._engine, self._nodes_image, self._tell)
            told = await self._once(container, asked)
        if "missing" in told:
            raise FaultFailedError(
                f"{self._image} has no {', '.join(told['missing'])}", "see rollnet image build"
            )
        if "failed" in told:
            raise FaultFailedError(
                f"the side-car could not do it: {told['failed']}", "the engine's kernel may lack the module"
            )
        return told

    async def _once(self, container: str, asked: dict[str, Any]) -> dict[str, Any]:
        command = [*RUN_ALONE, SIDE_CAR, orjson.dumps(asked).decode()]
        name = f"{self._prefix}-side-car-{secrets.token_hex(4)}"
        plan = SideCarPlan(name, self._image, command, container, self._marks)
        ended = await self._engine.faults(lambda calls: calls.beside(plan))
        try:
            told: dict[str, Any] = orjson.loads(ended.output)
        except orjson.JSONDecodeError as exc:
            said = ended.output.decode(errors="replace").strip()[-_SHOWN:]
            raise EngineError(f"a side-car ended with status {ended.exit_code}: {said!r}") from exc
        return told
