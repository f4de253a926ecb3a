"""An engine's refusals as our errors: around every call of the SDK."""

import contextlib
from collections.abc import Iterator

import docker
import requests

from orchestrator.runtimes.docker.errors import EngineError, EngineUnreachableError, from_answer


@contextlib.contextmanager
def answers(what: str) -> Iterator[None]:
    """Translate what goes wrong with one call.

    Args:
        what: what is asked, such as ``start alpha``.
    """
    try:
        yield
    except docker.errors.APIError as exc:
        raise from_answer(what, str(exc.explanation or exc)) from exc
    except docker.errors.DockerException as exc:
        raise EngineError(f"can't {what}: {exc}") from exc
    except (requests.RequestException, OSError) as exc:
        raise EngineUnreachableError(
            f"can't {what}: the Docker engine does not answer any more ({type(exc).__name__})",
            "look at the engine's log; sweep what is left once it is back: rollnet gc",
        ) from exc
