"""What a node keeps: whole blocks up to the first damaged line, less those that were taken back, checkpoints, and a term that only rises."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.slot import Block, BundlePart, Payload
from rollup_node.store import Store

HASH = "0x" + "ab" * 32


def block(number: int) -> Block:
    """Some block."""
    parts = (BundlePart(HASH, (0, 2), ("0x02aa", "0x02bb")),) if number % 2 else ()
    return Block(
        901, number, f"0x{number:064x}", HASH, Payload(1_000 + number, ("0x02ff",) * (number % 3), parts)
    )


def _read(folder: Path) -> list[Block]:
    store = Store(folder)
    try:
        return list(store.blocks())
    finally:
        store.close()


def _write(folder: Path, blocks: list[Block]) -> list[int]:
    store, sizes = Store(folder), [0]
    for each in blocks:
        store.append(each)
        sizes.append((folder / "blocks.log").stat().st_size)
    store.close()
    return sizes


def test_blocks_come_back_whole_and_in_order(tmp_path: Path) -> None:
    """Every block of several lives, exactly as it was."""
    assert [] == _read(tmp_path / "new" / "deep")
    _write(tmp_path, [block(1), block(2)])
    _write(tmp_path, [block(3)])
    assert [block(1), block(2), block(3)] == _read(tmp_path)


def test_a_torn_tail_at_every_byte_costs_only_the_torn_block(tmp_path: Path) -> None:
    """Cut anywhere: the whole lines are there, the torn one is cut off, and appending goes on after them."""
    blocks = [block(number) for number in (1, 2, 3)]
    sizes = _write(tmp_path, blocks)
    content = (tmp_path / "blocks.log").read_bytes()
    for cut in range(len(content) + 1):
        (tmp_path / "blocks.log").write_bytes(content[:cut])
        whole = sum(1 for size in sizes[1:] if size <= cut)
        assert blocks[:whole] == _read(tmp_path)
        _write(tmp_path, [block(9)])
        assert [*blocks[:whole], block(9)] == _read(tmp_path)


@given(st.integers(0, 10**6), st.integers(1, 255), st.binary(max_size=30))
@settings(max_examples=100, deadline=None)
def test_damage_anywhere_leaves_a_true_prefix(place: int, flip: int, tail: bytes) -> None:
    """Flip a byte and append rubbish: what is read is a prefix of what was written, and nothing is raised."""
    with tempfile.TemporaryDirectory() as name:
        folder, blocks = Path(name), [block(number) for number in range(1, 5)]
        _write(folder, blocks)
        content = bytearray((folder / "blocks.log").read_bytes())
        content[place % len(content)] ^= flip
        (folder / "blocks.log").write_bytes(bytes(content) + tail)
        found = _read(folder)
        assert blocks[: len(found)] == found
        assert len(found) < len(blocks)


@pytest.mark.parametrize("tail", [b"\n", b"0\n", b"0 \n", b"00000000 \n", b"zz {}\n", bytes(64), b" \n"])
def test_lines_that_are_no_blocks_end_the_log(tmp_path: Path, tail: bytes) -> None:
    """Empty lines with an empty line's checksum, zeros and rubbish are cut off, not decoded."""
    _write(tmp_path, [block(1)])
    content = (tmp_path / "blocks.log").read_bytes()
    (tmp_path / "blocks.log").write_bytes(content + tail + content)
    assert [block(1)] == _read(tmp_path)
    assert content == (tmp_path / "blocks.log").read_bytes()


HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2)),
        st.tuples(st.just("rewind"), st.integers(0, 8)),
        st.tuples(st.just("settle"), st.integers(0, 8)),
        st.tuples(st.just("checkpoint"), st.just(0)),
        st.tuples(st.sampled_from(["read", "reopen", "again from here"]), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(HISTORY)
@settings(max_examples=200, deadline=None)
def test_blocks_are_those_that_count_after_any_history(steps: list[tuple[str, int]]) -> None:
    """Appended, taken back, appended again after damage, over several lives: the log gives the chain, its claims, and what is safe of it."""
    with tempfile.TemporaryDirectory() as name:
        store, chain, safe, judged = Store(Path(name)), list[tuple[Block, str | None]](), 0, 0
        checkpoints: set[int] = set()
        for what, value in steps:
            if what == "append":
                made = replace(block(len(chain) + 1), state_root=f"0x{value:064x}")
                chain.append((made, "claimed" if value == 2 else None))
                store.append(*chain[-1])
            elif (
                what == "again from here"
            ):  # blocks after a damaged line were fetched and are appended once more
                again, chain = chain[value:], chain[:value]
                judged = min(judged, value) if again else judged
                for each in again:
                    chain.append((each[0], None))
                    store.append(each[0])
            elif what == "rewind":
                store.rewind(value)
                chain, safe, judged = chain[:value], min(safe, value), min(judged, value)
                checkpoints = {number for number in checkpoints if number <= value}
            elif what == "settle":
                safe = min(value, len(chain))
                judged = max(judged, safe)
                store.note_judged(safe)
                store.note_settled(safe, safe // 2)
            elif what == "checkpoint":
                checkpoints.add(len(chain))
                store.checkpoint_path(len(chain), HASH).write_bytes(b"state")
            elif what == "reopen":
                store.close()
                store = Store(Path(name))
            assert [each for each, _ in chain] == store.blocks()
            assert [each for each, _ in chain] == [store.block(each.number) for each, _ in chain]
            assert judged == store.judged
            assert {each.number: claim for each, claim in chain if claim} == store.claims
            assert safe == store.safe
            assert store.finalized <= safe
            assert checkpoints == {checkpoint.number for checkpoint in store.checkpoints()}
        store.close()


def test_safe_and_finalized_survive(tmp_path: Path) -> None:
    """In the next life they are what they were; a file that is no number is as good as none."""
    store = Store(tmp_path)
    store.note_settled(9, 4)
    store.close()
    again = Store(tmp_path)
    assert (9, 4) == (again.safe, again.finalized)
    again.close()
    (tmp_path / "safe").write_text("")
    broken = Store(tmp_path)
    assert (0, 4) == (broken.safe, broken.finalized)
    broken.close()


def test_checkpoints_are_found_newest_first_and_thinned_out(tmp_path: Path) -> None:
    """By number, not by name; other files, temporary ones included, are none; the newest are kept."""
    store = Store(tmp_path)
    for number in (9, 100, 20):
        store.checkpoint_path(number, HASH).write_bytes(b"state")
    store.temporary().write_bytes(b"half a state")
    (tmp_path / "checkpoint-7-short.state").write_bytes(b"")
    assert [(100, HASH), (20, HASH), (9, HASH)] == [
        (found.number, found.hash) for found in store.checkpoints()
    ]
    store.keep_checkpoints(2)
    assert [100, 20] == [found.number for found in store.checkpoints()]
    assert store.temporary().exists()
    store.close()


def test_the_term_only_rises_and_survives(tmp_path: Path) -> None:
    """A lower term changes nothing; the highest is there in the next life; a torn file of a temporary write is not read."""
    store = Store(tmp_path)
    assert 0 == store.term
    for term, expected in ((3, 3), (2, 3), (3, 3), (10, 10)):
        store.raise_term(term)
        assert expected == store.term
    store.close()
    (tmp_path / "term.tmp").write_text("99")
    again = Store(tmp_path)
    assert 10 == again.term
    again.close()
    (tmp_path / "term").write_text("rubbish")
    broken = Store(tmp_path)
    assert 0 == broken.term
    broken.close()
