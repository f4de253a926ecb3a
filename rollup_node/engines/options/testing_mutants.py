"""For tests that break a rule on purpose: one part of the engine made into another for a while, so that what should notice can show it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def patched(target: Any, name: str, made: Callable[[Any], Any]) -> Iterator[None]:
    """Put something made of an attribute in its place, and the attribute back in the end.

    Args:
        target: module or class.
        name: of the attribute.
        made: gives the mutant, given what is there.
    """
    old = getattr(target, name)
    setattr(target, name, made(old))
    try:
        yield
    finally:
        setattr(target, name, old)
