"""SIGTERM for commands that run a devnet: it ends them as Ctrl-C does, with everything undone.

By default it ends a process on the spot: faults stay, and on Docker so do containers, networks and volumes.
"""

import asyncio
import signal
from types import TracebackType
from typing import Self


class Ending:
    """While its ``with`` block lasts, SIGTERM cancels the task that it is in, once.

    A second SIGTERM changes nothing: what is being undone is undone to its end.

    Raises:
        KeyboardInterrupt: at the end of the block, if the task was cancelled by it.
    """

    def __init__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "commands run in a task"
        self._task, self._loop, self._told = task, asyncio.get_running_loop(), False

    def __enter__(self) -> Self:
        self._loop.add_signal_handler(signal.SIGTERM, self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.remove_signal_handler(signal.SIGTERM)
        if self._told and isinstance(exc, asyncio.CancelledError):
            raise KeyboardInterrupt from None

    async def wait(self) -> None:
        """Wait for Ctrl-C or SIGTERM; they end nothing but this wait, and mean afterwards what they meant before."""
        enough, before = asyncio.Event(), signal.getsignal(signal.SIGINT)
        for number in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(number, enough.set)
        try:
            await enough.wait()
        finally:
            self._loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)
            self._loop.add_signal_handler(signal.SIGTERM, self._end)

    def _end(self) -> None:
        if not self._told:
            self._told = True
            self._task.cancel()
