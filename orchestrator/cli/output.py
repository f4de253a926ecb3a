"""How commands speak: human text or one JSON document on standard output, progress and errors on standard error."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.markup import escape

from orchestrator.cli.interrupts import heard
from orchestrator.cli.interrupts import run as run  # noqa: PLC0414 - commands find it here
from orchestrator.errors import RollnetError
from orchestrator.runtimes.errors import SupervisorError

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
NetOption = Annotated[
    str | None,
    typer.Option("--net", "-n", help="Which devnet, by name; not needed while only one is running."),
]

NODE_HELP = (
    "A node's name, as `rollnet status` lists them: l1, sequencer, maker, relayer, a rollup's name, "
    "or with messaging mode l1-bridge a rollup's name with -sequencer."
)

INTERRUPTED = 130

PIPED_WIDTH = 140
"""Columns of tables that nobody looks at in a terminal."""

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def command_group(text: str = "") -> typer.Typer:
    """A group of commands that looks like all the others."""
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def say_json(document: Any) -> None:
    """Print one JSON document, indented for eyes on a terminal, in one line for pipes."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    sys.stdout.write(orjson.dumps(document, option=option | orjson.OPT_NON_STR_KEYS).decode() + "\n")


@contextlib.contextmanager
def command(*, as_json: bool) -> Iterator[None]:
    """Turn errors into words and exit codes; nobody ever sees a traceback for a mistake of theirs."""
    try:
        with heard():
            yield
    except RollnetError as exc:
        fail(exc, as_json=as_json)
    except KeyboardInterrupt:
        err.print("interrupted")
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        raise typer.Exit(1) from None


def fail(error: RollnetError, *, as_json: bool) -> None:
    """Report an error and end the command with its exit code."""
    if as_json:
        say_json({"error": {"kind": type(error).__name__, "message": error.message, "hint": error.hint}})
    err.print(f"error: {error.message}", style="red", markup=False)
    if error.hint:
        err.print(f"  hint: {error.hint}", markup=False)
    code = error.reported_exit_code if isinstance(error, SupervisorError) else error.exit_code
    raise typer.Exit(code)


def progress_lines() -> Callable[[str, Any, float], None]:
    """A progress callback that writes one line per fact to standard error."""

    def tell(node: str, state: Any, seconds: float) -> None:
        err.print(f"[dim]{seconds:6.2f} s[/dim]  {escape(node)}: {escape(str(state))}", emoji=False)

    return tell
