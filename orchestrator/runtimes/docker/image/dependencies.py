"""The Python packages of nodes, unpacked on this host for the Python of a base image, since the build has no network.

pip takes wheels for a foreign interpreter, checks each against the hash in the lock, and runs none of their code. The unpacked folder
is kept in the cache by what went into it.
"""

import asyncio
import contextlib
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.runtimes.docker.errors import ImageError
from orchestrator.runtimes.docker.image.contents import LOCK

OLDEST_PYTHON = (3, 11)
_QUESTION = (
    "import json, platform, sys; print(json.dumps({'python': sys.version_info[:2], "
    "'machine': platform.machine(), 'libc': platform.libc_ver()}))"
)
PROBE = ("python3", "-c", _QUESTION)
"""Run in a base image: prints what :class:`Interpreter` is made of."""
_OLDEST_GLIBC, _NEWEST_MUSL = 5, 2
_SHOWN_LINES = 15
SCRATCH = "making-"
"""How names of folders begin that are not finished."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A base image's Python, as far as wheels ask."""

    python: tuple[int, int]
    machine: str
    glibc: int | None
    """Minor version of glibc 2; ``None`` for musl."""

    @classmethod
    def parse(cls, base: str, fields: Any) -> "Interpreter":
        """From what :data:`PROBE` printed.

        Raises:
            ImageError: nodes don't run on it.
        """
        try:
            python = (int(fields["python"][0]), int(fields["python"][1]))
            name, version = fields["libc"]
            found = cls(
                python, str(fields["machine"]), int(version.split(".")[1]) if name == "glibc" else None
            )
        except (TypeError, KeyError, ValueError, IndexError) as exc:
            raise ImageError(f"the base image {base} does not tell its Python: {fields!r}") from exc
        if python < OLDEST_PYTHON:
            raise ImageError(
                f"the base image {base} has Python {python[0]}.{python[1]}",
                f"choose one with Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer: ROLLNET_BASE_IMAGE=… rollnet image build",
            )
        return found

    def platforms(self) -> list[str]:
        """Platform tags of wheels that run there, the newest first."""
        if self.glibc is None:
            return [f"musllinux_1_{minor}_{self.machine}" for minor in range(_NEWEST_MUSL, 0, -1)]
        tags = [f"manylinux_2_{minor}_{self.machine}" for minor in range(self.glibc, _OLDEST_GLIBC - 1, -1)]
        return [*tags, *(f"manylinux{year}_{self.machine}" for year in ("2014", "2010", "1"))]


def kept_in(cache: Path) -> Path:
    """Where a cache has them."""
    return cache / "image-dependencies"


async def unpacked(interpreter: Interpreter, cache: Path, progress: Callable[[str], None]) -> Path:
    """The folder of dependencies for an interpreter, from the cache or made now.

    Args:
        interpreter: who shall import them.
        cache: where rebuildable things live.
        progress: told what is done.

    Raises:
        ImageError: pip can't get them.
    """
    asked = "\n".join([LOCK.read_text(), str(interpreter.python), *interpreter.platforms()])
    kept = kept_in(cache) / hashlib.blake2b(asked.encode(), digest_size=8).hexdigest()
    if kept.is_dir():
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    progress(f"getting the dependencies of nodes for Python {'.'.join(map(str, interpreter.python))}")
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=kept.parent) as scratch:
        folder = Path(scratch) / "lib"
        await _pip(interpreter, folder)
        await asyncio.to_thread(_trim, folder)
        with contextlib.suppress(OSError):  # somebody else was faster
            folder.rename(kept)
    return kept


async def _pip(interpreter: Interpreter, folder: Path) -> None:
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]
    words += [
        "--require-hashes",
        "--no-deps",
        "--no-compile",
        "--only-binary",
        ":all:",
        "--target",
        str(folder),
    ]
    words += ["--implementation", "cp", "--python-version", ".".join(map(str, interpreter.python))]
    for tag in interpreter.platforms():
        words += ["--platform", tag]
    process = await asyncio.create_subprocess_exec(
        *words,
        *("--requirement", str(LOCK)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONNOUSERSITE": "1"},
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()[-_SHOWN_LINES:]
        raise ImageError(
            "pip can't get the dependencies of nodes:" + "".join(f"\n  | {line}" for line in lines),
            "is a package index reachable, and is pip in this environment? (python -m pip --version)",
        )


def _trim(folder: Path) -> None:
    """Leave out what no node imports: programs, tests, and sources of compiled modules."""
    shutil.rmtree(folder / "bin", ignore_errors=True)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and path.name in {"tests", "test", "SelfTest", "__pycache__"}:
            shutil.rmtree(path)
        elif path.suffix in {".pyx", ".pxd", ".c", ".h", ".pyi"} and path.is_file():
            path.unlink()
