"""Calls that nobody may have to wait for: an engine that is out of reach, or builds, answers when it likes."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

Answer = TypeVar("Answer")


async def aside(work: Callable[[], Answer], name: str) -> Answer:
    """Do what may take long on a thread that nobody waits for, not even the end of this process."""
    done: Future[Answer] = Future()

    def thread() -> None:
        with contextlib.suppress(InvalidStateError):  # the caller was cancelled
            try:
                done.set_result(work())
            except Exception as exc:
                done.set_exception(exc)

    threading.Thread(target=thread, name=name, daemon=True).start()
    return await asyncio.wrap_future(done)
