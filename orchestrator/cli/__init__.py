"""The command line.

::

    main ─► app (typer) ─► devnets · nodes · topologies · strategies · traces · demo
                              │
             output: one place for human text, --json, progress and exit codes

Exit codes: 0 done; 1 it failed, or a strategy was aborted; 2 the input is wrong, or a strategy's end is unknown; 130 interrupted.
"""

from orchestrator.cli.kept import keep


def main() -> None:
    """Entry point of ``rollnet``: nothing heavy is imported before Ctrl-C is in good hands."""
    keep()
    from orchestrator.cli.app import app  # noqa: PLC0415 - see above

    app()
