"""Crash points: places in a node's code where it can be made to die on the spot, between two steps that outlive it.

The problem: a crash that matters lies between two things that stay (a record that is on disk, a message that has left), and a SIGKILL from outside
meets such a place by luck. The choice: the code names its places, and a named place ends the process by ``os._exit``: no clean-up, no
buffers written, as a SIGKILL does. What has reached the kernel stays, as it does after a SIGKILL: what only power loss takes away (bytes that
were written and not fsynced) no crash of a process shows. Rejected: signals at random moments alone (they are kept, in
``tests/chaos``), and exceptions, because handlers and ``finally`` would run.

::

    ROLLNET_CRASH_AT=point[:count] ─┐
    file crash-at in the data folder ├─► armed ─► the count-th passage ─► one line on stderr ─► exit code 137
    rollnet_crashAt(point, count) ──┘

Only nodes that run with ``ROLLNET_CHAOS`` take such orders. The variable stays in a node's environment when it is restarted, so what it
ordered is noted in ``crash-at.done`` before it is carried out, and is not done a second time. The file is gone, durably, before it counts.
All points stand in ``bridge.wire.crash_table``; a test holds that table to the calls in the code, in both directions.
"""

import os
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.configuration import CHAOS_VARIABLE
from bridge.wire.crash_table import CRASH_POINTS, CrashPoint
from bridge.wire.errors import INVALID_PARAMS, METHOD_NOT_SUPPORTED, RpcError

__all__ = ["CRASH_POINTS", "CrashPoint", "arm", "armed", "crash_order", "crash_point", "crash_within"]

CRASH_VARIABLE = "ROLLNET_CRASH_AT"
"""``point`` or ``point:count``: crash at the count-th passage in the node's first life that comes so far."""
CRASH_FILE = "crash-at"
"""The same as a file of the data folder; gone once it was read."""
DONE_FILE = "crash-at.done"
"""The order of the environment that was carried out."""
EXIT_CRASHED = 137
"""Exit code at a crash point: that of a shell whose child was killed."""
CRASH_EVENT = "crash.point"
"""Event of the last line on stderr."""


class UnknownCrashPoint(ValueError):  # noqa: N818 - names what it is
    """There is no crash point of this name, or its count is no whole number from 1 on."""


def exit_at_once(point: CrashPoint) -> None:
    """Say where, and end the process without any clean-up."""
    line = {"event": CRASH_EVENT, "point": point.name, "pid": os.getpid(), "wall_ns": time.time_ns()}
    os.write(2, orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    os._exit(EXIT_CRASHED)


on_crash: Callable[[CrashPoint], None] = exit_at_once
"""What a crash does. A simulation of whole nodes in one process puts a function here that raises; whoever does sets it back."""

_armed: dict[str, int] = {}
"""How many more passages, by point; empty nearly always, and then a point costs one look at it."""
_notes: dict[str, tuple[Path, str]] = {}
"""By point that the environment armed: the file that says that its order was carried out, and the order."""
_turn = threading.Lock()


def crash_point(name: str) -> None:
    """A place where the node can be made to die; nothing happens unless it is armed.

    Args:
        name: a key of :data:`CRASH_POINTS`, always a literal: tests and readers look for it in the code.
    """
    if _armed and _is_due(name):
        _crash(name)


def crash_within(name: str, write: Callable[[bytes], Any], data: bytes) -> None:
    """As :func:`crash_point`, in the middle of a write: half of the data, and no more, reaches the file.

    Args:
        name: as for :func:`crash_point`.
        write: appends to the file.
        data: what is about to be written; the caller writes it after this.
    """
    if _armed and _is_due(name):
        write(data[: len(data) // 2])
        _crash(name)


def arm(name: str, count: int = 1) -> None:
    """Crash at the ``count``-th passage from now on; a point that is armed already is armed anew.

    Raises:
        UnknownCrashPoint: there is none of this name, or the count is not from 1 on.
    """
    if name not in CRASH_POINTS:
        raise UnknownCrashPoint(f"no crash point {name!r}; 'rollnet chaos points' lists them")
    if type(count) is not int or count < 1:
        raise UnknownCrashPoint(f"{name}: the count is a whole number from 1 on, got {count!r}")
    with _turn:
        _armed[name] = count


def armed() -> Mapping[str, int]:
    """How many more passages until each armed point crashes."""
    with _turn:
        return dict(_armed)


def reset() -> None:
    """Disarm everything, for those who live on: simulations and tests."""
    with _turn:
        _armed.clear()
        _notes.clear()


def arm_at_boot(folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Take the orders that wait for a node that starts: those of the environment and of the file ``crash-at``.

    Call it before anything else is done with the data folder.

    Args:
        folder: the node's data folder; need not exist.
        environment: ``os.environ`` by default.

    Raises:
        SystemExit: there is an order, and it is wrong or this node takes none.
    """
    variables = os.environ if environment is None else environment
    ordered, file = variables.get(CRASH_VARIABLE, ""), folder / CRASH_FILE
    written = file.read_text().strip() if file.exists() else ""
    if (ordered or written) and not variables.get(CHAOS_VARIABLE):
        source = f"${CRASH_VARIABLE}" if ordered else str(file)
        raise SystemExit(f"{source} orders a crash, but ${CHAOS_VARIABLE} is not set: this node takes none")
    try:
        if ordered and _read(folder / DONE_FILE) != ordered:
            _notes[_arm_text(ordered)] = folder / DONE_FILE, ordered
        if written:
            file.unlink()
            _sync_folder(folder)
            _arm_text(written)
    except UnknownCrashPoint as exc:
        raise SystemExit(str(exc)) from exc


def crash_order(role: str, engine: str = "") -> Callable[..., Awaitable[dict[str, Any]]]:
    """The method ``rollnet_crashAt(point, count)`` of a node.

    Args:
        role: of the node; a point that such nodes never pass is refused.
        engine: of its rollup, if it is a rollup's.
    """

    async def crash_at(point: str, count: int = 1) -> dict[str, Any]:
        if not os.environ.get(CHAOS_VARIABLE):
            raise RpcError(
                METHOD_NOT_SUPPORTED,
                f"this node takes no crash orders: it was started without {CHAOS_VARIABLE}; launch the devnet with chaos",
            )
        found = CRASH_POINTS.get(point)
        if found is not None and not found.is_passed_by(role, engine):
            this = f"an {engine} {role}" if engine else f"a {role}"
            raise RpcError(INVALID_PARAMS, f"{point} is a point of {found.passed_by} nodes, this is {this}")
        try:
            arm(point, count)
        except UnknownCrashPoint as exc:
            raise RpcError(INVALID_PARAMS, str(exc)) from exc
        return {"point": point, "count": count}

    return crash_at


def _is_due(name: str) -> bool:
    with _turn:
        left = _armed.get(name)
        if left is None:
            return False
        if left > 1:
            _armed[name] = left - 1
            return False
        del _armed[name]
        return True


def _crash(name: str) -> None:
    if name in _notes:
        _write_durably(*_notes.pop(name))
    on_crash(CRASH_POINTS[name])


def _arm_text(text: str) -> str:
    """Arm ``point[:count]``; gives the point."""
    name, colon, count = text.partition(":")
    if colon and not count.isdecimal():
        raise UnknownCrashPoint(f"{text!r} orders no crash: it is point or point:count")
    arm(name, int(count) if colon else 1)
    return name


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _write_durably(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
