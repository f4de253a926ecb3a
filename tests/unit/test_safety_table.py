"""The table of what must hold names tests; they must be there."""

import re
from pathlib import Path


def test_every_test_that_the_table_names_exists(repository: Path) -> None:
    """Each ``test_…`` in ``docs/reference/safety.md`` is a test function or a file of tests."""
    table = (repository / "docs" / "reference" / "safety.md").read_text()
    named = set(re.findall(r"`(test_[a-z0-9_]+(?:\.py)?)`", table))
    assert 60 < len(named)
    files = list((repository / "tests").rglob("test_*.py"))
    there = {path.name for path in files}
    for path in files:
        there |= set(re.findall(r"def (test_\w+)\(", path.read_text()))
    assert set() == named - there


def test_every_row_names_a_test(repository: Path) -> None:
    """No rule and no attack of the table is a mere claim."""
    table = (repository / "docs" / "reference" / "safety.md").read_text()
    rows = [line for line in table.splitlines() if line.startswith("| ") and "shown by" not in line]
    assert [] == [row for row in rows if "`test_" not in row]
