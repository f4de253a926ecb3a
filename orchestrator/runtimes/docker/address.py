"""Finding the engine that the ``docker`` command would use, and telling why it can't be used. Blocks."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import requests
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from orchestrator.runtimes.docker.errors import EngineUnfitError, EngineUnreachableError
from orchestrator.runtimes.docker.gate import PUBLISH_VARIABLE, named_here

OLDEST_API = (1, 41)
"""Of engine 20.10, the oldest on which the conformance suite runs."""
ANSWER_S = 120.0
"""Longest time for an answer, seconds: starting containers on a busy machine takes several."""
FIRST_ANSWER_S = 20.0
"""Longest time for the first answer of an engine, seconds: a machine that is off may never refuse."""

_DEFAULT_HOST = "unix:///var/run/docker.sock"


@dataclass(frozen=True, slots=True)
class Address:
    """How to reach an engine that has answered."""

    arguments: Mapping[str, Any]
    version: str
    """Of its API."""
    information: Mapping[str, Any]
    """What it says about itself."""
    host: str = _DEFAULT_HOST
    """Its URL."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """The environment that leads to this engine again, whatever another process's own says by then."""

    @classmethod
    def find(cls, variables: Mapping[str, str] | None = None) -> "Address":
        """The engine that the ``docker`` command would use: ``$DOCKER_HOST``, else the chosen context, else the local socket.

        Args:
            variables: what to go by; this process's environment by default, or if it is empty.

        Raises:
            EngineUnreachableError: nothing answers, or it does not answer us.
            EngineUnfitError: it is too old, or reached over ssh.
        """
        given = variables or os.environ
        arguments = _arguments(given)
        host = str(arguments.get("base_url", _DEFAULT_HOST))
        _require_no_ssh(host)
        with _reaching(host):
            client = docker.APIClient(**arguments, version="auto", timeout=FIRST_ANSWER_S)
            information, version = client.info(), str(client.api_version)
            client.close()
        if tuple(map(int, version.split("."))) < OLDEST_API:
            raise EngineUnfitError(
                f"the Docker engine at {host} is too old: it speaks API {version}",
                "engine 20.10 (API 1.41) or newer is needed; or use the process runtime: --runtime process",
            )
        return cls(arguments, version, information, host, leading_there(given, host, arguments.get("tls")))


def _arguments(given: Mapping[str, str]) -> dict[str, Any]:
    """Address and certificates, as the ``docker`` command finds them."""
    try:
        if given.get("DOCKER_HOST"):
            return _alone(kwargs_from_env(given))
        chosen = _context(given)
        if ContextAPI.get_context(chosen) is None:
            raise EngineUnreachableError(
                f"there is no Docker context {chosen!r}", "unset DOCKER_CONTEXT, or see: docker context ls"
            )
        return _alone(ContextAPI.kwargs_from_context(chosen))
    except docker.errors.DockerException as exc:
        raise EngineUnreachableError(
            f"the Docker context or its certificates can't be used: {exc}",
            "choose another: docker context use default; certificates lie in $DOCKER_CERT_PATH",
        ) from exc


class _CertificatesAlone(TLSConfig):  # type: ignore[misc]  # the SDK has no types
    """Those of the engine, whatever authorities the environment names for the web: ``requests`` would take these instead."""

    def configure_client(self, client: Any) -> None:
        super().configure_client(client)
        client.trust_env = False


def _alone(arguments: dict[str, Any]) -> dict[str, Any]:
    tls = arguments.get("tls")
    if not isinstance(tls, TLSConfig):
        return dict(arguments)
    return {**arguments, "tls": _CertificatesAlone(tls.cert, tls.ca_cert, tls.verify)}


def _context(given: Mapping[str, str]) -> str:
    return given.get("DOCKER_CONTEXT") or str(get_current_context_name())


def leading_there(given: Mapping[str, str], host: str, tls: TLSConfig | None) -> dict[str, str]:
    """What has to be in an environment for :meth:`Address.find` to find the same engine, even once a context means another."""
    if tls is None:
        return {"DOCKER_HOST": host}
    files = [Path(name) for name in (*(tls.cert or ()), *([tls.ca_cert] if tls.ca_cert else []))]
    if [file.name for file in files] != ["cert.pem", "key.pem", "ca.pem"]:
        return {"DOCKER_CONTEXT": _context(given)}  # that of a context alone can be otherwise
    found = {"DOCKER_HOST": host, "DOCKER_CERT_PATH": str(files[0].parent.absolute())}
    return found | ({"DOCKER_TLS_VERIFY": "1"} if tls.verify else {})


def _require_no_ssh(host: str) -> None:
    """Refuse what carries the engine's words, and none of its ports."""
    if host.startswith("ssh://"):
        machine = host.removeprefix("ssh://").rstrip("/")
        raise EngineUnfitError(
            f"the Docker engine at {host} is reached over ssh, which forwards its words, but not the ports that it publishes",
            "run rollnet on that machine; or let ssh forward the engine's socket and name an address of that machine that this one "
            f"reaches, where the devnet's ports are to open: ssh -NL /tmp/engine.sock:/var/run/docker.sock {machine} & "
            f"DOCKER_HOST=unix:///tmp/engine.sock {PUBLISH_VARIABLE}=ADDRESS rollnet up …; or use a context with tcp and TLS",
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
        if not named_here(host):
            raise EngineUnreachableError(
                f"no Docker engine answers at {host}: {_why(exc)}",
                "see whether that machine is up and its engine listens there; or choose an engine of this one: unset DOCKER_HOST, "
                "docker context use default; or use the process runtime: --runtime process",
            ) from exc
        raise EngineUnreachableError(
            f"no Docker engine answers at {host}",
            "start one: sudo systemctl start docker (or: sudo dockerd &); or use the process runtime: --runtime process",
        ) from exc


def _why(exc: BaseException) -> str:
    """The innermost reason, in few words: the layers above repeat it at length."""
    while exc.__cause__ is not None or exc.__context__ is not None:
        exc = exc.__cause__ or exc.__context__ or exc
    return str(exc) or type(exc).__name__
