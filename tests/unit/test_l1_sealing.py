"""Side-cars from the child process: the same as in this one, after whatever happens to the child, and no child is left."""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bridge.l1.errors import SealerFailed
from bridge.l1.sealing import Sealer
from bridge.wire.blobs import BLOB_BYTES, encode_blobs, sidecar
from bridge.wire.errors import Malformed

BLOBS = encode_blobs(b"a small batch" * 40)
ABOVE_MODULUS = b"\x7f" + b"\xff" * (BLOB_BYTES - 1)


def _child(sealer: Sealer) -> asyncio.subprocess.Process:
    assert sealer._child is not None
    return sealer._child


async def test_a_child_seals_without_holding_up_its_parent() -> None:
    """Side-cars are right, two at once do not mix, garbage is refused, and the event loop goes on turning meanwhile."""
    longest, last, stop = 0.0, time.monotonic(), asyncio.Event()

    async def turn() -> None:
        nonlocal longest, last
        while not stop.is_set():
            await asyncio.sleep(0.001)
            now = time.monotonic()
            longest, last = max(longest, now - last), now

    async with Sealer() as sealer, asyncio.TaskGroup() as tasks:
        turning = tasks.create_task(turn())
        one, two = await asyncio.gather(sealer.seal(BLOBS), sealer.seal([*BLOBS, bytes(BLOB_BYTES)]))
        with pytest.raises(Malformed):
            await sealer.seal([ABOVE_MODULUS])
        with pytest.raises(Malformed):
            await sealer.seal([b"short"])
        again = await sealer.seal(BLOBS)
        child = _child(sealer)
        stop.set()
        await turning
    assert 0.5 > longest
    assert -9 == child.returncode
    assert (sidecar(BLOBS), sidecar([*BLOBS, bytes(BLOB_BYTES)]), sidecar(BLOBS)) == (one, two, again)


async def test_a_child_that_dies_or_is_given_up_is_replaced() -> None:
    """Killed in the middle it is an error of this call alone; a call that is cancelled leaves no half answer to the next."""
    async with Sealer() as sealer:
        await sealer.start()
        sealing = asyncio.create_task(sealer.seal(BLOBS))
        await asyncio.sleep(0)  # it has asked
        _child(sealer).kill()
        with pytest.raises(SealerFailed):
            await sealing
        await sealer.start()
        cancelled = asyncio.create_task(sealer.seal([bytes(BLOB_BYTES)]))
        await asyncio.sleep(0)
        child = _child(sealer)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert child.returncode is not None
        assert sidecar(BLOBS) == await sealer.seal(BLOBS)
        await sealer.close()
        await sealer.close()


def test_the_child_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    """The pipe's end is the child's end."""
    program = """
        import asyncio, os
        from bridge.l1.sealing import Sealer
        async def main():
            sealer = Sealer()
            await sealer.start()
            print(sealer._child.pid, flush=True)
            os.kill(os.getpid(), 9)
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    pid = int(done.stdout)
    deadline = time.monotonic() + 30
    while _alive(pid):
        assert time.monotonic() < deadline, f"the child {pid} of a killed parent is still there"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
