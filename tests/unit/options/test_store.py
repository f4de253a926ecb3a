"""What was acknowledged is there after a death at any step, torn ends are cut off, and damage is told and never taken for state."""

import os
import random
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.wire.disk import Disk
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.book.matching import submit
from rollup_node.engines.options.book.orders import Side
from rollup_node.engines.options.state.leaves import Account, Globals
from rollup_node.engines.options.state.snapshot import dump, load
from rollup_node.engines.options.state.store import Recovered, Store, StoredBlock, StoredState, StoreFailed
from rollup_node.engines.options.state.world import World

EVERY = 4
"""Blocks between checkpoints."""


def execute(world: World, number: int) -> bytes:
    """A block on a real world: some orders and accounts, all from its number; gives what is kept of it, its root at the end."""
    chance = random.Random(number)
    world.globals = Globals(number=number)
    for _ in range(8):
        world.accounts[chance.randrange(40)] = Account(bytes(20), cash=chance.randrange(10**9))
        submit(world.book(1), chance.randrange(40), chance.choice(list(Side)), chance.randrange(1, 60), 5)
    world.seal(number)
    return number.to_bytes(8, "big") + world.root()


def come_back(recovered: Recovered) -> World:
    """The state by checkpoint and replay; every replayed block has the root that it had."""
    world = World() if recovered.checkpoint is None else load(recovered.checkpoint.state)
    for block in recovered.blocks:
        assert block.payload == execute(world, block.number)
    return world


def run(store: Store, world: World, first: int, last: int, acknowledge: Callable[[int], None]) -> None:
    """What a node does."""
    for number in range(first, last + 1):
        payload = execute(world, number)
        store.append(number, payload)
        acknowledge(number)
        if number % EVERY == 0:
            store.checkpoint(number, payload, dump(world))


class Unsynced(Disk):
    """Where nothing dies, nothing needs to be waited for."""

    def sync(self, descriptor: int) -> None:
        """See the base."""

    def sync_all(self, descriptor: int) -> None:
        """See the base."""

    def sync_folder(self, folder: Path) -> None:
        """See the base."""


def read(folder: Path) -> Recovered:
    """As a node does that starts."""
    store = Store(folder, Unsynced())
    try:
        return store.recover()
    finally:
        store.close()


def head(recovered: Recovered) -> int:
    """Last block."""
    if recovered.blocks:
        return recovered.blocks[-1].number
    return recovered.checkpoint.number if recovered.checkpoint else 0


def state_after(number: int) -> bytes:
    """By a node that never died."""
    world = World()
    for one in range(1, number + 1):
        execute(world, one)
    return dump(world)


class Died(BaseException):
    """The process is gone."""


