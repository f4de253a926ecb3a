"""The history of a load: what was noted survives the death of who notes it, and is read as it was meant."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.load.history import (
    History,
    Kind,
    Leg,
    Result,
    Sighting,
    SlotSeen,
    UnreadableHistory,
    read_history,
    slot_digest,
)

LEG = Leg("alpha", "0xaa", "0xbb", 3, "0xcc", 7, ("0xdd", -5, 100))


def test_operations_are_put_together_from_their_lines(tmp_path: Path) -> None:
    """An operation is its invocation, its acknowledgement and its end, in whichever order lines of others come between."""
    path = tmp_path / "history.jsonl"
    with History(path) as history:
        first = history.invoke(Kind.BUNDLE, "0x01", [LEG], 5, work="strategy")
        second = history.invoke(Kind.DEPOSIT, "0x02", [], 6)
        third = history.invoke(Kind.TRANSACTION, "0x03", [LEG], 7)
        history.acknowledge(second)
        history.acknowledge(first)
        history.fail(third, "refused", attempts=2)
        history.ok(first, "committed")
    one, two, three = read_history(path).operations
    assert (Result.OK, "committed", True, True) == (
        one.result,
        one.outcome,
        one.acknowledged,
        one.took_effect,
    )
    assert ((LEG,), 5, "strategy") == (one.legs, one.intended_ns, one.attrs["work"])
    assert one.intended_ns < one.invoked_ns <= (one.acknowledged_ns or 0) <= (one.ended_ns or 0)
    assert (Result.INFO, True, None, None) == (two.result, two.acknowledged, two.ended_ns, two.took_effect)
    assert (Result.FAIL, False, 2, False) == (
        three.result,
        three.acknowledged,
        three.attempts,
        three.took_effect,
    )
    assert (one.ended_ns or 0) - one.intended_ns == one.latency_ns


def test_only_the_first_end_counts(tmp_path: Path) -> None:
    """What a client learned is what it learned first."""
    path = tmp_path / "history.jsonl"
    with History(path) as history:
        op = history.invoke(Kind.BUNDLE, "0x01", [LEG], 5)
        history.info(op, "no answer")
        history.ok(op, "committed")
    assert [Result.INFO] == [one.result for one in read_history(path).operations]


def test_a_later_load_goes_on_counting(tmp_path: Path) -> None:
    """Two loads of one run share its history and no number."""
    path = tmp_path / "history.jsonl"
    for _ in range(3):
        with History(path) as history:
            history.invoke(Kind.BUNDLE, "0x01", [LEG], 5)
    assert [0, 1, 2] == [one.op for one in read_history(path).operations]


def test_sightings_come_back_as_they_were(tmp_path: Path) -> None:
    """Heads and slots of an onlooker survive the file."""
    seen = Sighting("alpha", 1, 2, heads={"latest": (7, "0xaa")})
    other = Sighting("sequencer", 1, 2, slots=(SlotSeen(3, "ff"),), waiting=4)
    with History(tmp_path / "history.jsonl") as history:
        history.sighting(seen)
        history.sighting(other)
    assert (seen, other) == read_history(tmp_path / "history.jsonl").sightings


def test_a_missing_history_is_empty(tmp_path: Path) -> None:
    """A run without a load has none."""
    assert () == read_history(tmp_path / "history.jsonl").operations


@given(st.integers(1, 200))
def test_a_torn_end_costs_one_line(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Wherever the last write was cut off, all lines before it are there, and a later load can go on."""
    path = tmp_path_factory.mktemp("torn") / "history.jsonl"
    with History(path) as history:
        for _ in range(3):
            history.invoke(Kind.BUNDLE, "0x01", [LEG], 5)
    whole = path.read_bytes()
    size = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -min(cut, size - 1)])
    before = read_history(path)
    assert len(before.operations) in (2, 3)  # three if only the end of the line was cut off
    assert 3 == len(before.operations) + before.torn
    with History(path) as history:
        history.invoke(Kind.BUNDLE, "0x09", [LEG], 5)
    assert len(before.operations) + 1 == len(read_history(path).operations)


