"""Journals of another machine, brought here while they are written, in the time of this machine.

A courier is a small container beside the nodes (``courier_program``) that hands out what is new in their journals, over a port of its own that is
published like theirs. So it is also the proof that published ports can be reached from here, before any node is made for nothing.
"""

import asyncio
import contextlib
import os
import random
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import aiohttp
import orjson

from orchestrator.runtimes.docker import courier_program
from orchestrator.runtimes.docker.clocks import ClockDifference, Exchange, difference, in_our_time
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError, EngineUnfitError
from orchestrator.runtimes.docker.gate import PUBLISH_VARIABLE, Gate, draw, in_url
from orchestrator.runtimes.docker.sdk import ContainerPlan

INNER_PORT = 8545
"""On which its program listens."""
REACH_S = 3.0
"""Longest time from the courier's start to its first answer, seconds."""
_ATTEMPT_S = 1.0
_PAUSE_S = 0.05
_EXCHANGES = 12
_WAIT_S = 5.0
"""How long the courier may wait for news, seconds."""
_PATIENCE_S = 10.0
"""Longest time for an answer beyond that, seconds."""
_RETRY_S = 0.5
_NOT_THERE = "cannot assign requested address"

_Failures = (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError)


class Courier:
    """Brings journals here: :meth:`reach`, :meth:`follow`, :meth:`close`.

    Args:
        journals: folder here.
        token: what the courier's container was given.
    """

    def __init__(self, journals: Path, token: str) -> None:
        self._journals = journals
        self._headers = {"authorization": f"Bearer {token}"}
        self._known: dict[str, int] = {}
        self._session: aiohttp.ClientSession | None = None
        self._url = ""
        self._following: asyncio.Task[None] | None = None
        self.clock = ClockDifference(0, 0)
        """What is added to the times in journals; known once it was reached."""

    async def reach(self, hosts: Sequence[str], port: int) -> str:
        """Find the host under which its port answers, and compare clocks.

        Raises:
            EngineUnfitError: none does.
        """
        self._session = aiohttp.ClientSession(headers=self._headers, connector=aiohttp.TCPConnector(limit=0))
        heard: dict[str, str] = {}
        urls = {host: f"http://{in_url(host)}:{port}" for host in hosts}
        until = time.monotonic() + REACH_S
        while not heard or time.monotonic() < until:
            for host, url in urls.items():
                try:
                    await self._time(url)
                except _Failures as exc:
                    heard[url] = _why(exc)
                else:
                    self._url = url
                    self.clock = difference([await self._time(url) for _ in range(_EXCHANGES)])
                    return host
            await asyncio.sleep(_PAUSE_S)  # nothing announces that a port of another machine opens
        tried = "; ".join(f"{url}: {why}" for url, why in heard.items())
        raise EngineUnfitError(
            f"the Docker engine is on another machine, and ports that it publishes can't be reached from here: tried for {REACH_S:g} s: "
            f"{tried}",
            "let this machine through that one's firewall; or name another address of it that this one reaches: "
            f"{PUBLISH_VARIABLE}=ADDRESS; or run rollnet on that machine",
        )

    def follow(self) -> None:
        """Begin to bring journals here."""
        self._following = asyncio.create_task(self._follow(), name="courier")

    async def close(self) -> None:
        """Bring what is left, and end; nodes are down. Safe to call twice."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.wait({self._following})
            self._following = None
            with contextlib.suppress(*_Failures):
                while await self._news(0.0, torn=True):
                    pass
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self) -> None:
        while True:
            try:
                await self._news(_WAIT_S, torn=False)
            except _Failures:
                await asyncio.sleep(_RETRY_S)  # it comes back with the engine, and knows nothing of us

    async def _news(self, wait_s: float, *, torn: bool) -> bool:
        """Ask once; returns whether anything came."""
        asked = orjson.dumps({"known": self._known, "wait_s": wait_s, "torn": torn})
        async with asyncio.timeout(wait_s + _PATIENCE_S):
            body = await self._exchange("POST", f"{self._url}/news", asked)
        head, _, rest = body.partition(b"\n")
        at = 0
        for name, offset, size in orjson.loads(head)["parts"]:
            self._land(name, offset, rest[at : at + size])
            at += size
        return at > 0

    def _land(self, name: str, offset: int, lines: bytes) -> None:
        if PurePosixPath(name).name != name or not name.endswith(courier_program.SUFFIX):
            raise ValueError(f"no journal: {name!r}")
        if offset != self._known.get(name, 0):
            raise ValueError(f"{name} from {offset} on was not asked for")
        _append(self._journals / name, in_our_time(lines, self.clock.ns))
        self._known[name] = offset + len(lines)

    async def _time(self, url: str) -> Exchange:
        async with asyncio.timeout(_ATTEMPT_S):
            asked = time.monotonic_ns()
            body = await self._exchange("GET", f"{url}/time")
            heard = time.monotonic_ns()
        return Exchange(asked, int(orjson.loads(body)["mono_ns"]), heard)

    async def _exchange(self, method: str, url: str, body: bytes = b"") -> bytes:
        assert self._session is not None, "reached first, and not closed"
        async with self._session.request(method, url, data=body or None) as response:
            response.raise_for_status()
            return await response.read()


def _append(path: Path, lines: bytes) -> None:
    """All of it or nothing: what a full disk has taken half of comes once more when there is room."""
    with path.open("ab", buffering=0) as file:
        before, left = file.seek(0, os.SEEK_END), memoryview(lines)
        try:
            while left:
                left = left[file.write(left) :]
        except OSError:
            file.truncate(before)
            raise


async def require_reachable(
    engine: Engine, image: str, opened: Gate, name: str, marks: Mapping[str, str]
) -> None:
    """Try a courier's port, without anything for it to bring; whoever calls removes it by its labels.

    Raises:
        EngineUnfitError: no port that this engine opens can be reached from here.
    """
    token = secrets.token_hex(16)
    (port,) = draw(1, await engine.published_ports(), random.SystemRandom())
    network = await engine.create_network(name, marks, internal=False)
    plan = ContainerPlan(
        name=name,
        image=image,
        command=command("/tmp", INNER_PORT),  # noqa: S108 - inside the container, of its own
        environment=environment(token),
        labels=marks,
        network=network,
        published={INNER_PORT: port},
        bind=opened.bind,
    )
    courier = Courier(Path(), token)
    try:
        await run(engine, plan)
        await courier.reach(opened.reached, port)
    finally:
        await courier.close()


async def run(engine: Engine, plan: ContainerPlan) -> None:
    """Start the container of a courier.

    Raises:
        EngineUnfitError: the engine's machine does not have the address on which the port is to open.
    """
    try:
        await engine.run(plan)
    except EngineError as exc:
        if _NOT_THERE not in exc.message:
            raise
        raise EngineUnfitError(
            f"the machine of the Docker engine at {engine.host} does not have the address {plan.bind} itself, so no port can open there",
            f"name one that it has: {PUBLISH_VARIABLE}=ADDRESS, or all of them: {PUBLISH_VARIABLE}=0.0.0.0",
        ) from exc


def _why(exc: Exception) -> str:
    if isinstance(exc, TimeoutError):
        return f"no answer within {_ATTEMPT_S:g} s"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return os.strerror(exc.os_error.errno) if exc.os_error.errno else str(exc.os_error)
    return str(exc) or type(exc).__name__


def command(folder: str, port: int) -> list[str]:
    """What the courier's container runs."""
    program = "/opt/rollnet/" + "/".join(courier_program.__name__.split(".")) + ".py"
    return ["python3", "-I", "-S", program, folder, str(port)]


def environment(token: str) -> dict[str, Any]:
    """What it needs to know beside that."""
    return {courier_program.TOKEN_VARIABLE: token}
