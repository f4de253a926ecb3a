"""``verify``: a devnet's rollups again from L1 alone, held against what was claimed."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from orchestrator.cli.output import JsonOption, command, command_group, err, out, run, say_json
from orchestrator.cli.traces import run_directory
from orchestrator.errors import RollnetError
from orchestrator.registry import Registry
from orchestrator.rundir import home
from orchestrator.verification import CannotVerify, Moved, Verification, live_sources, stored_sources, verify

EXIT_CODES = {"valid": 0, "invalid": 1, "unknown": 2}
PROGRESS_BLOCKS = 100
"""L1 blocks between two lines of progress."""
SHOWN_FINDINGS = 20
"""What differs first tells most; one wrong block makes all after it wrong."""
ATTEMPTS = 3
"""An L1 that is reorganised while it is read is read again, so often."""

app = command_group()


@app.command(name="verify")
def verify_command(
    net: Annotated[
        str | None,
        typer.Argument(help="A devnet's name or a run directory; the only running devnet by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Rebuild every rollup in fresh engines from L1 alone and compare every block hash, state root and output root.

    Works on running devnets and on finished runs. Exit status: 0 all equal, 1 something differs (the block is named), 2 too little
    was seen to say, or it could not be done. Example: rollnet verify condor-quad --json
    """
    with command(as_json=as_json):
        with _only_our_errors():
            found = run(_verify(run_directory(net)))
        if as_json:
            say_json(_json(found))
        else:
            _print(found)
    raise typer.Exit(EXIT_CODES[found.verdict])


@contextlib.contextmanager
def _only_our_errors() -> Iterator[None]:
    """Exit status 1 says that something differs; whatever prevents a verification has another one."""
    try:
        yield
    except CannotVerify:
        raise
    except RollnetError as exc:
        raise CannotVerify(exc.message, exc.hint) from exc


async def _verify(folder: Path) -> Verification:
    _end_in_order()
    try:
        for attempt in range(1, ATTEMPTS + 1):
            sources = live_sources(folder) if lives_in(folder) else stored_sources(folder)
            try:
                async with sources as given:
                    return await verify(given, _progress)
            except Moved as exc:
                if attempt == ATTEMPTS:
                    raise
                err.print(f"[dim]{escape(exc.message)}; verifying again[/dim]")
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    raise AssertionError("the last attempt has an end")


def _end_in_order() -> None:
    """Let Ctrl-C and SIGTERM, at any moment and any number of times, end the engines and remove the files."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None, "commands run in a task"

    def end() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, lambda: None)  # once is enough: it is under way
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)


def lives_in(folder: Path) -> bool:
    """Whether a devnet lives in a run directory."""
    living = (entry for entry in Registry(home()).entries() if entry.alive())
    return any(Path(entry.run_dir).resolve() == folder.resolve() for entry in living)


def _progress(done: int, of: int) -> None:
    if done and (done % PROGRESS_BLOCKS == 0 or done == of):
        err.print(f"[dim]L1 block {done} of {of}[/dim]")


def _json(found: Verification) -> dict[str, Any]:
    findings = [{"rollup": name, **asdict(finding)} for name, finding in found.findings]
    return {"verdict": found.verdict, **asdict(found), "findings": findings}


def _print(found: Verification) -> None:
    table = Table(box=None, pad_edge=False)
    for column in ("rollup", "rebuilt", "compared with its node"):
        table.add_column(column)
    for name, count in found.blocks.items():
        table.add_row(name, f"{count} blocks", f"{found.served.get(name, 0)} blocks")
    out.print(table)
    out.print(
        f"L1 blocks 0 to {found.l1_block}: {found.slots} slots with {found.bundles} bundles, {found.forced} forced blocks, "
        f"{found.outputs} output roots; {found.strangers} transactions of strangers in the inbox",
        soft_wrap=True,
    )
    for name, why in found.uncompared.items():
        out.print(
            f"[yellow]{escape(name)}[/yellow] is not compared with its node: {escape(why)}", soft_wrap=True
        )
    for name, finding in found.findings[:SHOWN_FINDINGS]:
        block = "" if finding.block is None else f" block {finding.block}"
        out.print(
            f"[red]{escape(name)}{block}[/red]: {escape(finding.what)} claimed {escape(finding.claimed)}, "
            f"derived {escape(finding.derived)} ({escape(finding.where)})",
            soft_wrap=True,
        )
    if len(found.findings) > SHOWN_FINDINGS:
        out.print(f"and {len(found.findings) - SHOWN_FINDINGS} more; --json has them all")
    colour = {"valid": "green", "invalid": "red", "unknown": "yellow"}[found.verdict]
    out.print(f"verdict: [{colour}]{found.verdict}[/{colour}]")
