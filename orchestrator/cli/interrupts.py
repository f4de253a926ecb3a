"""Ctrl-C while modules are imported: kept back until they are.

An interpreter that is interrupted in the middle of an import may lose the exception in a callback of the import system, and
with it the wish to stop.
"""

import contextlib
import signal
from collections.abc import Iterator


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """SIGINT that comes meanwhile comes at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