def test_a_piece_in_the_middle_is_damage_unless_its_writer_died(tmp_path: Path) -> None:
    """The end of a file may be torn, and so may what a later load wrote behind; a line that others follow without a word was lost by somebody."""
    path = tmp_path / "history.jsonl"
    with History(path) as history:
        for number in range(4):
            history.invoke(Kind.BUNDLE, f"0x0{number}", [LEG], 5)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    end = read_history(path)
    assert (3, 1, 0) == (len(end.operations), end.torn, end.damaged)
    with History(path) as history:
        history.invoke(Kind.BUNDLE, "0x09", [LEG], 5)
    behind = read_history(path)
    assert (4, 1, 0) == (len(behind.operations), behind.torn, behind.damaged)
    path.write_bytes(lines[0][:30] + b"\n" + b"".join(lines[1:]))
    middle = read_history(path)
    assert (3, 1, 1) == (len(middle.operations), middle.torn, middle.damaged)


def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operating system may take fewer bytes than it was given; no line is cut by that."""
    path = tmp_path / "history.jsonl"
    write = os.write
    with History(path) as history, monkeypatch.context() as patched:
        patched.setattr(os, "write", lambda fd, data: write(fd, bytes(data[:7])))
        history.acknowledge(history.invoke(Kind.DEPOSIT, "0x01", [LEG], 5), l1_block=9)
    found = read_history(path)
    assert (0, 9) == (found.torn, found.operations[0].l1_block)


def test_a_write_that_fails_costs_its_own_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the disk full for a moment, half a line stands there; what is written later begins behind it, and says so."""
    path = tmp_path / "history.jsonl"
    write = os.write
    given: list[bytes] = []

    def full(fd: int, data: bytes) -> int:
        if given:
            raise OSError(errno.ENOSPC, "no space left")
        given.append(data)
        return write(fd, bytes(data[:20]))

    with History(path) as history:
        first = history.invoke(Kind.BUNDLE, "0x01", [LEG], 5)
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            with pytest.raises(OSError, match="no space left"):
                history.acknowledge(first)
        history.ok(first, "committed", slot=3)
    found = read_history(path)
    assert (1, 0) == (found.torn, found.damaged)
    (one,) = found.operations
    assert (False, "committed", 3) == (one.acknowledged, one.outcome, one.slot)


@pytest.mark.parametrize("line", [b'{"op": 1}', b"[]", b"hello", b'{"line": "invoke", "op": "x"}'])
def test_lines_of_something_else_are_an_error(tmp_path: Path, line: bytes) -> None:
    """What is whole and no history is named with its line, not read as torn."""
    path = tmp_path / "history.jsonl"
    with History(path) as history:
        history.invoke(Kind.BUNDLE, "0x01", [LEG], 5)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(UnreadableHistory, match="line 2 is no line of a history"):
        read_history(path)


def test_sigkill_loses_nothing_that_was_noted(tmp_path: Path) -> None:
    """Every line whose writer had returned is there when the process was killed the moment after."""
    path = tmp_path / "history.jsonl"
    program = (
        "import os, pathlib, sys; from orchestrator.load.history import History, Kind\n"
        "history = History(pathlib.Path(sys.argv[1]))\n"
        "for _ in range(50): history.acknowledge(history.invoke(Kind.BUNDLE, '0x01', [], 5))\n"
        "os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=30)
    assert -signal.SIGKILL == ended.returncode
    found = read_history(path)
    assert (50, 0) == (len(found.operations), found.torn)
    assert all(one.acknowledged and one.result is Result.INFO for one in found.operations)


def test_a_slot_is_named_by_all_that_is_in_it_but_causes() -> None:
    """Decisions count, the sequencer's own journal does not, and nor does the order of keys."""
    slot = {"number": 1, "decisions": [{"id": "0x01", "outcome": "commit"}], "causes": {"0x01": "a/1/2"}}
    assert slot_digest(slot) == slot_digest(dict(reversed(slot.items())) | {"causes": {}})
    assert slot_digest(slot) != slot_digest({**slot, "decisions": [{"id": "0x01", "outcome": "abort"}]})