class MortalDisk(Unsynced):
    """Dies at a chosen system call: before it, or with half of a write done."""

    def __init__(self, calls: int, *, torn: bool) -> None:
        self.left, self.torn = calls, torn

    def _step(self) -> bool:
        self.left -= 1
        return self.left < 0

    def write(self, descriptor: int, data: bytes | memoryview) -> int:
        """Append."""
        if self._step():
            if self.torn:
                super().write(descriptor, data[: len(data) // 2])
            raise Died
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """See the base."""
        self._live()
        super().sync(descriptor)

    def sync_all(self, descriptor: int) -> None:
        """See the base."""
        self._live()
        super().sync_all(descriptor)

    def sync_folder(self, folder: Path) -> None:
        """See the base."""
        self._live()
        super().sync_folder(folder)

    def cut(self, descriptor: int, size: int) -> None:
        """See the base."""
        self._live()
        super().cut(descriptor, size)

    def _live(self) -> None:
        if self._step():
            raise Died


@pytest.mark.parametrize("torn", [False, True])
def test_a_death_at_any_system_call_costs_nothing_that_was_acknowledged(tmp_path: Path, torn: bool) -> None:
    """What comes back is every acknowledged block and at most one more, none called damage.

    Ten blocks with checkpoints, killed at the first, second, ... call of the disk until it lives; the state is that of a
    node that never died.
    """
    states = {number: state_after(number) for number in range(11)}
    for calls in range(200):
        folder, known = tmp_path / str(calls), 0

        def acknowledge(number: int) -> None:
            nonlocal known
            known = number

        lived = False
        try:
            run(Store(folder, MortalDisk(calls, torn=torn)), World(), 1, 10, acknowledge)
            lived = True
        except Died:
            pass
        recovered = read(folder)
        assert () == recovered.damage
        assert head(recovered) in {known, known + 1}
        assert states[head(recovered)] == dump(come_back(recovered))
        if lived:
            assert calls > 20
            return
    raise AssertionError("it never lived")


def test_a_node_that_dies_again_and_again_while_it_recovers_still_comes_back(tmp_path: Path) -> None:
    """A torn log; recovery is killed at each of its own calls; then it runs, and goes on where it was."""
    store = Store(tmp_path)
    run(store, World(), 1, 6, lambda number: None)
    store.close()
    with (tmp_path / "blocks.log").open("ab") as log:
        log.write(b"\0\0\0\x20 half of a record")
    (tmp_path / "blocks.log").write_bytes((tmp_path / "blocks.log").read_bytes()[:-18] + b"\0\0\0\x05")
    for calls in range(3):
        with pytest.raises(Died):
            Store(tmp_path, MortalDisk(calls, torn=False)).recover()
    recovered = read(tmp_path)
    assert (6, ()) == (head(recovered), recovered.damage)
    world, store = come_back(recovered), Store(tmp_path)
    run(store, world, 7, 9, lambda number: None)
    assert (9, state_after(9)) == (head(read(tmp_path)), dump(come_back(read(tmp_path))))


CHILD = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("life", sys.argv[1])
life = importlib.util.module_from_spec(spec)
spec.loader.exec_module(life)
store = life.Store(Path(sys.argv[2]))
recovered = store.recover()
assert not recovered.damage, recovered.damage
world = life.come_back(recovered)
def acknowledge(number):
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
print("up", flush=True)
life.run(store, world, life.head(recovered) + 1, 10**9, acknowledge)
"""


def test_a_real_process_that_is_killed_at_random_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """SIGKILL in the middle of real work, four lives on the same files: after each, every block that it said it has is there."""
    seed = random.Random(os.getpid())
    known = 0
    for _ in range(4):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, __file__, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        try:
            assert "up\n" == child.stdout.readline()
            for _ in range(seed.randrange(1, 12)):
                known = int(child.stdout.readline())
            time.sleep(
                seed.random() * 0.01
            )  # somewhere in the middle of its next steps, not at an edge of them
        finally:
            child.send_signal(signal.SIGKILL)
            said = child.stdout.read().split("\n")
            child.wait()
        known = max([known, *map(int, said[:-1])])
        recovered = read(tmp_path)
        assert () == recovered.damage
        assert head(recovered) in {known, known + 1}
        assert state_after(head(recovered)) == dump(come_back(recovered))


def written(folder: Path, last: int = 4) -> tuple[list[bytes], list[int]]:
    """Payloads of blocks in a log, and where each record ends."""
    store, payloads, ends = Store(folder, Unsynced()), [], [0]
    for number in range(1, last + 1):
        payloads.append(keccak256(bytes([number])) * number)
        store.append(number, payloads[-1])
        ends.append((folder / "blocks.log").stat().st_size)
    store.close()
    return payloads, ends


def test_a_log_cut_at_any_byte_holds_the_whole_records_before_it(tmp_path: Path) -> None:
    """Wherever a crash has cut it: the torn record is gone, nothing is called damage, and appending goes on."""
    payloads, ends = written(tmp_path)
    content = (tmp_path / "blocks.log").read_bytes()
    for cut in range(len(content) + 1):
        (tmp_path / "blocks.log").write_bytes(content[:cut])
        whole = sum(end <= cut for end in ends[1:])
        expected = tuple(StoredBlock(number, payloads[number - 1]) for number in range(1, whole + 1))
        assert Recovered(None, expected, ()) == read(tmp_path)
        assert ends[whole] == (tmp_path / "blocks.log").stat().st_size


def test_a_changed_byte_is_told_and_no_block_from_there_on_counts(tmp_path: Path) -> None:
    """In any record but the last: it is damage, the blocks before it come back, the rest is kept aside, and the next start is clean."""
    payloads, ends = written(tmp_path)
    content = (tmp_path / "blocks.log").read_bytes()
    for place in range(ends[-2]):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        (tmp_path / "blocks.log").write_bytes(damaged)
        recovered = read(tmp_path)
        whole = sum(end <= place for end in ends[1:])
        assert payloads[:whole] == [block.payload for block in recovered.blocks]
        (told,) = recovered.damage
        assert f"at byte {ends[whole]}" in told
        assert bytes(damaged[ends[whole] :]) == (tmp_path / f"blocks.damaged-{ends[whole]}").read_bytes()
        assert () == read(tmp_path).damage


def test_a_last_record_that_power_loss_left_empty_is_torn_not_damaged(tmp_path: Path) -> None:
    """The file has its new length, and zeros where the record was to be, in whole or from some page on."""
    payloads, ends = written(tmp_path)
    content = (tmp_path / "blocks.log").read_bytes()
    for kept in (0, 25, 60):
        tail = content[ends[-2] : ends[-2] + kept]
        (tmp_path / "blocks.log").write_bytes(content[: ends[-2]] + tail + bytes(ends[-1] - ends[-2] - kept))
        assert (payloads[:-1], ()) == (
            [block.payload for block in read(tmp_path).blocks],
            read(tmp_path).damage,
        )


def test_blocks_that_were_gone_back_from_do_not_come_back(tmp_path: Path) -> None:
    """A rewind is kept like a block; so are those that take the place of others, and checkpoints of blocks that are gone are gone."""
    store = Store(tmp_path)
    for number in range(1, 7):
        store.append(number, b"old %d" % number)
    store.checkpoint(2, b"old 2", b"state 2")
    store.checkpoint(5, b"old 5", b"state 5")
    store.rewind(3)
    assert (2, [3]) == (head_of(read(tmp_path)), [block.number for block in read(tmp_path).blocks])
    store.append(4, b"new 4")
    store.append(5, b"new 5")
    store.append(5, b"newer 5")
    store.close()
    recovered = read(tmp_path)
    assert StoredState(2, b"state 2") == recovered.checkpoint
    assert [b"old 3", b"new 4", b"newer 5"] == [block.payload for block in recovered.blocks]


def head_of(recovered: Recovered) -> int:
    """Number of the checkpoint."""
    assert recovered.checkpoint is not None
    return recovered.checkpoint.number


def test_a_checkpoint_counts_only_whole_and_beside_its_block(tmp_path: Path) -> None:
    """Damaged, of another block, or of one that the log doesn't hold: told, and the one before it is used; an unfinished one isn't looked at."""
    store = Store(tmp_path)
    for number in range(1, 9):
        store.append(number, b"block %d" % number)
    store.checkpoint(3, b"block 3", b"state 3")
    store.checkpoint(6, b"block 6", b"state 6")
    store.close()
    (tmp_path / "checkpoint.new").write_bytes(b"half of")
    assert (StoredState(6, b"state 6"), ()) == (read(tmp_path).checkpoint, read(tmp_path).damage)
    whole = (tmp_path / "checkpoint-6.state").read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / "checkpoint-6.state").write_bytes(damaged)
        recovered = read(tmp_path)
        assert (3, [4, 5, 6, 7, 8], 1) == (
            head_of(recovered),
            [block.number for block in recovered.blocks],
            len(recovered.damage),
        )
    (tmp_path / "checkpoint-6.state").write_bytes(whole)
    (tmp_path / "blocks.log").write_bytes((tmp_path / "blocks.log").read_bytes()[:120])
    recovered = read(tmp_path)
    assert recovered.checkpoint is None or recovered.checkpoint.number == 3
    assert any("doesn't hold its block 6" in told for told in recovered.damage)


def test_only_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    """Older ones are deleted, newer never."""
    store = Store(tmp_path)
    for number in range(1, 6):
        store.append(number, b"x")
        store.checkpoint(number, b"x", b"state")
    store.close()
    assert {"checkpoint-4.state", "checkpoint-5.state", "blocks.log"} == {
        path.name for path in tmp_path.iterdir()
    }


def test_a_disk_that_refuses_stops_the_store(tmp_path: Path) -> None:
    """Full, or failing to sync: said with the file, never swallowed."""

    class FullDisk(Disk):
        def write(self, descriptor: int, data: bytes | memoryview) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(StoreFailed, match=r"blocks.log.*No space left"):
        Store(tmp_path, FullDisk()).append(1, b"x")
    with pytest.raises(StoreFailed, match="No space left"):
        Store(tmp_path, FullDisk()).checkpoint(1, b"x", b"state")


def test_records_are_laid_out_as_the_page_says(tmp_path: Path) -> None:
    """A block's bytes, written by hand."""
    written(tmp_path, 1)
    payload = keccak256(b"\1")
    header = (32).to_bytes(4, "big") + b"\0" + (1).to_bytes(8, "big") + zlib.crc32(payload).to_bytes(4, "big")
    assert header + zlib.crc32(header).to_bytes(4, "big") + payload == (tmp_path / "blocks.log").read_bytes()
