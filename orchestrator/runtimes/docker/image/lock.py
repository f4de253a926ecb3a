"""One build at a time for each cache, held by the kernel for as long as its process lives."""

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import IO

_FILE = "image.lock"
_LOOK_S = 0.2


@contextlib.asynccontextmanager
async def alone(folder: Path, waiting: Callable[[], None]) -> AsyncIterator[None]:
    """Hold it, after whoever has it now.

    Args:
        folder: the cache.
        waiting: told once if somebody has it.
    """
    with _opened(folder) as lock:
        if not _taken(lock):
            waiting()
            while not _taken(lock):  # noqa: ASYNC110 - held by other processes
                await asyncio.sleep(_LOOK_S)  # a lock in a thread could not be given up by Ctrl-C
        yield


@contextlib.contextmanager
def held(folder: Path) -> Iterator[bool]:
    """Hold it if nobody has it; tells whether."""
    with _opened(folder) as lock:
        yield _taken(lock)


def _opened(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    return (folder / _FILE).open("ab")


def _taken(lock: IO[bytes]) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
