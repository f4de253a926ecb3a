"""Ctrl-C is never lost, wherever the interpreter is when it comes: programs that send it to themselves at the worst moments."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, weakref
from orchestrator.cli.kept import keep

def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)

class Thing:
    pass

def in_a_callback():
    # what is raised in the callback of a weak reference, such as those of import locks, is printed and forgotten
    thing = Thing()
    reference = weakref.ref(thing, lambda _: ctrl_c())
    del thing

moment = sys.argv[1]
if moment == "interpreter":
    sys.last_value = KeyboardInterrupt()  # as it leaves one that it has printed before it came to our first line
if moment != "default":
    keep()
if moment in {"default", "importing"}:
    in_a_callback()
from orchestrator.cli.output import command, run

async def work():
    import asyncio
    if moment == "loop":
        ctrl_c()
    try:
        await asyncio.sleep(0 if moment == "default" else 20)
        print("went on")
    finally:
        print("tidied")

import typer
try:
    with command(as_json=False):
        print("command")
        if moment == "command":
            in_a_callback()
        run(work())
except typer.Exit as exc:
    sys.exit(exc.exit_code)
"""


@pytest.mark.parametrize(
    ("moment", "out"),
    [("interpreter", []), ("importing", []), ("command", ["command"]), ("loop", ["command", "tidied"])],
)
def test_none_is_lost(moment: str, out: list[str]) -> None:
    """Before our first line, while modules are imported, in a callback that swallows exceptions, in the loop: the command ends with 130, and what it began is tidied."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, moment], check=False, capture_output=True, text=True, timeout=20
    )
    assert (130, out, True) == (
        ended.returncode,
        ended.stdout.split(),
        "interrupted" in ended.stderr,
    ), ended


def test_what_it_is_for() -> None:
    """With Python's own handler such a Ctrl-C is forgotten, and the work goes on: the tests above can fail."""
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, "default"], check=False, capture_output=True, text=True, timeout=20
    )
    assert (0, ["command", "went", "on", "tidied"], True) == (
        ended.returncode,
        ended.stdout.split(),
        "Exception ignored" in ended.stderr,
    ), ended
