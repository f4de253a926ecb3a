"""Ctrl-C from a command's first line on, kept until somebody is there to hear it; see ``interrupts``.

Imports as good as nothing: an exception that a signal handler raises in the middle of an import may come out in the callback of an import
lock, where it is printed and forgotten, and with it the wish to stop.
"""

import signal
import sys


class Kept:
    """Whether it came, in this process."""

    came = False


def keep() -> None:
    """From now on it is kept, and looked for by ``interrupts``; where this process is to ignore it, it stays ignored.

    One that came while the interpreter looked for our first line may have been told as an error already, and forgotten.
    """
    Kept.came = isinstance(getattr(sys, "last_value", None), KeyboardInterrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, note)


def note(number: int, frame: object) -> None:
    """The handler that only remembers."""
    del number, frame
    Kept.came = True
