"""Every crash point has a test that crashes a real node there."""

from itertools import chain
from pathlib import Path

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.crash_testing import rows


def named(value: object) -> set[str]:
    """The points in a constant of ``rows``, however deep."""
    if isinstance(value, str):
        return {value}
    return set(chain.from_iterable(map(named, value))) if isinstance(value, tuple) else set()


def test_every_point_is_somebodys() -> None:
    """The rows of all tests together are the table: nothing is left out, and nothing is invented."""
    found = {name: named(value) for name, value in vars(rows).items() if name.isupper()}
    assert set(CRASH_POINTS) == set(chain.from_iterable(found.values()))


def test_every_row_is_used(repository: Path) -> None:
    """Each constant of ``rows`` is read by a test module of the chaos ring."""
    text = "".join(
        path.read_text() for path in sorted((repository / "tests" / "chaos").glob("test_crash_points*.py"))
    )
    assert [] == [name for name in vars(rows) if name.isupper() and name not in text]
