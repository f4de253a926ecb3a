"""A scratch anvil: runs constructors and set-up calls once, so that a rollup's genesis can hold what they leave.

The port is anvil's own choice, so concurrent scratch engines never meet; the process dies with the context, or with us.
"""

import asyncio
import contextlib
import os
import platform
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from bridge.wire.jsonrpc import Client
from orchestrator.market.errors import GenesisError
from orchestrator.runtimes.life import tie_to

_START_S = 10.0
"""Seconds that anvil may take to listen; it needs about 40 ms."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_LISTENING = b"Listening on "


@contextlib.asynccontextmanager
async def scratch_anvil(*arguments: str) -> AsyncIterator[Client]:
    """A fresh anvil that mines on request, in the order of submission, with any sender unlocked.

    Args:
        arguments: further options of anvil.

    Raises:
        GenesisError: anvil is not installed or doesn't start.
    """
    process = await asyncio.create_subprocess_exec(
        str(anvil_binary()),
        *("--host", "127.0.0.1", "--port", "0", "--accounts", "0"),
        *("--auto-impersonate", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        preexec_fn=tie_to(os.getpid()) if sys.platform == "linux" else None,
    )
    try:
        async with Client(f"http://{await _address(process)}") as client:
            await client.call("anvil_setLoggingEnabled", False)  # nobody drains its output from here on
            yield client
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


def anvil_binary() -> Path:
    """The native anvil: npm's, else the one on the PATH.

    Raises:
        GenesisError: there is none.
    """
    system = "win32" if sys.platform == "win32" else platform.system().lower()
    machine = _ARCHITECTURES.get(platform.machine(), platform.machine())
    packages = Path(__file__).parents[2] / "node_modules" / "@foundry-rs"
    npm = packages / f"anvil-{system}-{machine}" / "bin" / "anvil"
    if npm.exists():
        return npm
    found = shutil.which("anvil")
    if found is None:
        raise GenesisError(f"anvil is neither at {npm} nor on the PATH", "run npm ci")
    return Path(found)


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    said: list[bytes] = []
    try:
        async with asyncio.timeout(_START_S):
            async for line in process.stdout:
                if line.startswith(_LISTENING):
                    return line.removeprefix(_LISTENING).decode().strip()
                said.append(line)
    except TimeoutError:
        pass
    last = b"".join(said[-5:]).decode(errors="replace")
    raise GenesisError(
        f"anvil did not listen within {_START_S:g} s; it said last:\n{last}", "run npm ci again"
    )
