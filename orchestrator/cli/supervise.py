"""The background process of ``rollnet up --detach``: ``python -m orchestrator.cli.supervise TOPOLOGY [NAME [RUNTIME]]``.

An empty name or runtime stands for the topology's own.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from orchestrator.cli.up import supervised
from orchestrator.errors import RollnetError
from orchestrator.runtimes.supervisor import Reporter


async def main(reporter: Reporter, topology: Path, name: str = "", runtime: str = "") -> None:
    """Launch, report, and wait for the end."""

    def progress(node: str, state: Any, seconds: float) -> None:
        reporter.progress([node, str(state), seconds])

    async with supervised(topology, name or None, runtime or None, reporter, progress) as (_, ended):
        await ended.wait()


if __name__ == "__main__":
    pipe = Reporter.from_environment()
    try:
        asyncio.run(main(pipe, Path(sys.argv[1]), *sys.argv[2:]))
    except KeyboardInterrupt:
        pipe.failure(RollnetError("interrupted while it came up"))
        sys.exit(130)
    except RollnetError as exc:
        pipe.failure(exc)
        sys.exit(exc.exit_code)
    except BaseException as exc:
        pipe.failure(exc)
        raise
