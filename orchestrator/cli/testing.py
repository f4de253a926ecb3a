"""The command line as scripts see it, for tests: a process, its exit code, and what it said."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from orchestrator.cli.app import app

COMMAND_S = 60.0
"""Longest time for one command, seconds."""


@dataclass(frozen=True)
class Said:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one JSON document."""
        return orjson.loads(self.out)


Rollnet = Callable[..., Coroutine[Any, Any, Said]]
"""Runs one command to its end, given its arguments."""


@asynccontextmanager
async def started(
    home: Path, root: Path, *arguments: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A running ``rollnet``; killed at the end if it still runs.

    Args:
        home: where devnets are registered.
        root: the folder that it runs in.
        arguments: of the command.
        environment: beside this process's own.
    """
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("rollnet")), *arguments),
        cwd=root,
        env={**os.environ, "ROLLNET_HOME": str(home), "COLUMNS": "200", "TERM": "dumb", **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def begun(process: asyncio.subprocess.Process) -> None:
    """Wait until a started command runs code of ours: a signal that comes before meets the interpreter's own start."""
    maps = Path(f"/proc/{process.pid}/maps")
    while process.returncode is None and orjson.__name__ not in maps.read_text():  # noqa: ASYNC110 - of another process
        await asyncio.sleep(0.002)


async def said(home: Path, root: Path, *arguments: str, within_s: float = COMMAND_S) -> Said:
    """Run one command to its end.

    Raises:
        AssertionError: it shows a traceback.
        TimeoutError: it does not end.
    """
    async with started(home, root, *arguments) as process, asyncio.timeout(within_s):
        out, err = await process.communicate()
    assert process.returncode is not None
    found = Said(process.returncode, out.decode(), err.decode())
    assert "Traceback" not in found.out + found.err, found
    return found


async def within(home: Path, *arguments: str) -> Said:
    """Run one command that waits for nothing within this process, which takes a tenth of the time of one of its own.

    Not beside another one: they would share their standard output.

    Raises:
        AssertionError: it shows a traceback.
    """
    environment = {"ROLLNET_HOME": str(home), "COLUMNS": "200", "TERM": "dumb"}
    found = await asyncio.to_thread(CliRunner(env=environment).invoke, app, arguments)
    assert isinstance(found.exception, SystemExit | None), found.exception
    return Said(found.exit_code, found.stdout, found.stderr)
