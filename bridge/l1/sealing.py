"""Side-cars made beside a node's event loop.

The problem: the KZG library holds the interpreter's lock in all it does, so a thread is no help, and a node that reads the trusted
set-up (two seconds) or proves a blob (up to 100 ms) would miss slots. The choice: a child process with a pipe in and a pipe
out, ``python -m bridge.l1.sealing``; it ends when the pipe does, so it can't outlive the node. Rejected: ``ProcessPoolExecutor``, whose
workers outlive a parent that is killed.

Both directions: four bytes of length, then that many bytes. In: blobs, one after the other. Out: commitments, then proofs; nothing at
all if what came in were no blobs.
"""

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from bridge.l1.errors import SealerFailed
from bridge.wire.blobs import BLOB_BYTES, Sidecar, sidecar, trusted_setup
from bridge.wire.errors import Malformed

_LENGTH = 4
_POINT = 48
"""Bytes of a commitment or a proof."""
_SEAL_S = 60.0
"""Longest time for one side-car, seconds; a loaded machine needs two for the first."""


class Sealer:
    """Makes side-cars, one at a time, in a child process that is started when it is first needed."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Start the child now, so that the first side-car doesn't wait for the trusted set-up."""
        async with self._lock:
            await self._running()

    async def seal(self, blobs: Sequence[bytes]) -> Sidecar:
        """Commit to blobs and prove the commitments.

        Raises:
            Malformed: a blob has the wrong size, or an element above the modulus.
            SealerFailed: the child process broke down.
        """
        if any(len(blob) != BLOB_BYTES for blob in blobs):
            raise Malformed(f"a blob has {BLOB_BYTES} bytes")
        async with self._lock:
            child = await self._running()
            try:
                async with asyncio.timeout(_SEAL_S):
                    points = await _exchange(child, b"".join(blobs))
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
                await self._end()
                raise SealerFailed(
                    f"the blob prover broke down ({exc!r}); its own words are in the log"
                ) from exc
            except BaseException:
                await self._end()  # given up halfway: the answer would be taken for that to the next call
                raise
        if len(points) != 2 * _POINT * len(blobs):
            raise Malformed("a blob has an element above the field's modulus")
        parts = [points[start : start + _POINT] for start in range(0, len(points), _POINT)]
        return Sidecar(tuple(blobs), tuple(parts[: len(blobs)]), tuple(parts[len(blobs) :]))

    async def close(self) -> None:
        """End the child; safe to run twice."""
        await asyncio.shield(self._end())

    async def _running(self) -> asyncio.subprocess.Process:
        if self._child is None or self._child.returncode is not None:
            self._child = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bridge.l1.sealing"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        return self._child

    async def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()


async def _exchange(child: asyncio.subprocess.Process, question: bytes) -> bytes:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(len(question).to_bytes(_LENGTH, "big") + question)
    await child.stdin.drain()
    size = int.from_bytes(await child.stdout.readexactly(_LENGTH), "big")
    return await child.stdout.readexactly(size)


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the pipe ends."""
    trusted_setup()
    while len(head := questions.read(_LENGTH)) == _LENGTH:
        body = questions.read(int.from_bytes(head, "big"))
        blobs = [body[start : start + BLOB_BYTES] for start in range(0, len(body), BLOB_BYTES)]
        try:
            made = sidecar(blobs)
            answer = b"".join((*made.commitments, *made.proofs))
        except Malformed:
            answer = b""
        answers.write(len(answer).to_bytes(_LENGTH, "big") + answer)
        answers.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, sys.stdout.buffer)
