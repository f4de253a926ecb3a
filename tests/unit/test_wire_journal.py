"""Facts that are noted late: a message's hash is known only once its transaction is in a block."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from bridge.wire.journal import Event, Journal, read_journal
from orchestrator.tracing.tail import Tail


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ago_ns=some.integers(0, 10**12))
def test_a_fact_that_is_noted_late_has_the_time_at_which_it_happened(tmp_path: Path, ago_ns: int) -> None:
    """Both clocks go back by the same; the numbering is that of the writing."""
    path = tmp_path / "client.jsonl"
    path.unlink(missing_ok=True)
    before = time.monotonic_ns(), time.time_ns()
    with Journal(path, "client", "client") as journal:
        journal.emit("message.submitted", msg_id="0x11", at_ns=before[0] - ago_ns)
        journal.emit("message.submitted", msg_id="0x12")
    late, now = read_journal(path)
    after_ns = time.time_ns()

    assert before[0] - ago_ns == late.mono_ns
    assert before[1] - ago_ns - 10**6 <= late.wall_ns <= after_ns - ago_ns
    assert [0, 1] == [late.seq, now.seq]
    assert now.mono_ns >= before[0]


def test_a_fact_cannot_be_noted_before_it_happens(tmp_path: Path) -> None:
    """A time in the future is a mistake of the caller; nothing is written and no number is used up."""
    path = tmp_path / "client.jsonl"
    with Journal(path, "client", "client") as journal:
        with pytest.raises(ValueError, match=r"message\.submitted can't be noted"):
            journal.emit("message.submitted", at_ns=time.monotonic_ns() + 10**9)
        journal.emit("node.started")

    assert [("node.started", 0)] == [(event.event, event.seq) for event in read_journal(path)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(cuts=some.lists(some.integers(1, 400), max_size=12), torn=some.booleans())
def test_a_tail_reads_every_whole_line_once(
    tmp_path: Path, cuts: list[int], torn: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However the writing is cut into pieces, and with a torn line in the middle, each event comes out once."""
    folder = tmp_path_factory.mktemp("tail")
    with Journal(folder / "whole.jsonl", "client", "client") as journal:
        for number in range(8):
            journal.emit("message.submitted", msg_id=f"0x{number:064x}")
    lines = (folder / "whole.jsonl").read_bytes().splitlines(keepends=True)
    if torn:
        lines.insert(4, b'{"event":"message.se\n')
    written = b"".join(lines)
    tail, found = Tail([folder / "late.jsonl"]), []
    assert [] == tail.poll()
    add: Callable[[list[Event]], None] = found.extend
    with (folder / "late.jsonl").open("ab", buffering=0) as late:
        for size in cuts:
            piece, written = written[:size], written[size:]
            late.write(piece)
            add(tail.poll())
        late.write(written)
        add(tail.poll())

    assert list(range(8)) == [event.seq for event in found]
    assert [] == tail.poll()
