"""Taking a devnet down from outside: ask it, wait for it, and only then use force.

Idempotent: a devnet that is not there is down. Several at once are fine: all ask, the devnet answers all when it is
gone, and whoever comes too late finds nothing.
"""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field

from orchestrator.leftovers import SweepReport, left_behind
from orchestrator.registry import DevnetEntry, Registry
from orchestrator.runtimes.control import ControlClient
from orchestrator.runtimes.errors import DevnetError, DevnetGoneError, RefusedError
from orchestrator.runtimes.orphans import ProcessId

_LAST_BREATH_S = 5.0
"""Longest time between the answer to ``/down`` and the end of a supervisor that has nothing else to do."""


@dataclass(frozen=True, slots=True)
class TakenDown:
    """How a devnet went down."""

    was_registered: bool
    """``False``: there was nothing to do."""
    forced: bool = False
    """Its supervisor did not do as asked and was killed."""
    swept: SweepReport = field(default_factory=SweepReport)
    """What had to be cleaned up after it."""
    left: tuple[str, ...] = ()
    """What is still there all the same; empty unless something is badly wrong."""


async def take_down(registry: Registry, name: str, timeout_s: float = 30.0) -> TakenDown:
    """Take a devnet down; see the module.

    Args:
        registry: where it is registered.
        name: which.
        timeout_s: longest time for it to do so by itself, seconds.

    Raises:
        DevnetError: it does not obey, and its supervisor may not be killed because it does other work too.
    """
    entry = registry.find(name)
    if entry is None:
        return TakenDown(was_registered=False)
    forced = False
    if entry.alive():
        reason = await _ask(entry, timeout_s)
        if entry.dedicated:
            forced = not await exit_of(entry.supervisor, min(timeout_s, _LAST_BREATH_S))
            if forced:
                _kill(entry.supervisor)
                await exit_of(entry.supervisor, _LAST_BREATH_S)
        elif reason is not None and entry.alive() and registry.find(name) == entry:
            raise DevnetError(
                f"devnet {name!r} did not go down: {reason}",
                f"process {entry.supervisor.pid} runs it beside other work; end that process",
            )
    swept = await asyncio.to_thread(registry.sweep, name)
    left = await asyncio.to_thread(
        left_behind,
        entry.run_id,
        entry.ports,
        on_docker=entry.runtime == "docker",
        engine=entry.engine,
    )
    return TakenDown(was_registered=True, forced=forced, swept=swept, left=tuple(left))


async def exit_of(process: ProcessId, timeout_s: float) -> bool:
    """Wait for the end of any process, child or not; ``False`` if it still runs after ``timeout_s`` seconds."""
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    try:
        # Looked up after opening: the descriptor stands for this very process, or it is gone.
        if not process.alive():
            return True
        loop.add_reader(descriptor, ended.set)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await ended.wait()
        return ended.is_set()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _ask(entry: DevnetEntry, timeout_s: float) -> str | None:
    """Ask for ``/down``; ``None`` when it was answered, else why not."""
    client = ControlClient(entry.name, entry.control.port, entry.control.token, timeout_s)
    try:
        await client.down()
    except (DevnetGoneError, RefusedError) as exc:
        return exc.message
    return None


def _kill(process: ProcessId) -> None:
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(process.pid)
        try:
            if process.alive():
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
