"""A process that builds an image step by step, to be killed; not a test, run as a program.

Usage: docker_build_program.py LABEL TAG BASE STEP…, where each STEP is a command. It prints each step as it begins, and ``built`` at the end.
"""

import asyncio
import io
import sys
import tarfile

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.engine import Engine

LABEL, TAG, BASE, *STEPS = sys.argv[1:]


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def context() -> io.BytesIO:
    """A Dockerfile with one step for each command."""
    lines = [f"FROM {BASE}", f"LABEL {LABEL}={labels.BEING_BUILT}", *(f"RUN {step}" for step in STEPS)]
    recipe = "\n".join(lines).encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe))
    file.seek(0)
    return file


async def main() -> None:
    """Build it."""
    labels.BUILD = LABEL  # of this test alone: other builds of this engine have the usual one
    engine = await Engine.connect()
    try:
        await engine.build(context(), TAG, {}, {}, say)
        say("built")
    finally:
        engine.close()


if __name__ == "__main__":
    asyncio.run(main())
