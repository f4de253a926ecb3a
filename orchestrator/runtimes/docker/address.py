"""Finding the engine that the ``docker`` command would use, and telling why it can't be used. Blocks."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import docker
import requests
from docker.context import ContextAPI
from docker.utils import kwargs_from_env

from orchestrator.runtimes.docker.errors import EngineUnfitError, EngineUnreachableError
from orchestrator.runtimes.ports import LOOPBACK

OLDEST_API = (1, 41)
"""Of engine 20.10, the oldest on which the conformance suite runs."""
ANSWER_S = 120.0
"""Longest time for an answer, seconds: starting containers on a busy machine takes several."""


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach an engine that has answered."""

    arguments: Mapping[str, Any]
    version: str
    """Of its API."""
    information: Mapping[str, Any]
    """What it says about itself."""

    @classmethod
    def find(cls) -> "Address":
        """The engine that the ``docker`` command would use: ``$DOCKER_HOST``, else the chosen context, else the local socket.

        Raises:
            EngineUnreachableError: nothing answers, or it does not answer us.
            EngineUnfitError: it is too old, or on another machine.
        """
        arguments = _arguments()
        host = str(arguments.get("base_url", "unix:///var/run/docker.sock"))
        _require_here(host)
        with _reaching(host):
            client = docker.APIClient(**arguments, version="auto", timeout=ANSWER_S)
            information, version = client.info(), str(client.api_version)
            client.close()
        if tuple(map(int, version.split("."))) < OLDEST_API:
            raise EngineUnfitError(
                f"the Docker engine at {host} is too old: it speaks API {version}",
                "engine 20.10 (API 1.41) or newer is needed; or use the process runtime: --runtime process",
            )
        return cls(arguments, version, information)


def _arguments() -> dict[str, Any]:
    """Address and certificates, as the ``docker`` command finds them."""
    if os.environ.get("DOCKER_HOST"):
        return dict(kwargs_from_env())
    chosen = os.environ.get("DOCKER_CONTEXT") or None
    try:
        if chosen is not None and ContextAPI.get_context(chosen) is None:
            raise EngineUnreachableError(
                f"there is no Docker context {chosen!r}", "unset DOCKER_CONTEXT, or see: docker context ls"
            )
        return dict(ContextAPI.kwargs_from_context(chosen))
    except docker.errors.DockerException as exc:
        raise EngineUnreachableError(
            f"the Docker context can't be used: {exc}", "choose another: docker context use default"
        ) from exc


def _require_here(host: str) -> None:
    """Refuse engines whose 127.0.0.1 is not ours."""
    place = urlsplit(host)
    if place.scheme in {"unix", "http+unix", "npipe"} or place.hostname in {LOOPBACK, "localhost", "::1"}:
        return
    raise EngineUnfitError(
        f"the Docker engine at {host} is on another machine: it would publish endpoints on that machine's 127.0.0.1, and "
        "look for the run directory there",
        "run rollnet on that machine, or choose an engine of this one: unset DOCKER_HOST; docker context use default",
    )


@contextlib.contextmanager
def _reaching(host: str) -> Iterator[None]:
    """What can go wrong with the first word to an engine."""
    try:
        yield
    except (docker.errors.DockerException, requests.RequestException, OSError) as exc:
        words = str(exc)
        if "PermissionError" in words or "Permission denied" in words:
            raise EngineUnreachableError(
                f"the Docker engine at {host} does not let this user in",
                "join its group and log in again: sudo usermod --append --groups docker $USER; "
                "or use the process runtime: --runtime process",
            ) from exc
        if isinstance(exc, docker.errors.InvalidVersion) or "is too new" in words or "is too old" in words:
            raise EngineUnfitError(
                f"the Docker engine at {host} and this SDK have no API version in common: {words}",
                "engine 20.10 or newer is needed; or use the process runtime: --runtime process",
            ) from exc
        raise EngineUnreachableError(
            f"no Docker engine answers at {host}",
            "start one: sudo systemctl start docker (or: sudo dockerd &); or use the process runtime: --runtime process",
        ) from exc
