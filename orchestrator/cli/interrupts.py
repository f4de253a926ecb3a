"""Ctrl-C at any moment of a command: none is lost, and none breaks what can't be broken.

::

    kept.keep()   modules are imported, arguments are read     it is kept
    heard()       a command's own code                         it raises, and is remembered
    run(…)        a command's event loop                       it cancels the work; a second one raises

An exception that a signal handler raises comes out wherever the interpreter is: in the callback of an import lock, a weak reference or a
finaliser it is printed and forgotten, and with it the wish to stop. So the handler remembers first, and each stage looks before it begins. What
comes before the first line of ours, in the interpreter's own start, nobody can keep.
"""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Iterator
from types import FrameType
from typing import Any, TypeVar

from orchestrator.cli.kept import Kept, note

Answer = TypeVar("Answer")


@contextlib.contextmanager
def heard() -> Iterator[None]:
    """Ctrl-C raises :class:`KeyboardInterrupt` at once meanwhile, as does one that was kept; no-op where nothing is kept."""
    if signal.getsignal(signal.SIGINT) is not note:  # not ours to care for: a test's, or another thread
        yield
        return
    signal.signal(signal.SIGINT, _raise)
    try:
        _raise_kept()
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """SIGINT that comes meanwhile comes at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    """Run a command's asynchronous part: Ctrl-C cancels it and raises once it has come to its end, a second one raises at once."""
    if signal.getsignal(signal.SIGINT) is not _raise:  # as in `heard`
        return asyncio.run(work)

    async def cancellable() -> Answer:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None, "this is one"

        def cancel(number: int, frame: FrameType | None) -> None:
            if Kept.came or task.done():
                _raise(number, frame)
            Kept.came = True
            task.cancel()
            loop.call_soon_threadsafe(_nothing)  # it may be asleep

        signal.signal(signal.SIGINT, cancel)
        if Kept.came:
            work.close()
            raise asyncio.CancelledError
        return await work

    signal.signal(signal.SIGINT, note)  # making a loop is no place to stop in
    try:
        return asyncio.run(cancellable())
    except asyncio.CancelledError:
        _raise_kept()
        raise
    finally:
        signal.signal(signal.SIGINT, _raise)


def _raise(number: int, frame: FrameType | None) -> None:
    note(number, frame)
    raise KeyboardInterrupt


def _raise_kept() -> None:
    if Kept.came:
        raise KeyboardInterrupt


def _nothing() -> None:
    pass
