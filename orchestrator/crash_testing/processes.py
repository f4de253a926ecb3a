"""Sequencers beside those of a devnet: processes of a test's own, with the configuration of a real one."""

import asyncio
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from orchestrator.crash_testing.world import CrashWorld


async def environment_of(world: CrashWorld, node: str) -> dict[str, str]:
    """What a running node was told, placeholders filled in: its process's own environment."""
    status = await world.net.node(node).status()
    found = Path(f"/proc/{status.pid}/environ").read_bytes().split(b"\0")
    return dict(pair.decode().split("=", 1) for pair in found if b"=" in pair)


async def own_process(environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """A sequencer of this environment; the caller ends it."""
    command = (sys.executable, "-m", "shared_sequencer")
    return await asyncio.create_subprocess_exec(*command, env=environment, stderr=asyncio.subprocess.DEVNULL)


def free_port() -> int:
    """A TCP port that nobody has at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
