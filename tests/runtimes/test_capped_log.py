"""The capped log keeps the newest bytes, never too many, never too few."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.runtimes.logfile import CappedLog

CHUNKS = st.lists(
    st.lists(st.sampled_from([b"", b"a", b"line\n", b"\n", b"w" * 70, b"v" * 300])).map(b"".join), max_size=30
)


def kept(path: Path) -> bytes:
    """What is on disk, oldest first."""
    older = path.with_name(path.name + ".1")
    return (older.read_bytes() if older.exists() else b"") + path.read_bytes()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(chunks=CHUNKS, cap=st.integers(2, 400))
def test_what_is_kept_is_the_end_of_what_was_written(tmp_path: Path, chunks: list[bytes], cap: int) -> None:
    """The files hold a suffix of everything written, at most the cap, and all of it if it fits half the cap."""
    for path in tmp_path.iterdir():
        path.unlink()
    log = CappedLog(tmp_path / "node.log", cap)
    for chunk in chunks:
        log.write(chunk)
    log.close()
    written, found = b"".join(chunks), kept(tmp_path / "node.log")
    assert written.endswith(found)
    assert len(found) <= cap
    assert len(written) > cap // 2 or written == found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(lines=st.lists(st.text("abc", max_size=20), min_size=1, max_size=100))
def test_lines_stay_whole(tmp_path: Path, lines: list[str]) -> None:
    """As long as lines are shorter than half the cap, none is cut, and at least half the cap less one line is kept."""
    for path in tmp_path.iterdir():
        path.unlink()
    log = CappedLog(tmp_path / "node.log", 200)
    log.write("".join(f"{line}\n" for line in lines).encode())
    shown = log.tail(1000)
    log.close()
    assert tuple(lines[len(lines) - len(shown) :]) == shown
    size = sum(len(line) + 1 for line in lines)
    assert sum(len(line) + 1 for line in shown) >= min(size, 100 - 21)


def test_tail_is_bounded(tmp_path: Path) -> None:
    """Asking for no lines gives none; asking for more than there are gives all."""
    log = CappedLog(tmp_path / "node.log", 4096)
    log.write(b"one\ntwo\nthree")
    assert ((), ("three",), ("one", "two", "three")) == (log.tail(0), log.tail(1), log.tail(99))
    log.close()


def test_a_second_life_appends(tmp_path: Path) -> None:
    """Opening the log again keeps what is there and counts it against the cap."""
    for text in (b"first\n", b"second\n", b"third\n"):
        log = CappedLog(tmp_path / "node.log", 26)
        log.write(text)
        log.close()
    assert b"first\nsecond\nthird\n" == kept(tmp_path / "node.log")
    assert (tmp_path / "node.log.1").exists()


def test_a_full_disk_costs_lines_not_the_node() -> None:
    """When the device is full, writing loses the data, counts it, and does not raise."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    log = CappedLog(full, 1000)
    log.write(b"lost\n")
    log.close()
    assert len(b"lost\n") == log.lost_bytes
