"""Searching for a schedule of faults that breaks a devnet, and leaving out of it what doesn't matter.

::

    seed ─► draw ─► a scenario file ─► run ─► valid, unknown: the next seed
                                        └──► invalid: shrink ─► the fewest faults that still fail ─► smallest.yaml

Every schedule is a scenario file, kept if it failed. Real nodes are not replayed to the nanosecond: a part of a schedule counts as failing if one of
a few runs of it does, so what is left is a part that is known to fail, and what was left out was not seen to be needed.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.chaos.drawing import Schedule, draw, scenario
from orchestrator.chaos.findings import Findings
from orchestrator.chaos.ground import Ground
from orchestrator.chaos.load import read_scenario
from orchestrator.chaos.plan import ScenarioPlan
from orchestrator.chaos.stages import Tell
from orchestrator.checks import EXIT_CODES, Verdict
from orchestrator.simulation.shrink import shrink

ATTEMPTS = 2
"""Runs of a part of a schedule before it is believed not to fail."""
RATE = 8.0
"""Bundles per second."""

Runner = Callable[[ScenarioPlan], Awaitable[Findings]]
"""Runs a scenario; real nodes, unless a test says otherwise."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One run."""

    seed: int
    faults: tuple[str, ...]
    """Their names."""
    verdict: Verdict
    because: tuple[str, ...]
    """The checks that the verdict comes from; none if it is valid."""
    directory: str
    """The run directory."""
    struck: int = 0
    """Faults that had struck when the run was judged: a build that fails before any of them fails by itself."""


@dataclass(frozen=True, slots=True)
class Explored:
    """What a search found."""

    tried: tuple[Tried, ...]
    """Every schedule, once, in order."""
    smallest: tuple[Mapping[str, Any], ...]
    """The faults of the failing schedule that are left; none if nothing failed."""
    file: Path | None
    """The scenario file with them."""
    last: Tried | None
    """The last failing run of just them."""

    @property
    def verdict(self) -> Verdict:
        """``invalid`` if a schedule failed; ``valid`` if at least one was judged and none failed; else ``unknown``."""
        verdicts = {tried.verdict for tried in self.tried}
        if Verdict.INVALID in verdicts:
            return Verdict.INVALID
        return Verdict.VALID if Verdict.VALID in verdicts else Verdict.UNKNOWN

    @property
    def exit_code(self) -> int:
        """Of the command."""
        return EXIT_CODES[self.verdict]


class Search:
    """One search.

    Args:
        topology: path of a file, or a topology itself.
        seed: of the first schedule; the next ones count on.
        folder: where failing scenario files go.
        run: runs a scenario.
        tell: takes progress.
    """

    def __init__(
        self, topology: str | Mapping[str, Any], seed: int, folder: Path, run: Runner, tell: Tell
    ) -> None:
        self._topology, self._seed, self._folder = topology, seed, folder
        self._run, self._tell = run, tell
        self._ground = Ground.of(self._plan(seed, _ANY).devnet)
        self._last: Tried | None = None

    async def explore(self, seconds: float) -> Explored:
        """Draw and run schedules until one fails or the time is over; the one that is under way then is finished, and so is shrinking.

        Args:
            seconds: to search.

        Raises:
            NotStarted: a devnet does not come up.
        """
        ends, tried = time.monotonic() + seconds, list[Tried]()
        while not tried or time.monotonic() < ends:
            seed = self._seed + len(tried)
            schedule = draw(seed, self._ground)
            self._tell(f"── schedule {seed}: {', '.join(fault['name'] for fault in schedule)}")
            tried.append(await self._try(seed, schedule))
            if tried[-1].verdict is Verdict.INVALID:
                self._write(f"failing-{seed}.yaml", seed, schedule)
                left = await self._shrunk(seed, schedule)
                return Explored(
                    tuple(tried), tuple(left), self._write("smallest.yaml", seed, left), self._last
                )
        return Explored(tuple(tried), (), None, None)

    async def _try(self, seed: int, schedule: Schedule) -> Tried:
        names = tuple(str(fault["name"]) for fault in schedule)
        found = await self._run(self._plan(seed, schedule))
        because = tuple(check.name for check in found.because)
        self._tell(f"   {found.verdict.value}{': ' if because else ''}{', '.join(because)}")
        if found.verdict is Verdict.UNKNOWN:
            for check in found.because:
                self._tell(f"     {check.name}: {check.notes[0] if check.notes else 'no reason given'}")
        struck = sum(one.begun_ns is not None for one in found.struck)
        return Tried(seed, names, found.verdict, because, str(found.directory), struck)

    async def _shrunk(self, seed: int, schedule: Schedule) -> list[Mapping[str, Any]]:
        """The fewest faults that were seen to fail; the whole schedule was."""
        loop, whole = asyncio.get_running_loop(), list(schedule)

        async def fails(part: Sequence[Mapping[str, Any]]) -> bool:
            if list(part) == whole:
                return True
            if not part:
                return False  # without faults nothing is claimed here
            for attempt in range(1, ATTEMPTS + 1):
                names = ", ".join(str(fault["name"]) for fault in part)
                self._tell(f"── shrinking, attempt {attempt}: {names}")
                tried = await self._try(seed, part)
                if tried.verdict is Verdict.INVALID:
                    self._last = tried
                    return True
            return False

        def asked(part: Sequence[Mapping[str, Any]]) -> bool:
            return asyncio.run_coroutine_threadsafe(fails(part), loop).result()

        # shrinking is a pure function, and runs are not: it waits for them on a thread
        return await asyncio.to_thread(shrink, whole, asked)

    def _plan(self, seed: int, schedule: Schedule) -> ScenarioPlan:
        text = self._text(seed, schedule).encode()
        return read_scenario(text, f"schedule {seed}", Path.cwd(), runtime="process")

    def _write(self, name: str, seed: int, schedule: Schedule) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / name
        path.write_text(f"# Found by: rollnet chaos explore --seed {seed}\n{self._text(seed, schedule)}")
        return path

    def _text(self, seed: int, schedule: Schedule) -> str:
        document = scenario(seed, self._topology, schedule, RATE)
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=160)


_ANY: Schedule = (
    {
        "name": "none",
        "when": {"after": "0ms"},
        "fault": "restart",
        "target": {"role": "sequencer", "pick": "one"},
    },
)
"""Stands in while only the devnet is wanted."""
