"""anvil as a child process that dies with its node."""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Sequence

from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from rollup_node.errors import EngineFailed

START_SECONDS = 10.0
"""Longest wait for the engine's first answer (usually 40 ms)."""
POLL_SECONDS = 0.01
_PR_SET_PDEATHSIG = 1


class AnvilProcess:
    """One anvil; its output goes where the node's own output goes."""

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = argv
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, client: Client) -> None:
        """Start it and wait for a whole answer to a real request.

        Raises:
            EngineFailed: it ended, or did not answer in time.
        """
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv, stdin=asyncio.subprocess.DEVNULL, preexec_fn=_die_with_parent
            )
        except OSError as exc:
            raise EngineFailed(f"{self._argv[0]} cannot be started: {exc}; run 'make setup'") from exc
        try:
            async with asyncio.timeout(START_SECONDS):
                while self._process.returncode is None:
                    try:
                        await client.call("eth_chainId", deadline=1.0)
                    except PeerUnreachable:
                        await asyncio.sleep(POLL_SECONDS)
                    else:
                        return
        except TimeoutError as exc:
            raise EngineFailed(f"the engine did not answer within {START_SECONDS:.0f} s") from exc
        raise EngineFailed(
            f"the engine ended with exit code {self._process.returncode}: its words are in this node's log"
        )

    async def stop(self) -> None:
        """Kill it (its state is worth nothing: the node replays); safe to run twice."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def wait(self) -> int:
        """Exit code, once it has ended by itself."""
        if self._process is None:
            raise EngineFailed("the engine is not running")
        return await self._process.wait()


def _die_with_parent() -> None:
    """Ask the kernel to kill this child when the node goes, also by SIGKILL (Linux; elsewhere the process group does it)."""
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
