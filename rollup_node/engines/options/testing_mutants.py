"""For tests that break a rule on purpose: one part of the engine made into another for a while, so that what should notice can show it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import SearchStrategy, tuples


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


def hunt(held: Callable[..., None], *drawn: SearchStrategy[Any], examples: int = 200) -> None:
    """Run the body of a property's test as it is, on examples that are the same every time; nothing is shrunk or remembered.

    Args:
        held: the test, decorated by ``given``.
        drawn: the strategies of its arguments.
        examples: how many at most.
    """
    body = held.hypothesis.inner_test  # type: ignore[attr-defined]

    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(tuples(*drawn))
    def run(values: tuple[Any, ...]) -> None:
        body(*values)

    run()
