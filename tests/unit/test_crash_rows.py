"""Every crash point has a test that crashes a real node there."""

from itertools import chain
from pathlib import Path

from bridge.wire.crash_points import CRASH_POINTS
from orchestrator.chaos.crashes import is_at_boot
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


def test_points_of_an_engine_are_met_where_it_is() -> None:
    """Rows of options rollups are crashed on one; no other row has a point that only those pass, and theirs has none of EVM rollups."""
    found = {name: named(value) for name, value in vars(rows).items() if name.isupper()}
    options = set(chain.from_iterable(some for name, some in found.items() if name.startswith("OPTIONS_")))
    others = set(chain.from_iterable(some for name, some in found.items() if not name.startswith("OPTIONS_")))
    assert {"options"} == {CRASH_POINTS[name].engine for name in options}
    assert {"", "evm"} == {CRASH_POINTS[name].engine for name in others}


def test_points_of_a_boot_are_ordered_before_it() -> None:
    """A scenario's order for one of them lies in a file when the node starts: a node that runs wouldn't come there."""
    found = {name: named(value) for name, value in vars(rows).items() if name.endswith("_AT_BOOT")}
    assert 4 == len(found)
    assert [] == [point for some in found.values() for point in some if not is_at_boot(point)]


def test_every_row_is_used(repository: Path) -> None:
    """Each constant of ``rows`` is read by a test module of the chaos ring."""
    text = "".join(
        path.read_text() for path in sorted((repository / "tests" / "chaos").glob("test_crash_points*.py"))
    )
    assert [] == [name for name in vars(rows) if name.isupper() and name not in text]
