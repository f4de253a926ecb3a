"""Where containers' ports open, and under which address this host reaches them.

On an engine of this machine that is 127.0.0.1. On another machine it has to be an address that this one reaches, and whatever else
reaches it reaches the devnet's nodes too. So it is as narrow as can be: the one address under which the engine itself is
reached, where somebody already lets strangers in; where there is none (a forwarded socket, a tunnel), nothing is opened until
``$ROLLNET_DOCKER_PUBLISH`` names one.

Ports are fixed when containers are made, and so the same after every restart, as on this machine. They are drawn by lot from a range
below that of outgoing connections, and those that containers of that engine have, running or not, are left out. Left to itself
the engine hands out another one after each start.
"""

import os
import random
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from orchestrator.runtimes.docker.errors import EngineUnfitError
from orchestrator.runtimes.errors import PlanError
from orchestrator.runtimes.ports import LOOPBACK

PUBLISH_VARIABLE = "ROLLNET_DOCKER_PUBLISH"
"""Address of the engine's machine on which ports are to open; set, files are not shared with that machine either."""
FIRST_PORT, LAST_PORT = 20_000, 31_999
"""Among which ports of another machine are chosen: Linux gives outgoing connections those from 32768."""

_EVERYWHERE = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class Gate:
    """Where ports open on the engine's machine."""

    bind: str
    """Address there."""
    reached: tuple[str, ...]
    """Names and addresses under which this host may reach them, the best first."""


HERE = Gate(LOOPBACK, (LOOPBACK,))


def named_here(host: str) -> bool:
    """Whether an engine's URL is one of this machine: what answers there may still be a tunnel to another one."""
    place = urlsplit(host)
    if place.scheme in {"unix", "http+unix", "npipe"}:
        return True
    return place.hostname is not None and any(_ours(address) for address in _addresses(place.hostname))


def wanted() -> str:
    """What ``$ROLLNET_DOCKER_PUBLISH`` says; empty if nothing."""
    return os.environ.get(PUBLISH_VARIABLE, "").strip()


def gate_of(host: str, publish: str) -> Gate:
    """Where an engine on another machine is to open ports.

    Args:
        host: the engine's URL.
        publish: the address that the user wants, or empty.

    Raises:
        EngineUnfitError: there is no address that could be used.
    """
    name = None if named_here(host) else urlsplit(host).hostname
    if publish:
        reached = ([] if publish in _EVERYWHERE else [publish]) + ([name] if name else [])
        if reached:
            return Gate(publish, tuple(dict.fromkeys(reached)))
        raise EngineUnfitError(
            f"{PUBLISH_VARIABLE}={publish} does not say under which address this machine reaches the Docker engine's, and "
            f"{host} does not either",
            f"name one address of that machine: {PUBLISH_VARIABLE}=ADDRESS",
        )
    if name is None:
        raise EngineUnfitError(
            f"the Docker engine at {host} does not see this machine's files: it is behind a tunnel, on another machine or outside of "
            "this container, and what it publishes on its 127.0.0.1 can't be reached from here",
            f"name an address of its machine that this one reaches: {PUBLISH_VARIABLE}=ADDRESS, which opens the devnet's ports there; "
            "or run rollnet on that machine; or choose an engine of this one: unset DOCKER_HOST; docker context use default",
        )
    addresses = _addresses(name)
    if not addresses:
        raise EngineUnfitError(
            f"{name}, where the Docker engine is, has no address", "see whether the name is right"
        )
    return Gate(addresses[0], (name,))


def draw(count: int, taken: Iterable[int], lot: random.Random) -> list[int]:
    """Ports for one devnet.

    Raises:
        PlanError: there are not so many left.
    """
    free = sorted(set(range(FIRST_PORT, LAST_PORT + 1)).difference(taken))
    if len(free) < count:
        raise PlanError(
            f"{count} ports are needed on the Docker engine's machine, and {len(free)} of {FIRST_PORT}-{LAST_PORT} are left",
            "take devnets down there",
        )
    return lot.sample(free, count)


def in_url(address: str) -> str:
    """An address or name as it stands in a URL."""
    return f"[{address}]" if ":" in address else address


def _addresses(name: str) -> list[str]:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    found.sort(key=lambda one: one[0] != socket.AF_INET)  # networks of containers are IPv4
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def _ours(address: str) -> bool:
    """Whether this machine has an address: only then can it be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
