"""What outlives a supervisor: ``python -m orchestrator.runtimes.docker.guard RUN_ID``.

Containers belong to the engine and don't die with whoever asked for them. So this process waits on a pipe that only the supervisor
holds; when that closes unannounced, the supervisor has died, and everything with its run's label is removed. Should the guard
have been killed as well, ``rollnet gc`` does the same later.

It imports the SDK only when it is needed: until then it costs a bare interpreter.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping

_PATIENCE_S = 5.0
_UNREACHABLE_S = 300.0
"""How long to go on asking an engine that does not answer, seconds; afterwards ``rollnet gc`` is left."""
_BETWEEN_LOOKS_S, _EMPTY_LOOKS = 1.0, 3
"""An engine may go on making what a dead supervisor had asked for, a busy one for seconds."""

_LEADS = frozenset({"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"})
"""What leads to an engine. Not ``DOCKER_CONFIG``: in that folder a context's name means something."""


def post(run_id: str, engine: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a guard; it lives until :func:`dismiss`, or until this process dies and it has done its work.

    Args:
        run_id: of the run that it watches over.
        engine: environment that leads to its engine, see ``Address``.
    """
    # A session of its own: a terminal's Ctrl-C is not for it.
    env = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("ROLLNET_") and key not in _LEADS
    }
    return subprocess.Popen(
        [sys.executable, "-m", __name__, run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**env, **engine},
        start_new_session=True,
    )


def dismiss(guard: "subprocess.Popen[bytes]") -> None:
    """End a guard that has nothing left to do."""
    try:
        guard.communicate(b".", timeout=_PATIENCE_S)
    except (BrokenPipeError, subprocess.TimeoutExpired):  # somebody ended or froze it
        guard.kill()
        guard.wait()


def _guard(run_id: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, 1):
        return
    from orchestrator.runtimes.docker.errors import EngineError  # noqa: PLC0415 - see the module
    from orchestrator.runtimes.docker.sweep import sweep_run  # noqa: PLC0415 - as above

    deadline, empty = time.monotonic() + _UNREACHABLE_S, 0
    while empty < _EMPTY_LOOKS:
        try:
            empty = 0 if sweep_run(run_id) else empty + 1
        except EngineError:  # busy, or what killed the supervisor has taken the way there with it
            if time.monotonic() > deadline:
                raise
        time.sleep(_BETWEEN_LOOKS_S)


if __name__ == "__main__":
    _guard(sys.argv[1])
