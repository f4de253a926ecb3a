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


def test_every_invariant_of_an_options_rollup_has_its_mutants(repository: Path) -> None:
    """I1 to I13 have a row each; the mutants that it names exist, and those of the engine's own hunt are all named in the right one."""
    table = (repository / "docs" / "reference" / "safety.md").read_text()
    rows = {row.split()[1]: row for row in table.splitlines() if row.startswith("| I") and row[3].isdigit()}
    assert [f"I{number}" for number in range(1, 14)] == list(rows)
    text = "".join(path.read_text() for path in (repository / "tests/unit").rglob("test_*.py"))
    named = {which: re.findall("`([^`]+)`", row.split(" | ")[-1]) for which, row in rows.items()}
    known = {
        which: [one for one in some if f"def _{one}(" in text or f'"{one}"' in text]
        for which, some in named.items()
    }
    assert known == named
    hunted = re.findall(r'\("(I\d+)", [\w.]+, "\w+", _(\w+)\)', text)
    assert [] == [(which, mutant) for which, mutant in hunted if mutant not in named[which]]
    assert [] == [which for which, some in named.items() if not some]
