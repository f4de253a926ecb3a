"""A devnet in the background: how ``rollnet up --detach`` starts it, watches it come up, and lets go.

::

    command line                                 background process (a session of its own)
    start_supervisor ── argv, log, pipe ───────► Reporter.from_environment()
      on_progress ◄───────── progress … ─────────  progress({"node": …})
      returns / raises ◄──── ready | failure ────  ready({…}) / failure(error)
      goes home                                    lives on; the pipe is closed

The pipe is the only tie. Its end without a last word means that the process died, and then its log says why. A command
line that is interrupted before the last word ends the background process; one that is killed does not, and the devnet goes
on coming up, visible in ``rollnet status``.
"""

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import orjson

from orchestrator.errors import RollnetError
from orchestrator.runtimes.errors import SupervisorError
from orchestrator.runtimes.orphans import ProcessId
from orchestrator.runtimes.takedown import exit_of

REPORT_VARIABLE = "ROLLNET_REPORT_FD"
_LONGEST_LINE = 16 * 1024 * 1024
_SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A background process that has reported ready."""

    pid: int
    payload: Any
    """What it said with ``ready``."""


async def start_supervisor(
    argv: Sequence[str],
    log_path: Path,
    on_progress: Callable[[Any], None],
    *,
    grace_s: float = 15.0,
) -> Supervisor:
    """Start a background process and wait until it reports ready.

    Args:
        argv: what to run; it must use :class:`Reporter`.
        log_path: gets its output, appended.
        on_progress: given each progress report.
        grace_s: time for it to clean up after a failure or an interruption, seconds; then it is killed.

    Raises:
        SupervisorError: it could not be started, reported a failure (with that failure's words and exit code) or died.
    """
    log_path.parent.mkdir(parents=True, exist_ok=True)
    reader_fd, writer_fd = os.pipe()
    with os.fdopen(reader_fd, "rb") as reader:
        try:
            process = _spawn(argv, log_path, writer_fd)
        finally:
            os.close(writer_fd)
        try:
            payload = await _last_word(reader, on_progress)
        except SupervisorError:
            await _shielded(_end(process, grace_s, ask=False))
            raise
        except _SilentEndError:
            await _shielded(_end(process, grace_s, ask=False))
            raise SupervisorError(
                f"the background process ended before it was ready (exit status {process.returncode}){_tail(log_path)}",
                f"its log: {log_path}",
            ) from None
        except BaseException:
            await _shielded(_end(process, grace_s, ask=True))
            raise
    # It lives on without us; told so, Popen does not complain that nobody waited for it.
    process.returncode = 0
    return Supervisor(process.pid, payload)


class Reporter:
    """The background process's end of the pipe. Says nothing when nobody listens (run in the foreground, or gone).

    Args:
        descriptor: the pipe's writing end, or ``None``.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        if descriptor is not None:
            os.set_inheritable(descriptor, False)

    @classmethod
    def from_environment(cls) -> Self:
        """Take over the pipe that :func:`start_supervisor` left in the environment; call once, early."""
        text = os.environ.pop(REPORT_VARIABLE, None)
        return cls(None if text is None else int(text))

    def progress(self, report: Any) -> None:
        """Report a step, any JSON."""
        self._say("progress", report)

    def ready(self, payload: Any) -> None:
        """Report success, any JSON (keep it small: paths rather than contents), and let go."""
        self._say("ready", payload)
        self._close()

    def failure(self, error: BaseException) -> None:
        """Report why the devnet did not come up, and let go; end the process soon afterwards."""
        message, hint, code = str(error) or type(error).__name__, "", 1
        if isinstance(error, RollnetError):
            message, hint, code = error.message, error.hint, error.exit_code
        self._say("failure", {"message": message, "hint": hint, "exit_code": code})
        self._close()

    def _say(self, kind: str, content: Any) -> None:
        if self._descriptor is None:
            return
        line = memoryview(orjson.dumps([kind, content], option=orjson.OPT_APPEND_NEWLINE))
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except BrokenPipeError:  # the command line was killed; the devnet goes on
            self._close()

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class _SilentEndError(Exception):
    """The pipe ended without a last word."""


def _spawn(argv: Sequence[str], log_path: Path, writer_fd: int) -> subprocess.Popen[bytes]:
    try:
        with log_path.open("ab") as log:
            return subprocess.Popen(
                list(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, REPORT_VARIABLE: str(writer_fd)},
                pass_fds=(writer_fd,),
                start_new_session=True,
            )
    except OSError as exc:
        raise SupervisorError(f"can't run {argv[0]!r}: {exc}") from exc


async def _last_word(pipe: BinaryIO, on_progress: Callable[[Any], None]) -> Any:
    stream = asyncio.StreamReader(limit=_LONGEST_LINE)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), pipe
    )
    try:
        async for line in stream:
            if not line.endswith(b"\n"):
                break  # it died while it spoke
            match orjson.loads(line):
                case ["progress", report]:
                    on_progress(report)
                case ["ready", payload]:
                    return payload
                case ["failure", {"message": message, "hint": hint, "exit_code": code}]:
                    raise SupervisorError(message, hint, code)
    finally:
        transport.close()
    raise _SilentEndError


async def _end(process: subprocess.Popen[bytes], grace_s: float, *, ask: bool) -> None:
    identity = ProcessId.of(process.pid)
    if identity is not None:
        if ask:
            process.terminate()
        if not await exit_of(identity, grace_s):
            process.kill()  # its nodes die with it
    await asyncio.to_thread(process.wait)


async def _shielded(work: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(work)
    while not task.done():
        # A second Ctrl-C must not leave half a devnet behind; the first one is on its way out already.
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({task})
    task.result()


def _tail(log_path: Path) -> str:
    lines = log_path.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
    return "".join(f"\n  | {line}" for line in lines)
