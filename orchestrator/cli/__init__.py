"""The command line.

::

    main ─► app (typer) ─► devnets · nodes · topologies · strategies · traces · demo
                              │
             output: one place for human text, --json, progress and exit codes

Exit codes: 0 done; 1 it failed, or a strategy was aborted; 2 the input is wrong, or a strategy's end is unknown; 130 interrupted.
"""

from orchestrator.cli.app import main

__all__ = ["main"]
